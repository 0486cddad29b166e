//! What a request asks for.

use hyper::{Method, StatusCode, Uri};

/// Flows listed by default.
const DEFAULT_FLOWS: usize = 1000;
/// Flows listed at most.
pub const MAX_FLOWS: usize = 10_000;
/// Longest path with its query, in bytes.
const MAX_URI: usize = 512;

/// A resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The page.
    Page,
    /// Figures for Prometheus.
    Metrics,
    /// Whether the agent is alive.
    Alive,
    /// Whether it is ready.
    Ready,
    /// What is attached.
    Status,
    /// A list of flows.
    Flows(FlowQuery),
}

/// Which flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowQuery {
    /// Only those at risk, overdue or stalled.
    pub at_risk: bool,
    /// How many, from 1 to [`MAX_FLOWS`].
    pub limit: usize,
}

/// Why a request is refused, in a sentence for the client.
pub(super) type Refusal = (StatusCode, String);

/// Parses a request.
pub fn route(method: &Method, uri: &Uri) -> Result<Route, Refusal> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD: this agent is read-only".to_owned()));
    }
    let query = uri.query().unwrap_or_default();
    if uri.path().len() + query.len() > MAX_URI {
        return Err((StatusCode::URI_TOO_LONG, format!("at most {MAX_URI} bytes")));
    }
    let route = match uri.path() {
        "/" => Route::Page,
        "/metrics" => Route::Metrics,
        "/healthz" => Route::Alive,
        "/readyz" => Route::Ready,
        "/status" => Route::Status,
        "/flows" => return flow_query(query).map(Route::Flows).map_err(|text| (StatusCode::BAD_REQUEST, text)),
        _ => {
            let known = "there are /, /metrics, /flows, /status, /healthz and /readyz";
            return Err((StatusCode::NOT_FOUND, known.to_owned()));
        }
    };
    // Other paths accept any query, such as a client's against caches.
    Ok(route)
}

fn flow_query(query: &str) -> Result<FlowQuery, String> {
    let mut found = FlowQuery { at_risk: false, limit: DEFAULT_FLOWS };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("at_risk", "1" | "true") => found.at_risk = true,
            ("at_risk", "0" | "false") => found.at_risk = false,
            ("at_risk", _) => return Err("at_risk is 0 or 1".to_owned()),
            ("limit", number) => {
                let number: Option<usize> = number.parse().ok().filter(|number| (1..=MAX_FLOWS).contains(number));
                found.limit = number.ok_or_else(|| format!("limit is a number from 1 to {MAX_FLOWS}"))?;
            }
            _ => return Err("there are at_risk and limit: /flows?at_risk=1&limit=100".to_owned()),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn get(uri: &str) -> Result<Route, StatusCode> {
        route(&Method::GET, &uri.parse().expect(uri)).map_err(|(code, _)| code)
    }

    const fn flows(at_risk: bool, limit: usize) -> Route {
        Route::Flows(FlowQuery { at_risk, limit })
    }

    #[test]
    fn routes() {
        let table = [
            ("/", Ok(Route::Page)),
            ("/metrics?x=1", Ok(Route::Metrics)),
            ("/healthz", Ok(Route::Alive)),
            ("/readyz", Ok(Route::Ready)),
            ("/status", Ok(Route::Status)),
            ("/flows", Ok(flows(false, DEFAULT_FLOWS))),
            ("/flows?at_risk=1&limit=100", Ok(flows(true, 100))),
            ("/flows?limit=10000&at_risk=0", Ok(flows(false, MAX_FLOWS))),
            ("/flows?limit=10001", Err(StatusCode::BAD_REQUEST)),
            ("/flows?limit=-1", Err(StatusCode::BAD_REQUEST)),
            ("/flows?limit=", Err(StatusCode::BAD_REQUEST)),
            ("/flows?at_risk", Err(StatusCode::BAD_REQUEST)),
            ("/flows?name=x", Err(StatusCode::BAD_REQUEST)),
            ("/flows/", Err(StatusCode::NOT_FOUND)),
            ("/../etc/passwd", Err(StatusCode::NOT_FOUND)),
        ];
        for (uri, expected) in table {
            assert_eq!(get(uri), expected, "{uri}");
        }
        assert_eq!(get(&format!("/flows?limit={}", "0".repeat(600))), Err(StatusCode::URI_TOO_LONG));
    }

    /// SECURITY.md#reading
    #[test]
    fn nothing_is_changed_from_outside() {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::CONNECT] {
            let code = route(&method, &Uri::from_static("/flows")).expect_err("refused").0;
            assert_eq!(code, StatusCode::METHOD_NOT_ALLOWED);
        }
    }

    proptest! {
        #[test]
        fn any_query_has_a_bound(query in "[ -~&&[^#]]{0,80}") {
            if let Ok(query) = flow_query(&query) {
                prop_assert!((1..=MAX_FLOWS).contains(&query.limit));
            }
        }
    }
}
