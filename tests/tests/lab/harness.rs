//! The lab itself: it isolates, it cleans up, and its middlebox does expire connections.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use injector_tests::{
    Cgroup, Expiry, Failure, ForeignProgram, Keepalive, Middlebox, Netns, Peer, Place, Postgres, Process, Psql, Redis,
    Route, SOON, Socket, Witness, connected, eventually,
};

#[test]
fn a_program_is_in_its_cgroup_and_namespace_from_the_start() {
    let (cgroup, netns) = (Cgroup::new("inside"), Netns::new("inside"));
    let place = Place::cgroup(&cgroup).on(&netns);
    let mut process = Process::spawn(place, "sh", &["-c", "cat /proc/self/cgroup; readlink /proc/$$/ns/net; echo $$"]);
    let lines: Vec<String> = (0..)
        .map_while(|_| process.line(SOON))
        .filter(|line| line.starts_with("0::") || !line.contains(":/"))
        .collect();
    let expected =
        [format!("0::{}", cgroup.kernel_path()), format!("net:[{}]", netns.inode()), process.pid().to_string()];
    assert_eq!(lines, expected);
}

#[test]
fn guards_clean_up_when_a_test_panics() {
    let left: std::sync::Mutex<Option<(std::path::PathBuf, String, u32)>> = std::sync::Mutex::default();
    let test = AssertUnwindSafe(|| {
        let cgroup = Cgroup::new("panics");
        let child = cgroup.child("child");
        let netns = Netns::new("panics");
        // A grandchild that no guard knows of: only the cgroup can end it.
        let script = "sleep 1000 & echo $!; exec sleep 1000";
        let mut process = Process::spawn(Place::cgroup(&child).on(&netns), "sh", &["-c", script]);
        let grandchild = process.expect_line(SOON).parse().unwrap();
        *left.lock().unwrap() = Some((cgroup.path().to_owned(), netns.path(), grandchild));
        panic!("on purpose, to see the guards work");
    });
    assert!(catch_unwind(test).is_err());
    let (cgroup, netns, grandchild) = left.lock().unwrap().take().expect("the guards were made");
    assert!(!cgroup.exists());
    assert!(!std::path::Path::new(&netns).exists());
    assert!(!runs(grandchild));
}

/// Whether a process exists and is more than a zombie that its new parent has not collected yet.
fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn peers_talk_by_every_route() {
    let netns = Netns::new("peers");
    let mut client = Peer::spawn(Place::netns(&netns));
    let mut server = Peer::spawn(Place::netns(&netns));
    for route in Route::ALL {
        let (near, far) = connected(&mut client, &mut server, route);
        client.send(&near, "question").unwrap();
        assert_eq!(server.receive(&far, SOON).unwrap(), "question");
        assert_eq!(client.receive(&near, Duration::from_millis(50)), Err(Failure::Timeout));
        assert_eq!(client.keepalive(&near), Keepalive::UNTOUCHED);
        assert_eq!(server.keepalive(&far), Keepalive::UNTOUCHED);
        assert_eq!(near.local.ip().to_canonical().is_ipv4(), route != Route::V6);
        client.finish_sending(&near);
        assert_eq!(server.receive(&far, SOON), Err(Failure::Closed));
    }
}

#[test]
fn the_witness_distinguishes_payload_from_probes() {
    let netns = Netns::new("witness");
    let mut witness = Witness::watch(&netns, "lo");
    let mut client = Peer::spawn(Place::netns(&netns));
    let mut server = Peer::spawn(Place::netns(&netns));
    for route in Route::ALL {
        let (near, far) = connected(&mut client, &mut server, route);
        client.send(&near, "payload").unwrap();
        let sent = witness.last_payload(&near, &far);
        client.set_keepalive(&near, 1);
        let payload = eventually("a probe is seen", SOON, || {
            let (payload, packet) = (witness.last_payload(&near, &far), witness.last_packet(&near, &far));
            let between = packet.bounds().0.checked_duration_since(payload.bounds().1);
            between.is_some_and(|between| between > Duration::from_millis(900)).then_some(payload)
        });
        assert!(payload.bounds().0 < sent.bounds().1, "{route:?} {payload:?} {sent:?}");
    }
}

