//! One sliding window of one call limit.

use crate::{
    bytes::{Reader, Short, put_count},
    limits::WINDOW_POINTS,
};
use model::{Duration, Timestamp};
use std::collections::VecDeque;

/// When calls were taken. Time only moves forward within one window: an earlier `now` counts as the latest seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    points: VecDeque<(i64, u32)>,
    span: i64,
}

impl Window {
    pub(crate) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Calls taken within the span before `now`.
    pub(crate) fn count(&self, now: Timestamp, span: Duration) -> u32 {
        let from = self.latest(now).saturating_sub(span.0);
        let within = self.points.iter().rev().take_while(|(time, _)| *time > from);
        within.fold(0_u32, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Takes one call.
    pub(crate) fn take(&mut self, now: Timestamp, span: Duration) {
        let time = self.latest(now);
        self.span = span.0;
        let from = time.saturating_sub(span.0);
        while self.points.front().is_some_and(|(point, _)| *point <= from) {
            self.points.pop_front();
        }
        let near = span.0 / i64::try_from(WINDOW_POINTS).unwrap_or(i64::MAX);
        let full = self.points.len() >= WINDOW_POINTS;
        match self.points.back_mut() {
            Some((last, count)) if *last == time || (full && time - *last < near) => {
                *last = time;
                *count = count.saturating_add(1);
            }
            _ => self.points.push_back((time, 1)),
        }
    }

    /// From when on nothing in it counts.
    pub(crate) fn until(&self) -> Timestamp {
        let last = self.points.back().map_or(i64::MIN, |(time, _)| *time);
        Timestamp(last.saturating_add(self.span))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.span.to_be_bytes());
        put_count(out, self.points.len());
        for (time, count) in &self.points {
            out.extend_from_slice(&time.to_be_bytes());
            out.extend_from_slice(&count.to_be_bytes());
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Window, Short> {
        let span = reader.i64()?;
        let count = reader.count()?;
        let points: Result<VecDeque<_>, Short> =
            (0..count).map(|_| Ok((reader.i64()?, reader.u32()?))).collect();
        Ok(Window { points: points?, span })
    }

    fn latest(&self, now: Timestamp) -> i64 {
        self.points.back().map_or(now.0, |(last, _)| now.0.max(*last))
    }
}
