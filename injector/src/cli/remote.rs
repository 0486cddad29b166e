//! Asking a running agent.

use std::{
    fmt::{self, Display, Formatter},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// An agent has this long to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest answer, in bytes: several times what the most flows take that an agent lists.
const MAX_ANSWER: usize = 64 << 20;
/// Longest explanation that is passed on, in characters.
const MAX_EXPLANATION: usize = 300;

/// Error where a server is there and does not answer.
const NO_ANSWER: &str = "connection closed without an answer (does an injector agent listen there?)";

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
            format!("invalid server {text:?}: expected http://127.0.0.1:9435 or a socket's path (/run/injector.sock)")
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
pub(crate) fn get(server: &Server, path: &str) -> anyhow::Result<Bytes> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let answer = timeout(PATIENCE, connect(server, path)).await.context("no answer in time");
        answer.and_then(|answer| answer).with_context(|| format!("asking the agent at {server}"))
    })
}

async fn connect(server: &Server, path: &str) -> anyhow::Result<Bytes> {
    match server {
        Server::Tcp(authority) => {
            let stream = TcpStream::connect(authority).await?;
            // Agents answer to their address, and to configured names: see `agent::http::hosts`.
            let address = stream.peer_addr()?.to_string();
            ask(stream, &address, path).await
        }
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
        let answer = sender.send_request(request).await.context(NO_ANSWER)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        anyhow::Ok((status, body.map_err(|error| anyhow!(error)).context("reading its answer")?.to_bytes()))
    };
    // A server that goes on after its answer is dropped.
    tokio::pin!(answer);
    let (status, body) = tokio::select! {
        answer = &mut answer => answer?,
        _ = connection => answer.await?,
    };
    if status != StatusCode::OK {
        let why: String = String::from_utf8_lossy(&body).trim().chars().take(MAX_EXPLANATION).collect();
        bail!("{status}: {why}");
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        os::unix::net::UnixListener,
        thread,
    };

    use super::*;

    /// What is made of a server that says this, and then goes on with `rest` for ever.
    fn asked(head: &'static str, rest: &'static [u8]) -> anyhow::Result<Bytes> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).expect("bound");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                let length = stream.read(&mut request).expect("a request");
                request.rotate_left(length);
            }
            let mut written = stream.write_all(head.as_bytes());
            while written.is_ok() && !rest.is_empty() {
                written = stream.write_all(rest);
            }
        });
        let answer = get(&Server::Unix(path), "/flows");
        server.join().expect("the client is gone");
        answer
    }

    #[test]
    fn answers() {
        let answer = asked("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"");
        assert_eq!(answer.expect("an answer"), "{}");
        let refusal = asked("HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\nlong", b"");
        assert!(format!("{:#}", refusal.expect_err("refused")).contains("400 Bad Request: long"));
        for head in ["", "HTTP/1.1 ", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"] {
            asked(head, b"").expect_err(head);
        }
    }

    #[test]
    fn an_answer_without_end_has_one() {
        let error = asked("HTTP/1.1 200 OK\r\n\r\n", &[b' '; 1 << 14]).expect_err("too long");
        assert!(format!("{error:#}").contains("limit"), "{error:#}");
        asked("HTTP/1.1 200 OK\r\n", b"X: 12345678\r\n").expect_err("too many headers");
    }

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
