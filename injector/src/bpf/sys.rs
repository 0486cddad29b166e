//! The few `bpf(2)` commands that aya does not offer, and what else needs the
//! C library.
#![expect(unsafe_code, reason = "system calls")]

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use zerocopy::{Immutable, IntoBytes};

const BPF_OBJ_PIN: i32 = 6;
const BPF_OBJ_GET: i32 = 7;
const BPF_OBJ_GET_INFO_BY_FD: i32 = 15;
const BPF_PROG_QUERY: i32 = 16;
const BPF_LINK_CREATE: i32 = 28;
const BPF_LINK_UPDATE: i32 = 29;
const BPF_ITER_CREATE: i32 = 33;
const BPF_LINK_DETACH: i32 = 34;

/// Hooks, by their `enum bpf_attach_type` in include/uapi/linux/bpf.h.
pub(super) const BPF_CGROUP_INET_INGRESS: u32 = 0;
pub(super) const BPF_CGROUP_INET_EGRESS: u32 = 1;
pub(super) const BPF_CGROUP_SOCK_OPS: u32 = 3;
pub(super) const BPF_CGROUP_GETSOCKOPT: u32 = 21;
pub(super) const BPF_CGROUP_SETSOCKOPT: u32 = 22;
const BPF_TRACE_ITER: u32 = 28;

/// ```c
/// struct { /* BPF_LINK_CREATE */
///     __u32 prog_fd; __u32 target_fd; __u32 attach_type; __u32 flags;
///     struct { __aligned_u64 iter_info; __u32 iter_info_len; };
/// }
/// ```
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct LinkCreate {
    prog_fd: RawFd,
    target_fd: RawFd,
    attach_type: u32,
    flags: u32,
    iter_info: u64,
    iter_info_len: u32,
    padding: u32,
}

/// ```c
/// struct { /* BPF_PROG_QUERY */
///     __u32 target_fd; __u32 attach_type; __u32 query_flags;
///     __u32 attach_flags; __aligned_u64 prog_ids; __u32 prog_cnt;
/// }
/// ```
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct ProgQuery {
    target_fd: RawFd,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

/// ```c
/// struct { /* BPF_OBJ_* */
///     __aligned_u64 pathname; __u32 bpf_fd; __u32 file_flags;
/// }
/// ```
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Obj {
    pathname: u64,
    bpf_fd: RawFd,
    file_flags: u32,
}

/// ```c
/// struct { /* BPF_OBJ_GET_INFO_BY_FD */
///     __u32 bpf_fd; __u32 info_len; __aligned_u64 info;
/// }
/// ```
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct ObjGetInfo {
    bpf_fd: RawFd,
    info_len: u32,
    info: u64,
}

/// The beginning of `struct bpf_link_info`, for a link to a cgroup:
///
/// ```c
/// __u32 type; __u32 id; __u32 prog_id;
/// struct { __u64 cgroup_id; __u32 attach_type; } cgroup;
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct CgroupLink {
    kind: u32,
    id: u32,
    /// Kernel's id of the program.
    pub(super) program_id: u32,
    padding: u32,
    /// Kernel's id of the cgroup; 0 once that is removed.
    pub(super) cgroup_id: u64,
    /// Its hook.
    pub(super) attach_type: u32,
    end: u32,
}

/// ```c
/// struct { /* BPF_LINK_UPDATE */
///     __u32 link_fd; __u32 new_prog_fd; __u32 flags; __u32 old_prog_fd;
/// }
/// ```
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct LinkUpdate {
    link_fd: RawFd,
    new_prog_fd: RawFd,
    flags: u32,
    old_prog_fd: RawFd,
}

/// `struct { __u32 link_fd; __u32 flags; } /* BPF_ITER_CREATE */`
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct IterCreate {
    link_fd: RawFd,
    flags: u32,
}

/// `struct { __u32 link_fd; } /* BPF_LINK_DETACH */`
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct LinkDetach {
    link_fd: RawFd,
}

/// Attaches an iterator program to one map. Since 5.9 for socket storage
/// (kernel commit 5ce6e77c7edf); aya's `Iter::attach` names no map.
pub(super) fn link_iter(program: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // `union bpf_iter_link_info { struct { __u32 map_fd; } map; ... }`; longer
    // in newer kernels, which take the rest as zeros.
    let info: RawFd = map.as_raw_fd();
    create_link(LinkCreate {
        prog_fd: program.as_raw_fd(),
        target_fd: 0,
        attach_type: BPF_TRACE_ITER,
        flags: 0,
        iter_info: (&raw const info).expose_provenance() as u64,
        iter_info_len: 4,
        padding: 0,
    })
}

/// Attaches a program to a cgroup, beside those of others. Since 5.7. aya's
/// own links of `setsockopt` programs can't be pinned.
pub(super) fn link_cgroup(program: BorrowedFd<'_>, cgroup: BorrowedFd<'_>, attach_type: u32) -> io::Result<OwnedFd> {
    create_link(LinkCreate {
        prog_fd: program.as_raw_fd(),
        target_fd: cgroup.as_raw_fd(),
        attach_type,
        flags: 0,
        iter_info: 0,
        iter_info_len: 0,
        padding: 0,
    })
}

/// Puts another program of the same type into a link. The hook runs the one or
/// the other at any moment, never none. Since 5.7.
pub(super) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = LinkUpdate { link_fd: link.as_raw_fd(), new_prog_fd: program.as_raw_fd(), flags: 0, old_prog_fd: 0 };
    bpf(BPF_LINK_UPDATE, &mut attr).map(drop)
}

