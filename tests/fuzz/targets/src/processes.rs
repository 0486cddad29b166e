//! What processes write into `/proc` by choosing their names, and links to their descriptors.

use std::{ffi::OsStr, io::Cursor, os::unix::ffi::OsStrExt as _, path::Path};

use injector::internals::socket;
use procfs::{FromRead as _, process::Stat};

/// `comm` of a process, which is any 15 bytes; and a link in `/proc/PID/fd`.
pub fn processes(bytes: &[u8]) {
    let name: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).take(15).collect();
    let fields = " S 1 77 77 0 -1 4194560 1 0 0 0 1 1 0 0 20 0 1 0 4711 2551808 100 18446744073709551615 1 1 0 0 0 0 0 0 0 \
                  0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
    let line = [b"77 (", &name[..], b")", fields.as_bytes()].concat();
    let stat = Stat::from_read(Cursor::new(line)).expect("no name hides a process");
    assert_eq!((stat.pid, stat.starttime, stat.comm.len() >= name.len()), (77, 4711, true));
    if let Some((number, inode)) = socket(OsStr::new("7"), Path::new(OsStr::from_bytes(bytes))) {
        assert_eq!(number, 7);
        assert!(String::from_utf8_lossy(bytes).contains(&inode.to_string()) || bytes.contains(&b'+'), "{inode}");
    }
    let _ = socket(OsStr::from_bytes(bytes), Path::new("socket:[1]"));
}
