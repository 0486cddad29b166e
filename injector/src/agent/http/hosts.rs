//! The host names that the agent answers to.
//!
//! A page from anywhere may have its own name lead to our address (DNS rebinding), and its browser then takes us for
//! the page's server. The `Host` header reveals that. Addresses and `localhost` can't be controlled by others; other
//! names come from the configuration.

use std::{net::IpAddr, sync::RwLock};

use hyper::{HeaderMap, StatusCode, Uri, header::HOST, http::uri::Authority};

use super::route::Refusal;
use crate::printable::printable;

/// The names that are answered beside addresses and `localhost`. Those that begin with `*.` stand for all below.
#[derive(Debug, Default)]
pub(in crate::agent) struct Hosts(RwLock<Vec<String>>);

impl Hosts {
    pub(in crate::agent) fn new(names: &[String]) -> Self {
        Self(RwLock::new(lower(names)))
    }

    /// Replaces the names.
    pub(in crate::agent) fn replace(&self, names: &[String]) {
        *self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner) = lower(names);
    }

    /// Refuses a request for another host. One without a host comes from no browser.
    pub(super) fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), Refusal> {
        let mut named = headers.get_all(HOST).iter();
        let header = named.next();
        if named.next().is_some() {
            return Err((StatusCode::BAD_REQUEST, "more than one Host header".to_owned()));
        }
        // A name that is not text matches nothing.
        let header = header.map(|header| header.to_str().unwrap_or("?"));
        for name in header.into_iter().chain(uri.authority().map(Authority::as_str)) {
            if !self.is_ours(name) {
                let why = format!(
                    "{} is not a name of this agent: use its address, or add the name to allowed_hosts in its \
                     configuration",
                    printable(name)
                );
                return Err((StatusCode::MISDIRECTED_REQUEST, why));
            }
        }
        Ok(())
    }

    fn is_ours(&self, authority: &str) -> bool {
        let name = without_port(authority);
        if let Some(v6) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return v6.parse::<std::net::Ipv6Addr>().is_ok();
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let names = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        name == "localhost"
            || name.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4())
            || names.iter().any(|ours| covers(ours, &name))
    }
}

fn covers(ours: &str, name: &str) -> bool {
    match ours.strip_prefix("*.") {
        Some(above) => name.strip_suffix(above).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        None => ours == name,
    }
}

fn lower(names: &[String]) -> Vec<String> {
    names.iter().map(|name| name.to_ascii_lowercase()).collect()
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn code(hosts: &Hosts, named: &[&[u8]], uri: &'static str) -> Option<StatusCode> {
        let mut headers = HeaderMap::new();
        for name in named {
            headers.append(HOST, HeaderValue::from_bytes(name).expect("a value"));
        }
        hosts.check(&headers, &Uri::from_static(uri)).err().map(|(code, _)| code)
    }

    /// SECURITY.md#hosts
    #[test]
    fn names_of_others_are_refused() {
        let hosts = Hosts::new(&["Injector.kube-system.svc".to_owned(), "*.pods.example".to_owned()]);
        let admitted = [
            "127.0.0.1",
            "127.0.0.1:9435",
            "[::1]",
            "[::1]:9435",
            "10.0.0.7:9435",
            "[fe80::1]:1",
            "localhost",
            "LOCALHOST:9435",
            "localhost.",
            "injector.kube-system.svc",
            "INJECTOR.kube-system.svc:9435",
            "injector.kube-system.svc.",
            "10-0-0-7.pods.example:9435",
            "a.b.pods.example",
        ];
        for name in admitted {
            assert_eq!(code(&hosts, &[name.as_bytes()], "/flows"), None, "{name}");
        }
        let refused = [
            "evil.example",
            "evil.example:9435",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.localhost",
            "injector.kube-system.svc.evil.example",
            "pods.example",
            ".pods.example",
            "evilpods.example",
            "",
            ":9435",
            "[evil.example]",
            "[::1]evil",
            "::1",
            "2130706433",
            "127.1",
            "user@127.0.0.1",
        ];
        for name in refused {
            assert_eq!(code(&hosts, &[name.as_bytes()], "/flows"), Some(StatusCode::MISDIRECTED_REQUEST), "{name}");
        }
        assert_eq!(code(&hosts, &[b"\xff"], "/"), Some(StatusCode::MISDIRECTED_REQUEST));
        assert_eq!(code(&hosts, &[b"127.0.0.1", b"evil.example"], "/"), Some(StatusCode::BAD_REQUEST));
        assert_eq!(code(&hosts, &[], "/"), None, "HTTP/1.0");
    }

    #[test]
    fn a_whole_address_counts_as_well() {
        let hosts = Hosts::new(&[]);
        assert_eq!(code(&hosts, &[b"127.0.0.1"], "http://evil.example/flows"), Some(StatusCode::MISDIRECTED_REQUEST));
        assert_eq!(code(&hosts, &[b"127.0.0.1"], "http://127.0.0.1:9435/flows"), None);
        hosts.replace(&["evil.example".to_owned()]);
        assert_eq!(code(&hosts, &[b"127.0.0.1"], "http://evil.example/flows"), None);
    }
}
