//! Requests to the agent.

use hyper::{Method, Uri};
use injector::internals::{FlowQuery, MAX_FLOWS, Route, route};

/// Method, blank, target. Nothing but reading is understood, and no more than a bounded list.
pub fn http(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |&byte| byte == b' ');
    let method = parts.next().and_then(|method| Method::from_bytes(method).ok());
    let target = parts.next().and_then(|target| Uri::try_from(target).ok());
    let (Some(method), Some(target)) = (method, target) else { return };
    match route(&method, &target) {
        Ok(Route::Flows(FlowQuery { limit, .. })) => assert!((1..=MAX_FLOWS).contains(&limit), "{target}"),
        Ok(_) => assert!(matches!(method, Method::GET | Method::HEAD), "{method}"),
        Err((status, why)) => assert!(status.is_client_error() && why.len() < 200, "{why}"),
    }
}
