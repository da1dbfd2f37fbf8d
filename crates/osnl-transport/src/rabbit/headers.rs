//! Makes the tables in a broker's frames safe for the client library.
//!
//! Publishers choose headers, and the broker passes these on unchanged. The client library reads tables recursively
//! without a bound, on a thread with a small stack, and ends the connection over a name that is not UTF-8. Either way
//! one message could end the connection or the process, again after each restart.
//!
//! Therefore a frame is walked before the library gets it, without building anything:
//!
//! | in the frame | becomes |
//! | --- | --- |
//! | a header whose value nests deeper than [`DEEPEST`] tables and arrays | an empty table of the same name |
//! | a header whose values would exceed [`MOST_VALUES`] for the message | an empty table of the same name |
//! | a header whose name or value the library cannot read | nothing |
//! | octets of a short string that are not UTF-8 | `?`, octet for octet |
//! | properties that do not fit their frame | no properties |
//!
//! The other headers stay, so that a compressed body stays readable. A changed table gets one more header, [`MARK`].
//! Most frames need no change and are not copied.

use std::borrow::Cow;
use std::ops::Range;

use lapin::types::{AMQPValue, FieldTable};

/// The depth to which tables and arrays may nest, the table of headers included.
pub(super) const DEEPEST: usize = 16;
/// The limit of values in the tables of one frame. The library needs some 60 bytes for a value of one octet.
pub(super) const MOST_VALUES: usize = 1024;
pub(super) const MARK: &str = "x-osnl-removed";

/// The reason why a table is not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    Deep,
    Many,
    Malformed,
}

impl Flaw {
    const fn words(self) -> &'static str {
        match self {
            Self::Deep => "headers that nest deeper than 16 levels",
            Self::Many => "headers beyond 1024 values",
            Self::Malformed => "malformed headers",
        }
    }
}

pub(super) fn removed(headers: &FieldTable) -> Option<Cow<'_, str>> {
    match headers.inner().get(MARK)? {
        AMQPValue::LongString(words) => Some(String::from_utf8_lossy(words.as_bytes())),
        _ => None,
    }
}

/// The form of a field, by which its length is found.
#[derive(Clone, Copy, Debug)]
enum FieldForm {
    Octets(usize),
    Text,
    Table,
}

use FieldForm::{Octets, Table, Text};

/// A payload of this size fits any frame: the protocol's smallest `frame_max` is 4096.
pub(super) const SMALL: usize = 4096 - 8;
const BEFORE_FLAGS: usize = 12;
const PROPERTIES: [FieldForm; 14] =
    [Text, Text, Table, Octets(1), Octets(1), Text, Text, Text, Text, Octets(8), Text, Text, Text, Text];
const HEADERS: u16 = 1 << 13;

pub(super) fn content_header(payload: &mut [u8]) -> Option<Vec<u8>> {
    let flags = u16::from_be_bytes(payload.get(BEFORE_FLAGS..BEFORE_FLAGS + 2)?.try_into().ok()?);
    let present = PROPERTIES.iter().enumerate().filter(|(at, _)| flags & (1 << (15 - at)) != 0);
    let walked = walk(payload, BEFORE_FLAGS + 2, present.map(|(_, field)| *field));
    match walked {
        Ok(FieldWalk { end, flawed: None }) if end == payload.len() => None,
        Ok(FieldWalk { end, flawed: Some((table, flaw)) }) if end == payload.len() => {
            Some(without_flaw(payload, &table, flaw))
        }
        Ok(_) | Err(BadLength) => {
            let table = marked(&[], Flaw::Malformed);
            Some([&payload[..BEFORE_FLAGS], &HEADERS.to_be_bytes(), &length(&table), &table].concat())
        }
    }
}

pub(super) fn method(payload: &mut [u8]) -> Option<Vec<u8>> {
    let [a, b, c, d] = *payload.first_chunk()?;
    // Other methods with a table are sent by clients only, but the library would read those too.
    let fields: &[FieldForm] = match (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])) {
        (10, 10) => &[Octets(2), Table],
        (10, 11) => &[Table],
        (10, 50) | (20, 40) => &[Octets(2), Text],
        (10, 60) => &[Text],
        (40, 10) => &[Octets(2), Text, Text, Octets(1), Table],
        (40, 30 | 40) => &[Octets(2), Text, Text, Text, Octets(1), Table],
        (50, 10) => &[Octets(2), Text, Octets(1), Table],
        (50, 11) => &[Text],
        (50, 20) => &[Octets(2), Text, Text, Text, Octets(1), Table],
        (50, 50) => &[Octets(2), Text, Text, Text, Table],
        (60, 20) => &[Octets(2), Text, Text, Octets(1), Table],
        (60, 50) => &[Octets(2), Text, Text, Text],
        (60, 60) => &[Text, Octets(9), Text, Text],
        (60, 71) => &[Octets(9), Text, Text],
        _ => return None,
    };
    // A length that does not fit is the broker's error, and the library ends the connection.
    let (table, flaw) = walk(payload, 4, fields.iter().copied()).ok()?.flawed?;
    Some(without_flaw(payload, &table, flaw))
}

/// Removes the flawed part. A mark must not make the frame exceed the agreed size, but a frame of [`SMALL`] is always
/// allowed.
fn without_flaw(payload: &[u8], table: &Range<usize>, flaw: Flaw) -> Vec<u8> {
    let mended = replaced(payload, table, &mended(&payload[table.clone()], flaw));
    if mended.len() <= payload.len().max(SMALL) {
        mended
    } else {
        replaced(payload, table, &marked(&[], flaw))
    }
}

/// A field is longer than its frame.
struct BadLength;

/// The end of the fields, and the first flawed table among them.
struct FieldWalk {
    end: usize,
    flawed: Option<(Range<usize>, Flaw)>,
}

