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
use rustix::system::uname;
use scenarios::{SCENARIOS, Scenario};

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
    // Tells a run to the end from one that was cut short.
    say("FEATURES end");
}

fn run(doctor: &Doctor, scenario: &Scenario) -> Outcome {
    if let Some(why) = doctor.lacks(scenario.needs) {
        return Outcome::Unsupported(why);
    }
    match catch_unwind(AssertUnwindSafe(scenario.run)) {
        Ok(()) => Outcome::Ok,
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
