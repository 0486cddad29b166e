//! What a Kubernetes object may be called.
//!
//! Names on the node's disk count as names of objects only where they follow the API server's rules
//! (`k8s.io/apimachinery/pkg/util/validation`). So what ends up in a table, a label or a page has no control character,
//! no markup and no path in it, whichever user made the directory.

/// Longest name of a namespace or container, in bytes.
const MAX_LABEL: usize = 63;
/// Longest name of a pod, in bytes.
const MAX_SUBDOMAIN: usize = 253;

/// Whether a namespace or a container may be called so: a label of RFC 1123.
pub(crate) fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && is_word(text)
}

/// Whether a pod may be called so: a subdomain of RFC 1123, whose labels have no bound of their own here.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_SUBDOMAIN && text.split('.').all(is_word)
}

fn is_word(text: &str) -> bool {
    let is_alphanumeric = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let bytes = text.as_bytes();
    bytes.first().is_some_and(is_alphanumeric)
        && bytes.last().is_some_and(is_alphanumeric)
        && bytes.iter().all(|byte| is_alphanumeric(byte) || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = "a".repeat(64);
        let table = [
            ("web", true, true),
            ("web-7d9f4c8b6f-2xkpt", true, true),
            ("0", true, true),
            ("etcd-ip-10-0-1-5.eu-west-1.compute.internal", false, true),
            (long.as_str(), false, true),
            ("", false, false),
            (".", false, false),
            ("..", false, false),
            ("a..b", false, false),
            ("-a", false, false),
            ("a-", false, false),
            ("a/b", false, false),
            ("a_b", false, false),
            ("Web", false, false),
            ("é", false, false),
            ("<b>x</b>", false, false),
            ("a\nb", false, false),
            ("a\u{1b}[2J", false, false),
        ];
        for (text, label, subdomain) in table {
            assert_eq!((is_label(text), is_subdomain(text)), (label, subdomain), "{text:?}");
        }
        assert!(!is_subdomain(&"a".repeat(4096)));
    }
}
