//! Notifications of the service manager, as `Type=notify` in `deploy/systemd/injector.service` asks for.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use injector_tests::{Agent, Signal};

use super::SHORT;
use crate::scene::{SOON, Scene};

/// Its watchdog interval.
const WATCHDOG: Duration = Duration::from_secs(4);

/// The next message that is not a watchdog ping, a line each.
fn news(socket: &UnixDatagram) -> Vec<String> {
    loop {
        let message = message(socket);
        if message != ["WATCHDOG=1"] {
            return message;
        }
    }
}

fn message(socket: &UnixDatagram) -> Vec<String> {
    let mut bytes = [0; 4096];
    let length = socket.recv(&mut bytes).expect("it is notified in time");
    String::from_utf8_lossy(&bytes[..length]).lines().map(str::to_owned).collect()
}

#[test]
fn the_service_manager_is_notified() {
    let scene = Scene::new("agent-service");
    let _clean_up = scene.injector.clean_up_after(&scene.inside);
    let directory = tempfile::tempdir().expect("room");
    let (config, path) = (directory.path().join("config.toml"), directory.path().join("notify"));
    std::fs::write(&config, format!("cgroups = [\"{}\"]", scene.inside.path_text())).expect("written");
    let socket = UnixDatagram::bind(&path).expect("a place for it");
    socket.set_read_timeout(Some(SOON)).expect("not zero");

    let notify = format!("NOTIFY_SOCKET={}", path.display());
    let watchdog = format!("WATCHDOG_USEC={}", WATCHDOG.as_micros());
    let config = config.to_str().expect("text");
    let mut agent = scene
        .injector
        .spawn_through(&["env", &notify, &watchdog], &["run", "--config", config, "--listen", "127.0.0.1:0"]);
    assert_eq!(news(&socket), ["READY=1"]);
    assert_eq!(scene.inside.program_ids("sock_ops").len(), 1, "ready when it is attached");

    let started = Instant::now();
    for _ in 0..4 {
        assert_eq!(message(&socket), ["WATCHDOG=1"]);
    }
    assert!(started.elapsed() < WATCHDOG * 4, "each in time");

    agent.signal(Signal::HUP);
    let reloading = news(&socket);
    assert_eq!(reloading[0], "RELOADING=1");
    assert!(reloading[1].starts_with("MONOTONIC_USEC="), "{reloading:?}");
    assert_eq!(news(&socket), ["READY=1"]);

    agent.signal(Signal::TERM);
    assert_eq!(news(&socket), ["STOPPING=1"]);
    assert!(agent.wait(SOON).success());
}

/// In the background of a shell that `nohup` was asked for: a hangup still has it read its file again.
#[test]
fn ignored_signals_do_not_end_it() {
    let scene = Scene::new("agent-nohup");
    let wrapper = ["sh", "-c", r#"trap '' HUP INT; exec "$@""#, "sh"];
    let mut agent = Agent::start_through(&scene.injector, &wrapper, &scene.inside, SHORT);
    agent.signal(Signal::INT);
    agent.signal(Signal::HUP);
    agent.shows("config_reloads_total{result=\"success\"}", 2.0);
    assert_eq!(scene.inside.program_ids("sock_ops").len(), 1);
    agent.stop(Signal::TERM).ok();
}
