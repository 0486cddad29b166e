//! The status page in a real browser, in front of an agent that is made up: 5,000 flows, and names with markup in them.

use std::{fs, path::Path, process::Command};

use agent::Agent;

mod agent;

/// What the page has made of the data, and what the browser complained about.
struct Shown {
    document: String,
    complaints: String,
}

/// Lets Chromium show the page for six seconds of its own time.
fn show(agent: &Agent) -> Shown {
    let profile = tempfile::tempdir().expect("a directory");
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=6000"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--dump-dom", &agent.url()])
        .output()
        .expect("chromium is there: `cargo xtask setup` installs it");
    let complaints = String::from_utf8_lossy(&output.stderr);
    Shown {
        document: String::from_utf8_lossy(&output.stdout).into_owned(),
        complaints: complaints.lines().filter(|line| line.contains("CONSOLE")).collect(),
    }
}

#[test]
#[ignore = "needs chromium: `cargo xtask test` runs it"]
fn the_page_shows_what_the_agent_says() {
    let agent = Agent::start();
    let Shown { document, complaints } = show(&agent);
    assert_eq!(complaints, "");
    let (_, main) = document.split_once("<main>").expect("a page");
    let main = main.split_once("</main>").expect("a whole page").0;
    for text in [
        "<b>4,100</b><span>protected</span>",
        "<b>400</b><span>at risk</span>",
        "<b>2,000</b><span>not covered</span>",
        "injector adopt --name kubepods",
        "limits: 350s",
        "≤ 350s",
        "the first 100",
        "shop/web-0 (app)",
        // Hostile names, as text.
        "&lt;img src=x onerror=alert(1)&gt;",
        "\\u{202e}",
    ] {
        assert!(main.contains(text), "no {text:?} in\n{main}");
    }
    assert_eq!(main.matches("<tr>").count(), 100, "rows");
    assert_eq!(main.matches("<img").count() + main.matches("<script").count(), 0, "markup in\n{main}");
    let left = main.split("data-name=\"Left\">").nth(1).and_then(|rest| rest.split('<').next());
    assert_eq!(left, Some("-10s"), "the one that is dead for the longest comes first");
}

#[test]
#[ignore = "needs chromium: `cargo xtask test` runs it"]
fn the_page_follows_without_being_loaded_again() {
    let agent = Agent::start();
    show(&agent);
    let asked = agent.asked();
    assert_eq!(asked.iter().filter(|path| *path == "/").count(), 1, "{asked:?}");
    assert!(asked.iter().filter(|path| *path == "/status").count() >= 2, "{asked:?}");
    assert!(asked.iter().any(|path| path == "/flows?at_risk=1&limit=100"), "{asked:?}");
}

/// Leaves `page-wide.png` and `page-narrow.png` in the target directory's `tmp`.
#[test]
#[ignore = "needs chromium: `cargo xtask test` runs it"]
fn it_can_be_looked_at() {
    let agent = Agent::start();
    let profile = tempfile::tempdir().expect("a directory");
    for (name, size) in [("wide", "1400,1000"), ("narrow", "390,1400")] {
        let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{name}.png"));
        let done = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=3000"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--window-size={size}"))
            .arg(format!("--screenshot={}", picture.display()))
            .arg(agent.url())
            .output()
            .expect("chromium is there: `cargo xtask setup` installs it");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert!(fs::metadata(&picture).expect("a picture").len() > 10_000, "{} is empty", picture.display());
    }
}
