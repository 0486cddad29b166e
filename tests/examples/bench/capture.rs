//! When packets passed, as tcpdump saw them.

use std::{collections::HashMap, fs, time::Duration};

use injector_tests::{Netns, Place, Process, Signal, eventually};
use tempfile::TempDir;

/// Bytes of a packet that hold what is read of it.
const SNAPSHOT: &str = "96";
/// `struct pcap_file_header` and `struct pcap_sf_pkthdr` of libpcap.
const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;
/// Ethernet and an IPv4 header without options, which is what TCP over loopback has.
const TCP: usize = 14 + 20;

/// The ports of a connection, whichever end is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ends(u16, u16);

impl Ends {
    pub(crate) fn of(one: u16, other: u16) -> Self {
        Self(one.min(other), one.max(other))
    }
}

/// A running capture of the loopback device.
pub(crate) struct Capture {
    process: Process,
    directory: TempDir,
}

impl Capture {
    /// Returns once no packet can be missed.
    pub(crate) fn start(netns: &Netns) -> Self {
        let directory = tempfile::tempdir().expect("there is room for a temporary directory");
        let file = directory.path().join("pcap").to_string_lossy().into_owned();
        let precision = "--time-stamp-precision=nano";
        let arguments =
            ["-i", "lo", "-w", &file, "-U", "-s", SNAPSHOT, "-B", "65536", "-Z", "root", precision, "ip and tcp"];
        let process = Process::spawn(Place::netns(netns), "tcpdump", &arguments);
        eventually("tcpdump listens", Duration::from_secs(10), || {
            process.stderr().contains("listening on").then_some(())
        });
        Self { process, directory }
    }

    /// Ends the capture. The times of each connection's packets, in seconds since 1970.
    pub(crate) fn stop(mut self) -> HashMap<Ends, Vec<f64>> {
        self.process.signal(Signal::INT);
        assert!(self.process.wait(Duration::from_secs(10)).success(), "{}", self.process.stderr());
        let summary = self.process.stderr();
        assert!(summary.contains("\n0 packets dropped by kernel"), "the capture is not complete: {summary}");
        read(&fs::read(self.directory.path().join("pcap")).expect("tcpdump wrote it"))
    }
}

fn read(capture: &[u8]) -> HashMap<Ends, Vec<f64>> {
    let mut times: HashMap<Ends, Vec<f64>> = HashMap::new();
    let mut rest = &capture[FILE_HEADER..];
    while let Some((header, packet)) = rest.split_at_checked(PACKET_HEADER) {
        let word = |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (packet, next) = packet.split_at(word(8) as usize);
        let port = |at: usize| u16::from_be_bytes([packet[TCP + at], packet[TCP + at + 1]]);
        times.entry(Ends::of(port(0), port(2))).or_default().push(f64::from(word(0)) + f64::from(word(4)) / 1e9);
        rest = next;
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_both_directions_belong_together() {
        let mut capture = vec![0; FILE_HEADER];
        for (seconds, nanoseconds, ports) in [(1_u32, 0_u32, [80_u16, 9000_u16]), (2, 500_000_000, [9000, 80])] {
            let mut packet = [0; TCP + 4];
            packet[TCP..TCP + 2].copy_from_slice(&ports[0].to_be_bytes());
            packet[TCP + 2..].copy_from_slice(&ports[1].to_be_bytes());
            let length = u32::try_from(packet.len()).expect("short");
            capture.extend([seconds, nanoseconds, length, length].into_iter().flat_map(u32::to_ne_bytes));
            capture.extend(packet);
        }
        assert_eq!(read(&capture), HashMap::from([(Ends::of(80, 9000), vec![1.0, 2.5])]));
    }
}
