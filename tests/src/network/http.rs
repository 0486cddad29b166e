//! Just enough of HTTP to ask an agent, and to ask it badly.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::{self, SocketFlags};

use crate::deadline::SOON;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status code.
    pub code: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// What follows them.
    pub body: String,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// Sends `text` as it is, and reads until the other side closes. `None` where it closes, or says nothing within
/// `within`, without an answer.
pub fn ask(address: SocketAddr, text: &[u8], within: Duration) -> Option<Answer> {
    exchange(TcpStream::connect(address).ok()?, text, within)
}

/// The same on a connection that is there already.
pub fn exchange(mut stream: TcpStream, text: &[u8], within: Duration) -> Option<Answer> {
    stream.set_read_timeout(Some(within)).expect("not zero");
    stream.set_write_timeout(Some(within)).expect("not zero");
    // Who refuses a request need not read all of it.
    let _ = stream.write_all(text);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    parse(&String::from_utf8_lossy(&bytes))
}

/// Connects from an address of this host's own. All of 127.0.0.0/8 is.
pub fn connect_from(source: IpAddr, address: SocketAddr) -> TcpStream {
    let connected = || -> rustix::io::Result<TcpStream> {
        let socket = net::socket_with(net::AddressFamily::INET, net::SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        net::bind(&socket, &SocketAddr::new(source, 0))?;
        net::connect(&socket, &address)?;
        Ok(socket.into())
    };
    connected().unwrap_or_else(|error| panic!("no connection from {source} to {address}: {error}"))
}

/// Asks as a client does.
pub fn request(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    let text = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
    ask(address, text.as_bytes(), SOON).unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let code = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    Some(Answer { code, headers: lines.filter_map(header).collect(), body: body.to_owned() })
}