/// One run of a linked iterator, to be read to its end. Since 5.8.
pub(super) fn create_iter(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let fd = bpf(BPF_ITER_CREATE, &mut IterCreate { link_fd: link.as_raw_fd(), flags: 0 })?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn create_link(mut attr: LinkCreate) -> io::Result<OwnedFd> {
    let fd = bpf(BPF_LINK_CREATE, &mut attr)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Pins an object at `path`, which must lie in a bpffs.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr =
        Obj { pathname: path.as_ptr().expose_provenance() as u64, bpf_fd: object.as_raw_fd(), file_flags: 0 };
    bpf(BPF_OBJ_PIN, &mut attr).map(drop)
}

/// Opens a pinned object.
pub(super) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = Obj { pathname: path.as_ptr().expose_provenance() as u64, bpf_fd: 0, file_flags: 0 };
    let fd = bpf(BPF_OBJ_GET, &mut attr)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What a link to a cgroup holds.
pub(super) fn cgroup_link(link: BorrowedFd<'_>) -> io::Result<CgroupLink> {
    let mut info = CgroupLink::default();
    let mut attr =
        ObjGetInfo { bpf_fd: link.as_raw_fd(), info_len: 32, info: (&raw mut info).expose_provenance() as u64 };
    const { assert!(size_of::<CgroupLink>() == 32) };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info)
}

/// Takes a link off its hook at once, whoever else still holds it. Since 5.9.
pub(super) fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    bpf(BPF_LINK_DETACH, &mut LinkDetach { link_fd: link.as_raw_fd() }).map(drop)
}

/// Ids of the programs attached to a cgroup itself with `attach_type`.
pub(super) fn attached_programs(cgroup: BorrowedFd<'_>, attach_type: u32) -> io::Result<Vec<u32>> {
    // The kernel allows 64 per hook.
    let mut ids = vec![0_u32; 64];
    let mut attr = ProgQuery {
        target_fd: cgroup.as_raw_fd(),
        attach_type,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr().expose_provenance() as u64,
        prog_cnt: 64,
        padding: 0,
    };
    bpf(BPF_PROG_QUERY, &mut attr)?;
    ids.truncate(attr.prog_cnt as usize);
    Ok(ids)
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

fn bpf<T: IntoBytes + Immutable>(command: i32, attr: &mut T) -> io::Result<i32> {
    // SAFETY: each attribute above has the layout of its command, of which
    // the kernel reads and writes no more than the size given; pointers in it
    // stay valid for the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<T>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}
