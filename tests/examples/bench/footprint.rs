//! What injector takes while nothing happens.

use std::{
    fs, iter, thread,
    time::{Duration, Instant},
};

use injector_tests::{Cgroup, Injector, Netns, Place, Process};

use crate::{
    bpftune::Bpftune,
    lab::{self, Effort},
    report::{Measure, Target},
    timed,
};

pub(crate) const ABOUT: &str = "Resident memory and processor time of `injector attach` over idle connections, beside a shell that runs `ss -tno` every \
     5 s, and bpftune (<https://github.com/oracle/bpftune>) where it is on the PATH and the kernel lets it run. Kernel memory is what the \
     general caches hand out for the same number of connections with and without injector: one object for injector's record, and one for \
     the kernel's own head of a socket's storage (struct bpf_local_storage). The time to attach ends with the first line of output.";

pub(crate) const LIMITS: &str = "a flow takes two objects from the slab of 192 B. One is the record: 64 B of `struct bpf_local_storage_elem`, 8 B \
     that lead to the map, and 112 B of ours. The other is `struct bpf_local_storage`, 176 B, which the kernel allocates with the first \
     storage of a socket, whichever program stores there: with it no record is small enough for 200 B. The processor time is that of scans, one \
     whenever a flow could pass its mark by being idle alone: with probes after 240 s and the mark at 280 s, 40 s apart or more. So the \
     minute that is measured has one scan of 100,000 flows (some 55 ms, 0.09%), or none.";

/// Connections whose kernel memory is compared.
const COMPARED: usize = 5000;

pub(crate) fn run(effort: Effort) -> (Vec<Measure>, Vec<Target>) {
    let agent = agent(effort.amount(50_000), Duration::from_secs(if effort.is_quick { 6 } else { 60 }));
    let (attach, kernel) = (attach_ms(effort), kernel_bytes(effort.amount(COMPARED), effort));
    let targets = vec![
        Target::at_most("agent below 25 MiB", 25.0, agent[0].of("injector").spread),
        Target::at_most("agent below 0.1% of a processor", 0.1, agent[1].of("injector").spread),
        Target::at_most("kernel memory at most 200 B a flow", 200.0, kernel.of("injector").spread),
        Target::at_most("attached within 150 ms", 150.0, attach.of("injector").spread),
    ];
    (agent.into_iter().chain([kernel, attach]).collect(), targets)
}

/// Memory in MiB, and processor time in percent.
fn agent(connections: usize, watched: Duration) -> [Measure; 2] {
    let (netns, cgroup, others) = (Netns::new("footprint"), Cgroup::new("footprint"), Cgroup::new("poll"));
    let mut attachment = Injector::find().attach(&cgroup, &[]);
    let _holder = lab::hold(&netns, &cgroup, connections);
    let poll = ["-c", "while :; do ss -tno > /dev/null; sleep 5; done"];
    let _poll = Process::spawn(Place::cgroup(&others).on(&netns), "sh", &poll);
    let bpftune = Bpftune::start(&netns);
    let pids: Vec<_> = iter::once(("injector", attachment.pid()))
        .chain(bpftune.iter().map(|bpftune| ("bpftune", bpftune.pid())))
        .collect();
    let cpu_ms = || -> Vec<(&str, f64)> {
        let agents = pids.iter().map(|(name, pid)| (*name, timed::process_cpu_ms(*pid)));
        agents.chain([("ss -tno every 5 s", cgroup_cpu_ms(&others))]).collect()
    };
    let (before, started) = (cpu_ms(), Instant::now());
    thread::sleep(watched);
    let percent = |from: f64, to: f64| (to - from) / started.elapsed().as_secs_f64() / 10.0;
    let shares =
        before.iter().zip(cpu_ms()).map(|((name, from), (_, to))| ((*name).to_owned(), vec![percent(*from, to)]));
    let resident = pids.iter().map(|(name, pid)| ((*name).to_owned(), vec![resident_mib(*pid)]));
    let flows = connections * 2;
    assert_eq!(attachment.line(Duration::ZERO), None, "nothing is at risk");
    let note = match &bpftune {
        Ok(bpftune) => {
            format!("{}, started when the connections were there", bpftune.version())
        }
        Err(reason) => format!("Without bpftune: {reason}"),
    };
    [
        Measure::new(format!("resident memory with {flows} idle flows"), "MiB", resident.collect()).noted(note),
        Measure::new(format!("processor time with {flows} idle flows"), "% of one", shares.collect()),
    ]
}

fn resident_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: f64 = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).expect("it has memory");
    kib / 1024.0
}

fn cgroup_cpu_ms(cgroup: &Cgroup) -> f64 {
    let stat = fs::read_to_string(cgroup.path().join("cpu.stat")).expect("the guard keeps its cgroup");
    let microseconds = stat.lines().find_map(|line| line.strip_prefix("usage_usec ")?.parse::<f64>().ok());
    microseconds.expect("cgroup v2 counts processor time") / 1000.0
}

fn attach_ms(effort: Effort) -> Measure {
    let (cgroup, injector) = (Cgroup::new("attach"), Injector::find());
    let times = (0..effort.rounds()).map(|_| {
        let started = Instant::now();
        let _attachment = injector.attach(&cgroup, &[]);
        started.elapsed().as_secs_f64() * 1000.0
    });
    Measure::new("time to attach", "ms", vec![("injector".to_owned(), times.collect())])
}

/// The difference that injector makes, flow by flow.
fn kernel_bytes(connections: usize, effort: Effort) -> Measure {
    let cgroup = Cgroup::new("memory");
    let samples = (0..effort.rounds()).map(|_| {
        let without = slab_growth(&cgroup, connections);
        let _attachment = Injector::find().attach_detached(&cgroup, &[]);
        let with = slab_growth(&cgroup, connections);
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let flows = (connections * 2) as f64;
        (with - without) / flows
    });
    Measure::new("kernel memory per flow", "B", vec![("injector".to_owned(), samples.collect())])
}

/// How much more the general caches have handed out once the connections are there.
fn slab_growth(cgroup: &Cgroup, connections: usize) -> f64 {
    let netns = Netns::new("memory");
    let before = slab_bytes();
    let holder = lab::hold(&netns, cgroup, connections);
    let after = slab_bytes();
    drop(holder);
    after - before
}

/// Bytes in objects of the caches that `kmalloc` takes from. Sockets and files have caches of their own.
fn slab_bytes() -> f64 {
    let slabs = fs::read_to_string("/proc/slabinfo").expect("root may read it");
    let caches = slabs.lines().filter(|line| line.starts_with("kmalloc"));
    caches
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1).map(|field| field.parse::<f64>().ok());
            let (objects, _, size) = (fields.next()??, fields.next()??, fields.next()??);
            Some(objects * size)
        })
        .sum()
}
