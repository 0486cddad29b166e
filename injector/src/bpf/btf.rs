//! Offsets of members, read from the kernel's own type information (BTF).
//!
//! A reader of our own, because every attach waits for the offsets: the general
//! libraries build an owned graph of some 150,000 types first, which takes them
//! longer than all the rest of attaching, and several times the memory we want
//! to live in. This one walks the bytes once and keeps one position per type.
//! The tests compare it with such a library.
//!
//! Format: <https://docs.kernel.org/bpf/btf.html>. Only little-endian.

use std::collections::HashMap;

use thiserror::Error;

const MAGIC: u16 = 0xeb9f;
const TYPE_SIZE: usize = 12;
const MEMBER_SIZE: usize = 12;

/// Members visited in the search for one, at most: a structure without a name
/// may hold itself, or many that hold many. `struct tcp_sock` has some 200.
const MAX_LOOKS: u32 = 2_000;

/// Kinds of types that matter here, from include/uapi/linux/btf.h.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const FWD: u32 = 7;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const FLOAT: u32 = 16;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// Why an offset could not be found.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BtfError {
    /// Not BTF, or cut short.
    #[error("malformed BTF: {0}")]
    Malformed(&'static str),
    /// A kind of type that this reader does not know the size of.
    #[error("BTF has types of an unknown kind {0}")]
    UnknownKind(u32),
    /// The kernel has no such member.
    #[error("the kernel has no member {path} in struct {structure}")]
    NoSuchMember {
        /// Tag of the structure.
        structure: String,
        /// Path of the member.
        path: String,
    },
}

/// BTF with an index of its types.
#[derive(Debug)]
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type starts in `types`, by id less one: id 0 is `void`.
    positions: Vec<u32>,
    /// Ids of structures by name.
    structures: HashMap<&'a [u8], Vec<u32>>,
}

/// One type's fixed part.
#[derive(Clone, Copy)]
struct Type {
    position: usize,
    name: u32,
    kind: u32,
    count: usize,
    /// Members carry a bit-field size in the upper byte of their offset.
    has_bitfields: bool,
    /// Size or type id, depending on the kind.
    value: u32,
}

struct BtfMember {
    name: u32,
    type_id: u32,
    bits: u32,
    is_bitfield: bool,
}

impl<'a> Btf<'a> {
    /// Indexes `data`.
    ///
    /// Errors when it is not BTF of a form that this reader knows.
    pub fn parse(data: &'a [u8]) -> Result<Self, BtfError> {
        let (types, strings) = sections(data).ok_or(BtfError::Malformed("bad header"))?;
        let mut btf = Self { types, strings, positions: Vec::new(), structures: HashMap::new() };
        btf.index()?;
        Ok(btf)
    }

    fn index(&mut self) -> Result<(), BtfError> {
        let mut position = 0;
        while position < self.types.len() {
            let this = Type::read(self.types, position).ok_or(BtfError::Malformed("cut short"))?;
            self.positions.push(u32::try_from(position).map_err(|_| BtfError::Malformed("too long"))?);
            if this.kind == kind::STRUCT && this.count > 0 {
                let id = u32::try_from(self.positions.len()).map_err(|_| BtfError::Malformed("too long"))?;
                let name = self.string(this.name).ok_or(BtfError::Malformed("bad name"))?;
                self.structures.entry(name).or_default().push(id);
            }
            position += TYPE_SIZE + this.trailer()?;
        }
        Ok(())
    }

    /// Offset in bytes of the member at `path` (names separated by dots;
    /// anonymous members are passed through) from the start of `structure`.
    pub fn offset_of(&self, structure: &str, path: &str) -> Result<u32, BtfError> {
        let candidates = self.structures.get(structure.as_bytes()).map_or(&[][..], Vec::as_slice);
        candidates
            .iter()
            .find_map(|&id| self.resolve(id, path))
            .ok_or_else(|| BtfError::NoSuchMember { structure: structure.to_owned(), path: path.to_owned() })
    }

    /// Id of the function `name`, if there is one.
    pub fn function(&self, name: &str) -> Option<u32> {
        (1..).zip(&self.positions).find_map(|(id, &position)| {
            let this = Type::read(self.types, position as usize)?;
            let is_it = this.kind == kind::FUNC && self.string(this.name)? == name.as_bytes();
            is_it.then_some(id)
        })
    }