fn walk(
    payload: &mut [u8],
    start: usize,
    fields: impl Iterator<Item = FieldForm>,
) -> Result<FieldWalk, BadLength> {
    let mut walked = FieldWalk { end: start, flawed: None };
    for field in fields {
        let at = walked.end;
        let rest = payload.get_mut(at..).ok_or(BadLength)?;
        walked.end = match field {
            Octets(count) => at + count,
            Text => {
                let count = usize::from(*rest.first().ok_or(BadLength)?);
                replace_what_is_no_text(rest.get_mut(1..=count).ok_or(BadLength)?);
                at + 1 + count
            }
            Table => {
                let mut octets = HeaderBytes(rest);
                let table = octets.sized().ok_or(BadLength)?;
                let range = at + 4..at + 4 + table.len();
                let mut left = MOST_VALUES;
                if let Err(flaw) = judge_table(table, 1, &mut left) {
                    walked.flawed = Some((range.clone(), flaw));
                }
                range.end
            }
        };
    }
    if walked.end > payload.len() { Err(BadLength) } else { Ok(walked) }
}

fn replace_what_is_no_text(octets: &mut [u8]) {
    let mut from = 0;
    while let Err(error) = std::str::from_utf8(&octets[from..]) {
        let start = from + error.valid_up_to();
        let end = error.error_len().map_or(octets.len(), |count| start + count);
        octets[start..end].fill(b'?');
        from = end;
    }
}

fn judge_table(table: &[u8], depth: usize, left: &mut usize) -> Result<(), Flaw> {
    if depth > DEEPEST {
        return Err(Flaw::Deep);
    }
    let mut rest = HeaderBytes(table);
    while !rest.0.is_empty() {
        rest.name().ok_or(Flaw::Malformed)?;
        judge_value(&mut rest, depth, left)?;
    }
    Ok(())
}

fn judge_array(array: &[u8], depth: usize, left: &mut usize) -> Result<(), Flaw> {
    if depth > DEEPEST {
        return Err(Flaw::Deep);
    }
    let mut rest = HeaderBytes(array);
    while !rest.0.is_empty() {
        judge_value(&mut rest, depth, left)?;
    }
    Ok(())
}

fn judge_value(rest: &mut HeaderBytes<'_>, depth: usize, left: &mut usize) -> Result<(), Flaw> {
    let (kind, value) = rest.value().ok_or(Flaw::Malformed)?;
    *left = left.checked_sub(1).ok_or(Flaw::Many)?;
    match kind {
        b'F' => judge_table(value, depth + 1, left),
        b'A' => judge_array(value, depth + 1, left),
        _ => Ok(()),
    }
}

fn mended(table: &[u8], flaw: Flaw) -> Vec<u8> {
    let mut kept = Vec::with_capacity(table.len());
    let (mut rest, mut left) = (HeaderBytes(table), MOST_VALUES);
    while !rest.0.is_empty() {
        let whole = rest.0;
        let Some((name, is_text)) = rest.sized_name() else { break };
        let before_value = rest.0;
        // A value of unknown type has an unknown length, so all later values are dropped.
        let Some(_) = rest.value() else { break };
        let mut value = HeaderBytes(&before_value[..before_value.len() - rest.0.len()]);
        let mut left_after = left;
        if !is_text || name.eq_ignore_ascii_case(MARK.as_bytes()) {
            continue;
        }
        if judge_value(&mut value, 1, &mut left_after).is_ok() {
            kept.extend_from_slice(&whole[..whole.len() - rest.0.len()]);
            left = left_after;
        } else if let Some(after) = left.checked_sub(1) {
            kept.extend_from_slice(&whole[..=name.len()]);
            kept.extend_from_slice(b"F\0\0\0\0");
            left = after;
        }
    }
    marked(&kept, flaw)
}

fn marked(entries: &[u8], flaw: Flaw) -> Vec<u8> {
    let name_length = u8::try_from(MARK.len()).unwrap_or_default();
    let words = flaw.words().as_bytes();
    [entries, &[name_length], MARK.as_bytes(), b"S", &length(words), words].concat()
}

fn replaced(payload: &[u8], table: &Range<usize>, by: &[u8]) -> Vec<u8> {
    [&payload[..table.start - 4], &length(by), by, &payload[table.end..]].concat()
}

fn length(octets: &[u8]) -> [u8; 4] {
    u32::try_from(octets.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// Reads a table from the front.
struct HeaderBytes<'a>(&'a [u8]);

impl<'a> HeaderBytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn sized(&mut self) -> Option<&'a [u8]> {
        let count = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        self.take(usize::try_from(count).ok()?)
    }

    fn sized_name(&mut self) -> Option<(&'a [u8], bool)> {
        let count = *self.take(1)?.first()?;
        let name = self.take(usize::from(count))?;
        Some((name, std::str::from_utf8(name).is_ok()))
    }

    fn name(&mut self) -> Option<&'a [u8]> {
        self.sized_name().filter(|(_, is_text)| *is_text).map(|(name, _)| name)
    }

    fn value(&mut self) -> Option<(u8, &'a [u8])> {
        let kind = *self.take(1)?.first()?;
        let octets = match kind {
            b'S' | b'F' | b'A' | b'x' => self.sized()?,
            b'V' => self.take(0)?,
            b't' | b'b' | b'B' => self.take(1)?,
            b's' | b'U' | b'u' => self.take(2)?,
            b'I' | b'i' | b'f' => self.take(4)?,
            b'D' => self.take(5)?,
            b'l' | b'L' | b'd' | b'T' => self.take(8)?,
            _ => return None,
        };
        Some((kind, octets))
    }
}

#[cfg(test)]
mod tests;
