//! `run`: what AWS answers applies beside the configured hops, and nothing waits for it.

use std::time::{Duration, Instant};

use injector_tests::{Agent, Cgroup, Keepalive, eventually};

use crate::{
    ANSWERED, DENIED, REFUSED, SIXTY,
    fake::{Answer, Call, Fake},
    fresh, injector,
};

const FIRST: &str = "flow_limit_seconds{hop=\"eni-0a1b2c3d4e5f60001\",source=\"discovered\"}";
const FALLBACK: &str = "flow_limit_seconds{hop=\"\",source=\"timeout\"}";
const UNANSWERED: &str = "discovery_failures_total{call=\"ec2:DescribeNetworkInterfaces\"}";
const RELOADS: &str = "config_reloads_total{result=\"success\"}";
/// What connections over the loopback device get by the file alone.
const AS_CONFIGURED: Keepalive = Keepalive::on(617, 77, 9);
/// For how long a call is waited for.
const QUESTION: Duration = Duration::from_secs(5);
const EVERY_SECOND: &str =
    "cgroups = [\"{cgroup}\"]\ntimeout = \"900s\"\ndiscover = \"aws\"\ndiscover_interval = \"1s\"\n";
const ONCE_AN_HOUR: &str =
    "cgroups = [\"{cgroup}\"]\ntimeout = \"900s\"\ndiscover = \"aws\"\ndiscover_interval = \"1h\"\n";
const NEVER: &str = "cgroups = [\"{cgroup}\"]\ntimeout = \"900s\"\n";

#[test]
fn answers_come_into_force_and_stay() {
    let (fake, cgroup) = (Fake::start(), Cgroup::new("agent-discover"));
    let (injector, _script) = injector(&fake);
    let agent = Agent::start(&injector, &cgroup, EVERY_SECOND);
    agent.shows(FIRST, 1800.0);
    assert_eq!(fresh(&cgroup), Keepalive::on(1234, 154, 9));
    assert_eq!(agent.metric(UNANSWERED), Some(0.0));

    fake.answer(Call::Interfaces, Answer::Http(200, SIXTY));
    agent.says("eni-0a1b2c3d4e5f60001 1800s -> 60s");
    agent.shows(FIRST, 60.0);
    assert_eq!(fresh(&cgroup), Keepalive::on(41, 5, 9));
    assert_eq!(cgroup.programs().len(), 1);

    fake.answer(Call::Interfaces, Answer::Http(403, DENIED));
    agent.says(REFUSED);
    let failures = || agent.metric(UNANSWERED).expect("it was asked");
    let before = failures();
    eventually("further questions", ANSWERED, || (failures() > before + 1.0).then_some(()));
    assert_eq!((agent.metric(FIRST), fresh(&cgroup)), (Some(60.0), Keepalive::on(41, 5, 9)));
    let reported = agent.log().matches(REFUSED).count();
    assert_eq!(reported, 1, "once is enough: {}", agent.log());
}

#[test]
fn discovered_hops_stay_with_another_file_that_asks_for_them() {
    let (fake, cgroup) = (Fake::start(), Cgroup::new("agent-kept"));
    let (injector, _script) = injector(&fake);
    let agent = Agent::start(&injector, &cgroup, ONCE_AN_HOUR);
    agent.shows(FIRST, 1800.0);

    fake.answer(Call::Token, Answer::Nothing);
    let with_hop = "[[hop]]\nname = \"db\"\nkind = \"custom\"\ntimeout = \"60s\"\nremote = \"10.0.9.9\"\n";
    agent.configure(&[ONCE_AN_HOUR, with_hop].concat());
    agent.shows(RELOADS, 2.0);
    assert_eq!(agent.metric("flow_limit_seconds{hop=\"db\",source=\"config\"}"), Some(60.0));
    assert_eq!((agent.metric(FIRST), fresh(&cgroup)), (Some(1800.0), Keepalive::on(1234, 154, 9)));

    // This does not go with 350 s: refused, not without what was discovered.
    agent.configure(&[&ONCE_AN_HOUR.replace("900s", "2h"), "idle = \"1h\"\n"].concat());
    agent.says("(hop nlb-db-443)");
    assert_eq!((agent.metric(FALLBACK), fresh(&cgroup)), (Some(900.0), Keepalive::on(1234, 154, 9)));

    agent.configure(NEVER);
    agent.shows(RELOADS, 3.0);
    assert_eq!((agent.metric(FIRST), fresh(&cgroup)), (None, AS_CONFIGURED));

    // What was dropped is asked for again.
    fake.answer(Call::Token, Answer::Http(200, "TOKEN"));
    agent.configure(ONCE_AN_HOUR);
    agent.shows(FIRST, 1800.0);
    assert_eq!(fresh(&cgroup), Keepalive::on(1234, 154, 9));
}

#[test]
fn nothing_waits_for_an_answer() {
    let (fake, cgroup) = (Fake::start(), Cgroup::new("agent-hang"));
    fake.answer(Call::Interfaces, Answer::Nothing);
    let (injector, _script) = injector(&fake);
    let agent = Agent::start(&injector, &cgroup, NEVER);
    agent.configure(EVERY_SECOND);
    agent.shows(RELOADS, 2.0);
    assert_eq!(fresh(&cgroup), AS_CONFIGURED);
    let assumed = "not known for eni-0a1b2c3d4e5f60001, eni-0a1b2c3d4e5f60002: assumed 350s";
    let mut answers = 0;
    loop {
        let asked = Instant::now();
        let (code, took) = (agent.get("/flows").code, asked.elapsed());
        if agent.log().contains(assumed) {
            break;
        }
        assert!(code == 200 && took < QUESTION / 2, "{code} after {took:?}");
        answers += 1;
    }
    assert!(answers > 0, "it was asked while the question was open");
    agent.shows("flow_limit_seconds{hop=\"eni-0a1b2c3d4e5f60001\",source=\"default\"}", 350.0);
    assert_eq!(fresh(&cgroup), Keepalive::on(240, 30, 9));
}