#[test]
fn the_middlebox_expires_by_dropping() {
    assert_eq!(answer_after_idling(Expiry::Drop), Err(Failure::Timeout));
}

#[test]
fn the_middlebox_expires_by_resetting() {
    assert_eq!(answer_after_idling(Expiry::Reject), Err(Failure::Errno("ECONNRESET".into())));
}

/// Two connections idle for 10 s through a middlebox with a limit of 4 s: one with the application's own keepalive, which
/// must live, and one without, whose fate is returned.
fn answer_after_idling(expiry: Expiry) -> Result<String, Failure> {
    let lab = Middlebox::new(expiry, Duration::from_secs(4));
    let mut server = Peer::spawn(Place::netns(lab.server()));
    let mut client = Peer::spawn(Place::netns(lab.client()));
    let v4 = server.listen_on("0.0.0.0", false);
    let v6 = server.listen_on("::", false);
    let mut connect = |address: &str, listener: &Socket| {
        let near = client.connect(address, listener.local.port());
        (near, server.accept(listener))
    };
    let expired = connect(Middlebox::SERVER_V4, &v4);
    let kept = [connect(Middlebox::SERVER_V4, &v4), connect(Middlebox::SERVER_V6, &v6)];
    for (near, _) in &kept {
        client.set_keepalive(near, 2);
    }
    std::thread::sleep(Duration::from_secs(10));
    for (near, far) in &kept {
        let answer = ask(&mut client, &mut server, near, far);
        assert_eq!(answer, Ok("pong".into()), "over {}", near.local);
    }
    ask(&mut client, &mut server, &expired.0, &expired.1)
}

fn ask(client: &mut Peer, server: &mut Peer, near: &Socket, far: &Socket) -> Result<String, Failure> {
    let within = Duration::from_secs(10);
    client.send(near, "ping")?;
    if server.receive(far, within).is_ok() {
        server.send(far, "pong")?;
    }
    client.receive(near, within)
}

#[test]
fn a_foreign_program_can_be_attached() {
    let cgroup = Cgroup::new("foreign");
    assert_eq!(cgroup.programs(), []);
    let foreign = ForeignProgram::attach(&cgroup);
    let (kinds, names): (Vec<_>, Vec<_>) = cgroup.programs().into_iter().unzip();
    assert!(kinds.len() == 1 && kinds[0].contains("sock_ops"), "{kinds:?}");
    assert_eq!(names, [ForeignProgram::NAME]);
    drop(foreign);
    assert_eq!(cgroup.programs(), []);
}

#[test]
fn real_servers_serve_and_stop() {
    let (cgroup, netns) = (Cgroup::new("servers"), Netns::new("servers"));
    let place = Place::cgroup(&cgroup).on(&netns);
    let postgres = Postgres::start(place);
    let redis = Redis::start(place);
    let mut session = Psql::start(place, "127.0.0.1");
    assert_eq!(session.query("select 6 * 7;", SOON).as_deref(), Some("42"), "{}", session.stderr());
    assert_eq!(session.query("select 'still here';", SOON).as_deref(), Some("still here"));
    let mut client = Peer::spawn(place);
    let socket = client.connect("::1", Redis::PORT);
    client.send(&socket, "PING\r\n").unwrap();
    assert_eq!(client.receive(&socket, SOON), Ok("+PONG\r\n".into()));
    drop((session, client, redis, postgres));
    let processes = std::fs::read_to_string(cgroup.path().join("cgroup.procs")).unwrap();
    assert_eq!(processes, "", "every server process is gone with its guard");
}
