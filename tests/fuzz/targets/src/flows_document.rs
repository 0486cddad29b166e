//! What a server answers to `flows --server`.

use injector::internals::{FlowFormat, ListedFlows, flow_line, flows_document as document, flows_of_document};

/// A document. Whatever its flows are called, each is one line, and nothing in it controls a terminal.
pub fn flows_document(bytes: &[u8]) {
    let Ok(ListedFlows { flows, .. }) = flows_of_document(bytes) else { return };
    for format in [FlowFormat::Table, FlowFormat::Wide, FlowFormat::Jsonl] {
        for flow in &flows {
            let line = flow_line(format, flow).expect("memory takes all");
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    }
    let text = serde_json::to_vec(&document(&flows, &[])).expect("JSON");
    assert_eq!(flows_of_document(&text).expect("our own").flows.len(), flows.len());
}
