//! HTTP/1.1 as bytes on a socket: what no client library would send.

use anyhow::{Context as _, Result};
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

/// How long an answer may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What came back on a socket.
#[derive(Clone, Debug)]
pub(crate) struct Back {
    /// The status of the first answer; 0 if there was none.
    pub(crate) status: u16,
    /// Everything that came.
    pub(crate) text: String,
    /// How many answers came.
    pub(crate) answers: usize,
    /// Whether the other side closed the connection while we listened.
    pub(crate) closed: bool,
    /// How long that took.
    pub(crate) took: Duration,
}

/// Sends these bytes and reads until the other side closes, or nothing more comes for `quiet`.
pub(crate) fn send(address: &str, bytes: &[u8], quiet: Duration) -> Result<Back> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("no {address}"))?;
    stream.set_nodelay(true)?;
    // The other side may close in the middle of what it refuses.
    let _refused_early = stream.write_all(bytes).is_err();
    listen(&mut stream, quiet)
}

/// Reads until the other side closes, or nothing more comes for `quiet`.
pub(crate) fn listen(stream: &mut TcpStream, quiet: Duration) -> Result<Back> {
    let began = Instant::now();
    stream.set_read_timeout(Some(quiet))?;
    let (mut all, mut buffer) = (Vec::new(), [0_u8; 16 * 1024]);
    let closed = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break true,
            Ok(count) => all.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break false;
            }
            Err(_) => break true,
        }
        if began.elapsed() > PATIENCE {
            break false;
        }
    };
    let text = String::from_utf8_lossy(&all).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let answers = text.matches("HTTP/1.1 ").count();
    Ok(Back { status, text, answers, closed, took: began.elapsed() })
}

/// A request of a line, header lines and a body; `host` and `content-length` are not added.
pub(crate) fn request(line: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let mut text = format!("{line}\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}
