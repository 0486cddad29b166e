//! Packets, as the `ingress` and `egress` programs look at them.

use injector_common::packets::{
    CLASSES, DATA, FIN, GARBAGE_PROBE, Next, PROBE, RESET, Segment, Traffic, UNKNOWN, flag, next_header,
};

/// An IPv6 extension header at a time: its type, and its first four bytes. Then a segment: flags, two sequence numbers, and
/// the length of its payload.
pub fn packets(bytes: &[u8]) {
    let (headers, rest) = bytes.split_at(bytes.len().saturating_sub(13) / 5 * 5);
    for header in headers.chunks_exact(5) {
        if let Next::After(length) = next_header(header[0], [header[1], header[2], header[3], header[4]]) {
            assert!((8..=2048).contains(&length) && length % 4 == 0, "{header:?}: {length}");
        }
    }
    let Some((fields, _)) = rest.split_first_chunk::<13>() else { return };
    let word = |at: usize| u32::from_be_bytes([fields[at], fields[at + 1], fields[at + 2], fields[at + 3]]);
    check(Segment { flags: fields[0], sequence: word(1), payload: word(9) }, word(5));
}

fn check(segment: Segment, due: u32) {
    let class = segment.class(due);
    let has_payload = segment.has_payload(class);
    assert!(usize::from(class) < CLASSES && (!has_payload || matches!(class, DATA | FIN)), "{segment:?}");
    assert_eq!(class == RESET, segment.flags & flag::RST != 0, "{segment:?}");
    if matches!(class, PROBE | GARBAGE_PROBE) {
        assert!(segment.sequence.wrapping_add(1) == due && segment.payload <= 1, "{segment:?} {due}");
    }
    let mut direction = Traffic::default();
    direction.note(due, class, has_payload);
    assert_eq!(direction.counts.iter().sum::<u32>(), 1, "{segment:?}");
    assert!(class != UNKNOWN || direction.last_payload == 0, "{segment:?}");
}
