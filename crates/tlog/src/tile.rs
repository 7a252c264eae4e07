//! The tree cut into tiles and bundles for publication (c2sp.org/tlog-tiles).

use std::fmt;

use crate::checkpoint::decimal;
use crate::hash::{Hash, node_hash, whole_hashes};
use crate::limits::{TILE_HEIGHT, TILE_LEVELS, TILE_WIDTH};
use crate::proof::HashReader;

/// Up to 256 neighbouring hashes of one level.
///
/// The hash at place `i` is that of the complete subtree over 256^level leaves with the index
/// `index * 256 + i`. A full tile never changes; a partial one is published under its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

/// Up to 256 neighbouring entries, each behind its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bundle {
    index: u64,
    width: u16,
}

/// Why hashes cannot be had from tiles.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError<E> {
    /// The tile could not be fetched.
    #[error("tile `{path}` cannot be read")]
    Fetch {
        /// The tile's path.
        path: String,
        /// Why.
        #[source]
        source: E,
    },
    /// The tile has not as many hashes as it must have.
    #[error("tile `{path}` does not hold {width} hashes; it is damaged")]
    Length {
        /// The tile's path.
        path: String,
        /// The hashes it must hold.
        width: u16,
    },
    /// The hash is not in a tree of this size.
    #[error("node {index} of level {level} is not in a tree of {size} leaves")]
    Range {
        /// The node's level.
        level: u8,
        /// The node's index.
        index: u64,
        /// The tree's size.
        size: u64,
    },
}

/// Why entries cannot be bundled, or bytes are no bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// An entry of 64 KiB or more.
    #[error("entry has {0} bytes; a bundle holds entries of at most 65,535")]
    Entry(usize),
    /// More than 256 entries, or another number than the width says.
    #[error("bundle holds {found} entries where {width} belong")]
    Width {
        /// The entries found.
        found: usize,
        /// The entries that belong there.
        width: u16,
    },
    /// The bytes end within an entry.
    #[error("bundle ends within an entry; it is damaged")]
    Truncated,
}

impl Tile {
    /// A tile of `width` hashes, 1 to 256, on a level from 0 to 5; `None` for any other.
    #[must_use]
    pub fn new(level: u8, index: u64, width: u16) -> Option<Self> {
        let fits = level <= TILE_LEVELS && (1..=TILE_WIDTH).contains(&u64::from(width));
        fits.then_some(Self { level, index, width })
    }

    /// The tile that holds place `index` of `level` in the tree of `size` leaves.
    #[must_use]
    pub fn within(level: u8, index: u64, size: u64) -> Option<Self> {
        let hashes = size.checked_shr(u32::from(TILE_HEIGHT) * u32::from(level)).unwrap_or(0);
        let width = hashes.checked_sub(index.checked_mul(TILE_WIDTH)?)?.min(TILE_WIDTH);
        Self::new(level, index, u16::try_from(width).ok()?)
    }

    /// The tiles to publish when a tree of `old` leaves has grown to `new`, lower levels first.
    ///
    /// With them and those published before, every tree size published so far can be proved; those
    /// of the sizes between need not exist.
    #[must_use]
    pub fn growth(old: u64, new: u64) -> Vec<Self> {
        let mut tiles = Vec::new();
        for level in 0..=TILE_LEVELS {
            let shift = TILE_HEIGHT * level;
            let (had, has) = (old >> shift, new >> shift);
            for index in had / TILE_WIDTH..has.div_ceil(TILE_WIDTH) {
                tiles.extend(Self::within(level, index, new).filter(|_| had < has));
            }
        }
        tiles
    }

    /// The tile's level, 0 to 5.
    #[must_use]
    pub const fn level(&self) -> u8 {
        self.level
    }

    /// The tile's place on its level.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The hashes in it, 1 to 256.
    #[must_use]
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// `tile/<level>/<index>`, and `.p/<width>` where it is partial.
    #[must_use]
    pub fn path(&self) -> String {
        format!("tile/{}/{}", self.level, Place { index: self.index, width: self.width })
    }

    /// Reads [`Tile::path`], in that one spelling.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (level, place) = path.strip_prefix("tile/")?.split_once('/')?;
        let Place { index, width } = Place::parse(place)?;
        Self::new(u8::try_from(decimal(level)?).ok()?, index, width)
    }

    /// The tile's bytes: its hashes one after the other.
    pub fn read<R: HashReader>(&self, reader: &R) -> Result<Vec<u8>, R::Error> {
        let mut bytes = Vec::with_capacity(usize::from(self.width) * 32);
        let first = self.index * TILE_WIDTH;
        for index in first..first + u64::from(self.width) {
            bytes.extend_from_slice(&reader.hash(self.level * TILE_HEIGHT, index)?);
        }
        Ok(bytes)
    }
}

impl Bundle {
    /// A bundle of `width` entries, 1 to 256; `None` for any other.
    #[must_use]
    pub fn new(index: u64, width: u16) -> Option<Self> {
        (1..=TILE_WIDTH).contains(&u64::from(width)).then_some(Self { index, width })
    }

