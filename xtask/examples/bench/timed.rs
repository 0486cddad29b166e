//! How long a command takes, and how much processor time.

use std::{
    fs::{self, File},
    os::fd::AsFd as _,
    process::{Child, Command, Stdio},
    time::Instant,
};

use injector_tests::Netns;
use rustix::{
    process::{Pid, WaitId, WaitIdOptions, waitid},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

/// Milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) wall_ms: f64,
    pub(crate) cpu_ms: f64,
}

/// Moves this thread, and what it starts from now on, into a network namespace: no wrapper's time is measured with the
/// command's.
pub(crate) fn enter(netns: &Netns) {
    let file = File::open(netns.path()).expect("the guard keeps its namespace");
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may change its namespaces");
}

/// Runs a command to its end, its output thrown away.
pub(crate) fn run(command: &[&str]) -> Times {
    let started = Instant::now();
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run `{}`: {error}; `cargo xtask bench` installs it", command[0]));
    // Not reaped yet, so the kernel still has its account.
    let ended = waitid(WaitId::Pid(Pid::from_child(&child)), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    ended.expect("our own child can be waited for");
    let wall_ms = started.elapsed().as_secs_f64() * 1000.0;
    let cpu_ms = cpu_ms(&child);
    let status = child.wait().expect("our own child can be waited for");
    assert!(status.success(), "`{}` failed: {status}", command.join(" "));
    Times { wall_ms, cpu_ms }
}

/// Processor time of a child that has one thread, to the nanosecond.
fn cpu_ms(child: &Child) -> f64 {
    of_thread(&format!("/proc/{}/schedstat", child.id()))
}

/// Processor time of a process so far, over its threads.
pub(crate) fn process_cpu_ms(pid: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    threads.flatten().map(|thread| of_thread(&thread.path().join("schedstat").to_string_lossy())).sum()
}

fn of_thread(path: &str) -> f64 {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("reading {path}: {error}"));
    let nanoseconds: f64 = text.split(' ').next().and_then(|first| first.parse().ok()).expect("its first figure");
    nanoseconds / 1e6
}
