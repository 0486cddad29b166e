//! Records in the BPF programs' log that they did not write (`peers/scribe.py`).

use serde_json::Value;
use std::fmt::Write as _;

use crate::bpf::objects::Objects;
use crate::deadline::SOON;
use crate::peers::peer::PYTHON;
use crate::programs::command::tool;
use crate::programs::process::{Place, Process};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/scribe.py");
const LOG_MAP: &str = "AYA_LOGS";

/// Writes into the log of one attachment.
#[derive(Debug)]
pub struct Scribe {
    process: Process,
}

impl Scribe {
    /// The most bytes of a record.
    pub const MOST: usize = 504;

    /// Finds the log of the attachment of this name, which has to be switched on.
    pub fn of(name: &str) -> Self {
        let is_log = |id: &&u64| {
            let text = tool("bpftool", &["--json", "map", "show", "id", &id.to_string()]);
            let map: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            map["name"] == LOG_MAP
        };
        let maps = Objects::pinned(name).maps;
        let log = maps.iter().find(is_log).unwrap_or_else(|| panic!("{name} has no {LOG_MAP} among {maps:?}"));
        let mut process = Process::spawn(Place::default(), PYTHON, &[SCRIPT, &log.to_string()]);
        assert_eq!(process.expect_line(SOON), "ready");
        Self { process }
    }

    /// Writes a record. Errors where the log has no room left.
    pub fn write(&mut self, record: &[u8]) -> Result<(), String> {
        let hexadecimal = record.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        self.process.send_line(&hexadecimal);
        match self.process.expect_line(SOON).as_str() {
            "done" => Ok(()),
            other => Err(other.to_owned()),
        }
    }
}
