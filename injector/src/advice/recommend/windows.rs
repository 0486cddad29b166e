//! Windows: milliseconds in the registry, for sockets that switch keepalive on
//! and choose no times.

use super::Limit;
use crate::rules::timing::Timing;

/// Probes that Windows sends since Vista, which can't be changed
/// (`SIO_KEEPALIVE_VALS` in the Winsock reference).
const PROBES: u32 = 10;

/// With the line ends that the registry editor writes itself.
pub(super) fn text(limit: &Limit) -> String {
    let Timing { idle_s, interval_s, .. } = limit.timing;
    let why = limit.served_by(Timing { probes: PROBES, ..limit.timing }).keepalive_comment(";");
    let (idle_ms, interval_ms) = (idle_s * 1000, interval_s * 1000);
    format!(
        "\
Windows Registry Editor Version 5.00

{why}; Serves sockets that switch SO_KEEPALIVE on and choose no times themselves. Windows always sends {PROBES} probes.
; Save as keepalive.reg, `reg import keepalive.reg` as administrator, then restart Windows.
; Milliseconds: {idle_ms} and {interval_ms}.
[HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Services\\Tcpip\\Parameters]
\"KeepAliveTime\"=dword:{idle_ms:08x}
\"KeepAliveInterval\"=dword:{interval_ms:08x}
"
    )
    .replace('\n', "\r\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn text_at(seconds: u64) -> String {
        text(&Limit::new(Duration::from_secs(seconds), None).expect("can be served"))
    }

    #[test]
    fn milliseconds_in_hexadecimal() {
        let table = [(350, "0003a980", "00007530"), (4, "000003e8", "000003e8"), (432_000, "01f3fc18", "01f3fc18")];
        for (seconds, time, interval) in table {
            let text = text_at(seconds);
            assert!(text.contains(&format!("\"KeepAliveTime\"=dword:{time}\r\n")), "{text}");
            assert!(text.contains(&format!("\"KeepAliveInterval\"=dword:{interval}\r\n")), "{text}");
        }
    }

    #[test]
    fn the_header_stands_alone_on_the_first_line() {
        let text = text_at(350);
        assert!(text.starts_with("Windows Registry Editor Version 5.00\r\n\r\n"), "{text}");
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    }
}
