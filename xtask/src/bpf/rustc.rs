//! What `rustc -vV` says.

use anyhow::{Context as _, Result};

/// A compiler's version, as it prints it itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RustcVersion {
    /// The first line, e.g. `rustc 1.96.0 (ac68faa20 2026-05-25)`.
    pub(crate) line: String,
    /// Machine that it runs on, e.g. `x86_64-unknown-linux-gnu`.
    pub(crate) host: String,
    /// Version of the LLVM that it was built with, e.g. `22.1.8`.
    pub(crate) llvm: String,
    /// First number of [`Self::llvm`]: bpf-linker must use the same.
    pub(crate) llvm_major: u32,
}

impl RustcVersion {
    /// Reads the output of `rustc -vV`.
    pub(crate) fn parse(output: &str) -> Result<Self> {
        let line = output
            .lines()
            .next()
            .filter(|line| line.starts_with("rustc "))
            .context("`rustc -vV` printed no version line")?;
        let field = |name: &str| {
            output
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
                .with_context(|| format!("`rustc -vV` printed no `{name}` line"))
        };
        let llvm = field("LLVM version:")?;
        let llvm_major = llvm
            .split('.')
            .next()
            .and_then(|major| major.parse().ok())
            .with_context(|| format!("`rustc -vV` printed a strange LLVM version: {llvm}"))?;
        Ok(Self {
            line: line.trim_end().to_owned(),
            host: field("host:")?.to_owned(),
            llvm: llvm.to_owned(),
            llvm_major,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)\n\
        binary: rustc\n\
        commit-hash: ac68faa20c58cbccd01ee7208bf3b6e93a7d7f96\n\
        host: x86_64-unknown-linux-gnu\n\
        release: 1.96.0\n\
        LLVM version: 22.1.8\n";

    #[test]
    fn reads_version_line_host_and_llvm() {
        let version = RustcVersion::parse(DEBIAN).unwrap();
        assert_eq!(version.line, "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)");
        assert_eq!(version.host, "x86_64-unknown-linux-gnu");
        assert_eq!(version.llvm, "22.1.8");
        assert_eq!(version.llvm_major, 22);
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        let without_llvm = DEBIAN.replace("LLVM version", "Cranelift version");
        for (output, cause) in [
            ("", "no version line"),
            ("cargo 1.96.0\n", "no version line"),
            (without_llvm.as_str(), "no `LLVM version:` line"),
            ("rustc 1.96.0\nLLVM version: unknown\n", "strange LLVM version: unknown"),
        ] {
            let message = RustcVersion::parse(output).unwrap_err().to_string();
            assert!(message.contains(cause), "{output:?}: {message}");
        }
    }
}
