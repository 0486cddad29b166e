//! The proof that an attachment works: a connection of our own, made in its cgroup, has to show the keepalive that the
//! attachment gives. Success is taken from a socket, never from a link.
//!
//! A socket belongs to the cgroup that its process is in when it makes it, so a process of ours has to go there: this
//! program once more, under another name ([`CHILD`]), which moves itself, connects to us over loopback, prints what it
//! sees, and ends. It takes no capability beyond what attaching takes, but write access to `cgroup.procs`. Where that
//! is impossible, nothing is claimed.

use std::{
    env,
    fmt::{self, Display, Formatter},
    fs,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{self, Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use injector_common::{
    record::{Endpoints, SELF_TEST},
    stats::ACTIVE,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::sockopt::{socket_keepalive, tcp_keepidle},
};

use crate::{
    bpf::{Attached, reach},
    host::{
        cgroup::{self, Cgroup},
        endpoint::words,
    },
};

/// Name that this program is started by for going into a cgroup.
const CHILD: &str = "injector-self-test";
/// How long it has for it. A cgroup may have next to no CPU time.
const WITHIN: Duration = Duration::from_secs(2);
/// How long it waits for the handshake, which loopback does not keep waiting.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// Cgroup for the time of the test, where the one that is meant may have no processes of its own.
const ROOM: &str = "injector-self-test";

/// Its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// A connection shows keepalive.
    Proved,
    /// It could not be tried.
    NotTried(String),
    /// A connection shows none, or a looser one.
    Failed(String),
}

impl Proof {
    /// Whether it is known not to work.
    pub(crate) const fn has_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

impl Display for Proof {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proved => formatter.write_str("verified with a test connection"),
            Self::NotTried(why) => write!(formatter, "not verified: {why}"),
            Self::Failed(why) => write!(formatter, "the self-test failed: {why}"),
        }
    }
}

/// What a socket shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shown {
    keepalive: bool,
    idle_s: u32,
}

/// Opens a connection in the cgroup of `attached`, and checks it.
pub(crate) fn prove(attached: &Attached, cgroup: &Cgroup) -> Proof {
    match shown(attached, cgroup) {
        Ok((expected_s, shown)) => judge(expected_s, shown, reach::fallback()),
        Err(error) => Proof::NotTried(format!("{error:#}")),
    }
}

/// A stricter attachment above may have made the idle time shorter.
fn judge(expected_s: u32, shown: Shown, cause: Option<String>) -> Proof {
    let Shown { keepalive, idle_s } = shown;
    if keepalive && idle_s <= expected_s {
        return Proof::Proved;
    }
    let what = if keepalive { format!("an idle time of {idle_s}s") } else { "no keepalive".to_owned() };
    let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
    Proof::Failed(format!("a connection made in the cgroup shows {what} instead of {expected_s}s{cause}"))
}

/// What a connection should show, and does.
fn shown(attached: &Attached, cgroup: &Cgroup) -> anyhow::Result<(u32, Shown)> {
    let listener = [IpAddr::from(Ipv4Addr::from(SELF_TEST)), Ipv6Addr::LOCALHOST.into()]
        .iter()
        .find_map(|&address| TcpListener::bind((address, 0)).ok())
        .context("no loopback address in this network namespace")?;
    let address = listener.local_addr()?;
    let (_, policy, _) = attached.choose(&endpoints(address), ACTIVE, cgroup.id())?;
    ensure!(policy.keepalive.idle_s != 0, "its rules leave a connection over loopback alone");
    let directory = cgroup::directory(cgroup.path())?;
    check_may_enter(cgroup.path(), &directory)?;
    let shown = match connect_from(&directory, &listener) {
        Err(error) if is_reserved(&error) => connect_from(&Room::make(&directory)?.0, &listener),
        shown => shown,
    };
    Ok((policy.keepalive.idle_s, shown?))
}

/// As the program sees them at the client's end, whose port is not chosen yet.
fn endpoints(address: SocketAddr) -> Endpoints {
    let (peer_address, peer_port) = words(address);
    Endpoints { local_address: peer_address, peer_address, local_port: 0, peer_port }
}

/// A process of ours must neither hang there nor be mistaken for a foreign one.
fn check_may_enter(path: &Path, directory: &Path) -> anyhow::Result<()> {
    let events = fs::read_to_string(directory.join("cgroup.events")).unwrap_or_default();
    let is = |event: &str| events.lines().any(|line| line == event);
    ensure!(!is("frozen 1"), "the cgroup is frozen");
    let is_empty_unit = is("populated 0") && cgroup::unit_of(path).is_some();
    ensure!(!is_empty_unit, "nothing runs in the unit, and systemd would mistake injector's process for it");
    Ok(())
}

/// Cgroups that distribute resources to those below have no processes of their own.
fn is_reserved(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.raw_os_error() == Some(libc::EBUSY))
}

/// A cgroup below, for as long as this lives.
struct Room(PathBuf);

