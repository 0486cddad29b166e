//! The benchmarks. `cargo xtask bench` runs this.
//!
//! Alternatives are measured by turns, round after round, and compared within each round: what else goes on on the
//! machine hits all of them alike.

use std::{
    fs,
    io::{self, Write as _},
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use crate::{
    lab::Effort,
    machine::Machine,
    report::{Measure, Report, Target},
};

mod accuracy;
mod bpftune;
mod calls;
mod capture;
mod connect;
mod datapath;
mod document;
mod footprint;
mod lab;
mod machine;
mod plot;
mod report;
mod rescue;
mod scan;
mod statistics;
mod timed;

#[derive(Debug, Parser)]
struct Args {
    /// Where results go.
    #[arg(long)]
    out: PathBuf,
    /// Also put what is in there into this document, plots beside it.
    #[arg(long)]
    record: Option<PathBuf>,
    /// A few small rounds.
    #[arg(long)]
    quick: bool,
    /// Which ones; all by default.
    names: Vec<String>,
}

type Run = fn(Effort) -> (Vec<Measure>, Vec<Target>);

struct Benchmark {
    name: &'static str,
    /// How it measures.
    about: &'static str,
    /// What limits the figures, where that was investigated.
    limits: Option<&'static str>,
    run: Run,
}

const BENCHMARKS: [Benchmark; 6] = [
    Benchmark { name: "datapath", about: datapath::ABOUT, limits: Some(datapath::LIMITS), run: datapath::run },
    Benchmark { name: "connect", about: connect::ABOUT, limits: Some(connect::LIMITS), run: connect::run },
    Benchmark { name: "scan", about: scan::ABOUT, limits: Some(scan::LIMITS), run: scan::run },
    Benchmark { name: "footprint", about: footprint::ABOUT, limits: Some(footprint::LIMITS), run: footprint::run },
    Benchmark { name: "accuracy", about: accuracy::ABOUT, limits: None, run: accuracy::run },
    Benchmark { name: "rescue", about: rescue::ABOUT, limits: None, run: rescue::run },
];

fn main() -> ExitCode {
    let Err(error) = run(&Args::parse()) else { return ExitCode::SUCCESS };
    say(format_args!("bench: {error:#}"));
    ExitCode::FAILURE
}

fn run(args: &Args) -> Result<()> {
    // Ctrl-C ends the programs that are measured, which the harness reports by a panic: its guards clean up.
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    fs::create_dir_all(&args.out).with_context(|| format!("making {}", args.out.display()))?;
    let known = BENCHMARKS.map(|benchmark| benchmark.name);
    for name in &args.names {
        anyhow::ensure!(known.contains(&name.as_str()), "no benchmark {name}: there are {}", known.join(", "));
    }
    for benchmark in BENCHMARKS {
        if args.names.is_empty() || args.names.iter().any(|wanted| wanted == benchmark.name) {
            let report = measured(&benchmark, Effort { is_quick: args.quick })?;
            say(document::text(&report));
            write(&args.out, &report)?;
        }
    }
    args.record.as_deref().map_or(Ok(()), |record| document::record(record, &args.out, &known))
}

fn measured(benchmark: &Benchmark, effort: Effort) -> Result<Report> {
    let Benchmark { name, about, limits, run } = benchmark;
    let machine = Machine::here();
    say(format_args!("{name}: {machine}"));
    let found = panic::catch_unwind(AssertUnwindSafe(|| run(effort)));
    let (measures, targets) =
        found.map_err(|_| anyhow!("{name} did not complete, see above; everything is cleaned up"))?;
    Ok(Report {
        schema: "injector.bench/v1".to_owned(),
        name: (*name).to_owned(),
        about: (*about).to_owned(),
        machine,
        is_quick: effort.is_quick,
        measures,
        targets,
        limits: limits.map(str::to_owned),
    })
}

fn write(out: &Path, report: &Report) -> Result<()> {
    let files = [("json", serde_json::to_string_pretty(report)?), ("svg", plot::svg(report))];
    for (extension, text) in files {
        let path = out.join(&report.name).with_extension(extension);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// To stdout, at once.
fn say(part: impl std::fmt::Display) {
    // A closed stdout leaves nowhere to report it.
    let _ = writeln!(io::stdout().lock(), "{part}");
}
