//! `injector run`.

mod adopted;
mod alert;
mod cgroups;
mod clients;
mod container;
mod coverage;
mod descriptors;
mod endpoints;
mod greedy;
mod lasting;
mod pods;
mod policies;
mod reload;
mod service;

use injector_tests::{Agent, Peer, Route, Socket, connected};

use crate::scene::Scene;

/// Attached to the inside, with a limit of 4 s. Flows are at risk for long enough before that to be seen on a busy machine.
pub(crate) const SHORT: &str = "cgroups = [\"{cgroup}\"]\ntimeout = \"4s\"\nwarn = \"2s\"\non_conflict = \"respect\"\n";

/// An agent on the inside.
fn agent(scene: &Scene, configuration: &str) -> Agent {
    Agent::start(&scene.injector, &scene.inside, configuration)
}

/// A connection whose client is inside and switches keepalive off.
fn exposed(scene: &Scene) -> (Peer, Peer, Socket) {
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    client.set(&near, "SO_KEEPALIVE", 0);
    (client, server, near)
}
