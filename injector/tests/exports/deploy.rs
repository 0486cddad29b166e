//! What `deploy/` asks Prometheus for.

use std::{collections::BTreeSet, fs, path::Path};

use injector::internals::metrics::{PREFIX, TextFormat};
use serde_json::Value;

use crate::full;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of all samples that the agent exports.
fn exported() -> BTreeSet<String> {
    let text = full::metrics().encode(TextFormat::Prometheus);
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

/// Names of ours in a piece of text.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    words.filter(|word| word.starts_with(&format!("{PREFIX}_"))).map(str::to_owned).collect()
}

/// All values of `key`, at any depth.
fn values<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get(key).and_then(Value::as_str));
            members.values().for_each(|member| values(member, key, found));
        }
        Value::Array(items) => items.iter().for_each(|item| values(item, key, found)),
        _ => {}
    }
}

#[test]
fn every_query_of_the_dashboard_names_what_is_exported() {
    let dashboard: Value = serde_json::from_str(&read("grafana/injector.json")).expect("JSON");
    let mut queries = Vec::new();
    values(&dashboard, "expr", &mut queries);
    assert!(queries.len() > 10, "{} queries", queries.len());
    let exported = exported();
    for query in queries {
        let names = named(query);
        assert!(!names.is_empty(), "{query:?} names nothing of ours");
        assert!(names.is_subset(&exported), "{query:?} names {:?}", names.difference(&exported));
    }
}

#[test]
fn the_dashboard_shows_all_that_is_exported() {
    let shown = named(&read("grafana/injector.json"));
    // A histogram's sum and count need no panel of their own.
    let of_histogram =
        |name: &str| name.ends_with("_duration_seconds_sum") || name.ends_with("_duration_seconds_count");
    let ours = exported().into_iter().filter(|name| name.starts_with(PREFIX));
    let missing: Vec<_> = ours.filter(|name| !shown.contains(name) && !of_histogram(name)).collect();
    assert!(missing.is_empty(), "no panel shows {missing:?}");
}

#[test]
fn every_alert_and_its_test_name_what_is_exported() {
    let exported = exported();
    for path in ["prometheus/rules.yaml", "prometheus/rules_test.yaml", "cloudwatch/agent.json"] {
        let names = named(&read(path));
        assert!(!names.is_empty(), "{path} names nothing of ours");
        assert!(names.is_subset(&exported), "{path} names {:?}", names.difference(&exported));
    }
}
