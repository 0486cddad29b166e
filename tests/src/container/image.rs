//! The container image under test.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::programs::command::tool;

/// Names the image's layout: `cargo xtask test` packs it.
const IMAGE_VARIABLE: &str = "INJECTOR_IMAGE";

/// An image in an OCI layout.
#[derive(Clone, Debug)]
pub struct Image {
    reference: String,
}

impl Image {
    /// Finds the image.
    pub fn find() -> Self {
        let layout = std::env::var_os(IMAGE_VARIABLE).map(PathBuf::from);
        let layout =
            layout.unwrap_or_else(|| panic!("no image: `cargo xtask test` packs one, and sets {IMAGE_VARIABLE}"));
        let index = fs::read_to_string(layout.join("index.json")).expect("a layout has an index");
        let index: Value = serde_json::from_str(&index).expect("the index is JSON");
        let tag = &index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"];
        Self { reference: format!("{}:{}", layout.display(), tag.as_str().expect("the image has a tag")) }
    }

    /// What skopeo says of it, or of its configuration with `--config`.
    pub fn inspect(&self, options: &[&str]) -> Value {
        let reference = format!("oci:{}", self.reference);
        let inspected = tool("skopeo", &[&["inspect"], options, &[reference.as_str()]].concat());
        serde_json::from_str(&inspected).expect("skopeo prints JSON")
    }

    /// Unpacks it, with what a runtime needs to know to run it as it is: `rootfs/` and `config.json`.
    pub fn unpack(&self, directory: &Path) {
        tool("umoci", &["unpack", "--image", &self.reference, &directory.to_string_lossy()]);
    }
}
