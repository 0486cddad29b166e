//! Connections that were open before anything was attached.

use std::thread;
use std::time::Duration;

use injector_tests::{
    Adoption, Attachment, Cgroup, Crowd, Expiry, Injector, Keepalive, Middlebox, Pings, Place, Process, Redis, Route,
    connected, connections_of, eventually,
};

use crate::attach::errors::{FAILURE, assert_fails};
use crate::scene::{SOON, Scene, USUAL};

const CLIENTS: usize = 500;
const ALL: Pings = Pings { answered: CLIENTS, unanswered: 0, broken: 0 };
const IDLE: Duration = Duration::from_secs(12);
const LIMIT: Duration = Duration::from_secs(4);
/// Long enough for whatever else this machine does.
const ANSWER: Duration = Duration::from_secs(30);

/// A Redis server and its clients on both sides of a middlebox, with nothing attached.
struct Early {
    crowd: Crowd,
    redis: Redis,
    /// Of the clients.
    nested: Cgroup,
    inside: Cgroup,
    _outside: Cgroup,
    lab: Middlebox,
}

impl Early {
    /// Clients inside are in a nested cgroup. The middlebox has a long limit at first.
    fn new(clients_inside: bool, server_inside: bool) -> Self {
        let (inside, outside) = (Cgroup::new("early"), Cgroup::new("not-early"));
        let nested = inside.child("nested");
        let lab = Middlebox::new(Expiry::Drop, Duration::from_secs(600));
        let place = |is_inside, inside| Place::cgroup(if is_inside { inside } else { &outside });
        let redis = Redis::start(place(server_inside, &inside).on(lab.server()));
        let clients = place(clients_inside, &nested).on(lab.client());
        let crowd = Crowd::connect(clients, Middlebox::SERVER_V4, Redis::PORT, CLIENTS);
        Self { crowd, redis, nested, inside, _outside: outside, lab }
    }

    /// All are active once more, and then idle for far longer than the limit of the middlebox.
    fn idle(&mut self) {
        self.lab.expire_after(LIMIT);
        assert_eq!(self.crowd.ping(ANSWER), ALL);
        thread::sleep(IDLE);
    }

    /// Clients and server's ends whose next probe comes within a minute. Redis has its own, after 5.
    fn probing_soon(&self) -> (usize, usize) {
        let port = Redis::PORT;
        let count = |namespace: &injector_tests::Netns, end: &str| {
            let filter = format!("{end} = :{port}");
            let sockets = namespace.tool("ss", &["-H", "-t", "-n", "-o", "state", "established", &filter]);
            sockets.lines().filter(|line| line.contains("timer:(keepalive,") && !line.contains("min")).count()
        };
        (count(self.lab.client(), "dport"), count(self.lab.server(), "sport"))
    }
}

fn survive(clients_inside: bool, server_inside: bool) {
    let mut early = Early::new(clients_inside, server_inside);
    let arguments = ["--timeout", "4s", "--existing", "-o", "jsonl"];
    let mut attachment = Injector::find().attach(&early.inside, &arguments);
    let adoption = attachment.adoption();
    let count = |is_inside: bool| if is_inside { CLIENTS } else { 0 };
    let (clients, servers) = (count(clients_inside), count(server_inside));
    let by_outcome = (adoption.of_outcome("injected"), adoption.of_outcome("tightened"), adoption.connections());
    assert_eq!(by_outcome, (clients as u64, servers as u64, (clients + servers) as u64), "{adoption:#?}");
    assert_eq!(early.probing_soon(), (clients, servers));
    early.idle();
    assert_eq!(early.crowd.ping(ANSWER), ALL);
    assert_eq!(attachment.status().flows["protected"], (clients + servers) as u64);
    let flows = attachment.flows();
    let of = |cgroup: &Cgroup, namespace: u64| {
        flows.iter().filter(|flow| (flow.cgroup_id, flow.netns) == (cgroup.id(), namespace)).count()
    };
    assert_eq!(of(&early.nested, early.lab.client().inode()), clients);
    assert_eq!(of(&early.inside, early.lab.server().inode()), servers);
}

/// In two network namespaces, one of them in a nested cgroup.
#[test]
fn server_and_clients_survive() {
    survive(true, true);
}

#[test]
fn clients_alone_survive() {
    survive(true, false);
}

#[test]
fn a_server_alone_keeps_its_clients() {
    survive(false, true);
}

#[test]
fn without_existing_they_die() {
    let mut early = Early::new(true, true);
    let attachment = Injector::find().attach(&early.inside, &["--timeout", "4s"]);
    assert_eq!(early.probing_soon(), (0, 0));
    early.idle();
    assert_eq!(early.crowd.ping(ANSWER / 10), Pings { answered: 0, unanswered: CLIENTS, broken: 0 });
    assert_eq!(attachment.flows().len(), 0);
    let own: Vec<_> = connections_of(early.redis.pid()).into_iter().map(|connection| connection.keepalive).collect();
    assert_eq!(own, vec![Keepalive::on(300, 100, 3); CLIENTS], "Redis' own");
}

#[test]
fn known_connections_are_left_alone() {
    let scene = Scene::new("known");
    let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
    let (early, _far) = connected(&mut client, &mut server, Route::V4);
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let (late, _far) = connected(&mut client, &mut server, Route::V4);
    assert_eq!(client.keepalive(&early), Keepalive::UNTOUCHED);
    let first = scene.injector.adopt(attachment.name());
    assert_eq!((first.processes, first.of_outcome("injected"), first.connections(), first.known), (2, 2, 2, 2));
    let again = scene.injector.adopt(attachment.name());
    assert_eq!((again.processes, again.connections(), again.known), (2, 0, 4));
    assert_eq!([&early, &late].map(|socket| client.keepalive(socket)), [USUAL; 2]);
    let output = scene.injector.run(&["adopt", "--name", attachment.name()]).ok();
    let expected = format!("adopted into {}: no connections of 2 processes, 4 known already", attachment.name());
    assert!(output.stdout.starts_with(&expected), "{output:?}");
}

