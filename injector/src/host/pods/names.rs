//! Names of pods and containers from the node's own log directories.
//!
//! The kubelet makes `/var/log/pods/NAMESPACE_POD_UID/` for each pod (`BuildPodLogsDirectory`), and a link
//! `/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log` for each container (`logSymlink`; cut at 255 bytes, and then of
//! no use here). None of the names may contain `_`. A static pod's directory has the UID that its cgroup has.
//!
//! Only file names are read, no file and no link is opened.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    cgroup_path::{PodRef, is_container_id, is_uid},
    object_name::{is_label, is_subdomain},
};

/// Entries read of a directory. The kubelet allows 110 pods on a node by default.
const MAX_ENTRIES: usize = 16_384;
/// Unknown pods make the directories be read again, but not more often than this.
const MIN_AGE: Duration = Duration::from_secs(2);

/// What a pod, and one of its containers, is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodName {
    /// Namespace.
    pub namespace: String,
    /// Pod.
    pub pod: String,
    /// Container, where known.
    pub container: Option<String>,
}

impl PodName {
    /// From the name of a pod's directory, `NAMESPACE_POD_UID`: the UID, and what it is called. `None` where the kubelet
    /// would give no such name.
    pub fn of_directory(name: &str) -> Option<(String, Self)> {
        let [namespace, pod, uid] = three(name)?;
        let is_valid = is_label(namespace) && is_subdomain(pod) && is_uid(uid);
        is_valid
            .then(|| (uid.to_owned(), Self { namespace: namespace.to_owned(), pod: pod.to_owned(), container: None }))
    }

    /// From the name of a container's log, `POD_NAMESPACE_CONTAINER-ID.log`: the container's id, and what it is called.
    /// `None` where the kubelet would give no such name.
    pub fn of_log(name: &str) -> Option<(String, Self)> {
        let [pod, namespace, rest] = three(name.strip_suffix(".log")?)?;
        let (container, id) = rest.rsplit_once('-')?;
        let is_valid = is_label(namespace) && is_subdomain(pod) && is_label(container) && is_container_id(id);
        is_valid.then(|| {
            let container = Some(container.to_owned());
            (id.to_owned(), Self { namespace: namespace.to_owned(), pod: pod.to_owned(), container })
        })
    }
}

/// Names of this node's pods: what the directories said when last read. Reading replaces everything, so that memory is
/// bounded by what the directories hold, and by 16,384 entries of each.
#[derive(Debug)]
pub(crate) struct PodNames {
    pods_dir: PathBuf,
    containers_dir: PathBuf,
    read_at: Option<Instant>,
    pods: HashMap<String, PodName>,
    containers: HashMap<String, PodName>,
}

impl PodNames {
    /// From the directories `pods` and `containers` below `log_root`, which is `/var/log` unless that is mounted
    /// elsewhere. They need not exist.
    pub(crate) fn new(log_root: &Path) -> Self {
        Self {
            pods_dir: log_root.join("pods"),
            containers_dir: log_root.join("containers"),
            read_at: None,
            pods: HashMap::new(),
            containers: HashMap::new(),
        }
    }

    /// The names of `pod`, if the node has them. Reads the directories again when something is unknown, unless that
    /// was done less than two seconds before `now`.
    pub(crate) fn get(&mut self, pod: &PodRef, now: Instant) -> Option<PodName> {
        let is_fresh = self.read_at.is_some_and(|at| now.saturating_duration_since(at) < MIN_AGE);
        if !is_fresh && !self.is_known(pod) {
            self.read();
            self.read_at = Some(now);
        }
        self.lookup(pod)
    }

    fn is_known(&self, pod: &PodRef) -> bool {
        match &pod.container_id {
            Some(id) => self.containers.contains_key(id),
            None => self.pods.contains_key(&pod.uid),
        }
    }

    fn lookup(&self, pod: &PodRef) -> Option<PodName> {
        let container = pod.container_id.as_ref().and_then(|id| self.containers.get(id));
        container.or_else(|| self.pods.get(&pod.uid)).cloned()
    }

    fn read(&mut self) {
        self.pods = entries(&self.pods_dir).filter_map(|name| PodName::of_directory(&name)).collect();
        self.containers = entries(&self.containers_dir).filter_map(|name| PodName::of_log(&name)).collect();
    }
}

/// Names in a directory; none where it can't be read. A name that is no UTF-8 is not the kubelet's.
fn entries(directory: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.take(MAX_ENTRIES).filter_map(|entry| entry.file_name().into_string().ok())
}

fn three(name: &str) -> Option<[&str; 3]> {
    let mut parts = name.split('_');
    let three = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(three)
}

#[cfg(test)]
mod tests {
    use std::os::unix::{ffi::OsStrExt as _, fs::symlink};

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    const UID: &str = "1858680e-b044-4fd5-9dd4-f137e30e2180";
    const HASH: &str = "09a70ae9ccc491e651e5c773579b3490";
    const ID: &str = "5694f82f44168cc048e014ae14d1b0c8ef673bec49f329dc169911ea638f63c2";

    struct Node(TempDir);

    impl Node {
        fn new() -> Self {
            let node = Self(tempfile::tempdir().expect("a directory"));
            fs::create_dir(node.0.path().join("pods")).expect("made");
            fs::create_dir(node.0.path().join("containers")).expect("made");
            node
        }

