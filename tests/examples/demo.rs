//! Two idle clients behind a middlebox that drops idle connections. One is in an attached cgroup. `cargo xtask demo` runs this.

use std::{
    fmt::Display,
    io::{self, Write as _},
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Result, anyhow, bail, ensure};
use injector_tests::{Cgroup, Expiry, Failure, Injector, Middlebox, Peer, Place, Socket};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

/// Idle time after which the middlebox drops a connection.
const LIMIT: Duration = Duration::from_secs(4);
/// How long both clients say nothing.
const IDLE_SECONDS: u32 = 9;
/// How long a client waits for its answer.
const PATIENCE: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let Err(error) = run() else {
        return ExitCode::SUCCESS;
    };
    say(format_args!("\ndemo: {error:#}\n"));
    ExitCode::FAILURE
}

fn run() -> Result<()> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&interrupted))?;
    }
    // Ctrl-C ends the clients, too, and the harness reports that by a panic: its guards clean up, whichever comes first.
    quiet_when(&interrupted);
    let shown = panic::catch_unwind(AssertUnwindSafe(|| show(&interrupted)));
    if interrupted.load(Ordering::Relaxed) {
        bail!("interrupted; everything is cleaned up");
    }
    shown.map_err(|_| anyhow!("the demo did not complete, see above; everything is cleaned up"))?
}

fn quiet_when(interrupted: &Arc<AtomicBool>) {
    let (interrupted, default) = (Arc::clone(interrupted), panic::take_hook());
    panic::set_hook(Box::new(move |panic| {
        if !interrupted.load(Ordering::Relaxed) {
            default(panic);
        }
    }));
}

fn show(interrupted: &AtomicBool) -> Result<()> {
    let limit = LIMIT.as_secs();
    let lab = Middlebox::new(Expiry::Drop, LIMIT);
    say(format_args!(
        "\nTwo clients reach a server through a router that silently drops connections\n\
         after {limit} s without a packet, as cloud networks do after 350 s.\n\n"
    ));
    let (attached, other) = (Cgroup::new("attached"), Cgroup::new("other"));
    let mut server = Peer::spawn(Place::netns(lab.server()));
    let listener = server.listen_on("0.0.0.0", false);
    let attachment = Injector::find().attach(&attached, &["--timeout", &format!("{limit}s")]);
    say(format_args!(
        "  # injector attach --cgroup {} --timeout {limit}s\n  {}\n\n",
        attached.kernel_path(),
        attachment.first_line()
    ));
    let mut clients = [
        Client::connect("A (in the attached cgroup)", &attached, &lab, &mut server, &listener),
        Client::connect("B (in a cgroup of its own)", &other, &lab, &mut server, &listener),
    ];
    for client in &mut clients {
        ensure!(client.ask(&mut server).is_ok(), "the lab does not work: no answer on a new connection");
        client.introduce();
    }
    idle(interrupted)?;
    let [a, b] = clients.map(|mut client| client.ask_again(&mut server));
    ensure!(a && !b, "this is not how it should end: A should live, and B should not");
    say("\nSame program, same network, no setting in either: only the cgroup differs.\n");
    Ok(())
}

/// Both clients do nothing.
fn idle(interrupted: &AtomicBool) -> Result<()> {
    say(format_args!("\nBoth say nothing for {IDLE_SECONDS} s "));
    for _ in 0..IDLE_SECONDS {
        thread::sleep(Duration::from_secs(1));
        ensure!(!interrupted.load(Ordering::Relaxed), "interrupted");
        say(".");
    }
    say("\nThen each asks the server again:\n\n");
    Ok(())
}

/// A client and both ends of its connection.
struct Client {
    name: &'static str,
    peer: Peer,
    near: Socket,
    far: Socket,
}

impl Client {
    fn connect(name: &'static str, cgroup: &Cgroup, lab: &Middlebox, server: &mut Peer, listener: &Socket) -> Self {
        let mut peer = Peer::spawn(Place::cgroup(cgroup).on(lab.client()));
        let near = peer.connect(Middlebox::SERVER_V4, listener.local.port());
        let far = server.accept(listener);
        Self { name, peer, near, far }
    }

    fn introduce(&mut self) {
        let keepalive = self.peer.keepalive(&self.near);
        let setting = if keepalive.enabled == 0 {
            "off".to_owned()
        } else {
            format!("on, with a probe after {} s without activity", keepalive.idle)
        };
        say(format_args!("  Client {}: connected, keepalive {setting}\n", self.name));
    }

    fn ask(&mut self, server: &mut Peer) -> Result<String, Failure> {
        self.peer.send(&self.near, "are you there?")?;
        if server.receive(&self.far, PATIENCE).is_ok() {
            server.send(&self.far, "yes")?;
        }
        self.peer.receive(&self.near, PATIENCE)
    }

    /// Prints the result, and returns whether the connection lives.
    fn ask_again(&mut self, server: &mut Peer) -> bool {
        let answer = self.ask(server);
        let fate = match &answer {
            Ok(text) => format!("\"{text}\". The connection LIVES"),
            Err(Failure::Timeout) => "no answer, the router drops what it sends. The connection is DEAD".to_owned(),
            Err(failure) => format!("{failure:?}. The connection is DEAD"),
        };
        say(format_args!("  Client {}: {fate}\n", self.name));
        answer.is_ok()
    }
}

/// To stdout, at once.
fn say(part: impl Display) {
    let mut stdout = io::stdout().lock();
    // A closed stdout leaves nowhere to report it.
    let _ = write!(stdout, "{part}").and_then(|()| stdout.flush());
}
