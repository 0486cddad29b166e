//! Files that are right, files that are wrong, and files that are noise.

use proptest::prelude::*;

use super::*;
use crate::rules::values::Discover;

mod wrong;

const FILE: &str = "hops.toml";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new(FILE), text.as_bytes()).map_err(|error| error.to_string())
}

/// The default file with its examples uncommented.
fn uncommented() -> String {
    let is_example = |line: &&str| line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|char| char != ' '));
    DEFAULT.lines().map(|line| if is_example(&line) { &line[1..] } else { line }).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_default_file_is_what_an_empty_one_means() {
    let config = parse(DEFAULT).expect("valid");
    assert!(config.hops.is_empty() && config.applications.is_empty());
    let shown = to_toml(&config);
    assert_eq!(shown, to_toml(&Config::default()));
    let expected = "timeout = \"350s\"\nwarn = \"80%\"\non_conflict = \"tighten\"\ntrack = \"sockets\"\nloopback = false\n\
                    discover = \"none\"\ndiscover_interval = \"300s\"\n\
                    on_exit = \"keep\"\nlog = \"text\"\npod_logs = \"/var/log\"\n\
                    pod_cgroups = [\"/kubepods\", \"/kubepods.slice\", \"/kubelet/kubepods\", \
                    \"/kubelet.slice/kubelet-kubepods.slice\", \"/system.slice/containerd.service\"]\n\
                    allowed_hosts = []\nadopt = false\n";
    assert_eq!(shown, expected);
}

/// SECURITY.md#configuration
#[test]
fn a_file_that_others_may_write_is_refused() {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.toml");
    fs::write(&path, "timeout = 60").expect("written");
    let load = |mode| {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
        Config::load(&path).map(drop).map_err(|error| error.to_string())
    };
    for mode in [0o600, 0o644, 0o400, 0o755] {
        assert_eq!(load(mode), Ok(()), "{mode:o}");
    }
    for mode in [0o664, 0o666, 0o602, 0o620] {
        let error = load(mode).expect_err("refused");
        assert!(error.contains(&format!("others may write to it (mode {mode:04o}): chmod go-w")), "{error}");
    }
    assert!(Config::load(Path::new("/dev/null")).is_ok());
}

#[test]
fn the_examples_of_the_default_file_are_valid() {
    let config = parse(&uncommented()).expect("valid");
    assert_eq!((config.hops.len(), config.applications.len()), (3, 2));
    assert_eq!(config.attach.name.as_deref(), Some("legacy"));
    assert_eq!(config.hops[1].scope.to_string(), "peer 10.0.9.0/24 or 2001:db8:9::/48 port 5432");
    assert_eq!(config.hops[2].scope.to_string(), "local 10.0.2.0/24, passive");
    assert_eq!(config.policies.len(), 3);
    assert!(config.policies[0].selector.namespace.is_some() && config.policies[2].selector.selects_all());
    assert_eq!(config.policies[2].scope.to_string(), "peer 10.0.9.0/24 or 2001:db8:9::/48 port 5432, active");
    assert_eq!(config.applications[0].idle, Some(Duration::from_secs(60)));
    let keepalive = config.applications[1].keepalive.expect("given");
    assert_eq!((keepalive.idle, keepalive.probes), (Some(Duration::from_secs(120)), Some(9)));
}

#[test]
fn the_default_file_names_every_kind() {
    for kind in crate::hop::Kind::ALL {
        assert!(DEFAULT.split_whitespace().any(|word| word == kind.name()), "{kind}");
    }
}

#[test]
fn what_is_shown_is_read() {
    let shown = to_toml(&parse(&uncommented()).expect("valid"));
    let again = to_toml(&parse(&shown).expect("valid"));
    // What it says of the lines that values came from differs, as the lines do.
    let values = |text: &str| text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    assert_eq!(values(&again), values(&shown));
    assert!(shown.contains("; nlb-tcp takes 60s to 6000s (https://docs.aws.amazon.com/"), "{shown}");
}

