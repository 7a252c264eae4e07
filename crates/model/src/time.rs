//! Points in time and spans, as values: nothing here reads a clock.

use std::fmt;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// A span in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(pub i64);

impl Timestamp {
    /// From whole seconds (JWT NumericDate); saturates.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Timestamp {
        Timestamp(seconds.saturating_mul(1_000_000))
    }

    /// The first moment of a day in UTC, written `2026-12-15`; anything else is `None`.
    #[must_use]
    pub fn from_date(text: &str) -> Option<Timestamp> {
        let date: jiff::civil::Date = text.parse().ok()?;
        let day = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        (date.to_string() == text).then(|| Timestamp(day.timestamp().as_microsecond()))
    }

    /// Whole seconds, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whole milliseconds, rounded down.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This time plus a span; saturates.
    #[must_use]
    pub const fn after(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }

    /// The span from `earlier` to this time; negative if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Timestamp) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }

    /// The month in UTC as `2026-11`; data keys are per month.
    #[must_use]
    pub fn month(self) -> String {
        let text = self.to_string();
        text.chars().take(7).collect()
    }
}

impl Duration {
    /// A span of whole seconds.
    #[must_use]
    pub const fn seconds(seconds: i64) -> Duration {
        Duration(seconds.saturating_mul(1_000_000))
    }

    /// Whole seconds of this span, rounded down.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Reads `90s`, `15m`, `24h`, `7d`; a bare number or another unit is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Duration> {
        let unit = text.chars().next_back()?;
        let number = text.strip_suffix(unit)?;
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let seconds = number.parse::<i64>().ok()?.checked_mul(factor)?;
        (seconds <= 400 * 86_400).then(|| Duration::seconds(seconds))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with microseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{time:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl fmt::Display for Duration {
    /// The largest whole unit: `15m`, `90s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.as_seconds();
        for (unit, size) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
            if seconds >= size && seconds % size == 0 {
                return write!(f, "{}{unit}", seconds / size);
            }
        }
        write!(f, "{seconds}s")
    }
}
