//! Where the agent is reached: an address, or a socket in the file system.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::Context as _;
use rustix::{fs::Mode, process::umask};
use tokio::net::{TcpListener, UnixListener};

use crate::error::Error;

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
        let expected =
            || format!("{text:?} is not a listen address: expected 127.0.0.1:9435, [::1]:9435 or unix:/PATH");
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(_) => Err(expected()),
            None => text.parse().map(Self::Tcp).map_err(|_| expected()),
        }
    }
}

/// A listener. The socket's file is removed with it.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: File },
}

/// A socket's file that is removed at the end, if it still is this one.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    /// Device and inode; `None` where it was gone at once.
    own: Option<(u64, u64)>,
}

impl File {
    fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), own: identity(path) }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if self.own.is_some() && identity(&self.path) == self.own {
            drop(fs::remove_file(&self.path));
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Opens it. A stale socket, without a listener, is replaced.
///
/// Errors with [`Error::BadValue`] where something else exists there.
pub(super) async fn bind(listen: &Listen) -> anyhow::Result<Listener> {
    match listen {
        Listen::Tcp(address) => {
            let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
            tracing::info!(address = %listener.local_addr()?, "listening");
            Ok(Listener::Tcp(listener))
        }
        Listen::Unix(path) => {
            let listener = bind_unix(path).with_context(|| format!("listening on {}", path.display()))?;
            let file = File::of(path);
            tracing::info!(path = %path.display(), "listening");
            Ok(Listener::Unix { listener, _file: file })
        }
    }
}

fn bind_unix(path: &Path) -> anyhow::Result<UnixListener> {
    Ok(match bind_privately(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left(path)? => {
            fs::remove_file(path)?;
            bind_privately(path)?
        }
        listener => listener?,
    })
}

/// Makes the socket for our user alone from its first moment: `chmod()` would come later, and follow a path that others may
/// have changed by then. The mask is the whole process', so that other threads that make something meanwhile make it
/// private, too.
fn bind_privately(path: &Path) -> io::Result<UnixListener> {
    let before = umask(Mode::RWXG | Mode::RWXO);
    let listener = UnixListener::bind(path);
    umask(before);
    listener
}

/// Whether the socket at this path has no listener.
///
/// Errors where it is none.
fn is_left(path: &Path) -> anyhow::Result<bool> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(Error::BadValue {
            what: "--listen",
            value: format!("unix:{}", path.display()),
            expected: "there is a file that is not a socket: choose another path".to_owned(),
        }
        .into());
    }
    Ok(UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
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
    /// What is bound at `path`, and what is there after it was dropped.
    async fn tried(path: &Path) -> (anyhow::Result<()>, bool) {
        let bound = bind(&Listen::Unix(path.to_owned())).await.map(drop);
        (bound, path.symlink_metadata().is_ok())
    }

    #[tokio::test]
    async fn only_what_is_left_of_a_socket_is_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let (socket, file) = (directory.path().join("socket"), directory.path().join("file"));
        drop(std::os::unix::net::UnixListener::bind(&socket).expect("bound"));
        let (bound, is_there) = tried(&socket).await;
        assert!(bound.is_ok() && !is_there, "{bound:?}");

        fs::write(&file, "precious").expect("written");
        std::os::unix::fs::symlink(&file, directory.path().join("link")).expect("made");
        fs::create_dir(directory.path().join("directory")).expect("made");
        for name in ["file", "link", "directory"] {
            let (bound, is_there) = tried(&directory.path().join(name)).await;
            let error = bound.expect_err(name);
            assert!(matches!(error.downcast_ref(), Some(Error::BadValue { .. })) && is_there, "{name}: {error:#}");
        }
        assert_eq!(fs::read_to_string(&file).expect("it is there"), "precious");

        let _other = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
        let (bound, is_there) = tried(&socket).await;
        let error = bound.expect_err("a process listens");
        assert!(error.downcast_ref::<Error>().is_none() && is_there, "{error:#}");
    }

    /// SECURITY.md#socket
    #[tokio::test]
    async fn the_socket_is_for_its_user_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let _listener = bind_privately(&path).expect("bound");
        assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o077, 0);
    }

    #[tokio::test]
    async fn what_took_its_place_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let listener = bind(&Listen::Unix(path.clone())).await.expect("bound");
        // Moved in, since a file that is recreated may get the inode of one that is gone.
        fs::write(directory.path().join("other"), "precious").expect("written");
        fs::rename(directory.path().join("other"), &path).expect("moved");
        drop(listener);
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "precious");
    }
}
