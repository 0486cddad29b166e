//! Answers.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit, oneshot},
    task, time,
};

use super::{
    cached::Cached,
    route::{FlowQuery, Refusal, Route, route},
};
use crate::{
    agent::{
        Shared,
        http::web,
        metrics::Format,
        observation::{Listing, Observation, Owned},
        watcher::{Order, Orders},
    },
    flow::Names,
    output::{self, Totals},
};

/// The watch loop answers sooner than that, unless it is stuck.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// Prometheus gives a scrape up after 10 s (`scrape_timeout`), and sooner where
/// it was told to.
const SCRAPED_WITHIN: Duration = Duration::from_secs(3);
/// Lists of flows that clients are being sent at the same time: the only large
/// answers that are not shared.
const MAX_LISTS: usize = 4;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

type Answer = Response<Full<Bytes>>;

/// What answers are made of.
#[derive(Debug)]
pub(in crate::agent) struct State {
    shared: Arc<Shared>,
    orders: Orders,
    names: Arc<Mutex<Names>>,
    observation: Cached<(), Arc<Observation>>,
    metrics: Cached<Format, Bytes>,
    flows: Cached<FlowQuery, Result<Bytes, Refusal>>,
    lists: &'static Semaphore,
}

impl State {
    /// Asks the watch loop by `orders`, and shows flows by `names`.
    pub(in crate::agent) fn new(shared: Arc<Shared>, orders: Orders, names: Names) -> Self {
        Self {
            shared,
            orders,
            names: Arc::new(Mutex::new(names)),
            observation: Cached::new(),
            metrics: Cached::new(),
            flows: Cached::new(),
            lists: Box::leak(Box::new(Semaphore::new(MAX_LISTS))),
        }
    }

    /// Answers a request, whose body is of no interest.
    pub(super) async fn answer(&self, request: &Request<Incoming>) -> Answer {
        let answer = match route(request.method(), request.uri()) {
            Ok(route) => self.found(route, request).await,
            Err(refusal) => Err(refusal),
        };
        let mut answer = answer.unwrap_or_else(|(code, text)| plain(code, &text));
        if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
            answer.headers_mut().insert(ALLOW, const { hyper::header::HeaderValue::from_static("GET, HEAD") });
        }
        if *request.method() == Method::HEAD {
            *answer.body_mut() = Full::default();
        }
        answer
    }

    async fn found(&self, route: Route, request: &Request<Incoming>) -> Result<Answer, Refusal> {
        match route {
            Route::Page => Ok(page()),
            Route::Alive => self.alive(),
            Route::Ready => self.ready(),
            Route::Status => {
                let observation = self.observe().await.ok_or_else(busy)?;
                json(&output::status_document(&observation.statuses))
            }
            Route::Metrics => {
                let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
                let format = Format::accepted_by(accept);
                Ok(whole(StatusCode::OK, format.content_type(), self.metrics(format).await))
            }
            Route::Flows(query) => {
                let permit = self.lists.acquire().await.map_err(|_| busy())?;
                let list = self.flows.get(query, async || self.list(query).await).await.ok_or_else(busy)??;
                Ok(whole(StatusCode::OK, JSON, Bytes::from_owner(Sent { list, _permit: permit })))
            }
        }
    }

    fn alive(&self) -> Result<Answer, Refusal> {
        match self.shared.health.stuck() {
            None => Ok(plain(StatusCode::OK, "ok")),
            Some(silence) => {
                let text = format!("the watch loop is stuck for {} s", silence.as_secs());
                Err((StatusCode::SERVICE_UNAVAILABLE, text))
            }
        }
    }

    fn ready(&self) -> Result<Answer, Refusal> {
        let lacks = self.shared.health.lacks();
        if lacks.is_empty() {
            return Ok(plain(StatusCode::OK, "ok"));
        }
        Err((StatusCode::SERVICE_UNAVAILABLE, lacks.join("\n")))
    }

    async fn observe(&self) -> Option<Arc<Observation>> {
        self.observation.get((), async || self.ask(Order::Observe).await).await
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.orders.give(order(sender));
        time::timeout(ANSWERED_WITHIN, receiver).await.ok()?.ok()
    }

    /// What is known of the process and of the last scan is better than nothing,
    /// however many wait for a loop that is stuck.
    async fn metrics(&self, format: Format) -> Bytes {
        let encode = || Bytes::from(self.shared.metrics.encode(format));
        let fresh = self.metrics.get(format, async || self.observe().await.map(|_| encode()));
        time::timeout(SCRAPED_WITHIN, fresh).await.ok().flatten().unwrap_or_else(encode)
    }

    async fn list(&self, query: FlowQuery) -> Option<Result<Bytes, Refusal>> {
        let limit = query.limit;
        let listed = if query.at_risk {
            first(&self.observe().await?.listing, limit)
        } else {
            first(&self.ask(|reply| Order::Flows(limit.try_into().unwrap_or(u32::MAX), reply)).await?, limit)
        };
        let (flows, totals) = match listed {
            Ok(listed) => listed,
            Err(refusal) => return Some(Err(refusal)),
        };
        let names = Arc::clone(&self.names);
        // Looks through all of /proc.
        task::spawn_blocking(move || {
            let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
            names.refresh();
            let flows: Vec<_> =
                flows.iter().map(|(origin, sample, packets)| names.flow(origin, sample, packets.as_ref())).collect();
            serde_json::to_vec(&output::served_flows(&flows, totals)).ok().map(Bytes::from).map(Ok)
        })
        .await
        .ok()?
    }
}

/// The first so many flows, and how many there are. An incomplete list is none:
/// who asks wants to know whether all is well.
fn first(listing: &Listing, limit: usize) -> Result<(Vec<Owned>, Totals), Refusal> {
    if !listing.failed.is_empty() {
        return Err((StatusCode::SERVICE_UNAVAILABLE, listing.failed.join("\n")));
    }
    Ok((listing.flows.iter().take(limit).cloned().collect(), Totals::from(&listing.totals)))
}

/// A list that a client is being sent.
struct Sent {
    list: Bytes,
    _permit: SemaphorePermit<'static>,
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.list
    }
}

fn page() -> Answer {
    let mut answer = whole(StatusCode::OK, HTML, Bytes::from_static(web::PAGE.as_bytes()));
    let policy = const { hyper::header::HeaderValue::from_static(web::CONTENT_SECURITY_POLICY) };
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    answer
}

fn json(document: &impl serde::Serialize) -> Result<Answer, Refusal> {
    let text = serde_json::to_vec(document).map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(whole(StatusCode::OK, JSON, text.into()))
}

fn plain(code: StatusCode, text: &str) -> Answer {
    whole(code, TEXT, format!("{text}\n").into())
}

fn whole(code: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = code;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, const { hyper::header::HeaderValue::from_static("no-store") });
    headers.insert(X_CONTENT_TYPE_OPTIONS, const { hyper::header::HeaderValue::from_static("nosniff") });
    answer
}

fn busy() -> Refusal {
    (StatusCode::SERVICE_UNAVAILABLE, "the watch loop does not answer in time".to_owned())
}
