//! The result of adoption, as `attach --existing` and `adopt` report it (event `adopted`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::deadline::SOON;
use crate::host::cgroup::Cgroup;
use crate::injector::Injector;
use crate::injector::attachment::Attachment;
use crate::programs::output::Output;

/// The outcomes of sockets that were open before.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the schema's")]
pub struct Adoption {
    pub processes: u64,
    pub ended: u64,
    pub denied: Vec<Denied>,
    /// Connections by outcome.
    pub flows: BTreeMap<String, u64>,
    pub known: u64,
    /// Listeners by outcome.
    pub listeners: BTreeMap<String, u64>,
    /// Multipath TCP sockets by outcome.
    pub mptcp: BTreeMap<String, u64>,
    pub refused: BTreeMap<String, u64>,
}

/// A process that could not be inspected.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the schema's")]
pub struct Denied {
    pub pid: u32,
    pub name: String,
    pub why: String,
}

impl Adoption {
    /// The only adoption among the events of a run with `-o jsonl`.
    #[track_caller]
    pub fn reported(output: &Output) -> Self {
        let events = output.json_lines();
        let adopted: Vec<_> = events.into_iter().filter(|event| event["event"] == "adopted").collect();
        assert_eq!(adopted.len(), 1, "{output:?}");
        Self::from(&adopted[0])
    }

    /// Adopted connections, whatever their outcome.
    pub fn connections(&self) -> u64 {
        self.flows.values().sum()
    }

    /// Adopted connections of one outcome.
    pub fn of_outcome(&self, outcome: &str) -> u64 {
        self.flows.get(outcome).copied().unwrap_or_default()
    }

    fn from(event: &Value) -> Self {
        Self::deserialize(event).unwrap_or_else(|error| panic!("not as documented: {error}\n{event:#}"))
    }
}

impl Injector {
    /// Adopts into an attachment.
    #[track_caller]
    pub fn adopt(&self, name: &str) -> Adoption {
        Adoption::reported(&self.run(&["adopt", "--name", name, "-o", "jsonl"]).ok())
    }

    /// Attaches with `--detach --existing`, through another program such as `setpriv`, and returns how that ended.
    pub fn attach_existing_through(&self, wrapper: &[&str], cgroup: &Cgroup) -> (Attachment, Output) {
        let arguments = ["attach", "--detach", "--existing", "--cgroup", cgroup.path_text(), "-o", "jsonl"];
        let output = self.run_through(wrapper, &arguments).ok();
        let first_line = output.stdout.lines().next().unwrap_or_default().to_owned();
        let name = cgroup.attachment_name();
        (Attachment { injector: self.clone(), name, first_line, process: None }, output)
    }
}

impl Attachment {
    /// What `attach --existing -o jsonl` says next: what it adopted.
    #[track_caller]
    pub fn adoption(&mut self) -> Adoption {
        let event = self.event(SOON).unwrap_or_else(|| panic!("nothing was adopted: {}", self.stderr()));
        assert_eq!(event["event"], "adopted", "{event:#}");
        Adoption::from(&event)
    }
}
