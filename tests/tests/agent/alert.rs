//! A real Prometheus, with the alert rules that we ship.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use injector_tests::{Place, Process, ask, eventually, unique_address};
use serde_json::{Value, json};

use super::{SHORT, agent, exposed};
use crate::scene::{SOON, Scene};

fn alerts(prometheus: SocketAddr) -> Option<Value> {
    let request = b"GET /api/v1/alerts HTTP/1.0\r\nAccept-Encoding: identity\r\n\r\n";
    let answer = ask(prometheus, request, SOON)?;
    serde_json::from_str(&answer.body).ok()
}

#[test]
fn flows_at_risk_fire_an_alert() {
    let scene = Scene::new("agent-alert");
    let agent = agent(&scene, SHORT);
    let directory = tempfile::tempdir().expect("room");
    let file = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus/rules.yaml");
    let rules = fs::read_to_string(shipped).expect("shipped").replace("for: 1m\n", "for: 2s\n");
    fs::write(file("rules.yaml"), rules).expect("written");
    let config = json!({
        "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
        "rule_files": [file("rules.yaml")],
        "scrape_configs": [{ "job_name": "injector", "static_configs": [{ "targets": [agent.address().to_string()] }] }],
    });
    // YAML is a superset of JSON.
    fs::write(file("prometheus.yml"), config.to_string()).expect("written");
    let address = unique_address(9090);
    let (config, storage) = (format!("--config.file={}", file("prometheus.yml")), file("data"));
    let storage = format!("--storage.tsdb.path={storage}");
    let listen = format!("--web.listen-address={address}");
    let _prometheus = Process::spawn(Place::default(), "prometheus", &[&config, &storage, &listen]);

    let at_risk = |alerts: &Value| {
        let list = alerts["data"]["alerts"].as_array().cloned().unwrap_or_default();
        list.into_iter().find(|alert| alert["labels"]["alertname"] == "InjectorFlowsAtRisk")
    };
    eventually("Prometheus answers", SOON, || alerts(address).filter(|alerts| at_risk(alerts).is_none()));
    let _flow = exposed(&scene);
    let alert = eventually("the alert fires", SOON, || {
        alerts(address).as_ref().and_then(at_risk).filter(|alert| alert["state"] == "firing")
    });
    assert_eq!(alert["labels"]["workload"], "_unknown", "{alert:#}");
}
