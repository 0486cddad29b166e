//! A TCP program in another language (`peers/peer.py`), controlled step by step.

use std::time::Duration;

use serde_json::{Value, json};

use crate::deadline::SOON;
use crate::peers::socket::{Failure, Keepalive, Route, Socket};
use crate::programs::process::{Place, Process};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/peer.py");
/// The distribution's Python: tests don't depend on what else is on the search path.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// A running Python program and its sockets.
#[derive(Debug)]
pub struct Peer {
    process: Process,
}

impl Peer {
    /// Starts the program.
    pub fn spawn(place: Place<'_>) -> Self {
        Self { process: Process::spawn(place, PYTHON, &[SCRIPT]) }
    }

    /// The program's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Makes a socket that is not connected yet, of the family of `address`.
    pub fn open(&mut self, address: &str) -> Socket {
        self.socket(&json!({"op": "open", "address": address}))
    }

    /// Connects a socket from [`Peer::open`].
    pub fn connect_socket(&mut self, socket: &Socket, address: &str, port: u16) -> Socket {
        self.socket(&json!({
            "op": "connect", "id": socket.id, "address": address, "port": port, "timeout": SOON.as_secs()
        }))
    }

    /// Makes a socket and connects it.
    pub fn connect(&mut self, address: &str, port: u16) -> Socket {
        let socket = self.open(address);
        self.connect_socket(&socket, address, port)
    }

    /// Listens for clients that come by `route`.
    pub fn listen(&mut self, route: Route) -> Socket {
        self.listen_on(route.server(), route == Route::Mapped)
    }

    /// Listens on a local address; an IPv6 socket also takes IPv4 clients if `dual_stack`.
    pub fn listen_on(&mut self, address: &str, dual_stack: bool) -> Socket {
        self.socket(&json!({"op": "listen", "address": address, "dual_stack": dual_stack, "backlog": 4096}))
    }

    /// Takes the next client of a listening socket.
    pub fn accept(&mut self, listener: &Socket) -> Socket {
        self.socket(&json!({"op": "accept", "id": listener.id, "timeout": SOON.as_secs()}))
    }

    /// Sends text.
    pub fn send(&mut self, socket: &Socket, text: &str) -> Result<(), Failure> {
        self.request(&json!({"op": "send", "id": socket.id, "text": text}), SOON).map(drop)
    }

    /// Receives whatever comes first.
    pub fn receive(&mut self, socket: &Socket, within: Duration) -> Result<String, Failure> {
        let request = json!({"op": "recv", "id": socket.id, "timeout": within.as_secs_f64()});
        self.request(&request, within + SOON)
            .map(|answer| answer["text"].as_str().expect("the peer sends text").to_owned())
    }

    /// Sets an integer socket option by name, for example `TCP_KEEPIDLE`.
    pub fn set(&mut self, socket: &Socket, option: &str, value: u32) {
        self.done(&json!({"op": "set", "id": socket.id, "option": option, "value": value}));
    }

    /// Switches keepalive on, with a probe every `seconds`. The interval counts as much as the idle time: after a probe the
    /// kernel looks at the connection again only when the interval is over, whether or not the probe was answered.
    pub fn set_keepalive(&mut self, socket: &Socket, seconds: u32) {
        self.set(socket, "SO_KEEPALIVE", 1);
        self.set(socket, "TCP_KEEPIDLE", seconds);
        self.set(socket, "TCP_KEEPINTVL", seconds);
    }

    /// The socket's keepalive options.
    pub fn keepalive(&mut self, socket: &Socket) -> Keepalive {
        let seen = self.done(&json!({"op": "report", "id": socket.id}));
        let value = |name: &str| seen[name].as_u64().expect("socket options are numbers");
        Keepalive {
            enabled: value("SO_KEEPALIVE"),
            idle: value("TCP_KEEPIDLE"),
            interval: value("TCP_KEEPINTVL"),
            probes: value("TCP_KEEPCNT"),
        }
    }

    /// The socket's `TCP_USER_TIMEOUT`.
    pub fn user_timeout(&mut self, socket: &Socket) -> Duration {
        let seen = self.done(&json!({"op": "report", "id": socket.id}));
        Duration::from_millis(seen["TCP_USER_TIMEOUT"].as_u64().expect("a number"))
    }

    /// Ends the sending side of a connection.
    pub fn finish_sending(&mut self, socket: &Socket) {
        self.done(&json!({"op": "shutdown", "id": socket.id, "side": "write"}));
    }

    /// Ends the connection of a socket, which can be connected again.
    pub fn disconnect(&mut self, socket: &Socket) {
        self.done(&json!({"op": "disconnect", "id": socket.id}));
    }

    /// Closes a socket.
    pub fn close(&mut self, socket: &Socket) {
        self.done(&json!({"op": "close", "id": socket.id}));
    }

    /// Opens `count` connections.
    pub fn connect_many(&mut self, address: &str, port: u16, count: usize, within: Duration) {
        let request = json!({"op": "connect_many", "address": address, "port": port, "count": count});
        self.request(&request, within).unwrap_or_else(|failure| panic!("cannot open {count} connections: {failure:?}"));
    }

    /// Takes `count` clients of a listening socket.
    pub fn accept_many(&mut self, listener: &Socket, count: usize, within: Duration) {
        let request = json!({"op": "accept_many", "id": listener.id, "count": count, "timeout": within.as_secs_f64()});
        self.request(&request, within)
            .unwrap_or_else(|failure| panic!("cannot accept {count} connections: {failure:?}"));
    }

    fn socket(&mut self, request: &Value) -> Socket {
        let answer = self.done(request);
        serde_json::from_value(answer).expect("the peer describes its sockets")
    }

    /// A request that must not fail.
    fn done(&mut self, request: &Value) -> Value {
        self.request(request, SOON * 2).unwrap_or_else(|failure| panic!("{request}: {failure:?}"))
    }

    fn request(&mut self, request: &Value, within: Duration) -> Result<Value, Failure> {
        self.process.send_line(&request.to_string());
        let line = self.process.expect_line(within);
        let answer: Value = serde_json::from_str(&line).expect("the peer answers in JSON");
        match answer["failure"].as_str() {
            None => Ok(answer),
            Some("timeout") => Err(Failure::Timeout),
            Some("closed") => Err(Failure::Closed),
            Some(errno) => Err(Failure::Errno(errno.to_owned())),
        }
    }
}

/// Connects two peers that run in the same network namespace: the client's socket and the server's.
pub fn connected(client: &mut Peer, server: &mut Peer, route: Route) -> (Socket, Socket) {
    let listener = server.listen(route);
    let connected = client.connect(route.target(), listener.local.port());
    let accepted = server.accept(&listener);
    server.close(&listener);
    (connected, accepted)
}
