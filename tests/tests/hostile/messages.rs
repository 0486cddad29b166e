//! Records in the BPF programs' log that none of them wrote: what is no message is left out, and told of once.

use injector_tests::{Route, Scribe, Signal, connected, eventually};

use crate::scene::{SOON, Scene};

const WARNING: &str = "what is no message";

fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("it is short").to_le_bytes();
    [&[kind], &length[..], value].concat()
}

/// A record as aya-log-ebpf writes it, of a level, a text and the number 7.
fn record(level: &[u8], text: &[u8]) -> Vec<u8> {
    let (line, arguments) = (54_u32.to_le_bytes(), 3_u32.to_le_bytes());
    let header = [(0, &b"injector"[..]), (1, level), (2, b"injector::nowhere"), (3, b"nowhere.rs"), (4, &line)];
    let body = [(5, &arguments[..]), (20, text), (0, &[1]), (8, &7_u32.to_le_bytes())];
    let fields = header.iter().chain(&body).flat_map(|(kind, value)| field(*kind, value)).collect::<Vec<_>>();
    let length = u16::try_from(2 + fields.len()).expect("it is short");
    [&length.to_le_bytes()[..], &fields].concat()
}

/// A message, cut short at each byte, and with other values in each.
fn damaged() -> Vec<Vec<u8>> {
    let whole = record(&[4], b"damaged ");
    let mut records = vec![vec![0; 64], vec![0xff; Scribe::MOST], record(&[], b"no level"), record(&[4; 9], b"levels")];
    records.extend((1..whole.len()).map(|end| whole[..end].to_vec()));
    for at in 0..whole.len() {
        for byte in [0, 1, 6, 22, 0x80, 0xff] {
            let mut record = whole.clone();
            record[at] = byte;
            records.push(record);
        }
    }
    records
}

/// SECURITY.md#messages
#[test]
fn what_is_no_message_is_left_out() {
    let scene = Scene::new("messages");
    let mut attachment = scene.attach(&["-vv"]);
    let mut scribe = Scribe::of(attachment.name());
    scribe.write(&record(&[4], b"before ")).expect("there is room");
    attachment.says("DEBUG before 7");
    for record in damaged() {
        eventually("it makes room", SOON, || scribe.write(&record).ok());
    }
    scribe.write(&record(&[2], b"after \x1b[2J")).expect("there is room");
    attachment.says("WARN after ");
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    attachment.says(&format!("port {}", near.local.port()));
    let output = attachment.stop(Signal::TERM).ok();
    assert_eq!(output.stderr.matches(WARNING).count(), 1, "{output:?}");
    assert!(!output.stderr.contains('\x1b'), "{output:?}");
}
