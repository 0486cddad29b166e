//! Features that some supported kernels lack. Trying decides; versions only explain.

/// Such a feature.
#[derive(Debug)]
pub(crate) struct Feature {
    /// Its name in `doctor`.
    pub name: &'static str,
    /// The options that need it.
    pub asked_by: &'static str,
    /// The first version of Linux that has it.
    since: (u32, u32),
}

/// `BPF_CGROUP_SETSOCKOPT`: kernel commit 0d01da6afc54.
pub(crate) const CONFLICTS: Feature =
    Feature { name: "overruling", asked_by: "--on-conflict tighten (the default) and enforce", since: (5, 3) };
/// Socket storage for iterators, too: kernel commit 8e4597c627fb.
pub(crate) const PACKETS: Feature = Feature { name: "tracking packets", asked_by: "--track packets", since: (5, 11) };
/// `pidfd_getfd(2)`: kernel commit 8649c322f75c.
pub(crate) const ADOPTION: Feature =
    Feature { name: "adoption", asked_by: "attach --existing and adopt", since: (5, 6) };

impl Feature {
    /// The requested options and the kernel that they need, where kernel `release` refuses them.
    pub(crate) fn needs(&self, release: &str) -> String {
        let Self { asked_by, since: (major, minor), .. } = self;
        let is_older = version(release).is_some_and(|version| version < self.since);
        let here = if is_older { format!("; this is {release}") } else { String::new() };
        format!("{asked_by} (needs Linux {major}.{minor}{here})")
    }
}

/// As the running kernel names itself.
pub(crate) fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The first two numbers of `6.1.0-50-cloud-amd64`.
pub(super) fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|char: char| !char.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_two_numbers() {
        for (release, expected) in [
            ("5.10.0-32-cloud-amd64", Some((5, 10))),
            ("7.2.13+deb14-cloud-amd64", Some((7, 2))),
            ("6.18", Some((6, 18))),
            ("6", None),
            ("next", None),
            ("99999999999.1", None),
        ] {
            assert_eq!(version(release), expected, "{release}");
        }
    }

    #[test]
    fn an_old_kernel_is_distinguished_from_one_that_refuses() {
        for (release, expected) in [
            ("5.10.0-32-cloud-amd64", "--track packets (needs Linux 5.11; this is 5.10.0-32-cloud-amd64)"),
            ("5.11.1", "--track packets (needs Linux 5.11)"),
            ("6.1.0", "--track packets (needs Linux 5.11)"),
            ("odd", "--track packets (needs Linux 5.11)"),
        ] {
            assert_eq!(PACKETS.needs(release), expected);
        }
    }
}
