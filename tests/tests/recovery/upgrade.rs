//! Connections that come and go while the agent is replaced again and again.

use injector_tests::{Attachment, Churn, Load, Place, Signal};

use crate::scene::{Scene, assert_nothing_left};

/// 30 s of it.
const LOAD: Load = Load { rate: 500, count: 15_000, step: 1_350 };
/// Replacements meanwhile.
const REPLACEMENTS: usize = 10;
/// How an agent ends, and the next one begins.
#[derive(Clone, Copy, Debug)]
enum Replacement {
    KilledSameParameters,
    KilledOtherParameters,
    Kept,
}

impl Replacement {
    const ALL: [Self; 3] = [Self::KilledSameParameters, Self::KilledOtherParameters, Self::Kept];

    /// Replaces the agent.
    fn happens_to(self, attachment: &mut Attachment, scene: &Scene, timeout: &mut &'static str) {
        match self {
            Self::KilledSameParameters => drop(attachment.stop(Signal::KILL)),
            Self::KilledOtherParameters => {
                attachment.stop(Signal::KILL);
                *timeout = if *timeout == "60s" { "350s" } else { "60s" };
            }
            Self::Kept => drop(attachment.stop(Signal::TERM).ok()),
        }
        // Ends of all kinds leave it working: `--keep` is for the one that is asked to end.
        attachment.take_over(&scene.inside, &["--keep", "--timeout", timeout]);
    }
}

#[test]
fn every_connection_is_protected_while_the_agent_is_replaced() {
    let scene = Scene::new("upgrade");
    let mut timeout = "350s";
    let mut attachment = scene.attach(&["--keep", "--timeout", timeout]);
    let mut churn = Churn::start(Place::cgroup(&scene.inside).on(&scene.netns), LOAD);
    for replacement in Replacement::ALL.into_iter().cycle().take(REPLACEMENTS) {
        assert!(churn.step(), "over before {replacement:?}");
        replacement.happens_to(&mut attachment, &scene, &mut timeout);
    }
    let report = churn.report();
    assert_eq!((report.connections, report.unprotected), (LOAD.count, 0), "{report:?}");
    let by_idle: Vec<&str> = report.idle.keys().map(String::as_str).collect();
    assert_eq!(by_idle, ["240", "41"], "both parameters had their time: {report:?}");
    drop(attachment);
    assert_nothing_left(&scene);
}
