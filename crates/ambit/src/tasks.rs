//! Opens tasks: what for, for whom, with which parameters, and what set it off. Recorded before its id is told.

mod opening;
mod params;
mod record;

pub(crate) use opening::{Opening, Refused, Use, append, open, refuse};
pub(crate) use record::Told;
