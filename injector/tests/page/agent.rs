//! An agent that is made up: just enough of HTTP for a browser.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use injector::internals::web::{CONTENT_SECURITY_POLICY, PAGE};
use serde_json::{Value, json};

/// Serves until the test ends.
pub(crate) struct Agent {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Agent {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let requests = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let requests = Arc::clone(&requests);
                thread::spawn(move || answer(stream, &requests));
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The paths that were asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

/// One request a connection. A browser that goes away is no error.
fn answer(mut stream: TcpStream, requests: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let (kind, body) = match path.split('?').next() {
        Some("/") => ("text/html; charset=utf-8", PAGE.to_owned()),
        Some("/status") => ("application/json", status().to_string()),
        Some("/flows") => ("application/json", flows().to_string()),
        _ => ("text/plain", String::new()),
    };
    requests.lock().expect("not poisoned").push(path);
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Security-Policy: {CONTENT_SECURITY_POLICY}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

fn status() -> Value {
    let bounds = [1, 60, 240, 300, 350, 600].map(|seconds| json!({ "le_s": seconds, "count": 800 }));
    let buckets: Vec<_> = bounds.into_iter().chain([json!({ "le_s": null, "count": 200 })]).collect();
    json!({ "schema": "injector.status/v1", "attachments": [
        {
            "name": "kubepods", "state": "attached", "cgroup": "/kubepods.slice", "limit_ms": 350_000, "warn_ms": 280_000,
            "flows": { "total": 5000, "protected": 4100, "exposed": 300, "at_risk": 400, "overdue": 150, "stalled": 50 },
            "coverage": { "uncovered": { "before_attach": 1999, "mptcp": 1 } },
            "idle_histogram": buckets,
        },
        { "name": "half", "state": "incomplete" },
    ]})
}

/// More flows than were asked for, and not in order.
fn flows() -> Value {
    json!({ "schema": "injector.flows/v1", "flows": (0..5000).map(flow).collect::<Vec<_>>() })
}

fn flow(number: i64) -> Value {
    let remaining_ms = number * 10 - 10_000;
    let hostile = number % 3 == 0;
    json!({
        "cookie": number,
        "status": if remaining_ms < 0 { "overdue" } else { "at_risk" },
        "reason": if hostile { json!("application switched SO_KEEPALIVE off") } else { Value::Null },
        "local": format!("10.0.1.5:{}", 30_000 + number), "peer": "[2001:db8::7]:5432",
        "idle_ms": 350_000 - remaining_ms, "limit_ms": 350_000, "remaining_ms": remaining_ms,
        "keepalive": { "enabled": !hostile, "idle_s": 7200, "interval_s": 75, "probes": 9, "owner": "application" },
        "cgroup": if hostile { json!("/<script>alert(1)</script>\u{202e}x") } else { Value::Null },
        "process": { "pid": number, "name": if hostile { "<img src=x onerror=alert(1)>" } else { "python3" } },
        "pod": if hostile { Value::Null } else { json!({ "namespace": "shop", "name": "web-0", "container": "app" }) },
    })
}
