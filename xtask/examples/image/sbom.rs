//! What the binary is made of, in the words of `CycloneDX`: the crates that are linked into it.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, Node, Package, PackageId};
use cyclonedx_bom::{
    external_models::uri::Purl,
    models::{
        bom::{Bom, SpecVersion},
        component::{Classification, Component, Components},
        dependency::{Dependencies, Dependency},
        license::{LicenseChoice, Licenses},
        metadata::Metadata as BomMetadata,
    },
    prelude::{DateTime, NormalizedString, SpdxExpression, Validate as _},
};

use crate::facts::Facts;

const NAME: &str = "injector";

/// What Cargo knows of a build for `target` with these features.
pub(crate) fn metadata(workspace: &Path, target: &str, features: &[String]) -> Result<Metadata> {
    let mut command = MetadataCommand::new();
    command.current_dir(workspace.join(NAME)).features(CargoOpt::SomeFeatures(features.to_vec()));
    command.other_options(["--locked", "--filter-platform", target].map(str::to_owned));
    command.exec().context("asking Cargo for the dependencies")
}

/// The package that the binary comes from.
pub(crate) fn injector(metadata: &Metadata) -> Result<&Package> {
    let found = metadata.workspace_packages().into_iter().find(|package| package.name == NAME);
    found.with_context(|| format!("no package {NAME} in this workspace"))
}

/// The list of components, in JSON.
pub(crate) fn write(metadata: &Metadata, facts: &Facts) -> Result<Vec<u8>> {
    let bom = bom(metadata, facts)?;
    let validity = bom.validate();
    ensure!(validity.passed(), "the list of components is not valid: {validity:?}");
    let mut json = Vec::new();
    bom.output_as_json(&mut json, SpecVersion::V1_5).context("writing the list of components")?;
    Ok(json)
}

fn bom(metadata: &Metadata, facts: &Facts) -> Result<Bom> {
    let root = injector(metadata)?;
    let nodes: HashMap<&PackageId, &Node> =
        metadata.resolve.iter().flat_map(|resolve| &resolve.nodes).map(|node| (&node.id, node)).collect();
    let linked = linked(&root.id, &nodes);
    let packages = linked.iter().map(|id| &metadata[id]);
    let components = packages.clone().filter(|package| package.id != root.id).map(component);
    let dependencies = packages.map(|package| {
        let refs: BTreeSet<String> = linked_by(nodes[&package.id]).map(|id| reference(&metadata[id])).collect();
        Dependency { dependency_ref: reference(package), dependencies: refs.into_iter().collect() }
    });
    Ok(Bom {
        // Whoever builds the same has the same list: it gets no number of its own.
        serial_number: None,
        metadata: Some(BomMetadata {
            timestamp: Some(DateTime::try_from(facts.created()).context("a date")?),
            component: Some(Component { component_type: Classification::Application, ..component(root)? }),
            ..BomMetadata::default()
        }),
        components: Some(Components(components.collect::<Result<_>>()?)),
        dependencies: Some(Dependencies(dependencies.collect())),
        spec_version: SpecVersion::V1_5,
        ..Bom::default()
    })
}

/// Packages whose code ends up in the binary, in the order of their names. Of procedural macros and build scripts only what
/// they write does.
fn linked<'a>(root: &'a PackageId, nodes: &HashMap<&'a PackageId, &'a Node>) -> BTreeSet<&'a PackageId> {
    let (mut found, mut open) = (BTreeSet::new(), vec![root]);
    while let Some(id) = open.pop() {
        if found.insert(id) {
            open.extend(linked_by(nodes[id]));
        }
    }
    found
}

fn linked_by(node: &Node) -> impl Iterator<Item = &PackageId> {
    let is_normal = |kind: &cargo_metadata::DepKindInfo| kind.kind == DependencyKind::Normal;
    node.deps.iter().filter(move |dep| dep.dep_kinds.iter().any(is_normal)).map(|dep| &dep.pkg)
}

fn component(package: &Package) -> Result<Component> {
    let mut component =
        Component::new(Classification::Library, &package.name, &package.version.to_string(), Some(reference(package)));
    let licence = package.license.as_deref().map(|text| SpdxExpression::try_from(text.replace('/', " OR ")));
    let licence = licence.transpose().with_context(|| format!("the licence of {}", package.name))?;
    component.licenses = licence.map(|expression| Licenses(vec![LicenseChoice::Expression(expression)]));
    component.description = package.description.as_deref().map(|text| NormalizedString::new(text.trim()));
    component.purl = Some(Purl::new("cargo", &package.name, &package.version.to_string()).context("a package URL")?);
    Ok(component)
}

fn reference(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}
