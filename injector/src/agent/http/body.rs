//! What an answer consists of: bytes that many answers share.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// A body of several parts, none of which is copied.
#[derive(Debug, Default)]
pub(super) struct Parts(VecDeque<Bytes>);

impl Parts {
    pub(super) fn new(parts: impl IntoIterator<Item = Bytes>) -> Self {
        // Hyper takes an empty frame for nothing to be sent.
        Self(parts.into_iter().filter(|part| !part.is_empty()).collect())
    }

    /// Bytes in all.
    pub(super) fn size(&self) -> u64 {
        self.0.iter().map(|part| part.len() as u64).sum()
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.size())
    }
}
