//! Reads `TCP_INFO` of a socket.
#![expect(unsafe_code, reason = "a socket option that no safe wrapper offers")]

use std::{
    io, mem,
    os::fd::{AsRawFd as _, BorrowedFd},
    time::{Duration, Instant},
};

/// A part of `struct tcp_info` in include/uapi/linux/tcp.h.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcpInfo {
    /// TCP state, as in `include/net/tcp_states.h`.
    pub state: u8,
    /// The longest ago of the last payload sent, the last payload received and
    /// the last ACK received. All three begin with the connection, so it was at
    /// least this old when the kernel was asked.
    age: Duration,
    /// Before the answer.
    asked: Instant,
}

impl TcpInfo {
    /// How old the connection is by now, at least: this process may not have
    /// been scheduled since it asked.
    pub(crate) fn known_for(&self) -> Duration {
        self.age + self.asked.elapsed()
    }
}

/// Asks the kernel. Errors with `EOPNOTSUPP` and its like where `socket` is no
/// TCP socket.
pub(crate) fn tcp_info(socket: BorrowedFd<'_>) -> io::Result<TcpInfo> {
    let asked = Instant::now();
    // SAFETY: a structure of plain integers, valid as all zeros.
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `length` bytes to `info`, which has as
    // many; both outlive the call.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut length)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let oldest = info.tcpi_last_data_sent.max(info.tcpi_last_data_recv).max(info.tcpi_last_ack_recv);
    Ok(TcpInfo { state: info.tcpi_state, age: Duration::from_millis(oldest.into()), asked })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_grows_older_after_the_kernel_was_asked() {
        let asked = Instant::now().checked_sub(Duration::from_secs(2)).expect("the machine runs for longer");
        let info = TcpInfo { state: 1, age: Duration::from_secs(3), asked };
        assert!(info.known_for() >= Duration::from_secs(5));
    }
}
