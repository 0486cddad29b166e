//! The server: read-only, and bounded in all that a client can make it hold.
//!
//! A connection is one request. Its head is small and comes soon, or it is
//! closed; so is one that does not take its answer. No address has more than its
//! share of them: whoever floods the agent from one pod keeps neither the
//! kubelet's probes nor Prometheus away.

mod answer;
mod cached;
mod peers;
mod route;
pub mod web;

use std::{io, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
    time,
};

use self::peers::Peers;

pub(super) use self::answer::State;
pub use self::route::{FlowQuery, MAX_FLOWS, Route, route};
use super::listen::Listener;

/// Connections at a time; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 256;
/// Longest request head, in bytes; the least that hyper takes.
const MAX_HEAD: usize = 8192;
const MAX_HEADERS: usize = 64;
/// A client has this long to ask,
const ASK_WITHIN: Duration = Duration::from_secs(1);
/// and this long until it has its answer.
const DONE_WITHIN: Duration = Duration::from_secs(20);

/// Serves for ever.
pub(super) async fn serve(listener: Listener, state: State) {
    let state = Arc::new(state);
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let peers = Peers::default();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let accepted = match &listener {
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, peer)| {
                // Others are closed at once.
                if let Some(share) = peers.admit(peer.ip()) {
                    answer(stream, &state, (permit, share));
                }
            }),
            // Who may connect is for the file's mode to say.
            Listener::Unix { listener, .. } => {
                listener.accept().await.map(|(stream, _)| answer(stream, &state, permit))
            }
        };
        if let Err(error) = accepted {
            refused(&error).await;
        }
    }
}

/// Out of descriptors, say: that passes, but not at once.
async fn refused(error: &io::Error) {
    tracing::warn!("a client was not accepted: {error}");
    time::sleep(Duration::from_millis(100)).await;
}

/// Answers, and drops `room` once that is done.
fn answer<S, R>(stream: S, state: &Arc<State>, room: R)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    R: Send + 'static,
{
    let state = Arc::clone(state);
    tokio::spawn(async move {
        let service = service_fn(|request| {
            let state = Arc::clone(&state);
            async move { Ok::<_, std::convert::Infallible>(state.answer(&request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(ASK_WITHIN)
            .keep_alive(false)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        // What a client does wrong is between it and its answer.
        drop(time::timeout(DONE_WITHIN, connection).await);
        drop(room);
    });
}
