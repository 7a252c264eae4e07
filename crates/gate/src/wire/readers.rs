//! The edges' readers of bytes as plain functions, so that fuzzers and judges outside this crate can call them.

use super::{http::request, mcp::rpc};
use model::Code;

/// The method of one message at the MCP door, or why it is none.
pub fn mcp(bytes: &[u8]) -> Result<String, Code> {
    rpc::read(bytes).map(|message| message.method).map_err(|(_, code)| code)
}

/// The segments of a path below an HTTP door, or what is wrong with it.
pub fn path(path: &str) -> Result<Vec<String>, String> {
    request::segments(path)
}

/// Names and values of a query at an HTTP door, or what is wrong with it.
pub fn query(query: &str) -> Result<Vec<(String, String)>, String> {
    request::pairs(query)
}
