//! Names in the kubelet's log directories.

use injector::internals::{PodName, workload_of};

/// A file name a line. Accepted names of objects have no markup, path or control character.
pub fn log_names(bytes: &[u8]) {
    for name in super::lines(bytes) {
        for (id, found) in [PodName::of_directory(&name), PodName::of_log(&name)].into_iter().flatten() {
            let PodName { namespace, pod, container } = &found;
            let all = [id.as_str(), namespace, pod, container.as_deref().unwrap_or("x")];
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
            assert!(all.iter().all(|word| !word.is_empty() && word.bytes().all(is_plain)), "{found:?}");
            assert!(all.iter().all(|word| name.contains(word) || *word == "x"), "{found:?} of {name}");
            assert!(!workload_of(pod).is_empty(), "{found:?}");
        }
    }
}
