//! From a cgroup's path to the pod it belongs to.
//!
//! The kubelet names a pod's cgroup in `pkg/kubelet/cm` (`podContainerManagerImpl.GetPodContainerName`,
//! `cgroupName.ToSystemd` and `ToCgroupfs`); the container runtime names the ones below:
//!
//! ```text
//! cgroupfs  kubepods/burstable/podUID/ID
//! systemd   kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_I_D.slice/cri-containerd-ID.scope
//! ```
//!
//! A guaranteed pod has no directory or word for its class. [`PodRoots`](super::PodRoots) has what is above `kubepods`:
//! kind has `kubelet` there, minikube the cgroup of the node's own container.

/// The pod a cgroup belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRef {
    /// The kubelet's UID of the pod: a UUID with dashes, or 32 hexadecimal digits for a static pod. The API server has
    /// another UID for the latter; its annotation `kubernetes.io/config.hash` says this one.
    pub uid: String,
    /// Id of the container, 64 hexadecimal digits; `None` for the pod's own cgroup and for what runs beside its
    /// containers. The pause container has one like any other.
    pub container_id: Option<String>,
}

/// The kubelet's words for classes of pods. Guaranteed pods have none.
const CLASSES: [&str; 2] = ["burstable", "besteffort"];

/// The pod that a cgroup belongs to whose path below the kubelet's `kubepods` is `path`: at its top, or in the directory of
/// a class.
pub(crate) fn pod_below(path: &str) -> Option<PodRef> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let first = parts.next()?;
    let (part, pod) = if let Some(pod) = slice(first).map(|(_, pod)| pod).or_else(|| directory(first)) {
        (first, pod)
    } else {
        let second = parts.next()?;
        let pod = match slice(second) {
            Some((class, pod)) => is_slice_of(first, class?).then_some(pod),
            None if CLASSES.contains(&first) => directory(second),
            None => None,
        };
        (second, pod?)
    };
    // Only containerd with the cgroupfs driver below a kubelet with the systemd driver has it in one part.
    let container = part.split_once(':').map(|(_, container)| container).or_else(|| parts.next());
    Some(PodRef { container_id: container.and_then(container_of), ..pod })
}

/// Whether this is systemd's slice for the pods of `class`: `kubepods-burstable.slice`.
fn is_slice_of(slice: &str, class: &str) -> bool {
    let name = slice.strip_suffix(".slice").and_then(|name| name.rsplit_once("kubepods-"));
    name.is_some_and(|(_, found)| found == class)
}

/// systemd's name for a pod, `kubepods-burstable-podU_I_D.slice`, with its class, where it has one.
fn slice(part: &str) -> Option<(Option<&str>, PodRef)> {
    let part = part.split_once(':').map_or(part, |(slice, _)| slice);
    let (above, uid) = part.strip_suffix(".slice")?.rsplit_once("-pod")?;
    let (above, class) = above.rsplit_once("kubepods")?;
    let class = match class.strip_prefix('-') {
        None if class.is_empty() => None,
        Some(class) if CLASSES.contains(&class) => Some(class),
        _ => return None,
    };
    let pod = pod(&uid.replace('_', "-"))?;
    is_whole(above).then_some((class, pod))
}

/// Whether what stands before `kubepods` leaves it a word of its own.
fn is_whole(above: &str) -> bool {
    above.is_empty() || above.ends_with('-')
}

/// cgroupfs's name for a pod: `podUID`.
fn directory(part: &str) -> Option<PodRef> {
    pod(part.strip_prefix("pod")?)
}

fn pod(uid: &str) -> Option<PodRef> {
    is_uid(uid).then(|| PodRef { uid: uid.to_owned(), container_id: None })
}

/// Whether this is a UID as the kubelet has them: a UUID, or the MD5 hash of a static pod's configuration.
pub(super) fn is_uid(text: &str) -> bool {
    let is_hash = text.len() == 32 && text.bytes().all(is_hex);
    let is_uuid = text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => is_hex(byte),
        });
    is_hash || is_uuid
}

/// Whether this is a container's id.
pub(super) fn is_container_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(is_hex)
}

const fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// Id from the name of a container's cgroup.
fn container_of(part: &str) -> Option<String> {
    let name = part.strip_suffix(".scope").unwrap_or(part);
    // Beside a container runs conmon, `crio-conmon-ID`, which watches it: that id is not of what runs in here.
    let prefixes = ["cri-containerd-", "cri-containerd:", "crio-", "docker-", ""];
    let id = prefixes.iter().filter_map(|prefix| name.strip_prefix(prefix)).find(|id| is_container_id(id))?;
    Some(id.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::pods::PodRoots;

    const UID: &str = "1858680e-b044-4fd5-9dd4-f137e30e2180";
    const HASH: &str = "09a70ae9ccc491e651e5c773579b3490";
    const ID: &str = "5694f82f44168cc048e014ae14d1b0c8ef673bec49f329dc169911ea638f63c2";

    const NODE: &str = "6694f82f44168cc048e014ae14d1b0c8ef673bec49f329dc169911ea638f63c6";

    /// The slices of pods, in full.
    const SLICES: [(&str, &str); 3] = [
        ("BURSTABLE", "kubepods-burstable.slice/kubepods-burstable-podU_ID.slice"),
        ("BESTEFFORT", "kubepods-besteffort.slice/kubepods-besteffort-podU_ID.slice"),
        ("KIND", "kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-podU_ID.slice"),
    ];

    /// A path with its slices, `UID`, `U_ID` (as systemd has it), `HASH` and `ID` filled in.
    fn spelled(path: &str) -> String {
        let path = SLICES.iter().fold(path.to_owned(), |path, (short, slices)| path.replace(short, slices));
        path.replace("U_ID", &UID.replace('-', "_")).replace("UID", UID).replace("HASH", HASH).replace("ID", ID)
    }

    fn expected(uid: &str, id: Option<&str>) -> PodRef {
        PodRef { uid: uid.to_owned(), container_id: id.map(str::to_owned) }
    }

    /// The pod of a path, of a node whose own container may be `NODE`.
    fn pod_of(path: &str) -> Option<PodRef> {
        let node = format!("/system.slice/docker-{NODE}.scope");
        let of_node = ["kubelet/kubepods", "kubepods.slice"].map(|root| format!("{node}/{root}"));
        PodRoots::default().pod_of(path).or_else(|| PodRoots::new(of_node).pod_of(path))
    }

    #[test]
    fn containers() {
        let minikube = format!("/system.slice/docker-{NODE}.scope");
        let table = [
            // systemd driver
            "/kubepods.slice/BURSTABLE/cri-containerd-ID.scope",
            "/kubepods.slice/BESTEFFORT/cri-containerd-ID.scope",
            "/kubepods.slice/kubepods-podU_ID.slice/crio-ID.scope",
            "/kubepods.slice/kubepods-podU_ID.slice/crio-ID.scope/container",
            "/kubepods.slice/BESTEFFORT/docker-ID.scope",
            // cgroupfs driver
            "/kubepods/burstable/podUID/ID",
            "/kubepods/besteffort/podUID/ID",
            "/kubepods/podUID/ID",
            "/kubepods/podUID/crio-ID",
            // mixed drivers
            "/system.slice/containerd.service/kubepods-burstable-podU_ID.slice:cri-containerd:ID",
            // cgroups that the container made
            "/kubepods/burstable/podUID/ID/system.slice/nginx.service",
            // a node in a container: kind and minikube, from inside and from outside
            "/kubelet.slice/kubelet-kubepods.slice/KIND/cri-containerd-ID.scope",
            "/kubelet/kubepods/burstable/podUID/ID",
            "NODE/kubelet/kubepods/podUID/ID",
            "NODE/kubepods.slice/BESTEFFORT/docker-ID.scope",
        ];
        for path in table {
            let path = spelled(&path.replace("NODE", &minikube));
            assert_eq!(pod_of(&path), Some(expected(UID, Some(ID))), "{path}");
        }
    }

    #[test]
    fn pods_without_a_container() {
        let table = [
            "/kubepods.slice/BURSTABLE",
            "/kubepods/burstable/podUID",
            "/kubepods/burstable/podUID/crio-conmon-ID",
            "/kubepods.slice/BURSTABLE/crio-conmon-ID.scope",
            "/kubepods/burstable/podUID/not-an-id",
        ];
        for path in table {
            let path = spelled(path);
            assert_eq!(pod_of(&path), Some(expected(UID, None)), "{path}");
        }
    }

    #[test]
    fn static_pods_have_a_hash() {
        let pod = pod_of(&spelled("/kubepods/burstable/podHASH/ID"));
        assert_eq!(pod, Some(expected(HASH, Some(ID))));
        let pod = pod_of(&spelled("/kubepods.slice/kubepods-podHASH.slice/crio-ID.scope"));
        assert_eq!(pod, Some(expected(HASH, Some(ID))));
    }

    #[test]
    fn a_pod_within_a_pod_is_the_outer_one() {
        let inner = format!("/kubelet/kubepods/pod{HASH}/{ID}");
        let pod = pod_of(&(spelled("/kubepods/burstable/podUID/ID") + &inner)).expect("a pod");
        assert_eq!(pod.uid, UID);
    }

    #[test]
    fn anything_else_is_no_pod() {
        for path in [
            "",
            "/",
            "/../..",
            "/kubepods.slice",
            "/kubepods/burstable",
            "/system.slice/docker-ID.scope",
            "/machine.slice/libpod-ID.scope/container",
            "/system.slice/podUID",
            "/podUID/ID",
            "/../podUID/ID",
            "/../../BURSTABLE/cri-containerd-ID.scope",
            "/kubepods/deeper/burstable/podUID/ID",
            "/kubepods/burstable/../burstable/podUID/ID",
            "/kubepods.slice/mine/kubepods-podU_ID.slice",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-besteffort-podU_ID.slice",
            "/kubepods/burstable/pod",
            "/kubepods/burstable/podU_ID/ID",
            "/kubepods/burstable/pod../ID",
            "/notkubepods-podU_ID.slice",
            "/kubepods-other-podU_ID.slice",
            "/kubepods-podUID-UID.slice",
            "/kubepods.slice/kubepods-podé858680e_b044_4fd5_9dd4_f137e30e218.slice",
        ] {
            assert_eq!(pod_of(&spelled(path)), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(path in "\\PC*") {
            drop(pod_below(&path));
        }

        #[test]
        fn any_mixture_of_its_own_words_is_survived(words in prop::collection::vec(
            prop::sample::select(
                vec!["/", "kubepods", "-pod", "pod", ".slice", ":", "..", "crio-", ".scope", UID, HASH, ID, "é"],
            ),
            0..12,
        )) {
            if let Some(pod) = pod_below(&words.concat()) {
                prop_assert!(is_uid(&pod.uid));
                prop_assert!(pod.container_id.is_none_or(|id| is_container_id(&id)));
            }
        }
    }
}
