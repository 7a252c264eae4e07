//! The limits of deciding, each with the reason for its number.

/// LIMIT: text longer than this is not matched against policies that read it: `like` is linear in
/// the text for each policy (211 µs for 100 KB), so such a call is refused as undecidable.
pub(crate) const TEXT_BYTES: usize = 64 * 1024;

/// LIMIT: lists longer than this are not built for policies that read them: a set of 1,000 texts
/// costs 266 µs.
pub(crate) const LIST_ITEMS: usize = 1_000;

/// LIMIT: an argument schema is typed at most this deep, references followed included; what lies
/// deeper is opaque to policies. Schemas in use nest below 6; recursive ones have no end.
pub(crate) const SCHEMA_DEPTH: usize = 8;

/// LIMIT: a decimal of the policy engine has four places and 63 bits: ±922337203685477.5807.
pub(crate) const DECIMAL_PLACES: usize = 4;
/// The largest magnitude, in units of 1/10,000.
pub(crate) const DECIMAL_UNITS: i128 = i64::MAX as i128;

/// LIMIT: characters of an argument's value that an explanation repeats; enough to recognise it.
pub(crate) const VALUE_SHOWN: usize = 120;

/// LIMIT: names that a problem lists as what there is; more hide the one that was meant.
pub(crate) const NAMES_LISTED: usize = 12;
