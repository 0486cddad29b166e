//! Connections that are older than the agent.

use injector_tests::{Route, connected};
use serde_json::Value;

use super::agent;
use crate::scene::Scene;

#[test]
fn what_is_not_covered_is_reported_until_it_is_adopted() {
    const EARLY: usize = 5;
    let scene = Scene::new("agent-early");
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let _early: Vec<_> = (0..EARLY).map(|_| connected(&mut client, &mut server, Route::V4)).collect();
    let agent = agent(&scene, "cgroups = [\"{cgroup}\"]\n");
    let name = scene.inside.attachment_name();
    agent.says(&format!("not covered: {name}: 5 connections opened before"));
    for word in ["WARN", &format!("injector adopt --name {name}"), "adopt = true"] {
        assert!(agent.log().contains(word), "no word of {word}: {}", agent.log());
    }
    agent.shows("uncovered_connections{reason=\"before_attach\"}", 5.0);
    let status: Value = serde_json::from_str(&agent.get("/status").body).expect("JSON");
    assert_eq!(status["attachments"][0]["coverage"]["uncovered"]["before_attach"], EARLY, "{status:#}");

    scene.injector.adopt(&name);
    agent.says("all connections are covered");
    agent.shows("uncovered_connections{reason=\"before_attach\"}", 0.0);
    let status: Value = serde_json::from_str(&agent.get("/status").body).expect("JSON");
    let coverage = &status["attachments"][0]["coverage"];
    assert_eq!((&coverage["adopted"], &coverage["uncovered"]), (&EARLY.into(), &serde_json::json!({})), "{status:#}");
}
