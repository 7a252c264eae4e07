//! Numbers: only those that come back from a double as they were written.

use super::Reader;
use super::fault::{Fault, Reason};
use crate::limits::SIGNIFICANT_DIGITS;
use crate::{Float, MAX_SAFE_INTEGER, Value};

/// Digits of which every whole number is at most 2^53 - 1.
const SAFE_DIGITS: usize = 15;

impl Reader<'_> {
    /// A number, from its first byte (a minus or a digit).
    pub(super) fn number(&mut self) -> Result<Value, Fault> {
        let start = self.at;
        let negative = self.take(b'-');
        let magnitude = self.whole_part()?;
        if !matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            if let Some(magnitude) = magnitude {
                return Ok(Value::Integer(if negative { -magnitude } else { magnitude }));
            }
            return self.exact(start, true);
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'-') {
                self.take(b'+');
            }
            self.digits()?;
        }
        self.exact(start, false)
    }

    /// The digits before point and exponent; their value if they are few enough to be safe.
    fn whole_part(&mut self) -> Result<Option<i64>, Fault> {
        let start = self.at;
        let mut magnitude: i64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            if self.at - start < SAFE_DIGITS {
                magnitude = magnitude * 10 + i64::from(digit - b'0');
            }
            self.at += 1;
        }
        let count = self.at - start;
        if count == 0 {
            return Err(self.expected("a digit"));
        }
        if count > 1 && self.bytes.get(start) == Some(&b'0') {
            return Err(Fault::at(start, Reason::Syntax("a number without leading zeros")));
        }
        Ok((count <= SAFE_DIGITS).then_some(magnitude))
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    /// Accepts the literal that ends here if the shortest form of its double has the same value.
    fn exact(&self, start: usize, whole: bool) -> Result<Value, Fault> {
        let refuse = |reason| Fault::at(start, reason);
        let literal = self.text.get(start..self.at).unwrap_or_default();
        let written = Decimal::of(literal);
        if written.digits.is_empty() {
            return Ok(Value::Integer(0));
        }
        if written.significant() > SIGNIFICANT_DIGITS {
            let beyond = whole && written.magnitude >= 15;
            return Err(refuse(if beyond {
                Reason::IntegerTooLarge
            } else {
                Reason::NumberNotExact
            }));
        }
        let number: f64 = literal.parse().map_err(|_| refuse(Reason::NumberNotExact))?;
        if written.is_plain_fraction() {
            return Ok(Value::Number(Float::classified(number)));
        }
        if !number.is_finite() {
            return Err(refuse(Reason::NumberNotExact));
        }
        let mut buffer = ryu_js::Buffer::new();
        let shortest = buffer.format_finite(number);
        match classify(number, shortest) {
            // 2^53 + 1 and its like are whole numbers before they are inexact ones.
            None => Err(refuse(Reason::IntegerTooLarge)),
            Some(Value::Number(_)) if whole => Err(refuse(Reason::IntegerTooLarge)),
            Some(value) if Decimal::of(shortest) == written => Ok(value),
            Some(_) => Err(refuse(Reason::NumberNotExact)),
        }
    }
}

/// The value of a finite double, given its ECMAScript form; `None` where that form would be read
/// as a whole number beyond 2^53 - 1.
pub(crate) fn classify(number: f64, shortest: &str) -> Option<Value> {
    let whole = shortest.bytes().all(|byte| matches!(byte, b'-' | b'0'..=b'9'));
    if !whole {
        return Some(Value::Number(Float::classified(number)));
    }
    let integer: i64 = shortest.parse().ok()?;
    (-MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER).contains(&integer).then_some(Value::Integer(integer))
}

/// A decimal literal reduced to what its value depends on.
struct Decimal<'a> {
    negative: bool,
    /// From the first to the last digit that is not zero, with the point if it lies between.
    digits: &'a str,
    /// The power of ten of the first of them.
    magnitude: i64,
}

impl<'a> Decimal<'a> {
    fn of(literal: &'a str) -> Self {
        let (negative, unsigned) = match literal.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, literal),
        };
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let digits = mantissa.trim_matches(['0', '.']);
        let whole = mantissa.split('.').next().unwrap_or_default();
        let leading = mantissa.len() - mantissa.trim_start_matches(['0', '.']).len();
        // Powers of ten from the first digit of the mantissa, the point not counted.
        let skipped = if leading > whole.len() { leading - 1 } else { leading };
        let count = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        Self {
            negative,
            digits,
            magnitude: exponent_of(exponent)
                .saturating_add(count(whole.len()) - 1)
                .saturating_sub(count(skipped)),
        }
    }

    fn significant(&self) -> usize {
        self.digits.len() - usize::from(self.digits.contains('.'))
    }

    /// Whether it is not whole and surely survives: every decimal of up to 15 digits comes back
    /// from a double, away from the ends of the range.
    fn is_plain_fraction(&self) -> bool {
        let significant = self.significant();
        let whole = usize::try_from(self.magnitude).is_ok_and(|power| power + 1 >= significant);
        significant <= SAFE_DIGITS && self.magnitude.abs() < 300 && !whole
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        let digits = |of: &'_ Self| of.digits.bytes().filter(|byte| *byte != b'.');
        self.negative == other.negative
            && self.magnitude == other.magnitude
            && digits(self).eq(digits(other))
    }
}

/// An exponent, held at a bound far outside a double's where it is longer than any integer.
fn exponent_of(text: &str) -> i64 {
    const FAR: i64 = 1 << 40;
    let negative = text.starts_with('-');
    let exponent: i64 =
        text.strip_prefix('+').unwrap_or(text).parse().unwrap_or(if negative { -FAR } else { FAR });
    exponent.clamp(-FAR, FAR)
}
