//! Foreign programs on the hooks that ours go to: whether the kernel accepts ours beside them, and whether they would
//! still run. Linux 6.18, `kernel/bpf/cgroup.c`: a program on a cgroup is attached alone (no flags), alone until one
//! below replaces it (`BPF_F_ALLOW_OVERRIDE`), or beside others (`BPF_F_ALLOW_MULTI`, as each link is). A cgroup runs
//! the programs on it and on those above that allow others; a replaced one no longer runs (`compute_effective_progs`),
//! and the kernel does not report that.

use std::{io, os::fd::AsFd as _, path::PathBuf};

use anyhow::Context as _;
use aya::programs::loaded_programs;
use aya_obj::generated::{BPF_F_ALLOW_MULTI, BPF_F_ALLOW_OVERRIDE};

use super::{
    guard,
    hook::{self, Hook},
    sys::{self, MAX_PROGRAMS},
};
use crate::{
    error::Error,
    host::cgroup::{self, Cgroup},
    rules::Rules,
};

/// What is on one hook of a cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Level {
    /// The cgroup.
    pub(super) cgroup: PathBuf,
    /// How they admit others.
    pub(super) flags: u32,
    /// Ids of the programs.
    pub(super) programs: Vec<u32>,
}

/// Why ours can't go there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle<'a> {
    /// The hook has as many programs as it can have.
    Full(&'a Level),
    /// The program on it admits none beside or below it.
    Exclusive(&'a Level),
    /// The program on it would no longer run below.
    Displaced(&'a Level),
}

/// Checks that links can be made on these hooks of `cgroup`, and that nothing of others stops running by it.
///
/// Errors with [`Error::Neighbour`].
pub(super) fn check(cgroup: &Cgroup, hooks: &[&Hook], rules: &Rules) -> anyhow::Result<()> {
    for hook in hooks {
        let levels = levels(cgroup, hook)?;
        if let Some(obstacle) = obstacle(&levels) {
            return Err(guard::refused(hook.program, explained(obstacle, hook).into()));
        }
        if hook.is_systemds() && !rules.tracks_regardless {
            check_unit(cgroup, hook)?;
        }
    }
    Ok(())
}

/// The obstacle on each hook of `cgroup` that a program of ours may go to.
pub(crate) fn hooks(cgroup: &Cgroup) -> Vec<(&'static str, anyhow::Result<()>)> {
    let check = |hook: &Hook| {
        let levels = levels(cgroup, hook)?;
        obstacle(&levels).map_or(Ok(()), |obstacle| Err(explained(obstacle, hook)))?;
        if hook.is_systemds() { check_unit(cgroup, hook) } else { Ok(()) }
    };
    hook::all().map(|hook| (hook.name(), check(hook))).collect()
}

/// systemd attaches the firewall of a unit (`IPAddressDeny=` and the like) alone, unless the unit delegates its cgroup or
/// is a slice (`bpf_firewall_install()` in src/core/bpf-firewall.c). With ours there it gets EPERM, or does not run below,
/// and the unit runs without its firewall.
fn check_unit(cgroup: &Cgroup, hook: &Hook) -> anyhow::Result<()> {
    let Some(unit) = cgroup::undelegated(cgroup.path())? else { return Ok(()) };
    let why = "systemd keeps it for the unit's own firewall (IPAddressDeny=), which would fail to start beside a \
               program of ours, and the unit would run without it"
        .to_owned();
    let cure = "attach to the slice above, set Delegate=yes for the unit, or request it explicitly: \
                --track packets-regardless"
        .to_owned();
    Err(Error::Neighbour { hook: hook.name(), cgroup: unit, why, cure }.into())
}

/// The hook of the cgroup, and of each above it, from there up.
fn levels(cgroup: &Cgroup, hook: &Hook) -> anyhow::Result<Vec<Level>> {
    let level = |cgroup: &Cgroup| -> io::Result<Level> {
        let (programs, flags) = sys::attached_programs(cgroup.as_fd(), hook.attach_type)?;
        Ok(Level { cgroup: cgroup.path().to_owned(), flags, programs })
    };
    let what = || format!("reading which programs are on the {} hook", hook.name());
    let mut levels = vec![level(cgroup).with_context(what)?];
    for above in cgroup.path().ancestors().skip(1) {
        levels.push(level(&Cgroup::open(above)?).with_context(what)?);
    }
    Ok(levels)
}

/// Only the nearest cgroup that has programs matters: it has already decided which of those above it run.
fn obstacle(levels: &[Level]) -> Option<Obstacle<'_>> {
    let nearest = levels.iter().position(|level| !level.programs.is_empty())?;
    let level = &levels[nearest];
    let is_here = nearest == 0;
    if level.flags & BPF_F_ALLOW_MULTI != 0 {
        let is_full = is_here && level.programs.len() >= MAX_PROGRAMS as usize;
        return is_full.then_some(Obstacle::Full(level));
    }
    if is_here || level.flags & BPF_F_ALLOW_OVERRIDE == 0 {
        return Some(Obstacle::Exclusive(level));
    }
    Some(Obstacle::Displaced(level))
}

fn explained(obstacle: Obstacle<'_>, hook: &Hook) -> Error {
    let (level, why, cure) = match obstacle {
        Obstacle::Full(level) => {
            let why = format!("{MAX_PROGRAMS} programs are on it already, as many as the kernel allows");
            (level, why, "take one of them off".to_owned())
        }
        Obstacle::Exclusive(level) => {
            let why = format!("{} allows no other beside or below it", programs(level));
            (level, why, "have it attached with BPF_F_ALLOW_MULTI (`bpftool cgroup attach ... multi`)".to_owned())
        }
        Obstacle::Displaced(level) => {
            let why = format!(
                "{} was attached with BPF_F_ALLOW_OVERRIDE, and would no longer run for what is below",
                programs(level)
            );
            (level, why, "have it attached with BPF_F_ALLOW_MULTI (`bpftool cgroup attach ... multi`)".to_owned())
        }
    };
    Error::Neighbour { hook: hook.name(), cgroup: level.cgroup.clone(), why, cure }
}

/// Names and ids. One that has gone meanwhile has no name.
fn programs(level: &Level) -> String {
    let name = |id: u32| {
        let program = loaded_programs().flatten().find(|program| program.id() == id);
        program.and_then(|program| program.name_as_str().map(str::to_owned)).unwrap_or_default()
    };
    let named = level.programs.iter().map(|&id| format!("{:?} (id {id})", name(id)));
    format!("the program {}", named.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(flags: u32, programs: usize) -> Level {
        Level { flags, programs: vec![1; programs], ..Level::default() }
    }

    #[test]
    fn the_nearest_programs_decide() {
        let none = || level(0, 0);
        // Flags outlive the programs that they were for.
        let left = || level(BPF_F_ALLOW_OVERRIDE, 0);
        let alone = || level(0, 1);
        let replaceable = || level(BPF_F_ALLOW_OVERRIDE, 1);
        let among = |count| level(BPF_F_ALLOW_MULTI, count);
        for (levels, expected) in [
            (vec![none(), left(), none()], "none"),
            (vec![among(1), none()], "none"),
            (vec![among(63), replaceable()], "none"),
            (vec![among(64), none()], "full"),
            (vec![none(), among(64)], "none"),
            (vec![alone(), none()], "exclusive"),
            (vec![replaceable(), none()], "exclusive"),
            (vec![none(), alone()], "exclusive"),
            (vec![none(), none(), replaceable()], "displaced"),
            (vec![left(), replaceable(), alone()], "displaced"),
            (vec![none(), among(1), replaceable()], "none"),
            (vec![none(), among(1), alone()], "none"),
        ] {
            let found = match obstacle(&levels) {
                None => "none",
                Some(Obstacle::Full(_)) => "full",
                Some(Obstacle::Exclusive(_)) => "exclusive",
                Some(Obstacle::Displaced(_)) => "displaced",
            };
            assert_eq!(found, expected, "{levels:?}");
        }
    }
}
