//! The server: read-only, and bounded in all that a client can make it hold.
//!
//! A connection is one request. Its head is small and comes soon, or it is
//! closed; so is one that does not take its answer. No address has more than
//! its share of them: a flood from one pod does not keep the kubelet's probes
//! or Prometheus away.

mod answer;
mod body;
mod cached;
mod client;
mod hosts;
mod list;
mod peers;
mod route;
pub mod web;

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};

pub use self::route::{FlowQuery, MAX_FLOWS, Route, route};
pub(super) use self::{answer::State, hosts::Hosts};
use self::{
    client::{Client, End},
    peers::Peers,
};
use super::listen::Listener;

/// Connections at a time. Further ones wait, until one is done or has to give way.
const MAX_CONNECTIONS: usize = 256;
/// Longest request head, in bytes; the least that hyper takes.
const MAX_HEAD: usize = 8192;
const MAX_HEADERS: usize = 64;
/// A client has this long to ask,
const ASK_WITHIN: Duration = Duration::from_secs(1);
/// and this long until it has its answer.
const DONE_WITHIN: Duration = Duration::from_secs(20);

/// How often those that have been there for long are asked to give way, while others wait.
const MAKE_ROOM_EVERY: Duration = Duration::from_millis(20);

/// Serves for ever.
pub(super) async fn serve(listener: Listener, state: State) {
    let state = Arc::new(state);
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let peers = Peers::default();
    loop {
        let accepted = match &listener {
            Listener::Tcp(listener) => match listener.accept().await {
                Ok((stream, peer)) => {
                    // Others are closed at once.
                    if let Some((share, gives_way)) = peers.admit(peer.ip(), Instant::now()) {
                        let permit = permit(&room, &peers).await;
                        answer(stream, &state, Client::remote(share, gives_way), permit);
                    }
                    Ok(())
                }
                Err(error) => Err(error),
            },
            // The file's mode decides which clients may connect.
            Listener::Unix { listener, .. } => match listener.accept().await {
                Ok((stream, _)) => {
                    answer(stream, &state, Client::local(), permit(&room, &peers).await);
                    Ok(())
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = accepted {
            refused(&error).await;
        }
    }
}

/// Room for one more.
async fn permit(room: &Arc<Semaphore>, peers: &Peers) -> OwnedSemaphorePermit {
    loop {
        let waited = time::timeout(MAKE_ROOM_EVERY, Arc::clone(room).acquire_owned()).await;
        match waited {
            Ok(Ok(permit)) => return permit,
            // It is never closed.
            Ok(Err(_)) => std::future::pending().await,
            Err(_) => peers.make_room(Instant::now()),
        }
    }
}

/// Out of descriptors, say: that passes, but not at once.
async fn refused(error: &io::Error) {
    tracing::warn!("a client was not accepted: {error}");
    time::sleep(Duration::from_millis(100)).await;
}

/// Answers, and gives `room` back once that is done.
fn answer<S>(stream: S, state: &Arc<State>, (client, end): (Client, End), room: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let state = Arc::clone(state);
    tokio::spawn(async move {
        let service = service_fn(|request| {
            let (state, client) = (Arc::clone(&state), client.clone());
            async move { Ok::<_, std::convert::Infallible>(state.answer(&request, &client).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(ASK_WITHIN)
            .keep_alive(false)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        // Errors of a client are not worth a log line.
        tokio::select! {
            done = time::timeout(DONE_WITHIN, connection) => drop(done),
            () = end.comes() => {}
        }
        drop(room);
    });
}
