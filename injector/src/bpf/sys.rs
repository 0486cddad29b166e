//! The few `bpf(2)` commands that aya does not offer, and what else needs the
//! C library.
#![expect(unsafe_code, reason = "system calls")]

use std::{
    ffi::CString,
    io, mem,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use aya_obj::generated::{
    bpf_attach_type, bpf_attr, bpf_attr__bindgen_ty_14__bindgen_ty_3__bindgen_ty_1, bpf_cmd, bpf_link_info,
    bpf_link_info__bindgen_ty_1__bindgen_ty_3,
};

/// The beginning of `struct bpf_link_info` up to the end of what it has on a cgroup: kernels refuse more than they know
/// unless it is zeros, and write no more than asked for.
const LINK_INFO_BYTES: u32 = 32;
/// Programs that the kernel allows on a hook of a cgroup (`BPF_CGROUP_MAX_PROGS`).
pub(super) const MAX_PROGRAMS: u32 = 64;

/// What a link to a cgroup holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct CgroupLink {
    /// Kernel's id of the program.
    pub(super) program_id: u32,
    /// Kernel's id of the cgroup; 0 once that is removed.
    pub(super) cgroup_id: u64,
    /// Its hook, a [`bpf_attach_type`].
    pub(super) attach_type: u32,
}

/// Attaches an iterator program to one map. Since 5.9 for socket storage
/// (kernel commit 5ce6e77c7edf); aya's `Iter::attach` names no map.
pub(super) fn link_iter(program: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // `union bpf_iter_link_info { struct { __u32 map_fd; } map; ... }`, which aya-obj lacks; longer in newer kernels,
    // which take the rest as zeros.
    let info = raw(map);
    let mut attr = attr();
    attr.link_create.__bindgen_anon_1.prog_fd = raw(program);
    attr.link_create.attach_type = bpf_attach_type::BPF_TRACE_ITER as u32;
    attr.link_create.__bindgen_anon_3.__bindgen_anon_1 =
        bpf_attr__bindgen_ty_14__bindgen_ty_3__bindgen_ty_1 { iter_info: address(&raw const info), iter_info_len: 4 };
    Ok(owned(bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr)?))
}

/// Attaches a program to a cgroup, beside those of others. Since 5.7. aya's
/// own links of `setsockopt` programs can't be pinned.
pub(super) fn link_cgroup(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    attach_type: bpf_attach_type,
) -> io::Result<OwnedFd> {
    let mut attr = attr();
    attr.link_create.__bindgen_anon_1.prog_fd = raw(program);
    attr.link_create.__bindgen_anon_2.target_fd = raw(cgroup);
    attr.link_create.attach_type = attach_type as u32;
    Ok(owned(bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr)?))
}

/// Puts another program of the same type into a link. The hook runs the one or
/// the other at any moment, never none. Since 5.7.
pub(super) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = attr();
    attr.link_update.link_fd = raw(link);
    attr.link_update.__bindgen_anon_1.new_prog_fd = raw(program);
    bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attr).map(drop)
}

/// One run of a linked iterator, to be read to its end. Since 5.8.
pub(super) fn create_iter(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = attr();
    attr.iter_create.link_fd = raw(link);
    Ok(owned(bpf(bpf_cmd::BPF_ITER_CREATE, &mut attr)?))
}

/// Pins an object at `path`, which must lie in a bpffs.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = attr();
    attr.__bindgen_anon_4.pathname = address(path.as_ptr());
    attr.__bindgen_anon_4.bpf_fd = raw(object);
    bpf(bpf_cmd::BPF_OBJ_PIN, &mut attr).map(drop)
}

/// Opens a pinned object.
pub(super) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = attr();
    attr.__bindgen_anon_4.pathname = address(path.as_ptr());
    Ok(owned(bpf(bpf_cmd::BPF_OBJ_GET, &mut attr)?))
}

/// What a link to a cgroup holds.
pub(super) fn cgroup_link(link: BorrowedFd<'_>) -> io::Result<CgroupLink> {
    // SAFETY: integers, of which all bits zero are valid.
    let mut info: bpf_link_info = unsafe { mem::zeroed() };
    let mut attr = attr();
    attr.info.bpf_fd = raw(link);
    attr.info.info_len = LINK_INFO_BYTES;
    attr.info.info = address(&raw mut info);
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    // SAFETY: all members of the union are integers.
    let bpf_link_info__bindgen_ty_1__bindgen_ty_3 { cgroup_id, attach_type } = unsafe { info.__bindgen_anon_1.cgroup };
    Ok(CgroupLink { program_id: info.prog_id, cgroup_id, attach_type })
}

/// Detaches a link at once, even if other processes hold it. Since 5.9.
pub(super) fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = attr();
    attr.link_detach.link_fd = raw(link);
    bpf(bpf_cmd::BPF_LINK_DETACH, &mut attr).map(drop)
}

/// Ids of the programs attached to a cgroup itself with `attach_type`, and the `BPF_F_ALLOW_*` flags of the hook.
pub(super) fn attached_programs(cgroup: BorrowedFd<'_>, attach_type: bpf_attach_type) -> io::Result<(Vec<u32>, u32)> {
    let mut ids = vec![0_u32; MAX_PROGRAMS as usize];
    let mut attr = attr();
    attr.query.__bindgen_anon_1.target_fd = raw(cgroup);
    attr.query.attach_type = attach_type as u32;
    attr.query.prog_ids = address(ids.as_mut_ptr());
    attr.query.__bindgen_anon_2.prog_cnt = MAX_PROGRAMS;
    bpf(bpf_cmd::BPF_PROG_QUERY, &mut attr)?;
    // SAFETY: the kernel filled in this command's attributes, and all members of its unions are integers.
    let (count, flags) = unsafe { (attr.query.__bindgen_anon_2.prog_cnt, attr.query.attach_flags) };
    ids.truncate(count as usize);
    Ok((ids, flags))
}

/// Gives memory that was only needed for loading back to the kernel. glibc
/// would keep it, and an agent lives for months.
pub(super) fn release_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Attributes of a command, with nothing in them yet: the kernel takes no others where it knows fewer of them.
fn attr() -> bpf_attr {
    // SAFETY: integers, of which all bits zero are valid.
    unsafe { mem::zeroed() }
}

fn raw(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd().cast_unsigned()
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

fn owned(descriptor: i32) -> OwnedFd {
    // SAFETY: the kernel has just given us this descriptor.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
    // SAFETY: these are the kernel's own structures, of which it reads and writes no more than the size given; pointers
    // in them stay valid for the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as u32, &raw mut *attr, size_of::<bpf_attr>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}