impl Room {
    fn make(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join(format!("{ROOM}-{}", process::id()));
        fs::create_dir(&path).with_context(|| format!("making the cgroup {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            tracing::warn!("the cgroup {} is left over from the self-test: {error}", self.0.display());
        }
    }
}

/// Has a process of ours connect from within a cgroup.
fn connect_from(directory: &Path, listener: &TcpListener) -> anyhow::Result<Shown> {
    let mut child = Command::new("/proc/self/exe")
        .arg0(CHILD)
        .arg(directory.join("cgroup.procs"))
        .arg(listener.local_addr()?.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("starting a process for the self-test")?;
    let shown = answer(&mut child, listener);
    // Its end comes by itself once its stdin is closed; a frozen or starved one is killed.
    if shown.is_err() {
        drop(child.kill());
    }
    drop(child.stdin.take());
    drop(child.wait());
    shown
}

fn answer(child: &mut Child, listener: &TcpListener) -> anyhow::Result<Shown> {
    let mut stdout = child.stdout.take().context("no pipe to the self-test")?;
    let until = Instant::now() + WITHIN;
    let mut text = String::new();
    while !text.ends_with('\n') {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left)?;
        match poll(&mut [PollFd::new(&stdout, PollFlags::IN)], Some(&left)) {
            Err(Errno::INTR) => continue,
            ready => ensure!(ready? > 0, "no answer within 2s"),
        }
        let mut buffer = [0; 256];
        match stdout.read(&mut buffer)? {
            0 => bail!("the process of the self-test ended early"),
            length => text.push_str(&String::from_utf8_lossy(&buffer[..length])),
        }
    }
    let shown = parse(text.trim_end())?;
    // Taken and closed first at this end, so that neither is reset: a reset would be a lost flow.
    drop(listener.accept()?);
    Ok(shown)
}

/// `moved ERRNO`, `connected MESSAGE`, or `shows KEEPALIVE IDLE`.
fn parse(answer: &str) -> anyhow::Result<Shown> {
    let (what, value) = answer.split_once(' ').context("an answer that isn't the self-test's")?;
    match (what, value.split_once(' ')) {
        ("moving", _) => Err(anyhow::Error::from(io::Error::from_raw_os_error(value.parse()?))
            .context("a process of injector's can't move into the cgroup")),
        ("shows", Some((keepalive, idle_s))) => Ok(Shown { keepalive: keepalive == "true", idle_s: idle_s.parse()? }),
        _ => bail!("no connection over loopback: {value}"),
    }
}

/// What this program does when it is started as [`CHILD`]; `None` where it is not.
pub(crate) fn child() -> Option<ExitCode> {
    let mut arguments = env::args_os();
    if arguments.next()? != CHILD {
        return None;
    }
    let (procs, address) = (PathBuf::from(arguments.next()?), arguments.next()?.into_string().ok()?);
    let mut connection = None;
    let answer = see(&procs, &address, &mut connection);
    let written = writeln!(io::stdout(), "{answer}");
    // Until the other end is closed.
    let _ = io::stdin().read(&mut [0]);
    drop(connection);
    Some(if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn see(procs: &Path, address: &str, connection: &mut Option<TcpStream>) -> String {
    // Where memory is short, ours is to be killed before theirs.
    drop(fs::write("/proc/self/oom_score_adj", "1000"));
    if let Err(error) = fs::write(procs, "0") {
        return format!("moving {}", error.raw_os_error().unwrap_or_default());
    }
    let connected = address
        .parse()
        .map_err(io::Error::other)
        .and_then(|address| TcpStream::connect_timeout(&address, CONNECT_WITHIN))
        .and_then(|stream| {
            let idle = tcp_keepidle(&stream)?;
            let shown = format!("shows {} {}", socket_keepalive(&stream)?, idle.as_secs());
            *connection = Some(stream);
            Ok(shown)
        });
    connected.unwrap_or_else(|error| format!("connecting {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_as_proved() {
        for (shown, expected) in [
            (Shown { keepalive: true, idle_s: 240 }, Some(Proof::Proved)),
            (Shown { keepalive: true, idle_s: 60 }, Some(Proof::Proved)),
            (Shown { keepalive: true, idle_s: 7200 }, None),
            (Shown { keepalive: false, idle_s: 240 }, None),
        ] {
            let proof = judge(240, shown, None);
            assert!(
                expected.map_or(matches!(proof, Proof::Failed(_)), |expected| proof == expected),
                "{shown:?}: {proof}"
            );
        }
        let failed = judge(240, Shown { keepalive: false, idle_s: 7200 }, Some("net_prio".to_owned())).to_string();
        assert!(failed.contains("no keepalive instead of 240s: net_prio"), "{failed}");
    }

    #[test]
    fn answers_are_read() {
        assert_eq!(parse("shows true 240").expect("shown"), Shown { keepalive: true, idle_s: 240 });
        assert_eq!(parse("shows false 7200").expect("shown"), Shown { keepalive: false, idle_s: 7200 });
        let error = |answer| format!("{:#}", parse(answer).expect_err(answer));
        assert!(is_reserved(&parse("moving 16").expect_err("busy")));
        assert!(!is_reserved(&parse("moving 13").expect_err("denied")));
        assert!(error("moving 95").contains("can't move into the cgroup"));
        assert!(error("connecting Network is unreachable").contains("Network is unreachable"));
        assert!(error("nonsense").contains("isn't the self-test's"));
    }
}
