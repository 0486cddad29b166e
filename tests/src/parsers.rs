//! Formats that the tests read with an independent parser.

use serde_json::Value;

use crate::peers::peer::PYTHON;
use crate::programs::command::pipe;

const YAML: &str = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";

/// A YAML document, read by PyYAML. Panics where it is none.
pub fn yaml(text: &str) -> Value {
    serde_json::from_str(&pipe(PYTHON, &["-c", YAML], text)).expect("Python writes JSON")
}

/// A Terraform file, read by hcl-rs. Panics where it is none.
pub fn hcl(text: &str) -> Value {
    hcl::from_str(text).unwrap_or_else(|error| panic!("not HCL: {error}\n{text}"))
}
