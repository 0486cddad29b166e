//! Answers.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{
        ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use tokio::{sync::oneshot, task, time};

use super::{
    body::Parts,
    cached::Cached,
    client::Client,
    list::{List, Lists},
    route::{FlowQuery, MAX_FLOWS, Refusal, Route, route},
};
use crate::{
    agent::{
        Shared,
        http::web,
        metrics::TextFormat,
        observation::{FlowListing, Observation, Owned},
        orders::{Order, Orders},
    },
    flow::Names,
    output::{self, Served, Totals},
    printable::printable,
};

/// The watch loop answers sooner than that, unless it is stuck.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// Prometheus gives a scrape up after 10 s by default (`scrape_timeout`), and may be configured to do so sooner.
const SCRAPED_WITHIN: Duration = Duration::from_secs(3);
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

type Answer = Response<Parts>;

/// What answers are made of.
#[derive(Debug)]
pub(in crate::agent) struct State {
    shared: Arc<Shared>,
    orders: Orders,
    names: Arc<Mutex<Names>>,
    observation: Cached<Arc<Observation>>,
    status: Cached<Bytes>,
    prometheus: Cached<Bytes>,
    open_metrics: Cached<Bytes>,
    flows: Lists,
    at_risk: Lists,
}

impl State {
    /// Asks the watch loop by `orders`, and shows flows by `names`.
    pub(in crate::agent) fn new(shared: Arc<Shared>, orders: Orders, names: Names) -> Self {
        Self {
            shared,
            orders,
            names: Arc::new(Mutex::new(names)),
            observation: Cached::new(),
            status: Cached::new(),
            prometheus: Cached::new(),
            open_metrics: Cached::new(),
            flows: Lists::new(),
            at_risk: Lists::new(),
        }
    }

