//! Strips debug sections from the object, whatever objcopy this machine has.

use anyhow::{Result, ensure};
use object::{
    build::elf::{Builder, SectionData},
    elf::SHT_STRTAB,
};

/// The object without `.debug_*` sections and what belongs to them. BTF stays, with its relocations.
pub(crate) fn debug_sections(object: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(object)?;
    for section in &mut builder.sections {
        if is_debug(&section.name) {
            section.delete = true;
        }
    }
    builder.delete_orphans();
    own_section_names(&mut builder);
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    ensure!(
        Builder::read(stripped.as_slice())?.sections.iter().any(|section| section.name.as_slice() == b".BTF"),
        "the object has no .BTF section: bpf-linker must run with --btf on a build with debug info"
    );
    Ok(stripped)
}

/// LLVM keeps the names of sections and of symbols in one table; the builder writes two.
fn own_section_names(builder: &mut Builder<'_>) {
    let is_there = |data: &SectionData<'_>| matches!(data, SectionData::SectionString);
    if builder.sections.iter().any(|section| is_there(&section.data)) {
        return;
    }
    let names = builder.sections.add();
    names.name = b".shstrtab"[..].into();
    names.sh_type = SHT_STRTAB;
    names.data = SectionData::SectionString;
}

/// Relocations carry the name of the section that they apply to.
fn is_debug(name: &[u8]) -> bool {
    name.strip_prefix(b".rel").unwrap_or(name).starts_with(b".debug_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_sections_are_known_by_name() {
        for name in [".debug_info", ".debug_str", ".rel.debug_info"] {
            assert!(is_debug(name.as_bytes()), "{name}");
        }
        for name in [".BTF", ".rel.BTF.ext", ".text", "sockops", ".relsockops", ".symtab"] {
            assert!(!is_debug(name.as_bytes()), "{name}");
        }
    }
}