    /// The bundles to publish when a log of `old` entries has grown to `new`.
    #[must_use]
    pub fn growth(old: u64, new: u64) -> Vec<Self> {
        let level0 = Tile::growth(old, new).into_iter().filter(|tile| tile.level == 0);
        level0.map(|tile| Self { index: tile.index, width: tile.width }).collect()
    }

    /// The bundle's place; its first entry is `index * 256`.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The entries in it, 1 to 256.
    #[must_use]
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// `tile/entries/<index>`, and `.p/<width>` where it is partial.
    #[must_use]
    pub fn path(&self) -> String {
        format!("tile/entries/{}", Place { index: self.index, width: self.width })
    }

    /// Reads [`Bundle::path`], in that one spelling.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let Place { index, width } = Place::parse(path.strip_prefix("tile/entries/")?)?;
        Self::new(index, width)
    }

    /// The bundle's bytes: each entry behind its length in two bytes, most significant first.
    pub fn encode<E: AsRef<[u8]>>(&self, entries: &[E]) -> Result<Vec<u8>, BundleError> {
        self.check_width(entries.len())?;
        let mut bytes = Vec::new();
        for entry in entries {
            let entry = entry.as_ref();
            let length = u16::try_from(entry.len()).map_err(|_| BundleError::Entry(entry.len()))?;
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(entry);
        }
        Ok(bytes)
    }

    /// The entries of a bundle of this width.
    pub fn decode<'a>(&self, mut bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, BundleError> {
        let mut entries = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_first_chunk().ok_or(BundleError::Truncated)?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (entry, rest) = rest.split_at_checked(length).ok_or(BundleError::Truncated)?;
            entries.push(entry);
            bytes = rest;
        }
        self.check_width(entries.len())?;
        Ok(entries)
    }

    fn check_width(&self, found: usize) -> Result<(), BundleError> {
        if found == usize::from(self.width) {
            Ok(())
        } else {
            Err(BundleError::Width { found, width: self.width })
        }
    }
}

/// The hashes of a tree of a given size, read from published tiles.
///
/// `fetch` gives a tile's bytes. They are believed: check the root first with
/// [`root`](crate::root), then proofs against that root.
#[derive(Debug)]
pub struct TileReader<F> {
    size: u64,
    fetch: F,
}

impl<F, E> TileReader<F>
where
    F: Fn(&Tile) -> Result<Vec<u8>, E>,
{
    /// Reads the tree of `size` leaves.
    pub const fn new(size: u64, fetch: F) -> Self {
        Self { size, fetch }
    }
}

impl<F, E> HashReader for TileReader<F>
where
    F: Fn(&Tile) -> Result<Vec<u8>, E>,
{
    type Error = TileError<E>;

    fn hash(&self, level: u8, index: u64) -> Result<Hash, TileError<E>> {
        let outside = || TileError::Range { level, index, size: self.size };
        let tile_level = (level / TILE_HEIGHT).min(TILE_LEVELS);
        let height = level - tile_level * TILE_HEIGHT;
        if height > TILE_HEIGHT {
            return Err(outside());
        }
        let first = index.checked_mul(1 << height).ok_or_else(outside)?;
        let tile = Tile::within(tile_level, first / TILE_WIDTH, self.size).ok_or_else(outside)?;
        let bytes =
            (self.fetch)(&tile).map_err(|source| TileError::Fetch { path: tile.path(), source })?;
        let hashes = whole_hashes(&bytes)
            .filter(|hashes| hashes.len() == usize::from(tile.width))
            .ok_or_else(|| TileError::Length { path: tile.path(), width: tile.width })?;
        let from = usize::try_from(first % TILE_WIDTH).map_err(|_| outside())?;
        let row = hashes.get(from..from + (1 << height)).ok_or_else(outside)?;
        reduce(row).ok_or_else(outside)
    }
}

/// The root over a power of two of hashes.
fn reduce(row: &[Hash]) -> Option<Hash> {
    let mut row = row.to_vec();
    while row.len() > 1 {
        row = row.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.pop()
}

/// The end of a path: the index in groups of three digits, all but the last marked by `x`.
struct Place {
    index: u64,
    width: u16,
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let (digits, width) = match text.split_once(".p/") {
            Some((digits, width)) => (digits, u16::try_from(decimal(width)?).ok()?),
            None => (text, 256),
        };
        let mut index: u64 = 0;
        for group in digits.split('/') {
            let group = group.strip_prefix('x').unwrap_or(group);
            if group.len() != 3 || !group.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            index = index.checked_mul(1000)?.checked_add(group.parse().ok()?)?;
        }
        let place = Self { index, width };
        // One spelling only: leading groups of zeros and misplaced marks print otherwise.
        (place.to_string() == text).then_some(place)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for (behind, group) in groups.iter().enumerate().rev() {
            match behind {
                0 => write!(f, "{group:03}")?,
                _ => write!(f, "x{group:03}/")?,
            }
        }
        if u64::from(self.width) < TILE_WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}
