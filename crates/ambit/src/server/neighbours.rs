//! Whose process is at the other end of a loopback connection, as the kernel lists it.

use anyhow::Context as _;
use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// The kernel's tables of TCP sockets of this network namespace.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// Refuses to start where the kernel's list cannot be read.
pub(crate) fn check() -> anyhow::Result<()> {
    let [table, _] = TABLES;
    File::open(table).map(drop).with_context(|| {
        format!("`{table}` says whose a connection is, and cannot be read: mount /proc for this service (systemd: `ProcSubset=all`)")
    })
}

/// The uid that owns the socket `peer` of a connection to us; `None` if it is not of this machine or not listed.
pub(crate) fn uid_of(peer: SocketAddr) -> Option<u32> {
    if !peer.ip().to_canonical().is_loopback() {
        return None;
    }
    TABLES.into_iter().find_map(|table| {
        let lines = BufReader::new(File::open(table).ok()?).lines();
        lines.skip(1).map_while(Result::ok).find_map(|line| owner(&line, peer))
    })
}

/// The owner of a line's socket if that socket is this one: `sl local remote state queues timers retries uid …`.
fn owner(line: &str, peer: SocketAddr) -> Option<u32> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = fields.next()?;
    let (address, port) = local.split_once(':')?;
    let is_it = u16::from_str_radix(port, 16).ok()? == peer.port()
        && ip(address)?.to_canonical() == peer.ip().to_canonical();
    is_it.then_some(())?;
    fields.nth(5)?.parse().ok()
}

/// An address as the kernel writes it: words of 32 bits in the machine's own order.
fn ip(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let text = text.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(text, 16).ok().map(u32::to_ne_bytes)
    };
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0_u8; 16];
            for (at, place) in bytes.chunks_exact_mut(4).enumerate() {
                place.copy_from_slice(&word(at)?);
            }
            Some(IpAddr::V6(bytes.into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_owner_of_a_connection_is_found() {
        let own = rustix::process::geteuid().as_raw();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (_accepted, peer) = listener.accept().unwrap();
            assert_eq!(uid_of(peer), Some(own), "{address}");
            drop(client);
        }
        assert_eq!(uid_of("192.0.2.1:80".parse().unwrap()), None, "not of this machine");
    }

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let line = "   3: 0100007F:9C40 0100007F:20D0 01 00000000:00000000 00:00000000 00000000  1001        0 123 1";
        assert_eq!(owner(line, "127.0.0.1:40000".parse().unwrap()), Some(1001));
        assert_eq!(owner(line, "127.0.0.1:40001".parse().unwrap()), None);
        assert_eq!(owner("  sl  local_address", "127.0.0.1:1".parse().unwrap()), None);
    }
}
