//! The condition memory as bytes, so that a start need not replay all batches.

use super::{Ask, Due, EffectError, Memory, Pin, Stage, window::Window};
use crate::bytes::{Reader, put_count};
use model::{AskId, EntryId, Timestamp};

const VERSION: u8 = 2;

/// What was written before there were pins: the same without their list at the end.
const WITHOUT_PINS: u8 = 1;

impl Memory {
    /// Everything but the revocations, which bind only decisions of the run that made them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.revision.to_be_bytes());
        out.extend_from_slice(&self.latest.0.to_be_bytes());
        put_count(&mut out, self.uses.len());
        for (what, until) in &self.uses {
            out.extend_from_slice(what.as_bytes());
            out.extend_from_slice(&until.0.to_be_bytes());
        }
        put_count(&mut out, self.asks.len());
        for (ask, found) in &self.asks {
            out.extend_from_slice(&ask.to_bytes());
            out.push(found.stage.number());
            out.extend_from_slice(&found.until.0.to_be_bytes());
        }
        put_count(&mut out, self.windows.len());
        for (what, window) in &self.windows {
            out.extend_from_slice(what.as_bytes());
            window.encode(&mut out);
        }
        put_count(&mut out, self.open.len());
        for entry in &self.open {
            out.extend_from_slice(&entry.to_bytes());
        }
        put_count(&mut out, self.pins.len());
        for (what, pin) in &self.pins {
            out.extend_from_slice(what.as_bytes());
            out.extend_from_slice(pin.to.as_bytes());
            out.extend_from_slice(&pin.until.0.to_be_bytes());
        }
        out
    }

    /// Reads [`Memory::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Memory, EffectError> {
        let mut reader = Reader(bytes);
        let version = reader.u8()?;
        if version != VERSION && version != WITHOUT_PINS {
            return Err(EffectError);
        }
        let mut memory = Memory::at_revision(reader.u64()?);
        memory.latest = Timestamp(reader.i64()?);
        for _ in 0..reader.count()? {
            let (what, until) = (reader.digest()?, Timestamp(reader.i64()?));
            memory.uses.insert(what, until);
            memory.remind(until, Due::Use(what));
        }
        for _ in 0..reader.count()? {
            let ask = AskId(reader.u128()?);
            let stage = Stage::from_number(reader.u8()?).ok_or(EffectError)?;
            let until = Timestamp(reader.i64()?);
            memory.asks.insert(ask, Ask { stage, until });
            memory.remind(until, Due::Ask(ask));
        }
        for _ in 0..reader.count()? {
            let (what, window) = (reader.digest()?, Window::decode(&mut reader)?);
            memory.remind(window.until(), Due::Window(what));
            memory.windows.insert(what, window);
        }
        for _ in 0..reader.count()? {
            memory.open.insert(EntryId(reader.u128()?));
        }
        let pins = if version == WITHOUT_PINS { 0 } else { reader.count()? };
        for _ in 0..pins {
            let (what, to) = (reader.digest()?, reader.digest()?);
            let until = Timestamp(reader.i64()?);
            memory.pins.insert(what, Pin { to, until });
            memory.remind(until, Due::Pin(what));
        }
        if reader.is_empty() { Ok(memory) } else { Err(EffectError) }
    }

    /// Sets the control revision after a replay: revisions are counted in the batches, not in their effects.
    pub fn continue_at(&mut self, revision: u64) {
        self.revision = revision;
        self.floor = revision;
    }
}

impl Stage {
    const fn number(self) -> u8 {
        match self {
            Stage::Open => 1,
            Stage::Approved => 2,
            Stage::Declined => 3,
            Stage::Spent => 4,
        }
    }

    const fn from_number(number: u8) -> Option<Stage> {
        match number {
            1 => Some(Stage::Open),
            2 => Some(Stage::Approved),
            3 => Some(Stage::Declined),
            4 => Some(Stage::Spent),
            _ => None,
        }
    }
}
