//! What most tests start from.

use std::time::Duration;

pub(crate) use injector_tests::SOON;
use injector_tests::{
    Attachment, Cgroup, Flow, Injector, Keepalive, Netns, Peer, Place, Route, Socket, connected, pins,
};

/// What the usual limit of 350 s asks for.
pub(crate) const USUAL: Keepalive = Keepalive::on(240, 30, 9);

/// A cgroup to attach to, one beside it, and a network of their own with the kernel's defaults.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) injector: Injector,
    pub(crate) inside: Cgroup,
    pub(crate) outside: Cgroup,
    pub(crate) netns: Netns,
}

impl Scene {
    pub(crate) fn new(topic: &str) -> Self {
        Self {
            injector: Injector::find(),
            inside: Cgroup::new(topic),
            outside: Cgroup::new(&format!("not-{topic}")),
            netns: Netns::new(topic),
        }
    }

    /// Attaches to the inside in the foreground.
    pub(crate) fn attach(&self, arguments: &[&str]) -> Attachment {
        self.injector.attach(&self.inside, arguments)
    }

    pub(crate) fn inside_peer(&self) -> Peer {
        self.peer_in(&self.inside)
    }

    pub(crate) fn outside_peer(&self) -> Peer {
        self.peer_in(&self.outside)
    }

    /// The keepalive that a fresh connection inside gets, and its user timeout.
    pub(crate) fn keepalive_inside(&self) -> (Keepalive, Duration) {
        let (mut client, mut server) = (self.inside_peer(), self.outside_peer());
        let (near, _far) = connected(&mut client, &mut server, Route::V4);
        (client.keepalive(&near), client.user_timeout(&near))
    }

    pub(crate) fn peer_in(&self, cgroup: &Cgroup) -> Peer {
        Peer::spawn(Place::cgroup(cgroup).on(&self.netns))
    }
}

/// Neither attached nor pinned.
#[track_caller]
pub(crate) fn assert_nothing_left(scene: &Scene) {
    assert_eq!(scene.inside.programs(), []);
    assert_eq!(pins(&scene.inside.attachment_name()), None);
}

/// The flow of a socket.
pub(crate) fn flow_of(attachment: &Attachment, socket: &Socket) -> Flow {
    find(attachment.flows(), socket)
}

/// The flow of a socket among these.
pub(crate) fn find(flows: Vec<Flow>, socket: &Socket) -> Flow {
    let listed = format!("{flows:#?}");
    flows
        .into_iter()
        .find(|flow| flow.cookie == socket.cookie)
        .unwrap_or_else(|| panic!("no flow of {socket:?} among {listed}"))
}
