//! Configuration, manifest and index of the image.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use oci_spec::image::{
    ANNOTATION_REF_NAME, ConfigBuilder, Descriptor, HistoryBuilder, ImageConfiguration, ImageConfigurationBuilder,
    ImageIndexBuilder, ImageManifestBuilder, MediaType, Os, PlatformBuilder, RootFsBuilder,
};

use crate::{
    facts::Facts,
    layer::Layer,
    layout::{self, Layout},
};

/// What containerd and Docker name an image by when they load it.
const ANNOTATION_NAME: &str = "io.containerd.image.name";
/// The chart's `image.repository`.
const REPOSITORY: &str = "ghcr.io/injector-rs/injector";

/// Writes the image into a layout. Returns its manifest's descriptor.
pub(crate) fn write(layout: &Layout, facts: &Facts, layer: &Layer, entrypoint: &str) -> Result<Descriptor> {
    let layer_blob = layout.blob(MediaType::ImageLayerGzip, &layer.compressed)?;
    let configuration = layout.document(MediaType::ImageConfig, &configuration(facts, layer, entrypoint)?)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(configuration)
        .layers(vec![layer_blob])
        .annotations(facts.annotations())
        .build()
        .context("describing the image")?;
    let mut descriptor = layout.document(MediaType::ImageManifest, &manifest)?;
    let platform = PlatformBuilder::default().architecture(facts.architecture()).os(Os::Linux).build()?;
    descriptor.set_platform(Some(platform));
    descriptor.set_annotations(Some(HashMap::from([
        (ANNOTATION_REF_NAME.to_owned(), facts.version.clone()),
        (ANNOTATION_NAME.to_owned(), format!("{REPOSITORY}:{}", facts.version)),
    ])));
    let index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageIndex)
        .manifests(vec![descriptor.clone()])
        .build()
        .context("describing the layout")?;
    layout.index(&index)?;
    Ok(descriptor)
}

/// How to run the image, and what it is made of.
pub(crate) fn configuration(facts: &Facts, layer: &Layer, entrypoint: &str) -> Result<ImageConfiguration> {
    let config = ConfigBuilder::default()
        .entrypoint(vec![entrypoint.to_owned()])
        .env(vec!["PATH=/usr/local/bin".to_owned()])
        .working_dir("/")
        .labels(facts.annotations())
        .build()
        .context("describing how to run the image")?;
    let root = RootFsBuilder::default()
        .typ("layers")
        .diff_ids(vec![format!("sha256:{}", layout::digest(&layer.tar)?.digest())])
        .build()
        .context("describing the image's files")?;
    let history = HistoryBuilder::default().created(facts.created()).created_by("cargo xtask image").build()?;
    ImageConfigurationBuilder::default()
        .created(facts.created())
        .architecture(facts.architecture())
        .os(Os::Linux)
        .config(config)
        .rootfs(root)
        .history(vec![history])
        .build()
        .context("describing the image")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn facts() -> Facts {
        Facts {
            version: "1.2.3".to_owned(),
            licences: "MIT".to_owned(),
            source: "https://example.org/injector".to_owned(),
            description: "An example".to_owned(),
            revision: Some("0123abc".to_owned()),
            epoch: 1_700_000_000,
        }
    }

    fn packed() -> (Descriptor, Vec<u8>, String) {
        let directory = tempfile::tempdir().unwrap();
        let layer = Layer::new(&[("bin/injector".to_owned(), 0o755, vec![7; 5000])], facts().epoch).unwrap();
        let layout = Layout::create(&directory.path().join("layout")).unwrap();
        let descriptor = write(&layout, &facts(), &layer, "/bin/injector").unwrap();
        let archive = directory.path().join("image.tar");
        layout.archive(&archive, facts().epoch).unwrap();
        let index = fs::read_to_string(directory.path().join("layout/index.json")).unwrap();
        (descriptor, fs::read(archive).unwrap(), index)
    }

    /// Maps with a seed of their own each time are in there: one run alone may be in order by chance.
    #[test]
    fn the_same_input_is_the_same_image() {
        let first = packed();
        for _ in 0..20 {
            assert!(packed() == first);
        }
    }

    #[test]
    fn the_labels_are_those_that_tools_know() {
        let layer = Layer::new(&[], 0).unwrap();
        let configuration = configuration(&facts(), &layer, "/injector").unwrap();
        let labels = configuration.labels_of_config().unwrap();
        for (label, value) in [
            ("version", "1.2.3"),
            ("revision", "0123abc"),
            ("source", "https://example.org/injector"),
            ("licenses", "MIT"),
            ("created", "2023-11-14T22:13:20Z"),
        ] {
            assert_eq!(labels[&format!("org.opencontainers.image.{label}")], value);
        }
        assert_eq!(configuration.created().as_deref(), Some("2023-11-14T22:13:20Z"));
    }

    #[test]
    fn the_index_names_one_image() {
        let (descriptor, _, index) = packed();
        let index: serde_json::Value = serde_json::from_str(&index).unwrap();
        let manifests = index["manifests"].as_array().unwrap();
        assert_eq!(manifests.len(), 1, "some tools take no more where none is named");
        assert_eq!(manifests[0]["digest"], descriptor.digest().to_string());
        assert_eq!(manifests[0]["annotations"]["org.opencontainers.image.ref.name"], "1.2.3");
    }
}
