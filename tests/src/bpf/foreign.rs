//! A foreign `sock_ops` program, loaded and attached by bpftool.

use std::fs;
use std::path::PathBuf;

use object::write::{Object, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

use crate::host::cgroup::Cgroup;
use crate::host::isolation::BPFFS;
use crate::programs::command::tool;
use crate::unique::unique_name;

/// `r0 = 1; exit`, little-endian: agree to everything, touch nothing.
const RETURN_ONE: [u8; 16] = [0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

/// A program attached the old way, without a link. Dropping it detaches and removes it.
#[derive(Debug)]
pub struct ForeignProgram {
    cgroup: PathBuf,
    pin: String,
}

impl ForeignProgram {
    /// Its name in `bpftool cgroup show`.
    pub const NAME: &str = "foreign";

    /// Loads the program and attaches it to a cgroup, beside others.
    pub fn attach(cgroup: &Cgroup) -> Self {
        Self::attach_as(cgroup, &["multi"])
    }

    /// The same with these flags of bpftool; none of them for a program that is to be alone.
    pub fn attach_as(cgroup: &Cgroup, flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("there is room for a temporary directory");
        let file = directory.path().join("foreign.bpf.o");
        fs::write(&file, object_file()).expect("there is room for an object file");
        let pin = format!("{BPFFS}/{}", unique_name("foreign"));
        tool("bpftool", &["prog", "load", &file.to_string_lossy(), &pin]);
        let foreign = Self { cgroup: cgroup.path().to_owned(), pin };
        foreign.bpftool_cgroup("attach", flags);
        foreign
    }

    fn bpftool_cgroup(&self, verb: &str, flags: &[&str]) {
        let cgroup = self.cgroup.to_string_lossy();
        let arguments = ["cgroup", verb, &cgroup, "sock_ops", "pinned", &self.pin];
        tool("bpftool", &[&arguments, flags].concat());
    }
}

impl Drop for ForeignProgram {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.bpftool_cgroup("detach", &[]);
        }
        let _ = fs::remove_file(&self.pin);
    }
}

/// The smallest object that libbpf takes: one function in a section that names its type, and a licence.
fn object_file() -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let code = object.add_section(Vec::new(), b"sockops".to_vec(), SectionKind::Text);
    object.append_section_data(code, &RETURN_ONE, 8);
    object.add_symbol(Symbol {
        name: ForeignProgram::NAME.into(),
        value: 0,
        size: RETURN_ONE.len() as u64,
        kind: SymbolKind::Text,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(code),
        flags: SymbolFlags::None,
    });
    let license = object.add_section(Vec::new(), b"license".to_vec(), SectionKind::Data);
    object.append_section_data(license, b"GPL\0", 1);
    object.write().expect("a small object can be written")
}
