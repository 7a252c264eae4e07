//! Reading and writing of the crate's own binary forms: big endian, lengths in four bytes.

use model::Digest;

/// The bytes end too early, or a number in them is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short;

/// Reads from the front of a slice.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Short)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn slice(&mut self, length: usize) -> Result<&'a [u8], Short> {
        let (head, rest) = self.0.split_at_checked(length).ok_or(Short)?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Short> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Short> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn u128(&mut self) -> Result<u128, Short> {
        self.array().map(u128::from_be_bytes)
    }

    pub(crate) fn digest(&mut self) -> Result<Digest, Short> {
        self.array().map(Digest)
    }

    /// A slice behind its length in four bytes.
    pub(crate) fn block(&mut self) -> Result<&'a [u8], Short> {
        let length = self.count()?;
        self.slice(length)
    }

    /// A number of things in four bytes.
    pub(crate) fn count(&mut self) -> Result<usize, Short> {
        usize::try_from(self.u32()?).map_err(|_| Short)
    }
}

/// Writes a slice behind its length in four bytes. Every slice here is far below 4 GiB (see `limits`); a longer one
/// would be written with a length that its reader refuses.
pub(crate) fn put_block(out: &mut Vec<u8>, block: &[u8]) {
    put_count(out, block.len());
    out.extend_from_slice(block);
}

/// Writes a number of things in four bytes.
pub(crate) fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}
