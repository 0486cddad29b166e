//! Connections that were open before.

use injector_tests::{Adoption, Keepalive, Origin};

use super::USUAL;
use crate::scene::{Scene, flow_of};
use crate::socket::{V4, V6, join, keepalive, listen, open, set_idle, switch};

/// Both ends, their listener, and what that accepts later; what the application chose is respected.
pub(super) fn existing() {
    let scene = Scene::new();
    for address in [V4, V6] {
        let listener = scene.inside(|| listen(address));
        let (untouched, chosen) = scene.inside(|| (open(address), open(address)));
        set_idle(&chosen, 60);
        switch(&chosen, true);
        let [untouched, chosen] = [untouched, chosen].map(|socket| join(socket, &listener));
        // Sockets are taken from the processes in the cgroup: this one.
        let (attachment, output) = scene.inside(|| scene.injector.attach_existing_through(&["env"], &scene.cgroup));
        let adopted = Adoption::reported(&output);
        assert_eq!((adopted.of_outcome("injected"), adopted.of_outcome("respected")), (3, 1), "{adopted:?}");
        assert_eq!((adopted.denied.len(), adopted.listeners.get("injected")), (0, Some(&1)), "{adopted:?}");
        for (socket, expected) in [
            (&untouched.connected, USUAL),
            (&untouched.accepted, USUAL),
            (&chosen.connected, Keepalive::on(60, 75, 9)),
            (&join(open(address), &listener).accepted, USUAL),
        ] {
            assert_eq!(keepalive(socket), expected, "{address}");
        }
        for socket in [&untouched.connected, &untouched.accepted, &chosen.connected] {
            assert_eq!(flow_of(&attachment, socket).origin, Origin::Adopted, "{address}");
        }
    }
}
