//! What is said about the image, and stays the same for the same commit.

use std::{
    collections::HashMap,
    env,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use cargo_metadata::Metadata;
use oci_spec::image::{
    ANNOTATION_CREATED, ANNOTATION_DESCRIPTION, ANNOTATION_LICENSES, ANNOTATION_REVISION, ANNOTATION_SOURCE,
    ANNOTATION_TITLE, ANNOTATION_VERSION, Arch,
};

use crate::sbom;

/// <https://reproducible-builds.org/specs/source-date-epoch/>
const EPOCH_VARIABLE: &str = "SOURCE_DATE_EPOCH";

/// What is said about the image.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) version: String,
    pub(crate) licences: String,
    pub(crate) source: String,
    pub(crate) description: String,
    /// The commit; none outside of a repository. With `-dirty` where there are changes that it does not have.
    pub(crate) revision: Option<String>,
    /// The date of everything in it, in seconds since 1970: `SOURCE_DATE_EPOCH`, else the commit's, else 0.
    pub(crate) epoch: u64,
}

impl Facts {
    /// Gathers them from the manifest and the repository.
    pub(crate) fn gather(workspace: &Path, metadata: &Metadata) -> Result<Self> {
        let package = sbom::injector(metadata)?;
        let given = env::var(EPOCH_VARIABLE).ok();
        let epoch = given.or_else(|| git(workspace, &["show", "--no-patch", "--format=%ct", "HEAD"]));
        Ok(Self {
            version: package.version.to_string(),
            licences: package.license.clone().context("the package has no licence")?,
            source: package.repository.clone().context("the package names no repository")?,
            description: package.description.clone().context("the package has no description")?,
            revision: revision(workspace),
            epoch: match epoch {
                Some(text) => text.parse().with_context(|| format!("{EPOCH_VARIABLE} is {text:?}: no seconds"))?,
                None => 0,
            },
        })
    }

    /// The annotations that OCI defines, as labels and annotations.
    pub(crate) fn annotations(&self) -> HashMap<String, String> {
        let known = [
            (ANNOTATION_TITLE, "injector".to_owned()),
            (ANNOTATION_DESCRIPTION, self.description.clone()),
            (ANNOTATION_VERSION, self.version.clone()),
            (ANNOTATION_SOURCE, self.source.clone()),
            (ANNOTATION_LICENSES, self.licences.clone()),
            (ANNOTATION_CREATED, self.created()),
        ];
        let revision = self.revision.iter().map(|revision| (ANNOTATION_REVISION, revision.clone()));
        known.into_iter().chain(revision).map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// The date as RFC 3339 has it.
    pub(crate) fn created(&self) -> String {
        humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + Duration::from_secs(self.epoch)).to_string()
    }

    /// This machine's, in OCI's words: programs are built for it.
    #[expect(clippy::unused_self, reason = "a fact like the others")]
    pub(crate) fn architecture(&self) -> Arch {
        Arch::default()
    }
}

fn revision(workspace: &Path) -> Option<String> {
    let commit = git(workspace, &["rev-parse", "HEAD"])?;
    let changes = git(workspace, &["status", "--porcelain"])?;
    Some(if changes.is_empty() { commit } else { commit + "-dirty" })
}

fn git(workspace: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(workspace).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
