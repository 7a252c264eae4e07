//! The limits under which bytes are read, each with the reason for its number.

/// What one [`parse`](crate::parse) may cost at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Length of the input in bytes.
    pub bytes: usize,
    /// Containers that may be open at once; a scalar document has depth 0.
    /// Never more than 256, whatever is asked for.
    pub depth: usize,
    /// Values in the whole document: scalars, arrays and objects, each counted once.
    pub members: usize,
}

impl Limits {
    /// For the arguments of one call: 1 MiB, 64 deep.
    ///
    /// LIMIT: a call that carries more than 1 MiB carries a file, which has its own way; schemas
    /// in use nest below 20; 100,000 values hold about 8 MiB of memory, so that 1,000 callers at
    /// once cannot exhaust a small machine with a body of commas.
    pub const ARGUMENTS: Self = Self { bytes: 1 << 20, depth: 64, members: 100_000 };

    /// For one protocol frame, results included: 4 MiB, 128 deep.
    ///
    /// LIMIT: four times the arguments, since a result may hold several records of that size, and
    /// twice the depth, since results wrap what arguments name.
    pub const FRAME: Self = Self { bytes: 4 << 20, depth: 128, members: 400_000 };
}

/// LIMIT: values are cloned, written, projected and dropped by recursion; 256 levels, twice what any
/// caller asks for, need less than a quarter of a thread's 2 MiB of stack in a debug build.
pub(crate) const DEPTH_CEILING: usize = 256;

/// LIMIT: the largest integer every double-based reader keeps apart from its neighbours, 2^53 - 1
/// (RFC 7493 section 2.2).
pub const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;

/// LIMIT: a double is told apart from all others by at most 17 significant digits.
pub(crate) const SIGNIFICANT_DIGITS: usize = 17;

/// LIMIT: up to this many members are compared pairwise, without allocation; above it a sort of
/// their hashes is cheaper.
pub(crate) const PAIRWISE_MEMBERS: usize = 16;

/// LIMIT: characters of a member name that an error message repeats; enough to find it, too few
/// to carry a message of its own.
pub(crate) const NAME_SHOWN: usize = 64;
