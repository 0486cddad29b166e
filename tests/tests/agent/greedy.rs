//! Clients that take what they can get.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use injector_tests::{Agent, Place, Process, ask, connect_from};

use super::agent;
use crate::scene::{SOON, Scene};

/// Enough flows for a list that no socket's buffers hold.
const CONNECTIONS: &str = "6000";
/// Opens connections to itself.
const MANY: &str = "
import resource, socket, sys
count = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (3 * count, 3 * count))
listener = socket.create_server(('127.0.0.1', 0), backlog=4096)
held = []
for _ in range(count):
    held += [socket.create_connection(listener.getsockname()), listener.accept()[0]]
print('up', flush=True)
sys.stdin.read()
";

fn many_flows(scene: &Scene) -> Process {
    let place = Place::cgroup(&scene.inside).on(&scene.netns);
    let mut process = Process::spawn(place, "python3", &["-c", MANY, CONNECTIONS]);
    assert_eq!(process.expect_line(Duration::from_secs(60)), "up");
    process
}

fn from(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// Asks for all flows, and reads nothing of the answer.
fn unread(agent: &Agent, source: IpAddr) -> TcpStream {
    let mut stream = connect_from(source, agent.address());
    stream.write_all(b"GET /flows?limit=10000 HTTP/1.1\r\n\r\n").expect("it listens");
    stream
}

/// SECURITY.md#clients
#[test]
fn clients_that_do_not_read_block_no_other() {
    let scene = Scene::new("agent-unread");
    let agent = agent(&scene, "cgroups = [\"{cgroup}\"]\n");
    let _flows = many_flows(&scene);
    let (before, _) = agent.usage();
    // Of one address, then of several.
    for sources in [1, 8] {
        let _unread: Vec<_> = (0..31 * sources).map(|number| unread(&agent, from(66 + number % sources))).collect();
        let started = Instant::now();
        for path in ["/healthz", "/flows?limit=10", "/flows?limit=10000", "/flows?at_risk=1", "/metrics"] {
            let text = format!("GET {path} HTTP/1.1\r\n\r\n");
            let code = ask(agent.address(), text.as_bytes(), SOON).map(|answer| answer.code);
            assert_eq!(code, Some(200), "{path} of {sources}, after {:?}", started.elapsed());
        }
        // They are dropped after 20 s, and none has been waited for.
        assert!(started.elapsed() < SOON * 2, "{:?}", started.elapsed());
    }
    // A few lists, for all clients together.
    assert!(agent.usage().0 < before + 160 * 1024 * 1024, "{} bytes", agent.usage().0);
}

/// SECURITY.md#clients
#[test]
fn constant_requests_keep_no_processor_busy() {
    let scene = Scene::new("agent-eager");
    let agent = agent(&scene, "cgroups = [\"{cgroup}\"]\n");
    let _flows = many_flows(&scene);
    let (address, started, before) = (agent.address(), Instant::now(), agent.cpu());
    let until = started + Duration::from_secs(8);
    thread::scope(|scope| {
        for client in 0..4_u32 {
            scope.spawn(move || {
                let mut number = client;
                while Instant::now() < until {
                    number += 4;
                    let text = format!("GET /flows?limit={} HTTP/1.1\r\n\r\n", 1 + number % 10_000);
                    let _ = injector_tests::exchange(connect_from(from(66), address), text.as_bytes(), SOON);
                }
            });
        }
        while Instant::now() < until {
            let answer = ask(address, b"GET /healthz HTTP/1.1\r\n\r\n", SOON);
            assert_eq!(answer.map(|answer| answer.code), Some(200));
            thread::sleep(Duration::from_millis(200));
        }
    });
    let (used, elapsed) = (agent.cpu().saturating_sub(before), started.elapsed());
    // It was a whole one.
    assert!(used < elapsed.mul_f64(0.4), "{used:?} of {elapsed:?}");
}