#[test]
fn a_build_that_can_ask_the_cloud_is_asked_to() {
    let found = parse("discover_interval = \"10s\"\ndiscover = \"aws\"\n").map(|config| config.attach);
    if cfg!(feature = "aws") {
        let attach = found.expect("valid");
        assert_eq!(crate::discovery::interval(&attach).ok(), Some(Some(Duration::from_secs(10))));
    } else {
        let expected = "hops.toml:2:12: discover is aws: built without AWS support: build with --features aws";
        assert_eq!(found.expect_err("it can't"), expected);
    }
}

#[test]
fn the_command_line_switches_discovery_off() {
    let flags = Settings { discover: Some(Discover::None), ..Settings::default() };
    let file = Settings {
        discover: Some(Discover::Aws),
        discover_interval: Some(Duration::from_secs(60)),
        ..Settings::default()
    };
    let both = flags.or(file.clone());
    assert_eq!((both.discover, both.discover_interval), (Some(Discover::None), file.discover_interval));
    assert_eq!(crate::discovery::interval(&both).ok(), Some(None));
}

#[test]
fn values_have_the_place_they_came_from() {
    let text = "[[hop]]\nname = \"a\"\nkind = \"eni\"\ntimeout = 60\n[[hop]]\nname = \"b\"\nkind = \"nlb-tcp\"\n";
    let hops = parse(text).expect("valid").hops;
    assert_eq!(hops[0].source, Source::File { path: FILE.into(), line: 4 });
    assert_eq!(hops[1].source, Source::Default);
}

#[test]
fn a_hop_within_another_is_fine() {
    let text = "
        [[hop]]\nname = \"wide\"\nkind = \"custom\"\ntimeout = 60\nremote = \"10.0.0.0/8\"
        [[hop]]\nname = \"narrow\"\nkind = \"custom\"\ntimeout = 90\nremote = \"10.1.0.0/16\"
        [[hop]]\nname = \"port\"\nkind = \"custom\"\ntimeout = 90\nremote = \"10.1.0.0/16\"\nport = 443";
    assert_eq!(parse(text).map(|config| config.hops.len()), Ok(3));
}

#[test]
fn bytes_that_are_no_text() {
    let error = Config::parse(Path::new(FILE), b"name = \"a\"\nwarn = \"\xff\"\n").expect_err("no text").to_string();
    assert_eq!(error, "hops.toml:2:9: this byte is not UTF-8, which TOML is written in");
}

#[test]
fn a_file_that_is_not_there() {
    let error = Config::load(Path::new("/nonexistent/hops.toml")).expect_err("not there").to_string();
    assert!(error.starts_with("/nonexistent/hops.toml: can't be read: "), "{error}");
}

/// `FILE:LINE:COL: message`, with a line that the file has.
fn names_a_place(error: &str, bytes: &[u8]) -> bool {
    let Some(rest) = error.strip_prefix("hops.toml:") else { return false };
    let mut parts = rest.splitn(3, ':');
    let mut number = || parts.next().and_then(|part| part.parse::<usize>().ok());
    let (line, column) = (number(), number());
    let lines = bytes.split(|&byte| byte == b'\n').count();
    line.is_some_and(|line| (1..=lines).contains(&line))
        && column.is_some_and(|column| column >= 1)
        && parts.next().is_some_and(|message| message.len() > 5 && !message.contains('\n'))
}

fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Err(error) = Config::parse(Path::new(FILE), bytes) {
        let error = error.to_string();
        prop_assert!(names_a_place(&error, bytes), "{error}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn noise_is_rejected_with_its_position(bytes: Vec<u8>) {
        check(&bytes)?;
    }

    #[test]
    fn damage_is_rejected_with_its_position(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 1..6),
    ) {
        let mut bytes = uncommented().into_bytes();
        for (index, byte, what) in edits {
            let at = index.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => bytes[at..].rotate_left(1),
                _ => bytes.truncate(at.max(1)),
            }
        }
        check(&bytes)?;
    }

    #[test]
    fn shuffled_lines_are_rejected_with_their_position(order in Just(uncommented()).prop_perturb(|text, mut random| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        for _ in 0..3 {
            let (one, other) = (random.random_range(0..lines.len()), random.random_range(0..lines.len()));
            lines.swap(one, other);
        }
        lines.join("\n")
    })) {
        check(order.as_bytes())?;
    }
}
