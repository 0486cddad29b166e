//! Asking a running agent.

use std::{
    fmt::{self, Display, Formatter},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// An agent has this long to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where an agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// `http://HOST:PORT`: host and port.
    Tcp(String),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.starts_with('/') {
            return Ok(Self::Unix(path.into()));
        }
        let authority = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let is_valid = |authority: &&str| !authority.contains('/') && authority.rsplit_once(':').is_some();
        authority.filter(is_valid).map(|authority| Self::Tcp(authority.to_owned())).ok_or_else(|| {
            format!("{text:?} is no server: write http://127.0.0.1:9435, or the path of a socket (/run/injector.sock)")
        })
    }
}

impl Display for Server {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => write!(formatter, "http://{authority}"),
            Self::Unix(path) => write!(formatter, "{}", path.display()),
        }
    }
}

/// What the agent at `server` answers to `GET path`.
pub fn get(server: &Server, path: &str) -> anyhow::Result<Bytes> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let answer = timeout(PATIENCE, connect(server, path)).await.context("no answer in time");
        answer.and_then(|answer| answer).with_context(|| format!("asking the agent at {server}"))
    })
}

async fn connect(server: &Server, path: &str) -> anyhow::Result<Bytes> {
    match server {
        Server::Tcp(authority) => ask(TcpStream::connect(authority).await?, authority, path).await,
        Server::Unix(socket) => ask(UnixStream::connect(socket).await?, "localhost", path).await,
    }
}

async fn ask<S>(stream: S, host: &str, path: &str) -> anyhow::Result<Bytes>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header(HOST, host).body(Empty::<Bytes>::new())?;
    let answer = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        anyhow::Ok((status, answer.into_body().collect().await?.to_bytes()))
    };
    let (answer, _) = tokio::join!(answer, connection);
    let (status, body) = answer?;
    if status != StatusCode::OK {
        bail!("{status}: {}", String::from_utf8_lossy(&body).trim());
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers() {
        let tcp = |authority: &str| Ok(Server::Tcp(authority.to_owned()));
        assert_eq!("http://127.0.0.1:9435".parse(), tcp("127.0.0.1:9435"));
        assert_eq!("http://[::1]:9435/".parse(), tcp("[::1]:9435"));
        for text in ["/run/x.sock", "unix:/run/x.sock"] {
            assert_eq!(text.parse(), Ok(Server::Unix("/run/x.sock".into())));
        }
        for text in ["", "127.0.0.1:9435", "https://x:1", "http://x", "http://x:1/flows", "run/x.sock"] {
            assert!(text.parse::<Server>().is_err(), "{text}");
        }
    }
}
