//! What injector does on the kernel this runs on: a line a feature.
//!
//! `cargo xtask vm` boots kernels with it. It is static and brings its own sockets, since there is nothing beside it but
//! the `injector` binary and busybox. A feature that the kernel can't offer is one that `injector doctor` names; all
//! others have to work.

#![forbid(unsafe_code)]

use std::io::{Write as _, stdout};
use std::panic::{AssertUnwindSafe, catch_unwind};

mod doctor;
mod scenarios;
mod scene;
mod socket;

use doctor::Doctor;
use injector_tests::pins;
use rustix::system::uname;
use scenarios::{SCENARIOS, Scenario};
use scene::{Scene, UNSUPPORTED};

/// How a scenario ended, with the reason.
enum Outcome {
    Ok,
    Failed(String),
    Unsupported(String),
}

fn main() {
    say(&format!("KERNEL {}", uname().release().to_string_lossy()));
    let doctor = Doctor::ask();
    for scenario in SCENARIOS {
        let (outcome, why) = match run(&doctor, scenario) {
            Outcome::Ok => ("ok", String::new()),
            Outcome::Failed(why) => ("failed", why),
            Outcome::Unsupported(why) => ("unsupported", why),
        };
        say(&format!("FEATURE\t{}\t{outcome}\t{}", scenario.feature, why.replace(['\n', '\t'], " ")));
    }
    // Distinguishes a complete run from one that was cut short.
    say("FEATURES end");
}

fn run(doctor: &Doctor, scenario: &Scenario) -> Outcome {
    let Some(why) = doctor.lacks(scenario.needs) else { return attempt(scenario.run, Outcome::Ok) };
    let option = scenario.option;
    attempt(|| option.iter().for_each(refused), Outcome::Unsupported(why))
}

/// What can't be had is refused by name, and leaves nothing behind.
fn refused(option: &[&str; 2]) {
    let scene = Scene::new();
    let arguments = [&["attach", "--detach", "--cgroup", scene.cgroup.path_text()], &option[..]].concat();
    let output = scene.injector.run(&arguments);
    assert_eq!(output.code, UNSUPPORTED, "{output:?}");
    assert!(output.stderr.contains(option[0]), "{}", output.stderr);
    assert_eq!(pins(&scene.cgroup.attachment_name()), None);
}

/// `outcome`, or why it can't be.
fn attempt(attempt: impl FnOnce(), outcome: Outcome) -> Outcome {
    match catch_unwind(AssertUnwindSafe(attempt)) {
        Ok(()) => outcome,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
            Outcome::Failed(text.unwrap_or("a panic without a message").to_owned())
        }
    }
}

fn say(line: &str) {
    let mut out = stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the console takes what we write");
}