    fn resolve(&self, id: u32, path: &str) -> Option<u32> {
        let mut id = id;
        let mut bits = 0_u32;
        let mut left = MAX_LOOKS;
        for name in path.split('.') {
            let (offset, next) = self.find_member(id, name.as_bytes(), &mut left)?;
            bits = bits.checked_add(offset)?;
            id = next;
        }
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// Offset in bits and type of a member, looked for in anonymous members
    /// too. `left` says how many more members may be looked at.
    fn find_member(&self, id: u32, name: &[u8], left: &mut u32) -> Option<(u32, u32)> {
        let container = self.skip_modifiers(id)?;
        if !matches!(container.kind, kind::STRUCT | kind::UNION) {
            return None;
        }
        for index in 0..container.count {
            *left = left.checked_sub(1)?;
            let member = self.member(&container, index)?;
            let member_name = self.string(member.name)?;
            if member_name == name {
                return (!member.is_bitfield).then_some((member.bits, member.type_id));
            }
            let is_anonymous = member_name.is_empty();
            if is_anonymous && let Some((bits, type_id)) = self.find_member(member.type_id, name, left) {
                return Some((member.bits.checked_add(bits)?, type_id));
            }
        }
        None
    }

    fn skip_modifiers(&self, id: u32) -> Option<Type> {
        let mut this = self.type_of(id)?;
        for _ in 0..32 {
            match this.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    this = self.type_of(this.value)?;
                }
                _ => return Some(this),
            }
        }
        None
    }

    fn type_of(&self, id: u32) -> Option<Type> {
        let position = *self.positions.get(usize::try_from(id).ok()?.checked_sub(1)?)?;
        Type::read(self.types, position as usize)
    }

    fn member(&self, container: &Type, index: usize) -> Option<BtfMember> {
        let position = container.position + TYPE_SIZE + index * MEMBER_SIZE;
        let offset = u32_at(self.types, position + 8)?;
        let (bits, is_bitfield) =
            if container.has_bitfields { (offset & 0x00ff_ffff, offset >> 24 != 0) } else { (offset, false) };
        Some(BtfMember {
            name: u32_at(self.types, position)?,
            type_id: u32_at(self.types, position + 4)?,
            bits,
            is_bitfield,
        })
    }

    fn string(&self, offset: u32) -> Option<&'a [u8]> {
        let rest = self.strings.get(offset as usize..)?;
        rest.iter().position(|&byte| byte == 0).map(|end| &rest[..end])
    }
}

impl Type {
    fn read(types: &[u8], position: usize) -> Option<Self> {
        let info = u32_at(types, position + 4)?;
        Some(Self {
            position,
            name: u32_at(types, position)?,
            kind: info >> 24 & 0x1f,
            count: (info & 0xffff) as usize,
            has_bitfields: info >> 31 == 1,
            value: u32_at(types, position + 8)?,
        })
    }

    /// Bytes that follow the fixed part.
    const fn trailer(&self) -> Result<usize, BtfError> {
        Ok(match self.kind {
            kind::PTR
            | kind::FWD
            | kind::TYPEDEF
            | kind::VOLATILE
            | kind::CONST
            | kind::RESTRICT
            | kind::FUNC
            | kind::FLOAT
            | kind::TYPE_TAG => 0,
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::ENUM | kind::FUNC_PROTO => self.count * 8,
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => self.count * 12,
            unknown => return Err(BtfError::UnknownKind(unknown)),
        })
    }
}

/// The type and the string section.
fn sections(data: &[u8]) -> Option<(&[u8], &[u8])> {
    if data.get(..2)? != MAGIC.to_le_bytes() {
        return None;
    }
    let header = u32_at(data, 4)? as usize;
    let section = |at: usize| {
        let start = header.checked_add(u32_at(data, at)? as usize)?;
        data.get(start..start.checked_add(u32_at(data, at + 4)? as usize)?)
    };
    Some((section(8)?, section(16)?))
}

