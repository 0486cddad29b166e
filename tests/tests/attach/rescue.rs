//! Real programs through a middlebox that drops connections idle for 4 s: idle for 12 s, they live inside an attached
//! cgroup and die outside. Nothing is set on either program.

use std::thread;
use std::time::Duration;

use injector_tests::{
    Attachment, Cgroup, Expiry, Failure, Injector, Middlebox, Peer, Place, Postgres, Psql, Redis, Socket,
};

const LIMIT: Duration = Duration::from_secs(4);
const IDLE: Duration = Duration::from_secs(12);
/// Long enough for whatever else this machine does.
const ANSWER: Duration = Duration::from_secs(15);

/// The middlebox, a cgroup with the injector attached, and one without.
struct Rescue {
    _attachment: Attachment,
    inside: Cgroup,
    outside: Cgroup,
    lab: Middlebox,
}

impl Rescue {
    fn new(expiry: Expiry) -> Self {
        let inside = Cgroup::new("rescued");
        Self {
            _attachment: Injector::find().attach(&inside, &["--timeout", "4s"]),
            inside,
            outside: Cgroup::new("lost"),
            lab: Middlebox::new(expiry, LIMIT),
        }
    }

    /// Clients inside the attached cgroup, and outside.
    fn places(&self) -> [Place<'_>; 2] {
        [&self.inside, &self.outside].map(|cgroup| Place::cgroup(cgroup).on(self.lab.client()))
    }
}

fn postgres_survives(expiry: Expiry) {
    let rescue = Rescue::new(expiry);
    let _server = Postgres::start(Place::netns(rescue.lab.server()));
    let mut sessions = rescue.places().map(|place| Psql::start(place, Middlebox::SERVER_V4));
    for session in &mut sessions {
        assert_eq!(session.query("select 6 * 7;", ANSWER * 3).as_deref(), Some("42"), "{}", session.stderr());
    }
    thread::sleep(IDLE);
    let answers = sessions.each_mut().map(|session| session.query("select 7 * 8;", ANSWER));
    assert_eq!(answers[0].as_deref(), Some("56"), "inside: {}", sessions[0].stderr());
    assert_eq!(answers[1], None, "outside");
    let complaint = sessions[1].complaint(if expiry == Expiry::Reject { ANSWER } else { Duration::ZERO });
    let is_lost = complaint.map(|complaint| complaint.contains("connection to server was lost"));
    assert_eq!(is_lost, (expiry == Expiry::Reject).then_some(true), "{}", sessions[1].stderr());
}

#[test]
fn postgres_survives_silent_drops() {
    postgres_survives(Expiry::Drop);
}

#[test]
fn postgres_survives_resets() {
    postgres_survives(Expiry::Reject);
}

/// One end is enough: a server inside probes all its clients, wherever they are.
#[test]
fn postgres_inside_keeps_its_clients() {
    let rescue = Rescue::new(Expiry::Drop);
    let _server = Postgres::start(Place::cgroup(&rescue.inside).on(rescue.lab.server()));
    let [_, outside] = rescue.places();
    let mut session = Psql::start(outside, Middlebox::SERVER_V6);
    assert_eq!(session.query("select 6 * 7;", ANSWER * 3).as_deref(), Some("42"), "{}", session.stderr());
    thread::sleep(IDLE);
    assert_eq!(session.query("select 7 * 8;", ANSWER).as_deref(), Some("56"), "{}", session.stderr());
}

/// The protocol by hand: `redis-cli` sets a keepalive of its own once it is connected.
fn ping(client: &mut Peer, socket: &Socket) -> Result<String, Failure> {
    client.send(socket, "PING\r\n")?;
    client.receive(socket, ANSWER)
}

fn redis_survives(expiry: Expiry, server: &str) {
    let rescue = Rescue::new(expiry);
    let _server = Redis::start(Place::netns(rescue.lab.server()));
    let mut clients = rescue.places().map(|place| {
        let mut client = Peer::spawn(place);
        let socket = client.connect(server, Redis::PORT);
        (client, socket)
    });
    for (client, socket) in &mut clients {
        assert_eq!(ping(client, socket), Ok("+PONG\r\n".into()));
    }
    thread::sleep(IDLE);
    let answers = clients.each_mut().map(|(client, socket)| ping(client, socket));
    assert_eq!(answers[0], Ok("+PONG\r\n".into()), "inside");
    let lost = match expiry {
        Expiry::Drop => Failure::Timeout,
        Expiry::Reject => Failure::Errno("ECONNRESET".into()),
    };
    assert_eq!(answers[1], Err(lost), "outside");
}

#[test]
fn redis_survives_silent_drops() {
    redis_survives(Expiry::Drop, Middlebox::SERVER_V4);
}

#[test]
fn redis_survives_resets() {
    redis_survives(Expiry::Reject, Middlebox::SERVER_V6);
}
