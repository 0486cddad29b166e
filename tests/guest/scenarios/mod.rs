//! The features, each shown by one small function. A new one is a line in [`SCENARIOS`] and its function.

use std::time::Duration;

use injector_tests::Keepalive;

use crate::socket::{V4, V6};

mod adopt;
mod agent;
mod conflict;
mod host;
mod idle;
mod keepalive;
mod lifetime;
mod packets;

/// A feature and what shows it.
pub(crate) struct Scenario {
    /// Its name in the table of kernels.
    pub(crate) feature: &'static str,
    /// The checks of `injector doctor` it needs: where one is missing, the kernel can't do it.
    pub(crate) needs: &'static [&'static str],
    /// The option of `attach` that asks for it, if there is one. Where the kernel can't do it, that is refused.
    pub(crate) option: Option<[&'static str; 2]>,
    /// Panics where it doesn't work.
    pub(crate) run: fn(),
}

/// All of them, in the order of the table.
pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("doctor finds all it requires", &[], host::doctor),
    scenario("attach mounts bpffs", PROGRAMS, lifetime::mount_bpffs),
    scenario("inject, IPv4", PROGRAMS, || keepalive::inject(V4)),
    scenario("inject, IPv6", PROGRAMS, || keepalive::inject(V6)),
    scenario("respect and tighten", PROGRAMS, keepalive::respect),
    scenario("user timeouts", PROGRAMS, keepalive::user_timeouts),
    scenario("limits by hop", PROGRAMS, keepalive::hops),
    scenario("probes are sent", PROGRAMS, idle::probe),
    scenario("idle times", PROGRAMS, idle::idle),
    scenario("the peer's probes count", PROGRAMS, idle::peer_probes),
    scenario("cgroup and process of a flow", PROGRAMS, idle::ownership),
    scenario("warnings", PROGRAMS, idle::warnings),
    scenario("on conflict: respect", PROGRAMS, conflict::respect),
    Scenario {
        option: Some(["--on-conflict", "tighten"]),
        ..scenario("on conflict: tighten", GUARD, conflict::tighten)
    },
    Scenario {
        option: Some(["--on-conflict", "enforce"]),
        ..scenario("on conflict: enforce", GUARD, conflict::enforce)
    },
    scenario("adoption", &["BTF", "programs", "adoption"], adopt::existing),
    Scenario {
        option: Some(["--track", "packets"]),
        ..scenario("packets", &["BTF", "programs", "tracking packets"], packets::count)
    },
    scenario("status", PROGRAMS, lifetime::status),
    scenario("programs log what they do", GUARD, lifetime::verbose),
    scenario("replaced in place", PROGRAMS, lifetime::replace),
    scenario("agent with policies", GUARD, agent::run),
    scenario("detach leaves nothing", GUARD, lifetime::detach),
    // The last one: nothing works after it.
    scenario("lockdown is reported", &[], host::lockdown),
];

const fn scenario(feature: &'static str, needs: &'static [&'static str], run: fn()) -> Scenario {
    Scenario { feature, needs, option: None, run }
}

/// The programs of the usual attachment.
const PROGRAMS: &[&str] = &["BTF", "programs"];
/// With the one that overrules applications.
const GUARD: &[&str] = &["BTF", "programs", "overruling"];

/// What the usual limit of 350 s asks for.
const USUAL: Keepalive = Keepalive::on(240, 30, 9);
/// How exact idle times have to be.
const TOLERANCE: Duration = Duration::from_millis(100);
/// Longer than delayed acknowledgements, and no round number of seconds.
const IDLE: Duration = Duration::from_millis(3300);