#[test]
fn there_must_be_an_attachment() {
    let injector = Injector::find();
    let output = injector.run(&["adopt", "--name", "injtest-nothing"]);
    assert_fails(&output, FAILURE, &["nothing is attached", "injtest-nothing"]);
}

/// Of two that adopt at once, one finds what the other has done.
#[test]
fn two_at_once() {
    const CONNECTIONS: usize = 1_000;
    const SOCKETS: u64 = 2 * CONNECTIONS as u64;
    for is_watched in [false, true] {
        let scene = Scene::new("two-adopt");
        let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
        let listener = server.listen(Route::V4);
        client.connect_many("127.0.0.1", listener.local.port(), CONNECTIONS, ANSWER);
        server.accept_many(&listener, CONNECTIONS, ANSWER);
        server.close(&listener);
        let mut attachment = if is_watched {
            scene.attach(&["--existing", "-o", "jsonl"])
        } else {
            scene.injector.attach_detached(&scene.inside, &[])
        };
        let name = attachment.name().to_owned();
        let adopt = || scene.injector.adopt(&name);
        let mut adoptions = if is_watched {
            vec![adopt()]
        } else {
            thread::scope(|scope| {
                [scope.spawn(adopt), scope.spawn(adopt)].map(|thread| thread.join().expect("it adopts")).to_vec()
            })
        };
        if is_watched {
            adoptions.push(attachment.adoption());
        }
        let injected: u64 = adoptions.iter().map(|adoption| adoption.of_outcome("injected")).sum();
        assert_eq!(injected, SOCKETS, "{adoptions:#?}");
        for adoption in &adoptions {
            assert_eq!(adoption.connections() + adoption.known, SOCKETS, "{adoptions:#?}");
        }
        assert_eq!(attachment.status().state, "attached");
    }
}

/// Sockets that three children inherit, which have none of their own.
const SHARED: &str = r#"
import os, socket, time
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
for _ in range(3):
    if os.fork() == 0:
        time.sleep(600)
print("shared", flush=True)
time.sleep(600)
"#;

#[test]
fn a_socket_of_several_processes_counts_once() {
    let scene = Scene::new("shared");
    let place = Place::cgroup(&scene.inside).on(&scene.netns);
    let mut processes = Process::spawn(place, "/usr/bin/python3", &["-c", SHARED]);
    processes.expect_line(ANSWER);
    let mut attachment = scene.attach(&["--existing", "-o", "jsonl"]);
    let expected = Adoption {
        processes: 4,
        flows: [("injected".to_owned(), 2)].into(),
        listeners: [("injected".to_owned(), 1)].into(),
        ..Adoption::default()
    };
    assert_eq!(attachment.adoption(), expected);
    assert_eq!(attachment.flows().len(), 2);
}

/// Adopts while hundreds of short-lived processes end, and returns how many ended while they were looked at.
fn ended_meanwhile(scene: &Scene, attachment: &Attachment) -> u64 {
    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/mayflies.py");
    let place = Place::cgroup(&scene.inside).on(&scene.netns);
    let mut mayflies = Process::spawn(place, "/usr/bin/python3", &[SCRIPT, "300", "5"]);
    mayflies.expect_line(SOON);
    mayflies.send_line("live");
    let mut ended = 0;
    // Those that stay, and the parent of those that don't.
    eventually("only three are left", SOON, || {
        let adoption = scene.injector.adopt(attachment.name());
        assert_eq!(adoption.denied, []);
        ended += adoption.ended;
        (adoption.processes == 3).then_some(())
    });
    ended
}

#[test]
fn processes_may_end_meanwhile() {
    let scene = Scene::new("mayflies");
    let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    // Whether one ends just between two steps of a look is up to the scheduler: some rounds have none.
    let ended = (0..20).map(|_| ended_meanwhile(&scene, &attachment)).find(|&ended| ended > 0);
    assert!(ended.is_some(), "none ended while being looked at");
    assert_eq!(client.keepalive(&near), USUAL);
}

/// SECURITY.md#processes
#[test]
fn without_the_privilege_it_reports_what_is_not_covered() {
    const NO_PTRACE: [&str; 5] = ["setpriv", "--bounding-set", "-all,+bpf,+net_admin,+perfmon", "--inh-caps", "-all"];
    let scene = Scene::new("unprivileged");
    let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    let (attachment, output) = scene.injector.attach_existing_through(&NO_PTRACE, &scene.inside);
    let adoption = Adoption::reported(&output);
    let mut denied: Vec<_> = adoption.denied.iter().map(|denied| (denied.pid, denied.name.as_str())).collect();
    denied.sort_unstable();
    let mut expected = [client.pid(), server.pid()].map(|pid| (pid, "python3"));
    expected.sort_unstable();
    assert_eq!((denied, adoption.connections()), (expected.to_vec(), 0), "{adoption:#?}");
    for word in ["not covered", "CAP_SYS_PTRACE", &client.pid().to_string(), &server.pid().to_string()] {
        assert!(output.stderr.contains(word), "no word of {word}: {}", output.stderr);
    }
    assert_eq!(client.keepalive(&near), Keepalive::UNTOUCHED);
    assert_eq!(scene.keepalive_inside().0, USUAL);
    assert_eq!(attachment.status().sockets.active.injected, 1);
}