fn u32_at(data: &[u8], position: usize) -> Option<u32> {
    let bytes = data.get(position..position.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use injector_common::offsets::MEMBERS;
    use proptest::prelude::*;

    use super::*;

    const KERNEL: &str = "/sys/kernel/btf/vmlinux";

    struct Bytes(Vec<u8>);

    impl btfparse::Readable for Bytes {
        fn read(&self, offset: u64, buffer: &mut [u8]) -> btfparse::Result<()> {
            let start = usize::try_from(offset).expect("fits");
            buffer.copy_from_slice(&self.0[start..start + buffer.len()]);
            Ok(())
        }
    }

    #[test]
    fn agrees_with_another_reader() {
        let data = std::fs::read(KERNEL).expect("a kernel with BTF");
        let ours = Btf::parse(&data).expect("parsed");
        let theirs = btfparse::TypeInformation::new(&Bytes(data.clone())).expect("parsed");
        for member in MEMBERS {
            let id = theirs.id_of(member.structure).expect(member.structure);
            let (_, btfparse::Offset::ByteOffset(expected)) = theirs.offset_of(id, member.path).expect(member.path)
            else {
                panic!("{} is a bit field", member.path);
            };
            assert_eq!(ours.offset_of(member.structure, member.path), Ok(expected), "{member:?}");
        }
    }

    #[test]
    fn functions_agree_with_aya() {
        let data = std::fs::read(KERNEL).expect("a kernel with BTF");
        let ours = Btf::parse(&data).expect("parsed");
        let theirs = aya::Btf::parse(&data, aya::Endianness::default()).expect("parsed");
        for name in ["bpf_iter_bpf_sk_storage_map", "tcp_v4_rcv", "no_such_function"] {
            let expected = theirs.id_by_type_name_kind(name, aya_obj::btf::BtfKind::Func).ok();
            assert_eq!(ours.function(name), expected, "{name}");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let data = std::fs::read(KERNEL).expect("a kernel with BTF");
        let btf = Btf::parse(&data).expect("parsed");
        for (structure, path) in
            [("tcp_sock", "nonsense"), ("nonsense", "x"), ("tcp_sock", ""), ("sock", "sk_uid.val.x")]
        {
            let error = btf.offset_of(structure, path).expect_err(path);
            assert_eq!(error, BtfError::NoSuchMember { structure: structure.to_owned(), path: path.to_owned() });
        }
    }

    /// `struct outer { struct { int pad; int inner; }; int field : 3; };`
    fn small() -> Vec<u8> {
        let strings = b"\0outer\0inner\0field\0pad\0";
        let structure = |count: u32, flag: u32| flag << 31 | 4 << 24 | count;
        let words: Vec<u32> = [
            vec![0, 1 << 24, 4, 32],                                    // 1: int
            vec![0, structure(2, 0), 8, 19, 1, 0, 7, 1, 32],            // 2: the anonymous one
            vec![1, structure(2, 1), 12, 0, 2, 0, 13, 1, 3 << 24 | 64], // 3: outer
        ]
        .concat();
        let types: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let lengths = [24, 0, types.len(), types.len(), strings.len()];
        let mut data = vec![0x9f, 0xeb, 1, 0];
        data.extend(lengths.iter().flat_map(|&length| u32::try_from(length).expect("small").to_le_bytes()));
        data.extend(types);
        data.extend(strings);
        data
    }

    #[test]
    fn anonymous_members_and_bit_fields() {
        let data = small();
        let btf = Btf::parse(&data).expect("parsed");
        assert_eq!(btf.offset_of("outer", "inner"), Ok(4));
        assert!(btf.offset_of("outer", "field").is_err(), "a bit field has no byte offset");
    }

    /// `struct outer { struct <3>; struct <3>; ... }`, where 3 is itself: as
    /// many paths as there are powers, and none ends.
    #[test]
    fn structures_that_hold_themselves_are_given_up() {
        let mut data = small();
        let outer = 24 + 16 + 36;
        let itself: Vec<u8> = [0_u32, 3, 0].into_iter().flat_map(u32::to_le_bytes).collect();
        data.splice(outer + 12..outer + 36, itself.repeat(1_000));
        data[outer + 4..outer + 8].copy_from_slice(&(4_u32 << 24 | 0x3e8).to_le_bytes());
        let added = u32::try_from(itself.len() * 1_000).expect("small") - 24;
        for at in [12, 16] {
            let length = u32_at(&data, at).expect("a header") + added;
            data[at..at + 4].copy_from_slice(&length.to_le_bytes());
        }
        let btf = Btf::parse(&data).expect("parsed");
        assert!(btf.offset_of("outer", "inner").is_err());
    }

    proptest! {
        #[test]
        fn damage_never_panics(cut in 0_usize..200, at in 0_usize..200, byte: u8) {
            let mut data = small();
            data.truncate(cut);
            if let Some(target) = data.get_mut(at) {
                *target = byte;
            }
            if let Ok(btf) = Btf::parse(&data) {
                drop(btf.offset_of("outer", "inner"));
            }
        }

        #[test]
        fn noise_never_panics(data: Vec<u8>) {
            drop(Btf::parse(&data));
        }
    }
}
