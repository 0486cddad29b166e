//! What the iterator writes out.

use std::io::{self, Read};

use injector::internals::{Packets, Watch, read_values, remaining_ms};
use injector_common::{
    attachment::Pace,
    record::{FlowBrief, FlowSample, TrackedSample, state},
    scan::ScanTotals,
};

/// A length to cut the rest into, as the kernel may; then samples, with their packets and in short. Each whole one comes out
/// once, and an end within one is reported.
pub fn samples(bytes: &[u8]) {
    let Some((&cut, bytes)) = bytes.split_first() else { return };
    let pieces = || Pieces { bytes, cut: usize::from(cut).max(1) };
    let (mut watch, mut seen) = (Watch::default(), 0);
    watch.begin();
    let whole = read_values(pieces(), |sample: &FlowSample| {
        seen += 1;
        let left = remaining_ms(sample);
        assert!(left.is_none_or(|left| left <= i64::from(sample.limit_ms.max(sample.layer7_ms))), "{sample:?}");
        assert!(!state::name(sample.state).is_empty());
        watch.observe(sample);
    });
    assert_eq!(
        (seen, whole.is_ok()),
        (bytes.len() / size_of::<FlowSample>(), bytes.len() % size_of::<FlowSample>() == 0)
    );
    assert!(watch.finish().len() <= seen);
    watch.pause(Pace::SLOWEST, &ScanTotals::default());
    let mut shown = 0;
    drop(read_values(pieces(), |sample: &TrackedSample| {
        let Packets { received, .. } = Packets::of(&sample.packets);
        shown += usize::from(received.unanswered_probes == sample.packets.received.unanswered_probes);
    }));
    assert_eq!(shown, bytes.len() / size_of::<TrackedSample>());
    let mut briefs = 0;
    drop(read_values(pieces(), |_: &FlowBrief| briefs += 1));
    assert_eq!(briefs, bytes.len() / size_of::<FlowBrief>());
}

/// Gives its bytes a few at a time.
struct Pieces<'a> {
    bytes: &'a [u8],
    cut: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.cut.min(buffer.len());
        self.bytes.read(&mut buffer[..length])
    }
}
