//! `--track packets`.

use std::thread::sleep;

use injector_tests::{FlowPackets, Status};

use super::IDLE;
use crate::scene::{Scene, flow_of};
use crate::socket::{V4, V6};

/// Payload and probes of both ends, each counted where it passes.
pub(super) fn count() {
    let scene = Scene::new();
    let attachment = scene.attach(&["--track", "packets", "--timeout", "4s", "--hop", "six=custom:4s@[::1]"]);
    let mut pairs = [scene.pair(V4), scene.pair(V6)];
    for pair in &mut pairs {
        pair.talk();
    }
    sleep(IDLE);
    for socket in pairs.iter().flat_map(|pair| [&pair.connected, &pair.accepted]) {
        let flow = flow_of(&attachment, socket);
        assert_eq!(flow.status, Status::Protected, "{flow:?}");
        let FlowPackets { received, sent, probed_by } = flow.packets.expect("they are tracked");
        assert_eq!((received.data, sent.data, probed_by.as_str()), (1, 1, "both"), "{received:?} {sent:?}");
        assert!(received.probe > 0 && sent.probe > 0, "{received:?} {sent:?}");
        assert_eq!((received.unknown, sent.unknown), (0, 0), "{received:?} {sent:?}");
    }
}
