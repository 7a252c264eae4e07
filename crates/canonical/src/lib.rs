//! The one reader and writer of canonical bytes: I-JSON (RFC 7493) in, RFC 8785 (JCS) out.
//!
//! What is decided on, digested, shown, signed and forwarded is one byte string, the RFC 8785 form
//! of one parse. So the reader refuses every text that two readers could understand differently:
//! duplicate names, names equal under case folding, lone surrogates, numbers that a double does
//! not carry, integers beyond 2^53 - 1.
//!
//! INVARIANT: for each accepted text, `parse(write(parse(text)))` gives the same value and the
//! same bytes.
//!
//! Deliberately absent: IO, serde, a lenient mode, pretty printing.

mod limits;
mod names;
mod object;
mod parse;
mod pointer;
mod project;
mod value;
mod write;
mod writer;

pub use limits::{Limits, MAX_SAFE_INTEGER};
pub use names::collide;
pub use object::{NameError, Object};
pub use parse::{ParseError, Reason, parse};
pub use pointer::{Pointer, PointerError};
pub use project::{Projection, project};
pub use value::{Float, NumberError, Value};
pub use writer::{Writer, WriterError};
