//! What it costs to look through many flows.

use std::thread;

use injector_tests::{Cgroup, Injector, Netns};

use crate::{
    lab::{self, Effort},
    report::{Measure, Target},
    timed::{self, Times},
};

pub(crate) const ABOUT: &str = "Connections over loopback that say nothing, both ends of them flows. `flows --at-risk` looks for flows near their \
     limit, and finds none; `flows` lists all, with their processes. The others list all, to be searched by another program. Output \
     goes to /dev/null. conntrack has one entry for both ends.";

pub(crate) const LIMITS: &str = "memory. The kernel follows a list from the entry of a flow to its socket's storage and on to the socket: a cache \
     miss each, one after the other, and then the program's own. Without reading ahead, samples by the clock of a scan of 100,000 flows \
     (`perf record -e cpu-clock` on Linux 6.18; this machine has no hardware counters) found 59% at these three, and it took 1.4 times as \
     long. Now 4% are left there, 35% are in `copy_from_kernel_nofault`, which fetches for the flows to come, and 47% in our program, a third \
     of that at its first access to lines of the socket that were not fetched before. Fetching more of them was tried: each read costs what \
     it saves.";

const SIZES: [usize; 5] = [1000, 10_000, 100_000, 200_000, 500_000];
/// What the kernel takes for a flow, and room to spare.
const KIB_PER_FLOW: usize = 12;
/// A list of more takes many seconds, as the kernel starts over for each page of it.
const MOST_LISTED: usize = 10_000;
const AT_RISK: &str = "injector flows --at-risk";
const TERSE: &str = "ss -tno";
const VERBOSE: &str = "ss -tnio";

pub(crate) fn run(effort: Effort) -> (Vec<Measure>, Vec<Target>) {
    let most = if effort.is_quick { 10_000 } else { lab::available_kib() / KIB_PER_FLOW };
    let sizes = SIZES.into_iter().filter(|size| *size <= most);
    let found: Vec<_> = sizes.map(|size| at(size, effort)).collect();
    let targets = judge(&found);
    (found.into_iter().flat_map(|(_, wall, cpu)| [wall, cpu]).collect(), targets)
}

/// Time and processor time among so many flows.
fn at(size: usize, effort: Effort) -> (usize, Measure, Measure) {
    let (netns, cgroup, injector) = (Netns::new("scan"), Cgroup::new("scan"), Injector::find());
    netns.nft("table inet track { chain input { type filter hook input priority 0; ct state established accept; }; }");
    // So long that no socket probes meanwhile: all sockets of a burst probe at the same moment.
    let attachment = injector.attach_detached(&cgroup, &["--timeout", "2h"]);
    let _holders = lab::hold(&netns, &cgroup, size / 2);
    let flows = [injector.binary(), "flows", "--name", attachment.name(), "-o", "jsonl"];
    let mut commands: Vec<(&str, Vec<&str>)> = vec![
        (AT_RISK, [&flows[..], &["--at-risk"]].concat()),
        (TERSE, vec!["ss", "-tno"]),
        (VERBOSE, vec!["ss", "-tnio"]),
        ("conntrack -L", vec!["conntrack", "-L"]),
    ];
    if size <= MOST_LISTED {
        commands.push(("injector flows", flows.to_vec()));
    }
    let mut times: Vec<Vec<Times>> = commands.iter().map(|_| Vec::new()).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            timed::enter(&netns);
            for _ in 0..effort.rounds() {
                for index in lab::shuffled(commands.len()) {
                    times[index].push(timed::run(&commands[index].1));
                }
            }
        });
    });
    let series = |value: fn(&Times) -> f64| {
        commands
            .iter()
            .zip(&times)
            .map(|((name, _), times)| ((*name).to_owned(), times.iter().map(value).collect()))
            .collect()
    };
    let wall = Measure::new(format!("time among {size} flows"), "ms", series(|times| times.wall_ms));
    let cpu = Measure::new(format!("processor time among {size} flows"), "ms", series(|times| times.cpu_ms));
    (size, wall, cpu)
}

fn judge(found: &[(usize, Measure, Measure)]) -> Vec<Target> {
    let (Some((fewest, of_few, _)), Some((most, of_many, _))) = (found.first(), found.last()) else {
        return Vec::new();
    };
    let times_as_many = most / fewest;
    let growth = of_many.of(AT_RISK).spread.median / of_few.of(AT_RISK).spread.median;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let met = growth <= times_as_many as f64;
    vec![
        Target::at_least(
            &format!("at least 10 times faster than ss -tnio among {most} flows"),
            10.0,
            of_many.ratio(VERBOSE, AT_RISK),
        ),
        Target::at_least(
            &format!("at least 4 times faster than ss -tno among {most} flows"),
            4.0,
            of_many.ratio(TERSE, AT_RISK),
        ),
        Target {
            must: format!("at most linear: {times_as_many} times the flows"),
            found: format!("{growth:.1} times the time"),
            met,
        },
    ]
}
