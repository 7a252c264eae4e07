//! Lines of a child's output under a limit.

use std::io;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A whole line, without its end.
    Whole(Vec<u8>),
    /// The beginning of a line that is longer than the limit; the rest was skipped.
    Cut(Vec<u8>),
}

/// The next line; `None` at the end of the output.
pub(super) async fn next(
    from: &mut (impl AsyncBufRead + Unpin),
    limit: usize,
) -> io::Result<Option<Line>> {
    let mut kept = Vec::new();
    let (mut cut, mut any) = (false, false);
    loop {
        let available = from.fill_buf().await?;
        if available.is_empty() {
            return Ok(any.then(|| line(kept, cut)));
        }
        any = true;
        let end = memchr::memchr(b'\n', available);
        let piece = available.get(..end.unwrap_or(available.len())).unwrap_or_default();
        let room = limit.saturating_sub(kept.len());
        cut |= piece.len() > room;
        kept.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
        let used = end.map_or(available.len(), |end| end.saturating_add(1));
        from.consume(used);
        if end.is_some() {
            return Ok(Some(line(kept, cut)));
        }
    }
}

fn line(mut kept: Vec<u8>, cut: bool) -> Line {
    if cut {
        return Line::Cut(kept);
    }
    if kept.last() == Some(&b'\r') {
        kept.pop();
    }
    Line::Whole(kept)
}
