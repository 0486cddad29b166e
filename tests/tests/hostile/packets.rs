//! Any bytes as a packet, by `BPF_PROG_TEST_RUN`: the programs pass each of them, always in the same way.
//!
//! The kernel runs them with a socket that is none of TCP's. How packets of a connection are classified is shown by
//! those that are forged (`packets.rs`).

use std::fs;
use std::path::Path;

use injector_tests::tool;
use serde_json::Value;

use crate::scene::Scene;

const ETHERNET: usize = 14;
/// The kernel itself refuses to run a program on less than these headers of IP.
const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;

/// What passes a packet of these bytes.
fn verdict(program: u64, directory: &Path, packet: &[u8]) -> u64 {
    let file = directory.join("packet");
    fs::write(&file, packet).expect("the directory is ours");
    let (id, file) = (program.to_string(), file.to_string_lossy().into_owned());
    let text = tool("bpftool", &["--json", "prog", "run", "id", &id, "data_in", &file, "repeat", "3"]);
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    report["retval"].as_u64().unwrap_or_else(|| panic!("no verdict: {text}"))
}

fn frame(kind: u16, packet: &[u8]) -> Vec<u8> {
    [&[0; 12][..], &kind.to_be_bytes(), packet].concat()
}

/// A TCP header that says it has `words` words.
fn tcp(words: u8, flags: u8) -> Vec<u8> {
    let mut header = vec![0x9c, 0x40, 0x15, 0x38, 0, 0, 3, 0xe7, 0, 0, 3, 0xe8, words << 4, flags, 2, 0, 0, 0, 0, 0];
    header.extend([1; 40]);
    header
}

fn v4(words: u8, length: u16, fragment: u16, protocol: u8, rest: &[u8]) -> Vec<u8> {
    let (length, fragment) = (length.to_be_bytes(), fragment.to_be_bytes());
    let head = [0x40 | words, 0, length[0], length[1], 0, 0, fragment[0], fragment[1], 64, protocol, 0, 0];
    frame(0x0800, &[&head[..], &[127, 0, 0, 1, 127, 0, 0, 1], rest].concat())
}

fn v6(length: u16, chain: &[(u8, u8)], rest: &[u8]) -> Vec<u8> {
    let kinds = chain.iter().map(|(kind, _)| *kind).chain([6]).collect::<Vec<_>>();
    let length = length.to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], kinds[0], 64];
    packet.extend([0; 32]);
    for (index, (_, words)) in chain.iter().enumerate() {
        packet.extend([kinds[index + 1], *words, 0, 0, 0, 0, 0, 0]);
        packet.extend(vec![0; usize::from(*words) * 8]);
    }
    packet.extend(rest);
    frame(0x86dd, &packet)
}

fn packets() -> Vec<Vec<u8>> {
    let whole = tcp(15, 0x10);
    let mut packets = Vec::new();
    for words in [0, 4, 5, 6, 15] {
        for doff in [0, 4, 5, 10, 15] {
            packets.push(v4(words, 100, 0, 6, &tcp(doff, 0x3f)));
        }
    }
    packets.extend([0, 1, 0xffff].map(|length| v4(5, length, 0, 6, &whole)));
    packets.extend([0x2000, 0x2001, 0x1fff, 0x4000, 0xffff].map(|fragment| v4(5, 80, fragment, 6, &whole)));
    // A first fragment's part of the header, and a later one's.
    packets.extend([0x2000, 1, 0x2001].map(|fragment| v4(5, 28, fragment, 6, &whole[..8])));
    packets.extend([0, 17, 255].map(|protocol| v4(5, 80, 0, protocol, &whole)));
    let chains: [&[(u8, u8)]; 10] = [
        &[],
        &[(60, 0)],
        &[(0, 0), (43, 1), (60, 2), (51, 1)],
        &[(44, 0)],
        &[(60, 0); 6],
        &[(60, 0); 7],
        &[(60, 30)],
        &[(51, 255)],
        &[(59, 0)],
        &[(135, 0), (60, 0)],
    ];
    packets.extend(chains.map(|chain| v6(100, chain, &whole)));
    for offset in [[0, 0], [0, 1], [0, 6], [0, 8], [0, 9], [0xff, 0xf9]] {
        let mut packet = v6(68, &[(44, 0)], &whole);
        packet[ETHERNET + V6_HEADER + 2..][..2].copy_from_slice(&offset);
        packets.extend([8, 20, whole.len()].map(|held| packet[..packet.len() - whole.len() + held].to_vec()));
    }
    // A jumbo payload says that it has no length, and options say more than there is.
    packets.push(v6(0, &[(0, 0)], &whole));
    packets.push(v6(100, &[], &[60, 255, 0, 0]));
    packets.push(frame(0x0800, &[0xff; 60]));
    packets.push(frame(0x86dd, &[0; 60]));
    for (packet, header) in [(v4(5, 80, 0, 6, &whole), V4_HEADER), (v6(68, &[(60, 0)], &whole), V6_HEADER)] {
        packets.extend((ETHERNET + header..packet.len()).step_by(5).map(|end| packet[..end].to_vec()));
    }
    packets
}

/// SECURITY.md#programs, SECURITY.md#packets
#[test]
fn every_packet_passes() {
    let scene = Scene::new("any-packet");
    let _attachment = scene.injector.attach_detached(&scene.inside, &["--track", "packets"]);
    let programs = ["ingress", "egress"].map(|hook| scene.inside.only_program(hook));
    let directory = tempfile::tempdir().unwrap();
    for packet in packets() {
        let verdicts = programs.map(|program| verdict(program, directory.path(), &packet));
        assert_eq!(verdicts, [1, 1], "{packet:02x?}");
    }
}
