//! What a server answers to `flows --server`.

use injector::internals::{FlowFormat, FlowWriter, Listed, flows_document as document, flows_of_document};

/// A document. Whatever its flows are called, each is one line, and nothing in it controls a terminal.
pub fn flows_document(bytes: &[u8]) {
    let Ok(Listed { flows, .. }) = flows_of_document(bytes) else { return };
    for format in [FlowFormat::Table, FlowFormat::Wide, FlowFormat::Jsonl] {
        let mut output = Vec::new();
        let mut writer = FlowWriter::new(format, &mut output);
        flows.iter().try_for_each(|flow| writer.flow(flow)).expect("memory takes all");
        writer.finish().expect("memory takes all");
        let text = String::from_utf8(output).expect("UTF-8");
        assert_eq!(text.matches('\n').count(), flows.len(), "{text:?}");
        // JSON escapes those before the blank alone.
        let rules = |char: char| char.is_control() && char != '\n' && (char < ' ' || format != FlowFormat::Jsonl);
        assert!(!text.contains(rules), "{text:?}");
    }
    let text = serde_json::to_vec(&document(&flows, &[])).expect("JSON");
    assert_eq!(flows_of_document(&text).expect("our own").flows.len(), flows.len());
}
