//! Optional features. Each is tried: programs are loaded, and attached to nothing.

use super::Check;
use crate::{
    attachment::adopt,
    bpf::{
        self,
        features::{self, ADOPTION, CONFLICTS, Feature, PACKETS},
    },
    rules::{
        settings::Settings,
        values::{OnConflict, Track},
    },
};

/// All of them. Without the basic programs there is no use in trying more.
pub(super) fn all(has_programs: bool) -> [Check; 3] {
    let conflicts = Settings { on_conflict: Some(OnConflict::Enforce), ..Settings::default() };
    let packets = Settings { track: Some(Track::Packets), ..Settings::default() };
    let load = |settings| has_programs.then(|| bpf::probe(settings).map_err(|error| error.root_cause().to_string()));
    let release = features::release();
    [(&CONFLICTS, load(&conflicts)), (&PACKETS, load(&packets)), (&ADOPTION, Some(adopt::probe()))]
        .map(|(feature, tried)| check(feature, tried, &release))
}

fn check(feature: &Feature, tried: Option<Result<(), String>>, release: &str) -> Check {
    let (ok, detail) = match tried {
        Some(Ok(())) => (true, format!("for {}", feature.asked_by)),
        Some(Err(why)) => (false, format!("{}: {why}", feature.needs(release))),
        None => (false, format!("for {}: not tried, as the basic programs don't load", feature.asked_by)),
    };
    Check { what: feature.name.to_owned(), ok, required: false, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_is_named_with_version_and_reason() {
        let no = || Some(Err("no".to_owned()));
        for (tried, release, ok, detail) in [
            (Some(Ok(())), "6.1.0", true, "for --track packets"),
            (no(), "5.10.0", false, "--track packets (needs Linux 5.11; this is 5.10.0): no"),
            (no(), "6.1.0", false, "--track packets (needs Linux 5.11): no"),
            (None, "6.1.0", false, "for --track packets: not tried, as the basic programs don't load"),
        ] {
            let check = check(&PACKETS, tried, release);
            assert_eq!((check.ok, check.required, check.detail.as_str()), (ok, false, detail));
        }
    }

    #[test]
    fn nothing_is_loaded_where_the_basic_programs_are_refused() {
        let [conflicts, packets, _] = all(false);
        for check in [conflicts, packets] {
            assert!(!check.ok && check.detail.contains("not tried"), "{check:?}");
        }
    }
}
