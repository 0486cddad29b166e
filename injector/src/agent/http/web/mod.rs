//! The status page: one file that asks for nothing but the agent's own JSON.

/// The page. It reads `status` (`injector.status/v1`) and `flows?at_risk=1&limit=100` (`injector.flows/v1`, whose flows
/// may have a `pod` with `namespace`, `name` and `container`), relative to its own address.
pub const PAGE: &str = include_str!("index.html");

/// Its `Content-Security-Policy`: its own script and style, by their hashes, and requests to the agent.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; \
    script-src 'sha256-nlHe/8Cpa1J9gN0FsgC8d91YSJFslecf0z4IJOOqiV8='; \
    style-src 'sha256-QkgiFQ3aqI/wnKV3anLm9fCnJxtNSOqeR0Ig9A884j8='; \
    img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn inside(tag: &str) -> &'static str {
        let (_, rest) = PAGE.split_once(&format!("<{tag}>")).expect("opened");
        rest.split_once(&format!("</{tag}>")).expect("closed").0
    }

    #[test]
    fn the_policy_allows_what_the_page_has() {
        for tag in ["script", "style"] {
            let hash = BASE64_STANDARD.encode(Sha256::digest(inside(tag)));
            let source = format!("{tag}-src 'sha256-{hash}'");
            assert!(CONTENT_SECURITY_POLICY.contains(&source), "the page changed: the policy needs {source}");
        }
    }

    #[test]
    fn nothing_is_taken_for_markup_or_fetched_from_elsewhere() {
        for word in
            ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "http:", "https:", "style=\""]
        {
            assert!(!PAGE.contains(word), "{word}");
        }
    }
}
