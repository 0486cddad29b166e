//! SIGKILL at any moment of what `injector` does: leftovers are understood by the next one, and `status` is correct.

use std::thread;
use std::time::{Duration, Instant};

use injector_tests::{Attachment, Keepalive, Objects, Peer, Process, Random, Socket, eventually, pins};

use crate::scene::{SOON, Scene};

/// Makes 200 of them: 120 of attaching, 40 of scanning, 40 of detaching.
const ROUNDS_OF_EACH: u32 = 20;
/// Connections there are to be scanned.
const CONNECTIONS: usize = 500;

/// The state before the one that will be killed begins.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    Attached(&'static [&'static str]),
    /// One that lasts over all rounds.
    Lasting,
}

/// A scene with programs that are there for all rounds, and what was found in them.
struct Rounds {
    _clean_up: Attachment,
    scene: Scene,
    name: String,
    client: Peer,
    server: Peer,
    listener: Socket,
    random: Random,
    found: Objects,
}

impl Rounds {
    fn new(topic: &str) -> Self {
        let scene = Scene::new(topic);
        let (client, mut server) = (scene.inside_peer(), scene.outside_peer());
        let (name, listener) = (scene.inside.attachment_name(), server.listen_on("127.0.0.1", false));
        let clean_up = scene.injector.clean_up_after(&scene.inside);
        Self {
            _clean_up: clean_up,
            scene,
            name,
            client,
            server,
            listener,
            random: Random::new(),
            found: Objects::default(),
        }
    }

    /// Kills `arguments` at random moments of the time that it takes, again and again.
    fn kill(&mut self, before: Before, arguments: &[&str]) {
        let takes = self.time_of(before, arguments);
        for round in 0..ROUNDS_OF_EACH {
            let delay = self.random.below(takes);
            let what = format!(
                "seed {}, round {round}: {arguments:?} on {before:?} killed after {delay:?}",
                self.random.seed()
            );
            self.prepare(before);
            let process = self.start(arguments);
            thread::sleep(delay);
            drop(process);
            self.check(&what);
            self.clean_up(before, &what);
        }
    }

    /// How long it takes without being killed.
    fn time_of(&mut self, before: Before, arguments: &[&str]) -> Duration {
        let mut time = || {
            self.prepare(before);
            let started = Instant::now();
            assert!(self.start(arguments).wait(SOON).success(), "{arguments:?}");
            let time = started.elapsed();
            self.clean_up(before, "undisturbed");
            time
        };
        [time(), time(), time()].into_iter().max().expect("three times")
    }

    fn prepare(&mut self, before: Before) {
        match before {
            Before::Nothing | Before::Lasting => {}
            Before::Attached(arguments) => self.attach(arguments),
        }
    }

    fn attach(&self, arguments: &[&str]) {
        let attach = ["attach", "--detach", "--cgroup", self.scene.inside.path_text()];
        self.scene.injector.run(&[&attach, arguments].concat()).ok();
    }

    fn start(&self, arguments: &[&str]) -> Process {
        self.scene.injector.spawn(arguments)
    }

    /// What `status` says is so.
    fn check(&mut self, what: &str) {
        let states = self.scene.injector.states(&self.name);
        let what = format!("{what}: {states:?}");
        let states: Vec<&str> = states.iter().map(String::as_str).collect();
        let programs = match states[..] {
            // Dead programs take the kernel a moment.
            [] | ["incomplete"] => {
                eventually(&what, SOON, || self.scene.inside.program_ids("sock_ops").is_empty().then_some(()));
                assert_eq!(self.keepalive(), Keepalive::UNTOUCHED, "{what}");
                return;
            }
            ["attached"] => 1..=1,
            _ => panic!("{what}"),
        };
        assert!(programs.contains(&self.scene.inside.program_ids("sock_ops").len()), "{what}");
        assert_eq!(self.keepalive().enabled, 1, "{what}");
    }

    fn clean_up(&mut self, before: Before, what: &str) {
        if !matches!(before, Before::Lasting) {
            self.detach(what);
        }
    }

    fn detach(&mut self, what: &str) {
        self.found.extend(Objects::pinned(&self.name));
        let output = self.scene.injector.run(&["detach", "--name", &self.name]);
        assert!(output.code == 0 || output.stderr.contains("nothing is attached"), "{what}: {output:?}");
        assert_eq!(self.scene.injector.states(&self.name), [] as [String; 0], "{what}: {output:?}");
        assert_eq!(pins(&self.name), None, "{what}");
        eventually(what, SOON, || self.scene.inside.programs().is_empty().then_some(()));
    }

    /// What a new connection gets.
    fn keepalive(&mut self) -> Keepalive {
        let near = self.client.connect("127.0.0.1", self.listener.local.port());
        let far = self.server.accept(&self.listener);
        let keepalive = self.client.keepalive(&near);
        self.client.close(&near);
        self.server.close(&far);
        keepalive
    }

    fn end(self) {
        self.found.wait_until_freed();
    }
}

/// Other parameters than by default, and one program more.
const ENFORCE: &[&str] = &["--timeout", "60s", "--on-conflict", "enforce"];

#[test]
fn while_attaching() {
    let mut rounds = Rounds::new("kill-attach");
    let path = rounds.scene.inside.path_text().to_owned();
    let attach: &[&str] = &["attach", "--detach", "--cgroup", &path];
    rounds.kill(Before::Nothing, attach);
    rounds.kill(Before::Nothing, &[attach, ENFORCE].concat());
    rounds.end();
}

#[test]
fn while_taking_over() {
    let mut rounds = Rounds::new("kill-takeover");
    let path = rounds.scene.inside.path_text().to_owned();
    let attach: &[&str] = &["attach", "--detach", "--cgroup", &path];
    rounds.kill(Before::Attached(&[]), attach);
    rounds.kill(Before::Attached(&[]), &[attach, ENFORCE].concat());
    rounds.kill(Before::Attached(ENFORCE), attach);
    rounds.end();
}

#[test]
fn while_scanning() {
    let mut rounds = Rounds::new("kill-scan");
    let (path, name) = (rounds.scene.inside.path_text().to_owned(), rounds.name.clone());
    rounds.attach(&[]);
    let (mut client, mut server) = (rounds.scene.inside_peer(), rounds.scene.inside_peer());
    let listener = server.listen_on("127.0.0.1", false);
    client.connect_many("127.0.0.1", listener.local.port(), CONNECTIONS, SOON);
    server.accept_many(&listener, CONNECTIONS, SOON);
    rounds.kill(Before::Lasting, &["flows", "--name", &name, "-o", "json"]);
    rounds.kill(Before::Lasting, &["attach", "--cgroup", &path, "--for", "50ms", "--keep"]);
    assert_eq!(rounds.scene.injector.flows(&name).len(), 2 * CONNECTIONS);
    rounds.detach("at the end");
    rounds.end();
}

#[test]
fn while_detaching() {
    let mut rounds = Rounds::new("kill-detach");
    let name = rounds.name.clone();
    let detach = ["detach", "--name", &name];
    rounds.kill(Before::Attached(&[]), &detach);
    rounds.kill(Before::Attached(&["--on-conflict", "tighten"]), &detach);
    rounds.end();
}
