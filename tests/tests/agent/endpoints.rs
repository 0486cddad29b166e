//! What the agent answers.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use injector_tests::{Route, Signal, ask, connected, eventually, pipe, request};
use serde_json::Value;

use super::{SHORT, agent, exposed};
use crate::scene::{SOON, Scene};

/// SECURITY.md#reading
#[test]
fn everything_has_its_place() {
    let scene = Scene::new("agent-places");
    let agent = agent(&scene, SHORT);
    for (path, code, kind) in [
        ("/", 200, "text/html; charset=utf-8"),
        ("/healthz", 200, "text/plain; charset=utf-8"),
        ("/readyz", 200, "text/plain; charset=utf-8"),
        ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"),
        ("/status", 200, "application/json"),
        ("/flows?at_risk=1&limit=5", 200, "application/json"),
        ("/flows?limit=0", 400, "text/plain; charset=utf-8"),
        ("/nothing", 404, "text/plain; charset=utf-8"),
    ] {
        let answer = agent.get(path);
        assert_eq!((answer.code, answer.header("content-type")), (code, Some(kind)), "{path}: {answer:?}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        let head = request(agent.address(), "HEAD", path, "");
        assert_eq!((head.code, head.body.as_str()), (code, ""), "{path}");
    }
    let page = agent.get("/");
    assert!(page.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = request(agent.address(), method, "/flows", "Content-Length: 0\r\n");
        assert_eq!((answer.code, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let metrics = request(agent.address(), "GET", "/metrics", "Accept: application/openmetrics-text\r\n");
    assert!(metrics.body.ends_with("# EOF\n"), "{metrics:?}");
}

#[test]
fn figures_are_those_of_the_flows() {
    let scene = Scene::new("agent-figures");
    let mut agent = agent(&scene, SHORT);
    let (mut client, _server, near) = exposed(&scene);
    agent.shows("flows{status=\"overdue\"}", 1.0);
    agent.shows("flows_at_risk{pod_namespace=\"_unknown\",workload=\"_unknown\"}", 1.0);
    agent.shows("flows_expired_total", 1.0);
    agent.shows("sockets_total{direction=\"active\",outcome=\"injected\"}", 1.0);
    agent.shows("flow_limit_seconds{hop=\"\",source=\"timeout\"}", 4.0);
    assert!(agent.metric("map_memory_bytes").is_some_and(|bytes| bytes > 1000.0));
    assert!(agent.metric("scan_duration_seconds_count").is_some_and(|count| count > 1.0));

    let list: Value = serde_json::from_str(&agent.get("/flows?at_risk=1").body).expect("JSON");
    assert_eq!(list["flows"][0]["cookie"], near.cookie, "{list:#}");
    assert_eq!(list["flows"][0]["process"]["pid"], client.pid(), "{list:#}");
    let server = format!("http://{}", agent.address());
    let flows = scene.injector.run(&["flows", "--server", &server, "--at-risk", "--fail"]);
    assert!(flows.code == 5 && flows.stdout.contains("overdue"), "{flows:?}");
    let _others: Vec<_> = (0..3).map(|_| connected(&mut client, &mut scene.outside_peer(), Route::V4)).collect();
    for limit in 1..=3 {
        let list: Value = serde_json::from_str(&agent.get(&format!("/flows?limit={limit}")).body).expect("JSON");
        assert_eq!(list["totals"], serde_json::json!({ "flows": 4, "findings": 1 }), "{list:#}");
        let flows = scene.injector.run(&["flows", "--server", &server, "--fail", "--limit", &limit.to_string()]);
        assert_eq!((flows.code, flows.stdout.lines().count()), (5, limit + 1), "listed or not: {flows:?}");
    }
    let status: Value = serde_json::from_str(&agent.get("/status").body).expect("JSON");
    assert_eq!(status["attachments"][0]["flows"]["overdue"], 1, "{status:#}");

    assert_eq!(pipe("promtool", &["check", "metrics"], &agent.get("/metrics").body), "");
    client.close(&near);
    agent.shows("flows_lost_total", 1.0);
    let output = agent.stop(Signal::TERM).ok();
    assert_eq!(output.stdout, "", "nothing but the log, and that on stderr");
    for line in
        ["attached attachment=", "flow at risk: close to its idle timeout", "flow overdue", "reported flow closed"]
    {
        assert!(output.stderr.contains(line), "{line}: {}", output.stderr);
    }
}

/// SECURITY.md#hosts
#[test]
fn it_is_asked_by_its_own_names_alone() {
    let scene = Scene::new("agent-hosts");
    let named = |hosts: &str| format!("allowed_hosts = [{hosts}]\n{SHORT}");
    let agent = agent(&scene, &named("\"injector.kube-system.svc\""));
    let code = |host: &str, path: &str| {
        let text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        ask(agent.address(), text.as_bytes(), SOON).map(|answer| answer.code)
    };
    for path in ["/", "/flows", "/status", "/metrics", "/healthz", "/readyz", "/nothing"] {
        assert_eq!(code("rebound.example:9435", path), Some(421), "{path}");
    }
    for host in ["127.0.0.1", "localhost:1", "[::1]:9435", "injector.kube-system.svc:9435"] {
        assert_eq!(code(host, "/flows"), Some(200), "{host}");
    }
    agent.configure(&named("\"rebound.example\""));
    eventually("another name", SOON, || (code("rebound.example", "/flows") == Some(200)).then_some(()));
    assert_eq!(code("injector.kube-system.svc", "/flows"), Some(421));
}

/// An agent that ends an exchange half-way reports nothing about flows, least of all that there are no findings.
#[test]
fn a_server_that_closes_is_an_error() {
    let scene = Scene::new("server-closes");
    let directory = tempfile::tempdir().expect("room");
    let path = directory.path().join("socket").to_string_lossy().into_owned();
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("made");
    let server = std::thread::spawn(move || listener.incoming().take(20).for_each(drop));
    for _ in 0..20 {
        let output = scene.injector.run(&["flows", "--server", &path, "--at-risk", "--fail"]);
        assert!(output.code == 1 && output.stderr.contains("asking the agent at"), "{output:?}");
    }
    server.join().expect("all were served");
}

/// SECURITY.md#socket
#[test]
fn a_socket_serves_as_well() {
    let scene = Scene::new("agent-socket");
    let mut agent = agent(&scene, SHORT);
    agent.stop(Signal::TERM).ok();
    let path = format!("{}.sock", agent.file());
    // One that a killed agent left.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("made"));
    let config = agent.file();
    let mut second =
        scene.injector.spawn_through(&[], &["run", "--config", &config, "--listen", &format!("unix:{path}")]);
    eventually("it listens", SOON, || UnixStream::connect(&path).ok());
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o077, 0, "for its user alone");
    let flows = scene.injector.run(&["flows", "--server", &path, "-o", "json"]).ok().json();
    assert_eq!(flows["schema"], "injector.flows/v1");
    let mut stream = UnixStream::connect(&path).expect("it listens");
    std::io::Write::write_all(&mut stream, b"GET /healthz HTTP/1.0\r\n\r\n").expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    second.signal(Signal::TERM);
    assert!(second.wait(SOON).success(), "{}", second.stderr());
    assert!(!std::path::Path::new(&path).exists(), "the socket is gone");

    std::fs::write(&path, "precious").expect("written");
    let output = scene.injector.run(&["run", "--config", &config, "--listen", &format!("unix:{path}")]);
    assert!(output.code == 2 && output.stderr.contains("not a socket"), "{output:?}");
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "precious");
}
