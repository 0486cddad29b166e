//! Real servers started with what `recommend` prints: their connections have it.

use injector_tests::{
    Connection, Keepalive, Netns, Peer, Place, Postgres, Psql, Redis, Route, Server, connections_of, eventually, tool,
};
use tempfile::TempDir;

use crate::advice::recommend::recommended;
use crate::scene::{SOON, USUAL};

/// The connection of a server whose own end has this port.
#[track_caller]
fn accepted(pid: u32, port: u16) -> Connection {
    eventually("the server has accepted", SOON, || {
        connections_of(pid).into_iter().find(|connection| connection.local.port() == port)
    })
}

fn file(directory: &TempDir, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, text).expect("the directory is ours");
    path.to_string_lossy().into_owned()
}

#[test]
fn postgresql_takes_it() {
    for (timeout, expected) in [("350s", USUAL), ("60s", Keepalive::on(41, 5, 9))] {
        let netns = Netns::new("recommend");
        let _server = Postgres::start_with(Place::netns(&netns), &recommended("postgresql", timeout));
        let mut session = Psql::start(Place::netns(&netns), "127.0.0.1");
        // Over TCP the server answers with what the socket says.
        let mut show = |name: &str| session.query(&format!("show {name};"), SOON).unwrap_or_default();
        let shown = ["tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count"].map(&mut show);
        assert_eq!(shown, [expected.idle, expected.interval, expected.probes].map(|value| value.to_string()));
        let backend = session.query("select pg_backend_pid();", SOON).unwrap().parse().unwrap();
        assert_eq!(accepted(backend, 5432).keepalive, expected);
    }
}

#[test]
fn redis_takes_it() {
    for (timeout, period, expected) in
        [("350s", "175", Keepalive::on(175, 58, 3)), ("60s", "30", Keepalive::on(30, 10, 3))]
    {
        let netns = Netns::new("recommend");
        let server = Redis::start_with(Place::netns(&netns), &recommended("redis", timeout));
        let mut client = Peer::spawn(Place::netns(&netns));
        let socket = client.connect("127.0.0.1", Redis::PORT);
        client.send(&socket, "CONFIG GET tcp-keepalive\r\n").unwrap();
        let answer = client.receive(&socket, SOON).unwrap();
        assert_eq!(answer.lines().last(), Some(period), "{answer}");
        assert_eq!(accepted(server.pid(), Redis::PORT).keepalive, expected);
    }
}

#[test]
fn mariadb_takes_it() {
    let (netns, directory) = (Netns::new("recommend"), tempfile::tempdir().unwrap());
    let own = format!("--defaults-file={}", file(&directory, "my.cnf", &recommended("mysql", "350s")));
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let data = format!("--datadir={}", data.display());
    let socket = format!("--socket={}/socket", directory.path().display());
    // No accounts: the server sets keepalive before it greets a client.
    let bare = ["--user=root", "--skip-grant-tables", "--bind-address=127.0.0.1"];
    let arguments = [&[own.as_str(), &data, &socket], &bare[..]].concat();
    let server = Server::start(&netns, "mariadbd", &arguments, 3306);
    let mut client = Peer::spawn(Place::netns(&netns));
    let _socket = client.connect("127.0.0.1", 3306);
    eventually("the server applies its settings", SOON, || {
        (accepted(server.pid(), 3306).keepalive == USUAL).then_some(())
    });
}

#[test]
fn mariadb_knows_all_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let own = format!("--defaults-file={}", file(&directory, "my.cnf", &recommended("mysql", "350s")));
    let shown = tool("mariadbd", &[&own, "--user=root", "--verbose", "--help"]);
    let expected = [
        ("tcp-keepalive-time", "240"),
        ("tcp-keepalive-interval", "30"),
        ("tcp-keepalive-probes", "9"),
        ("wait-timeout", "240"),
        ("interactive-timeout", "240"),
    ];
    for (name, value) in expected {
        let found = shown.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        assert_eq!(found, Some(value), "{name}");
    }
}

/// A listener for a proxy to connect to.
fn upstream(netns: &Netns) -> (Peer, u16) {
    let mut peer = Peer::spawn(Place::netns(netns));
    let port = peer.listen(Route::V4).local.port();
    (peer, port)
}

/// A client of a proxy, and the connection that it makes the proxy open.
fn through(netns: &Netns, pid: u32, near: u16, far: u16) -> (Connection, Connection) {
    let mut client = Peer::spawn(Place::netns(netns));
    let socket = client.connect("127.0.0.1", near);
    client.send(&socket, "GET / HTTP/1.0\r\n\r\n").expect("the proxy listens");
    let client_side = accepted(pid, near);
    let server_side = eventually("the proxy connects", SOON, || {
        connections_of(pid).into_iter().find(|connection| connection.remote.port() == far)
    });
    (client_side, server_side)
}

#[test]
fn haproxy_takes_it_on_both_sides() {
    let (netns, directory) = (Netns::new("recommend"), tempfile::tempdir().unwrap());
    let (_upstream, port) = upstream(&netns);
    for (timeout, expected) in [("60s", Keepalive::on(41, 5, 9)), ("350s", USUAL)] {
        let settings = recommended("haproxy", timeout);
        let configuration = format!(
            "defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n{settings}\
             listen proxy\n    bind 127.0.0.1:8080\n    server upstream 127.0.0.1:{port}\n"
        );
        let path = file(&directory, "haproxy.cfg", &configuration);
        tool("haproxy", &["-c", "-f", &path]);
        let server = Server::start(&netns, "haproxy", &["-db", "-f", &path], 8080);
        let (client_side, server_side) = through(&netns, server.pid(), 8080, port);
        assert_eq!((client_side.keepalive, server_side.keepalive), (expected, expected), "{timeout}");
    }
}

#[test]
fn nginx_takes_it_for_clients_and_switches_it_on_for_servers() {
    let (netns, directory) = (Netns::new("recommend"), tempfile::tempdir().unwrap());
    let (_upstream, port) = upstream(&netns);
    let settings = recommended("nginx", "350s");
    let configuration = format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {{}}\n\
         http {{\naccess_log off;\nserver {{\n{settings}\nlocation / {{ proxy_pass http://127.0.0.1:{port}; }}\n}}\n}}\n"
    );
    let path = file(&directory, "nginx.conf", &configuration);
    let prefix = format!("{}/", directory.path().display());
    let arguments = ["-p", &prefix, "-e", "stderr", "-c", &path];
    netns.tool("nginx", &[&arguments[..], &["-t"]].concat());
    let server = Server::start(&netns, "nginx", &arguments, 80);
    let (client_side, server_side) = through(&netns, server.pid(), 80, port);
    assert_eq!(client_side.keepalive, USUAL);
    // The times are the host's, as the comment says.
    assert_eq!(server_side.keepalive, Keepalive { enabled: 1, ..Keepalive::UNTOUCHED });
}