        fn pod(&self, name: &str) {
            fs::create_dir(self.0.path().join("pods").join(name)).expect("made");
        }

        fn container(&self, name: &str) {
            symlink("/nowhere", self.0.path().join("containers").join(name)).expect("made");
        }

        fn names(&self) -> PodNames {
            PodNames::new(self.0.path())
        }
    }

    fn pod(uid: &str, id: Option<&str>) -> PodRef {
        PodRef { uid: uid.to_owned(), container_id: id.map(str::to_owned) }
    }

    fn named(namespace: &str, pod: &str, container: Option<&str>) -> PodName {
        let container = container.map(str::to_owned);
        PodName { namespace: namespace.to_owned(), pod: pod.to_owned(), container }
    }

    #[test]
    fn a_pod_and_its_container() {
        let node = Node::new();
        node.pod(&format!("shop_web-7d9f4c8b6f-2xkpt_{UID}"));
        node.container(&format!("web-7d9f4c8b6f-2xkpt_shop_app-server-{ID}.log"));
        let mut names = node.names();
        let now = Instant::now();
        let found = names.get(&pod(UID, Some(ID)), now);
        assert_eq!(found, Some(named("shop", "web-7d9f4c8b6f-2xkpt", Some("app-server"))));
        assert_eq!(names.get(&pod(UID, None), now), Some(named("shop", "web-7d9f4c8b6f-2xkpt", None)));
        assert_eq!(names.get(&pod(HASH, None), now), None);
    }

    #[test]
    fn either_directory_will_do() {
        let node = Node::new();
        node.pod(&format!("kube-system_etcd-node-1_{HASH}"));
        node.container(&format!("web-0_shop_app-{ID}.log"));
        let mut names = node.names();
        let now = Instant::now();
        assert_eq!(
            names.get(&pod(HASH, Some(&ID.replace('5', "6"))), now),
            Some(named("kube-system", "etcd-node-1", None))
        );
        assert_eq!(names.get(&pod(UID, Some(ID)), now), Some(named("shop", "web-0", Some("app"))));
        assert_eq!(PodNames::new(Path::new("/no/such/directory")).get(&pod(UID, Some(ID)), now), None);
    }

    #[test]
    fn the_unknown_is_looked_for_again_but_not_at_once() {
        let node = Node::new();
        let mut names = node.names();
        let start = Instant::now();
        assert_eq!(names.get(&pod(UID, None), start), None);
        node.pod(&format!("shop_db-0_{UID}"));
        assert_eq!(names.get(&pod(UID, None), start + Duration::from_secs(1)), None);
        assert_eq!(names.get(&pod(UID, None), start + Duration::from_secs(2)), Some(named("shop", "db-0", None)));
        fs::remove_dir(node.0.path().join(format!("pods/shop_db-0_{UID}"))).expect("removed");
        assert_eq!(
            names.get(&pod(UID, None), start + Duration::from_secs(9)),
            Some(named("shop", "db-0", None)),
            "cached"
        );
        assert_eq!(names.get(&pod(HASH, None), start + Duration::from_secs(9)), None);
        assert_eq!(names.get(&pod(UID, None), start + Duration::from_secs(10)), None, "expired");
    }

    #[test]
    fn what_the_kubelet_would_not_write_is_ignored() {
        let node = Node::new();
        for namespace in ["<b>x<", "a\nb", "a\u{1b}[2J", "UPPER", "é", ""] {
            node.pod(&format!("{namespace}_web_{UID}"));
        }
        node.pod(&format!("shop_web_{UID}_more"));
        node.pod(&format!("shop_.._{UID}"));
        node.pod("shop_web_..");
        fs::create_dir(node.0.path().join("pods").join(std::ffi::OsStr::from_bytes(b"\xff_web_x"))).expect("made");
        node.container(&format!("web_shop_<i>-{ID}.log"));
        node.container(&format!("web_shop_{ID}.log"));
        assert_eq!(node.names().get(&pod(UID, Some(ID)), Instant::now()), None);
    }

    #[test]
    fn memory_has_a_bound() {
        let node = Node::new();
        for number in 0..MAX_ENTRIES + 10 {
            node.container(&format!("p_n_c-{number:064x}.log"));
        }
        let mut names = node.names();
        names.get(&pod(UID, None), Instant::now());
        assert_eq!(names.containers.len(), MAX_ENTRIES);
    }

    proptest! {
        #[test]
        fn any_file_name_is_survived(name in "\\PC*") {
            drop(PodName::of_directory(&name));
            drop(PodName::of_log(&name));
        }

        #[test]
        fn what_is_taken_comes_back(
            namespace in "[a-z]{1,9}", pod in "[a-z][a-z0-9.-]{0,9}[a-z]", container in "[a-z][a-z-]{0,9}[a-z]",
        ) {
            prop_assume!(is_subdomain(&pod));
            let (uid, found) = PodName::of_directory(&format!("{namespace}_{pod}_{UID}")).expect("taken");
            prop_assert_eq!((uid, found), (UID.to_owned(), named(&namespace, &pod, None)));
            let (id, found) = PodName::of_log(&format!("{pod}_{namespace}_{container}-{ID}.log")).expect("taken");
            prop_assert_eq!((id, found), (ID.to_owned(), named(&namespace, &pod, Some(&container))));
        }
    }
}
