//! `doctor`: checks this host, and reports how to fix what is missing.

mod checks;
mod features;

use serde::Serialize;

use crate::{
    bpf::{self, Foreign},
    cli::Doctor,
    error::Code,
    host::cgroup::Cgroup,
    output::{self, Format, Table},
};

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Check {
    what: String,
    ok: bool,
    /// Whether nothing works without it.
    required: bool,
    /// What was found, or what to do.
    detail: String,
}

impl Check {
    fn ok(what: &str, detail: String) -> Self {
        Self { what: what.to_owned(), ok: true, required: true, detail }
    }

    fn missing(what: &str, detail: String) -> Self {
        Self { what: what.to_owned(), ok: false, required: true, detail }
    }

    const fn mark(&self) -> &'static str {
        match (self.ok, self.required) {
            (true, _) => "ok",
            (false, true) => "MISSING",
            (false, false) => "no",
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    /// Whether everything required is present.
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

/// Runs all checks, even after one has failed.
pub(super) fn run(args: &Doctor) -> anyhow::Result<Code> {
    let cgroup = Cgroup::open(&args.cgroup);
    let mut checks = checks::all();
    checks.push(checks::cgroup(&cgroup));
    checks.extend(cgroup.iter().flat_map(checks::hooks));
    let has_programs = checks.iter().any(|check| check.what == "programs" && check.ok);
    checks.extend(features::all(has_programs));
    let foreign = cgroup.and_then(|cgroup| bpf::foreign_programs(cgroup.path())).ok();
    let report = Report {
        schema: "injector.doctor/v1",
        ok: checks.iter().all(|check| check.ok || !check.required),
        checks,
        foreign_programs: foreign.map(|programs| programs.into_iter().map(Into::into).collect()),
    };
    match args.output {
        Format::Json => output::json_document(&report)?,
        Format::Table => output::lines(&text(&report))?,
    }
    Ok(if report.ok { Code::Ok } else { Code::Findings })
}

impl From<Foreign> for ForeignProgram {
    fn from(foreign: Foreign) -> Self {
        let Foreign { cgroup, hook, id, name } = foreign;
        Self { cgroup, hook, id, name }
    }
}

fn text(report: &Report) -> String {
    let columns = output::stdout::columns();
    let mut checks = Table::new(["CHECK", "", "DETAIL"]);
    for check in &report.checks {
        checks.row([check.what.clone(), check.mark().to_owned(), check.detail.clone()]);
    }
    let checks = checks.within(columns);
    let Some(programs) = &report.foreign_programs else {
        return format!("{checks}\n\nother BPF programs on the path: unknown, as they can't be listed");
    };
    if programs.is_empty() {
        return format!("{checks}\n\nno other BPF programs on the path");
    }
    let mut foreign = Table::new(["OTHER PROGRAMS", "HOOK", "ID", "PROGRAM"]);
    for program in programs {
        foreign.row([program.cgroup.clone(), program.hook.to_owned(), program.id.to_string(), program.name.clone()]);
    }
    format!("{checks}\n\n{}", foreign.within(columns))
}
