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

/// What `/proc` counts processor time in: `USER_HZ` of `include/asm-generic/param.h` is 100.
const TICK_MS: f64 = 10.0;

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
    let path = format!("/proc/{}/schedstat", child.id());
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {path}: {error}"));
    let nanoseconds: f64 = text.split(' ').next().and_then(|first| first.parse().ok()).expect("its first figure");
    nanoseconds / 1e6
}

/// Processor time of a process so far, over its threads, those that have ended included; to the hundredth of a second.
pub(crate) fn process_cpu_ms(pid: u32) -> f64 {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {path}: {error}"));
    // The name before may hold anything, a parenthesis too. `utime` and `stime` of proc_pid_stat(5) are fields 14 and 15.
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks: f64 = fields.map(|field| field.parse::<f64>().expect("a number")).sum();
    ticks * TICK_MS
}
