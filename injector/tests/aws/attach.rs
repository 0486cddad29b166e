//! `attach` does not wait for the answer, applies it in place, and keeps it when the next one does not come.

use injector_tests::{Attachment, Cgroup, Injector, Keepalive};
use serde_json::Value;

use crate::{
    ANSWERED, DENIED, REFUSED, SIXTY, configuration,
    fake::{Answer, Call, Fake},
    fresh, injector,
};

fn attach(injector: &Injector, cgroup: &Cgroup) -> Attachment {
    injector.attach(cgroup, &["--discover", "aws", "--discover-interval", "1s", "--timeout", "900s", "-o", "jsonl"])
}

/// The next event about hops: which of them differ.
fn discovered(attachment: &mut Attachment) -> Vec<String> {
    let event = attachment.event(ANSWERED).expect("it discovers something");
    assert_eq!(event["event"], "discovered", "{event:#}");
    let changes = event["changes"].as_array().expect("changes are listed");
    let number = |value: &Value| value.as_u64().map_or_else(|| "-".to_owned(), |ms| (ms / 1000).to_string());
    let line = |change: &Value| {
        format!(
            "{} {} {}",
            change["hop"].as_str().expect("a name"),
            number(&change["from_ms"]),
            number(&change["to_ms"])
        )
    };
    changes.iter().map(line).collect()
}

#[test]
fn answers_come_into_force_and_stay() {
    let (fake, cgroup) = (Fake::start(), Cgroup::new("discover"));
    let (injector, _script) = injector(&fake);
    let mut attachment = attach(&injector, &cgroup);
    let expected =
        ["eni-0a1b2c3d4e5f60001 - 1800", "eni-0a1b2c3d4e5f60002 - 350", "nlb-db-443 - 350", "nlb-db-5432 - 1800"];
    assert_eq!(discovered(&mut attachment), expected);
    assert_eq!(fresh(&cgroup), Keepalive::on(1234, 154, 9));

    fake.answer(Call::Interfaces, Answer::Http(200, SIXTY));
    assert_eq!(discovered(&mut attachment), ["eni-0a1b2c3d4e5f60001 1800 60"]);
    assert_eq!(fresh(&cgroup), Keepalive::on(41, 5, 9));
    assert_eq!(attachment.generations().len(), 1);

    fake.answer(Call::Interfaces, Answer::Http(403, DENIED));
    attachment.says(REFUSED);
    assert_eq!(fresh(&cgroup), Keepalive::on(41, 5, 9));
    let reported = attachment.stderr().matches(REFUSED).count();
    assert_eq!(reported, 1, "once is enough: {}", attachment.stderr());
}

#[test]
fn nothing_waits_for_an_answer() {
    let (fake, cgroup) = (Fake::start(), Cgroup::new("hang"));
    fake.answer(Call::Token, Answer::Nothing);
    let (injector, _script) = injector(&fake);
    let attachment = attach(&injector, &cgroup);
    assert_eq!(fresh(&cgroup), Keepalive::on(617, 77, 9));
    assert!(!attachment.stderr().contains("imds"), "{}", attachment.stderr());
    attachment.says("no interfaces are known: flows without a hop use --timeout");
}

#[test]
fn detached_programs_keep_discovered_hops() {
    let (fake, cgroup) = (Fake::start(), Cgroup::new("left"));
    let (injector, _script) = injector(&fake);
    let _attachment = injector.attach_detached(&cgroup, &["--discover", "aws"]);
    assert_eq!(fresh(&cgroup), Keepalive::on(1234, 154, 9));
}

#[test]
fn the_file_says_how_often_to_ask() {
    let (fake, cgroup) = (Fake::start(), Cgroup::new("by-file"));
    let (injector, _script) = injector(&fake);
    let (file, _directory) = configuration("discover = \"aws\"\ndiscover_interval = \"1s\"\n");
    let mut attachment = injector.attach(&cgroup, &["--config", &file, "-o", "jsonl"]);
    assert_eq!(discovered(&mut attachment).len(), 4);
    fake.answer(Call::Interfaces, Answer::Http(200, SIXTY));
    assert_eq!(discovered(&mut attachment), ["eni-0a1b2c3d4e5f60001 1800 60"]);
    let arguments = ["attach", "--cgroup", "/", "--config", &file, "--discover", "none", "--discover-interval", "1m"];
    let refused = injector.run(&arguments);
    assert!(refused.stderr.contains("--discover-interval is 60s: it needs --discover aws"), "{refused:?}");
}
