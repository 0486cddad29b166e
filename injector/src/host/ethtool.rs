//! Counters of network drivers: what `ethtool -S` prints.
#![expect(unsafe_code, reason = "system calls")]

use std::{
    collections::BTreeMap,
    fs, io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Commands and the set of names, in include/uapi/linux/ethtool.h.
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSTATS: u32 = 0x1d;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETH_SS_STATS: u32 = 1;
/// `ETH_GSTRING_LEN`: bytes of a name, the rest of which is zeros.
const NAME_LENGTH: usize = 32;
/// More than this no driver has.
const MAX_COUNTERS: usize = 65_536;

/// ```c
/// struct ethtool_sset_info { __u32 cmd; __u32 reserved; __u64 sset_mask; __u32 data[]; };
/// ```
#[derive(FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct SetInfo {
    cmd: u32,
    reserved: u32,
    sset_mask: u64,
    /// One for each bit of the mask.
    count: u32,
    padding: u32,
}

/// Counters of a driver by their names.
pub(crate) type DriverCounters = BTreeMap<String, u64>;

/// The counters of each interface of this network namespace whose driver has any.
pub(crate) fn read() -> io::Result<BTreeMap<String, DriverCounters>> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let devices = fs::read_to_string("/proc/net/dev")?;
    let counters = |interface: &str| Some((interface.to_owned(), counters(&socket, interface).ok()?));
    Ok(interfaces(&devices).filter_map(counters).collect())
}

/// Names in `/proc/net/dev`: after two lines of headings, what stands before a colon.
fn interfaces(devices: &str) -> impl Iterator<Item = &str> {
    devices.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim()))
}

fn counters(socket: &OwnedFd, interface: &str) -> io::Result<DriverCounters> {
    let mut info = SetInfo { cmd: ETHTOOL_GSSET_INFO, reserved: 0, sset_mask: 1 << ETH_SS_STATS, count: 0, padding: 0 };
    ask(socket, interface, info.as_mut_bytes())?;
    let has_any = info.sset_mask != 0;
    let count = if has_any { usize::try_from(info.count).map_err(io::Error::other)? } else { 0 };
    if count == 0 || count > MAX_COUNTERS {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // The kernel writes as many as there are by then, whatever size it gets: room for those that come in between.
    let room = 2 * count + 64;

    // struct ethtool_gstrings { __u32 cmd; __u32 string_set; __u32 len; __u8 data[]; };
    let mut names = vec![0_u32; 3 + room * NAME_LENGTH / 4];
    names[..3].copy_from_slice(&[ETHTOOL_GSTRINGS, ETH_SS_STATS, info.count]);
    ask(socket, interface, names.as_mut_bytes())?;
    // struct ethtool_stats { __u32 cmd; __u32 n_stats; __u64 data[]; };
    let mut values = vec![0_u64; 1 + room];
    values[0] = u64::from_ne_bytes(zerocopy::transmute!([ETHTOOL_GSTATS, info.count]));
    ask(socket, interface, values.as_mut_bytes())?;

    Ok(names[3..].as_bytes().chunks(NAME_LENGTH).map(name).zip(values[1..].iter().copied()).take(count).collect())
}

fn name(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// `ioctl(SIOCETHTOOL)`, which reads the question from `data` and writes the answer over it.
fn ask(socket: &OwnedFd, interface: &str, data: &mut [u8]) -> io::Result<()> {
    let mut name = [0; libc::IF_NAMESIZE];
    for (to, from) in name.iter_mut().take(libc::IF_NAMESIZE - 1).zip(interface.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let ifr_ifru = libc::__c_anonymous_ifr_ifru { ifru_data: data.as_mut_ptr().cast() };
    let mut request = libc::ifreq { ifr_name: name, ifr_ifru };
    // SAFETY: `request` and `data` live until the call returns. The callers give each command its structure, with room for
    // all that the kernel writes after it. The type of the command differs between C libraries.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_interfaces() {
        let devices =
            "Inter-|   Receive\n face |bytes    packets\n    lo:  100 2 0\n  eth0: 5 1\nvery-long-name0:7 8\n";
        assert_eq!(interfaces(devices).collect::<Vec<_>>(), ["lo", "eth0", "very-long-name0"]);
    }

    #[test]
    fn names_of_counters_end_at_the_first_zero() {
        assert_eq!(name(b"rx_packets\0\0\0"), "rx_packets");
        assert_eq!(name(b"full"), "full");
    }

    #[test]
    fn counters_of_this_host_have_names() {
        for (interface, counters) in read().expect("any user may ask") {
            assert!(!counters.is_empty() && counters.keys().all(|name| !name.is_empty()), "{interface}: {counters:?}");
        }
    }
}
