//! Reading the iterator.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::BorrowedFd,
};

use bytes::{Buf as _, BytesMut};
use zerocopy::FromBytes;

use super::sys;

/// As much as the kernel puts together per read (`bpf_seq_read` in
/// `kernel/bpf/bpf_iter.c`: eight pages).
const CHUNK: usize = 8 * 4096;

/// Runs the linked iterator, which is one scan, and hands each value that it
/// writes out to `visit`.
///
/// Errors when the kernel fails half-way.
pub(super) fn read<T: FromBytes>(link: BorrowedFd<'_>, visit: impl FnMut(&T)) -> io::Result<()> {
    read_values(File::from(sys::create_iter(link)?), visit)
}

/// Hands each value that an iterator writes out to `visit`, however its output
/// is cut.
///
/// Errors where reading does, and where the last value is not whole.
pub fn read_values<T: FromBytes>(mut iterator: impl Read, mut visit: impl FnMut(&T)) -> io::Result<()> {
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
        take_values(&mut pending, &mut visit);
    }
}

/// Hands out what is complete and leaves the rest.
fn take_values<T: FromBytes>(pending: &mut BytesMut, visit: &mut impl FnMut(&T)) {
    while let Ok((value, _)) = T::read_from_prefix(pending) {
        visit(&value);
        pending.advance(size_of::<T>());
    }
}

#[cfg(test)]
mod tests {
    use injector_common::record::FlowSample;
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
                take_values(&mut pending, &mut |sample: &FlowSample| seen.push(sample.cookie));
            }
            prop_assert!(pending.is_empty());
            prop_assert_eq!(seen, (0..count).collect::<Vec<_>>());
        }
    }
}
