//! Adoption by other processes into an attachment of the agent.

use std::thread::sleep;
use std::time::{Duration, Instant};

use injector_tests::{Route, connected};

use super::agent;
use crate::scene::Scene;

/// A flow that is adopted may be at its mark already, long before a new one could be.
#[test]
fn adopted_flows_are_scanned_at_once() {
    const MARK: Duration = Duration::from_secs(20);
    let scene = Scene::new("agent-adopted");
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    sleep(MARK);
    let agent = agent(&scene, "cgroups = [\"{cgroup}\"]\ntimeout = \"100s\"\nwarn = \"20s\"\nidle = \"85s\"\n");
    scene.injector.adopt(&scene.inside.attachment_name());
    let adopted = Instant::now();
    agent.says(&format!("event=\"at_risk\" local={}", near.local));
    assert!(adopted.elapsed() < MARK / 2, "after {:?}", adopted.elapsed());
}
