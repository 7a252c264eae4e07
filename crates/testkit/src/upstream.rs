//! Upstreams as strangers would run them: an MCP server of both eras and an HTTP API.

pub mod http;
pub mod mcp;
pub mod tickets;
