//! Records of the BPF programs' own log.

use injector::internals::Message;

/// One record. Its message comes from the bytes that it says it has, and from no others.
pub fn messages(bytes: &[u8]) {
    let Ok(message) = Message::parse(bytes) else { return };
    let length = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
    assert_eq!(Message::parse(&bytes[..length]), Ok(message), "{bytes:?}");
    assert!(Message::parse(&bytes[..length - 1]).is_err(), "{bytes:?}");
}
