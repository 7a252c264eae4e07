//! Every limit of this crate, with the reason for its number.

/// Longest name of an agent, upstream, boundary, rule or person: fits a DNS label and a log column.
pub const NAME_BYTES: usize = 63;
/// Longest operation name; MCP tool names are at most 128 characters (SEP-986), and clients cut at 64.
pub const OPERATION_BYTES: usize = 128;
/// Longest subject of an identity provider (OpenID Connect Core §2).
pub const SUBJECT_BYTES: usize = 255;
/// Longest SPIFFE ID that is read; SPIFFE lets implementations refuse more than 2,048.
pub const SPIFFE_BYTES: usize = 2_048;
