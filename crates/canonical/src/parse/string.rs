//! Strings: escapes resolved, nothing but assigned scalar values let through.

use super::Reader;
use super::fault::{Fault, Reason};
use crate::write::plain_run;

impl<'a> Reader<'a> {
    /// A string, from its opening quote.
    pub(super) fn string(&mut self) -> Result<String, Fault> {
        let open = self.at;
        self.at += 1;
        let first = self.plain();
        if self.take(b'"') {
            return Ok(first.to_owned());
        }
        let mut text = first.to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    text.push(self.escape()?);
                    text.push_str(self.plain());
                }
                Some(_) => return Err(self.expected("an escape for the control character")),
                None => return Err(Fault::at(open, Reason::Syntax("a closing quote"))),
            }
        }
    }

    /// The text up to the next quote, backslash or control character.
    fn plain(&mut self) -> &'a str {
        let start = self.at;
        self.at += plain_run(self.bytes.get(start..).unwrap_or_default());
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// An escape, from its backslash.
    fn escape(&mut self) -> Result<char, Fault> {
        let start = self.at;
        self.at += 1;
        let letter = self.peek();
        self.at += 1;
        Ok(match letter {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.code_point(start),
            _ => return Err(Fault::at(start, Reason::Syntax("one of the escapes of JSON"))),
        })
    }

    /// One or, for a surrogate pair, two escapes of four hexadecimal digits.
    fn code_point(&mut self, start: usize) -> Result<char, Fault> {
        let lone = || Fault::at(start, Reason::LoneSurrogate);
        let first = self.hex4()?;
        let code = match first {
            0xD800..=0xDBFF => {
                if !(self.take(b'\\') && self.take(b'u')) {
                    return Err(lone());
                }
                let second = self.hex4()?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return Err(lone());
                }
                0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            _ => first,
        };
        let character = char::from_u32(code).ok_or_else(lone)?;
        if is_noncharacter(character) {
            return Err(Fault::at(start, Reason::Noncharacter));
        }
        Ok(character)
    }

    fn hex4(&mut self) -> Result<u32, Fault> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else { return Err(self.expected("four hexadecimal digits")) };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}

/// Where the text has a noncharacter, if anywhere.
pub(super) fn noncharacter(text: &str) -> Option<usize> {
    // Their first byte is EF or above, which most texts do not have; the largest byte of a text is
    // found many bytes at a time.
    if text.bytes().max().is_none_or(|byte| byte < 0xEF) {
        return None;
    }
    text.char_indices().find(|(_, character)| is_noncharacter(*character)).map(|(at, _)| at)
}

fn is_noncharacter(character: char) -> bool {
    let code = u32::from(character);
    (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}
