//! Where the agent is reached: an address, or a socket in the file system.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::Context as _;
use tokio::net::{TcpListener, UnixListener};

/// As it is written on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `127.0.0.1:9435`
    Tcp(SocketAddr),
    /// `unix:/run/injector.sock`
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?} is no place to listen: write 127.0.0.1:9435, [::1]:9435 or unix:/PATH");
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(_) => Err(expected()),
            None => text.parse().map(Self::Tcp).map_err(|_| expected()),
        }
    }
}

/// A place where clients arrive. The socket's file goes with it.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: File },
}

/// A file that is removed at the end.
#[derive(Debug)]
pub(super) struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// Opens it. A socket that nobody listens on any more is replaced.
pub(super) async fn bind(listen: &Listen) -> anyhow::Result<Listener> {
    match listen {
        Listen::Tcp(address) => {
            let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
            tracing::info!(address = %listener.local_addr()?, "listening");
            Ok(Listener::Tcp(listener))
        }
        Listen::Unix(path) => {
            let listener = bind_unix(path).with_context(|| format!("listening on {}", path.display()))?;
            tracing::info!(path = %path.display(), "listening");
            Ok(Listener::Unix { listener, _file: File(path.clone()) })
        }
    }
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && UnixStream::connect(path).is_err() => {
            fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        listener => listener?,
    };
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        assert_eq!("127.0.0.1:9435".parse(), Ok(Listen::Tcp(([127, 0, 0, 1], 9435).into())));
        assert_eq!("unix:/run/x".parse(), Ok(Listen::Unix("/run/x".into())));
        for text in ["", "9435", "localhost:1", "unix:", "unix:x", "127.0.0.1"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }
}
