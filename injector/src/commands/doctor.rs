//! `doctor`: what this host has, and what to do about what it lacks.

use serde::Serialize;

use crate::{
    bpf::{self, Foreign},
    cgroup::{self, Cgroup},
    cli::{Doctor, Format},
    exit::Code,
    output::{self, Table},
    pins::BPFFS,
    preflight::{self, NEEDS, Need},
};

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Check {
    what: String,
    ok: bool,
    /// What was found, or what to do.
    detail: String,
}

#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    ok: bool,
    checks: Vec<Check>,
    /// `null` where they can't be listed.
    foreign_programs: Option<Vec<ForeignProgram>>,
}

#[derive(Debug, Serialize)]
struct ForeignProgram {
    cgroup: String,
    hook: &'static str,
    id: u32,
    name: String,
}

/// Looks at everything, whatever fails on the way.
pub(super) fn run(args: &Doctor) -> anyhow::Result<Code> {
    let cgroup = Cgroup::open(&args.cgroup);
    let mut checks = vec![kernel(), btf(), cgroup_mount(), bpffs()];
    checks.extend(NEEDS.iter().map(capability));
    checks.push(programs());
    checks.push(match &cgroup {
        Ok(cgroup) => ok("cgroup", cgroup.path().display().to_string()),
        Err(error) => bad("cgroup", format!("{error:#}")),
    });
    let foreign = cgroup.and_then(|cgroup| bpf::foreign_programs(cgroup.path())).ok();
    let report = Report {
        schema: "injector.doctor/v1",
        ok: checks.iter().all(|check| check.ok),
        checks,
        foreign_programs: foreign.map(|programs| programs.into_iter().map(Into::into).collect()),
    };
    match args.output {
        Format::Json => output::json_document(&report)?,
        Format::Table => output::line(format_args!("{}", text(&report)))?,
    }
    Ok(if report.ok { Code::Ok } else { Code::Findings })
}

fn capability(need: &Need) -> Check {
    if need.is_met() {
        ok(need.name, format!("for {}", need.purpose))
    } else {
        bad(need.name, format!("needed for {}: grant it, or run injector as root", need.purpose))
    }
}

fn kernel() -> Check {
    let name = rustix::system::uname();
    ok("kernel", format!("{} {}", name.release().to_string_lossy(), name.machine().to_string_lossy()))
}

fn btf() -> Check {
    match bpf::offsets() {
        Ok(_) => ok("BTF", bpf::KERNEL_BTF.to_owned()),
        Err(error) => bad("BTF", format!("{error:#}")),
    }
}

fn cgroup_mount() -> Check {
    match cgroup::mount_point() {
        Ok(path) => ok("cgroup v2", path.display().to_string()),
        Err(error) => bad("cgroup v2", format!("{error:#}")),
    }
}

fn bpffs() -> Check {
    if preflight::has_bpffs() {
        ok("bpffs", BPFFS.to_owned())
    } else {
        // Attaching would mount it, so this is no reason to fail.
        ok("bpffs", format!("not mounted; `injector attach` mounts it at {BPFFS}"))
    }
}

/// Not guessed from the version: the programs are really loaded, and attached
/// to nothing.
fn programs() -> Check {
    preflight::lift_memory_limit();
    match bpf::probe() {
        Ok(()) => ok("programs", "the kernel loads sock_ops, socket storage and its iterator".to_owned()),
        Err(error) => bad("programs", format!("{error:#}")),
    }
}

fn ok(what: &str, detail: String) -> Check {
    Check { what: what.to_owned(), ok: true, detail }
}

fn bad(what: &str, detail: String) -> Check {
    Check { what: what.to_owned(), ok: false, detail }
}

impl From<Foreign> for ForeignProgram {
    fn from(foreign: Foreign) -> Self {
        let Foreign { cgroup, hook, id, name } = foreign;
        Self { cgroup, hook, id, name }
    }
}

fn text(report: &Report) -> String {
    let mut checks = Table::new(["CHECK", "", "DETAIL"]);
    for check in &report.checks {
        let mark = if check.ok { "ok" } else { "MISSING" };
        checks.row([check.what.clone(), mark.to_owned(), check.detail.clone()]);
    }
    let Some(programs) = &report.foreign_programs else {
        return format!("{checks}\n\nprograms of others on the way: unknown, as they can't be listed");
    };
    if programs.is_empty() {
        return format!("{checks}\n\nno programs of others on the way");
    }
    let mut foreign = Table::new(["OTHERS ON THE WAY", "HOOK", "ID", "PROGRAM"]);
    for program in programs {
        foreign.row([program.cgroup.clone(), program.hook.to_owned(), program.id.to_string(), program.name.clone()]);
    }
    format!("{checks}\n\n{foreign}")
}
