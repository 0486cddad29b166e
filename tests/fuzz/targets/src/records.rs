//! Values of pinned maps, which any process of root may have written.

use injector::internals::{Counters, exact, moment};
use injector_common::{
    attachment::{Attachment, MAX_PATH},
    decision::{Best, Decision, HopName},
};
use zerocopy::FromBytes;

/// The values of one map after the other.
pub fn records(bytes: &[u8]) {
    if let Ok((attachment, _)) = Attachment::read_from_prefix(&padded::<Attachment>(bytes)) {
        assert!(attachment.path().len() <= MAX_PATH);
        assert_eq!(moment(attachment.since().unix_ms).len(), 20);
    }
    if let Ok((name, _)) = HopName::read_from_prefix(&padded::<HopName>(bytes)) {
        assert!(name.as_bytes_of_name().len() < size_of::<HopName>());
    }
    let mut best = Best::NONE;
    for (index, part) in (0..).zip(bytes.chunks_exact(size_of::<Decision>())) {
        if let Ok(decision) = Decision::read_from_bytes(part) {
            best.consider(index, &decision, bytes.len().is_multiple_of(2));
            drop(exact(std::time::Duration::from_millis(decision.policy.limit_ms.into())));
        }
    }
    let words = bytes.chunks_exact(8).filter_map(|word| word.try_into().ok()).map(u64::from_le_bytes).collect();
    let counters = Counters::new(words);
    let _ = (counters.totals().count(), counters.overruled().count(), counters.failures().len());
}

/// As many bytes as a value has, zeros where they end.
fn padded<T: FromBytes>(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(size_of::<T>().max(bytes.len()), 0);
    bytes
}