    /// Answers a request, whose body is of no interest.
    pub(super) async fn answer(&self, request: &Request<Incoming>, client: &Client) -> Answer {
        let answer = match self.asked(request, client) {
            Ok(route) => self.found(route, request, client).await,
            Err(refusal) => Err(refusal),
        };
        let mut answer = answer.unwrap_or_else(|(code, text)| plain(code, &text));
        if !client.may_have(answer.body().size(), Instant::now()) {
            answer = plain(StatusCode::TOO_MANY_REQUESTS, "too many large answers to this address: ask less often");
            answer.headers_mut().insert(RETRY_AFTER, const { HeaderValue::from_static("1") });
        }
        if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
            answer.headers_mut().insert(ALLOW, const { HeaderValue::from_static("GET, HEAD") });
        }
        if *request.method() == Method::HEAD {
            *answer.body_mut() = Parts::default();
        }
        answer
    }

    /// What a request asks us for.
    fn asked(&self, request: &Request<Incoming>, client: &Client) -> Result<Route, Refusal> {
        if client.may_come_by_names() {
            self.shared.hosts.check(request.headers(), request.uri())?;
        }
        route(request.method(), request.uri())
    }

    async fn found(&self, route: Route, request: &Request<Incoming>, client: &Client) -> Result<Answer, Refusal> {
        match route {
            Route::Page => Ok(page()),
            Route::Alive => self.alive(),
            Route::Ready => self.ready(),
            Route::Status => {
                let document = self.status.get(async || self.status().await).await.ok_or_else(busy)?;
                Ok(whole(StatusCode::OK, JSON, [document]))
            }
            Route::Metrics => {
                let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
                let format = TextFormat::accepted_by(accept);
                Ok(whole(StatusCode::OK, format.content_type(), [self.metrics(format).await]))
            }
            Route::Flows(query) => {
                let list = self.list(query).await.ok_or_else(busy)??;
                client.reads(&list);
                Ok(answer(StatusCode::OK, JSON, list.first(query.limit)))
            }
        }
    }

    fn alive(&self) -> Result<Answer, Refusal> {
        match self.shared.health.stuck() {
            None => Ok(plain(StatusCode::OK, "ok")),
            Some(stuck) => {
                let text = format!("the watch loop has been stuck for {}s", stuck.as_secs());
                Err((StatusCode::SERVICE_UNAVAILABLE, text))
            }
        }
    }

    fn ready(&self) -> Result<Answer, Refusal> {
        let lacks = self.shared.health.lacks();
        if lacks.is_empty() {
            return Ok(plain(StatusCode::OK, "ok"));
        }
        Err((StatusCode::SERVICE_UNAVAILABLE, sentences(&lacks)))
    }

    async fn observe(&self) -> Option<Arc<Observation>> {
        self.observation.get(async || self.ask(Order::Observe).await).await
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.orders.give(order(sender));
        time::timeout(ANSWERED_WITHIN, receiver).await.ok()?.ok()
    }

    /// The process metrics and those of the last scan are better than nothing while the loop is stuck.
    async fn metrics(&self, format: TextFormat) -> Bytes {
        let encode = || Bytes::from(self.shared.metrics.encode(format));
        let cached = match format {
            TextFormat::Prometheus => &self.prometheus,
            TextFormat::OpenMetrics => &self.open_metrics,
        };
        let fresh = cached.get(async || self.observe().await.map(|_| encode()));
        time::timeout(SCRAPED_WITHIN, fresh).await.ok().flatten().unwrap_or_else(encode)
    }

    async fn status(&self) -> Option<Bytes> {
        let observation = self.observe().await?;
        serde_json::to_vec(&output::status_document(&observation.statuses)).ok().map(Bytes::from)
    }

    async fn list(&self, query: FlowQuery) -> Option<Result<Arc<List>, Refusal>> {
        if query.at_risk {
            return self.at_risk.get(async || self.shown(first(&self.observe().await?.listing)).await).await;
        }
        let most = u32::try_from(MAX_FLOWS).unwrap_or(u32::MAX);
        self.flows.get(async || self.shown(first(&self.ask(|reply| Order::Flows(most, reply)).await?)).await).await
    }

    async fn shown(&self, listed: Result<(Vec<Owned>, Totals), Refusal>) -> Option<Result<Served, Refusal>> {
        let (flows, totals) = match listed {
            Ok(listed) => listed,
            Err(refusal) => return Some(Err(refusal)),
        };
        let names = Arc::clone(&self.names);
        // Looks through all of /proc.
        task::spawn_blocking(move || {
            let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
            names.refresh();
            let flows = flows.iter().map(|(origin, sample, packets)| names.flow(origin, sample, packets.as_ref()));
            output::served_flows(flows, totals).ok().map(Ok)
        })
        .await
        .ok()?
    }
}

/// As many flows as are listed, and how many there are. An incomplete list is an error: clients want to know whether
/// all flows are fine.
fn first(listing: &FlowListing) -> Result<(Vec<Owned>, Totals), Refusal> {
    if !listing.failed.is_empty() {
        return Err((StatusCode::SERVICE_UNAVAILABLE, sentences(&listing.failed)));
    }
    Ok((listing.flows.iter().take(MAX_FLOWS).cloned().collect(), Totals::from(&listing.totals)))
}

/// A line each, whatever names are in them.
fn sentences(texts: &[String]) -> String {
    texts.iter().map(|text| printable(text)).collect::<Vec<_>>().join("\n")
}

fn page() -> Answer {
    let mut answer = whole(StatusCode::OK, HTML, [Bytes::from_static(web::PAGE.as_bytes())]);
    let policy = const { HeaderValue::from_static(web::CONTENT_SECURITY_POLICY) };
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    answer
}

fn plain(code: StatusCode, text: &str) -> Answer {
    whole(code, TEXT, [format!("{text}\n").into()])
}

fn whole(code: StatusCode, kind: &'static str, body: [Bytes; 1]) -> Answer {
    answer(code, kind, Parts::new(body))
}

fn answer(code: StatusCode, kind: &'static str, body: Parts) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = code;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, const { HeaderValue::from_static("no-store") });
    headers.insert(X_CONTENT_TYPE_OPTIONS, const { HeaderValue::from_static("nosniff") });
    answer
}

fn busy() -> Refusal {
    (StatusCode::SERVICE_UNAVAILABLE, "the watch loop does not answer in time".to_owned())
}
