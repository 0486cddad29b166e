//! `cargo xtask vm`: what injector does on old and new kernels, each booted under qemu.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};

use crate::{say, setup};

mod archive;
mod image;
mod kernels;
mod machine;
mod report;
mod table;

use kernels::{KERNELS, Kernel};
use report::Report;

/// Boot Debian's kernels under qemu and try each feature on them (2 minutes once all is built).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The kernels to try; all of them when none is named.
    #[arg(value_name = "KERNEL", value_parser = KERNELS.map(|kernel| kernel.name))]
    kernels: Vec<String>,
    /// Fetch the kernels again: Debian may have newer builds of them.
    #[arg(long)]
    refresh: bool,
}

/// Guests that run side by side: each waits for most of its time.
const AT_A_TIME: usize = 2;

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(cfg!(target_arch = "x86_64"), "the kernels are those for x86-64, and so has to be this machine");
    let started = Instant::now();
    setup::machines()?;
    let directory = kernels::directory();
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    let chosen: Vec<&'static Kernel> = KERNELS.iter().filter(|kernel| is_chosen(kernel, args)).collect();
    let images = chosen.iter().map(|kernel| kernels::image(kernel, args.refresh)).collect::<Result<Vec<PathBuf>>>()?;
    let initramfs = image::build()?;
    let machines: Vec<(&'static Kernel, PathBuf)> = chosen.into_iter().zip(images).collect();
    let mut reports = Vec::new();
    for group in machines.chunks(AT_A_TIME) {
        reports.extend(side_by_side(group, &initramfs)?);
    }
    print(&reports)?;
    say::info(format_args!(
        "all is as it should be on {} kernels, after {} s",
        reports.len(),
        started.elapsed().as_secs()
    ));
    Ok(())
}

fn is_chosen(kernel: &Kernel, args: &Args) -> bool {
    args.kernels.is_empty() || args.kernels.iter().any(|name| name == kernel.name)
}

fn side_by_side(group: &[(&'static Kernel, PathBuf)], initramfs: &Path) -> Result<Vec<Report>> {
    thread::scope(|scope| {
        let guests: Vec<_> =
            group.iter().map(|(kernel, image)| scope.spawn(|| try_on(kernel, image, initramfs))).collect();
        guests.into_iter().map(|guest| guest.join().expect("all that goes wrong there is a result")).collect()
    })
}

fn try_on(kernel: &'static Kernel, image: &Path, initramfs: &Path) -> Result<Report> {
    say::info(format_args!("booting kernel {}", kernel.name));
    let console = machine::console(image, initramfs, &log(kernel))?;
    Ok(Report::parse(kernel, &console))
}

/// Where a guest's console is kept.
fn log(kernel: &Kernel) -> PathBuf {
    kernels::directory().join(format!("{}.log", kernel.name))
}

/// Prints and keeps the table. Errors with what is not as it should be.
fn print(reports: &[Report]) -> Result<()> {
    let table = table::markdown(reports);
    let path = kernels::directory().join("features.md");
    fs::write(&path, &table).with_context(|| format!("writing {}", path.display()))?;
    say::result(&table)?;
    let mut problems = Vec::new();
    for report in reports {
        let found = report.problems();
        problems.extend(found.iter().map(|problem| format!("\n  {}: {problem}", report.kernel.name)));
        if !found.is_empty() {
            problems.push(format!("\n  {}: all it said is in {}", report.kernel.name, log(report.kernel).display()));
        }
    }
    ensure!(problems.is_empty(), "not as it should be:{}", problems.concat());
    Ok(())
}
