//! JSON as PostgreSQL's jsonb compares it: one text for one value.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};

use super::converted::{Converted, is_binary, is_string, unexpected};
use super::decimal::Decimal;
use super::render::{quote, strict};
use super::text::to_text;
use crate::error::Result;
use crate::model::Kind;

const MAX_DEPTH: u32 = 256;

/// JSON text, or a struct, list or map, as canonical text.
pub(super) fn to_json(array: &ArrayRef) -> Result<Converted> {
    let physical = array.data_type();
    let as_text = is_string(physical) || is_binary(physical);
    if !as_text && !physical.is_nested() {
        return Err(unexpected(array, Kind::Json));
    }
    let text = if as_text { Some(to_text(array)?.array) } else { None };
    let values = text.as_ref().map(|t| t.as_string::<i32>());
    let mut out = StringBuilder::with_capacity(array.len(), array.len() * 32);
    let mut unreadable = Vec::new();
    for i in 0..array.len() {
        if array.is_null(i) {
            out.append_null();
            continue;
        }
        let canonical = match values {
            Some(values) => values.is_valid(i).then(|| values.value(i)).and_then(canonical_json),
            None => strict(array.as_ref(), i).and_then(|text| canonical_json(&text)),
        };
        if canonical.is_none() {
            unreadable.push(i as u32);
        }
        out.append_option(canonical);
    }
    Ok(Converted { unreadable, ..Converted::plain(Arc::new(out.finish())) })
}

/// The canonical text of a JSON value: keys sorted, of equal keys the last, numbers by value, no blanks. `None`
/// where PostgreSQL's jsonb would refuse the text.
pub fn canonical_json(text: &str) -> Option<String> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let mut out = String::with_capacity(text.len());
    parser.blanks();
    parser.value(&mut out)?;
    parser.blanks();
    (parser.at == text.len()).then_some(out)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, out: &mut String) -> Option<()> {
        match self.peek()? {
            b'{' => self.nested(out, Self::object),
            b'[' => self.nested(out, Self::array),
            b'"' => {
                quote(&self.string()?, out);
                Some(())
            }
            b't' => self.word("true", out),
            b'f' => self.word("false", out),
            b'n' => self.word("null", out),
            _ => self.number(out),
        }
    }

    fn nested(&mut self, out: &mut String, read: fn(&mut Self, &mut String) -> Option<()>) -> Option<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        self.at += 1;
        read(self, out)?;
        self.depth -= 1;
        Some(())
    }

    fn word(&mut self, word: &str, out: &mut String) -> Option<()> {
        self.text.get(self.at..)?.starts_with(word).then(|| {
            self.at += word.len();
            out.push_str(word);
        })
    }

    fn object(&mut self, out: &mut String) -> Option<()> {
        let mut members: BTreeMap<String, String> = BTreeMap::new();
        self.blanks();
        if self.eat(b'}').is_none() {
            loop {
                self.blanks();
                let key = self.string()?;
                self.blanks();
                self.eat(b':')?;
                self.blanks();
                let mut value = String::new();
                self.value(&mut value)?;
                members.insert(key, value);
                self.blanks();
                if self.eat(b',').is_none() {
                    self.eat(b'}')?;
                    break;
                }
            }
        }
        out.push('{');
        for (n, (key, value)) in members.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            quote(key, out);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        Some(())
    }

    fn array(&mut self, out: &mut String) -> Option<()> {
        out.push('[');
        self.blanks();
        if self.eat(b']').is_none() {
            loop {
                self.blanks();
                self.value(out)?;
                self.blanks();
                if self.eat(b',').is_none() {
                    self.eat(b']')?;
                    break;
                }
                out.push(',');
            }
        }
        out.push(']');
        Some(())
    }

    fn string(&mut self) -> Option<String> {
        self.eat(b'"')?;
        let mut value = String::new();
        loop {
            let rest = self.text.get(self.at..)?;
            let stop = rest.find(|c: char| c == '"' || c == '\\' || (c as u32) < 0x20)?;
            value.push_str(&rest[..stop]);
            self.at += stop + 1;
            match rest.as_bytes()[stop] {
                b'"' => return Some(value),
                b'\\' => value.push(self.escape()?),
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let kind = self.peek()?;
        self.at += 1;
        Some(match kind {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hex4()?;
                let code = match high {
                    0xd800..0xdc00 => {
                        self.eat(b'\\')?;
                        self.eat(b'u')?;
                        let low = self.hex4()?;
                        let low = (0xdc00..0xe000).contains(&low).then(|| low - 0xdc00)?;
                        0x1_0000 + ((high - 0xd800) << 10) + low
                    }
                    code => code,
                };
                char::from_u32(code).filter(|c| *c != '\0')?
            }
            _ => return None,
        })
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    }

    fn number(&mut self, out: &mut String) -> Option<()> {
        let start = self.at;
        let digits = |parser: &mut Self| {
            let from = parser.at;
            while parser.peek().is_some_and(|b| b.is_ascii_digit()) {
                parser.at += 1;
            }
            (parser.at > from).then_some(parser.at - from)
        };
        let _ = self.eat(b'-');
        let leading_zero = self.peek() == Some(b'0');
        let whole = digits(self)?;
        if leading_zero && whole > 1 {
            return None;
        }
        if self.eat(b'.').is_some() {
            digits(self)?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            digits(self)?;
        }
        let number = Decimal::parse(self.text.get(start..self.at)?).filter(Decimal::fits_numeric)?;
        out.push_str(&number.canonical());
        Some(())
    }
}
