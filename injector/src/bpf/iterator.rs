//! Reading the iterator.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::BorrowedFd,
};

use bytes::{Buf as _, BytesMut};
use injector_common::flow::FlowSample;
use zerocopy::FromBytes as _;

use super::sys;

/// As much as the kernel puts together per read (`bpf_seq_read` in
/// `kernel/bpf/bpf_iter.c`: eight pages).
const CHUNK: usize = 8 * 4096;

/// Runs the linked iterator, which is one scan, and hands each flow to
/// `visit`.
///
/// Errors when the kernel fails half-way.
pub(super) fn read(link: BorrowedFd<'_>, mut visit: impl FnMut(&FlowSample)) -> io::Result<()> {
    let mut iterator = File::from(sys::create_iter(link)?);
    let mut chunk = vec![0; CHUNK];
    let mut pending = BytesMut::with_capacity(CHUNK);
    loop {
        match iterator.read(&mut chunk) {
            Ok(0) if pending.is_empty() => return Ok(()),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => pending.extend_from_slice(&chunk[..length]),
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
        take_samples(&mut pending, &mut visit);
    }
}

/// Hands out what is complete and leaves the rest.
fn take_samples(pending: &mut BytesMut, visit: &mut impl FnMut(&FlowSample)) {
    while let Ok((sample, _)) = FlowSample::read_from_prefix(pending) {
        visit(&sample);
        pending.advance(size_of::<FlowSample>());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::IntoBytes as _;

    use super::*;

    proptest! {
        /// However the kernel cuts its output, each sample comes out once.
        #[test]
        fn samples_survive_any_cut(count in 0_u64..20, cut in 1_usize..500) {
            let bytes: Vec<u8> = (0..count)
                .flat_map(|cookie| FlowSample { cookie, ..FlowSample::default() }.as_bytes().to_vec())
                .collect();
            let (mut pending, mut seen) = (BytesMut::new(), Vec::new());
            for part in bytes.chunks(cut) {
                pending.extend_from_slice(part);
                take_samples(&mut pending, &mut |sample| seen.push(sample.cookie));
            }
            prop_assert!(pending.is_empty());
            prop_assert_eq!(seen, (0..count).collect::<Vec<_>>());
        }
    }
}
