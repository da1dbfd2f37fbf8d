//! Walks encoded values without recursion, piece by piece, and refuses values that the client library cannot decode
//! safely.
//!
//! serde_amqp 0.18.0 recurses once per level of nesting without a bound, subtracts from unchecked sizes, and loses its
//! place in an array of lists and in an empty array with a constructor. The library relies on counts, and the walker on
//! sizes, so both have to agree; otherwise a value could hide another.

/// The deepest nesting of lists, maps, arrays, and described values. An attach has eight levels.
const DEEPEST: usize = 16;
const TOO_DEEP: &str = "the peer sent values nested deeper than 16";
const MALFORMED: &str = "the peer sent a value whose size and count differ";
const NESTED_ARRAY: &str = "the peer sent an array of lists, maps, arrays, or described values";

/// The state between two pieces. Pieces may end anywhere.
#[derive(Debug, Default)]
pub(super) struct Walker {
    open: Vec<Compound>,
    /// The constructor of the current value with its sizes, as far as received.
    header: Vec<u8>,
    /// The bytes that the current primitive still lacks.
    lacking: u64,
    at: u64,
}

#[derive(Debug)]
struct Compound {
    values: u64,
    end: Option<u64>,
    /// The constructor that all elements of an array share.
    element: Option<u8>,
}

impl Walker {
    /// Reads to the end of one value, and returns the number of bytes read. An unfinished value continues in the next
    /// piece.
    pub(super) fn value(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let mut read = 0;
        loop {
            if self.lacking == 0 {
                let element = self.open.last().and_then(|compound| compound.element);
                self.header.extend(element.filter(|_| self.header.is_empty()));
                while self.header.len() < header_length(&self.header) {
                    let Some(byte) = bytes.get(read) else { return Ok(read) };
                    self.header.push(*byte);
                    read += 1;
                    self.at += 1;
                }
                if self.begin()? {
                    continue;
                }
            }
            let rest = bytes.len() - read;
            let taken = usize::try_from(self.lacking).map_or(rest, |lacking| lacking.min(rest));
            read += taken;
            self.at += taken as u64;
            self.lacking -= taken as u64;
            if self.lacking > 0 || self.ends()? {
                return Ok(read);
            }
        }
    }

    /// Whether no value is unfinished.
    pub(super) fn is_between(&self) -> bool {
        self.open.is_empty() && self.header.is_empty() && self.lacking == 0
    }

    /// Begins the value of the header. Returns whether the value has inner values.
    fn begin(&mut self) -> Result<bool, &'static str> {
        let header = std::mem::take(&mut self.header);
        let (class, width) = (header[0] >> 4, if header[0] & 0x10 == 0 { 1 } else { 4 });
        let number = |from: usize| {
            header[from..from + width].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        let mut compound = Compound { values: 2, end: None, element: None };
        match class {
            0 | 4 => {}
            5..=9 => self.lacking = 1 << (class - 5),
            0xa | 0xb => self.lacking = number(1),
            0xc.. => {
                let (size, count) = (number(1), number(1 + width));
                // The size counts the bytes after the size.
                let end = (self.at + size).checked_sub((header.len() - 1 - width) as u64).ok_or(MALFORMED)?;
                compound =
                    Compound { values: count, end: Some(end), element: header.get(1 + 2 * width).copied() };
                if count > size || end < self.at {
                    return Err(MALFORMED);
                }
                if compound.element.is_some_and(|element| !(0x40..0xc0).contains(&element)) {
                    return Err(NESTED_ARRAY);
                }
            }
            _ => return Err("the peer sent a value of an unknown type"),
        }
        let end = compound.end.unwrap_or(self.at + self.lacking);
        let limit = self.open.iter().rev().find_map(|compound| compound.end);
        if limit.is_some_and(|limit| end > limit) {
            return Err(MALFORMED);
        }
        match class {
            0 | 0xc.. if self.open.len() == DEEPEST => Err(TOO_DEEP),
            0 | 0xc.. if compound.values > 0 => {
                self.open.push(compound);
                Ok(true)
            }
            0xc.. if end != self.at => Err(MALFORMED),
            _ => Ok(false),
        }
    }

    /// Ends a value, and the compound values that end with the value. Returns whether the outermost has ended.
    fn ends(&mut self) -> Result<bool, &'static str> {
        while let Some(compound) = self.open.last_mut() {
            compound.values -= 1;
            if compound.values > 0 {
                return Ok(false);
            }
            if compound.end.is_some_and(|end| end != self.at) {
                return Err(MALFORMED);
            }
            self.open.pop();
        }
        Ok(true)
    }
}

/// Returns the length of a constructor with its sizes, as far as the bytes tell.
fn header_length(header: &[u8]) -> usize {
    let has_elements = |at: usize| header.iter().skip(at).any(|byte| *byte > 0);
    match header.first().map_or(0, |code| code >> 4) {
        0xa => 2,
        0xb => 5,
        0xc => 3,
        0xd => 9,
        0xe => 3 + usize::from(has_elements(2)),
        0xf => 9 + usize::from(has_elements(5)),
        _ => 1,
    }
}

/// Returns the values of a list or map that the walker has passed.
pub(super) fn values(compound: &[u8]) -> Vec<&[u8]> {
    let skipped = match compound.first().map(|code| code >> 4) {
        Some(0xc) => 3,
        Some(0xd) => 9,
        _ => return Vec::new(),
    };
    let (mut rest, mut values) = (&compound[skipped..], Vec::new());
    while let Ok(length) = Walker::default().value(rest)
        && length > 0
    {
        let (value, others) = rest.split_at(length);
        values.push(value);
        rest = others;
    }
    values
}

/// Returns the descriptor and the value of a described value.
pub(super) fn described(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let value = value.strip_prefix(&[0])?;
    Some(value.split_at(Walker::default().value(value).ok()?))
}

/// Returns the text of a string or symbol.
pub(super) fn text(value: &[u8]) -> Option<String> {
    let bytes = match value.first()? {
        0xa1 | 0xa3 => value.get(2..)?,
        0xb1 | 0xb3 => value.get(5..)?,
        _ => return None,
    };
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// Returns the number of an unsigned integer.
pub(super) fn number(value: &[u8]) -> Option<u64> {
    let (code, bytes) = value.split_first()?;
    matches!(code, 0x43 | 0x44 | 0x50 | 0x52 | 0x53 | 0x60 | 0x70 | 0x80)
        .then(|| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_to_their_ends_in_pieces_of_any_length() {
        let long =
            [&[0xd1, 0, 0, 1, 10, 0, 0, 0, 2, 0xa1, 1, b'k', 0xb0, 0, 0, 0, 254][..], &[7; 254]].concat();
        let cases: [(&[u8], Result<(), &str>); 17] = [
            (&[0x98, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], Ok(())),
            (&[0xa3, 0], Ok(())),
            (&[0x00, 0x53, 0x24, 0x45], Ok(())),
            (&[0xc0, 1, 0], Ok(())),
            (&[0xc0, 4, 3, 0x40, 0x41, 0x45], Ok(())),
            (&[0xe0, 6, 2, 0xa3, 1, b'a', 1, b'b'], Ok(())),
            (&[0xf0, 0, 0, 0, 7, 0, 0, 0, 2, 0x50, 1, 2], Ok(())),
            (&[0xe0, 1, 0], Ok(())),
            (&long, Ok(())),
            (&[0x30], Err("the peer sent a value of an unknown type")),
            // The count is more than the size allows, or less.
            (&[0xc0, 2, 2, 0x40, 0x40], Err(MALFORMED)),
            (&[0xc0, 3, 1, 0x40, 0x40], Err(MALFORMED)),
            (&[0xc0, 0, 0], Err(MALFORMED)),
            (&[0xc0, 4, 1, 0xa1, 2, b'o', b'k'], Err(MALFORMED)),
            (&[0xc0, 5, 1, 0xc0, 9, 1, 0x40], Err(MALFORMED)),
            // Four billion nulls take four bytes.
            (&[0xf0, 0, 0, 0, 5, 255, 255, 255, 255, 0x40], Err(MALFORMED)),
            (&[0xe0, 5, 1, 0xc0, 2, 1, 0x40], Err(NESTED_ARRAY)),
        ];
        for (bytes, expected) in cases {
            for length in 1..=bytes.len() {
                let mut walker = Walker::default();
                let read = bytes.chunks(length).try_for_each(|piece| walker.value(piece).map(drop));
                assert_eq!(read, expected, "{bytes:x?} in pieces of {length}");
                assert!(expected.is_err() || walker.is_between(), "{bytes:x?} in pieces of {length}");
            }
            let more = [bytes, &[0x41]].concat();
            assert_eq!(Walker::default().value(&more), expected.map(|()| bytes.len()), "{bytes:x?}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        for (levels, expected) in [(16, Ok(())), (17, Err(TOO_DEEP)), (1_000_000, Err(TOO_DEEP))] {
            let nested = [[0x00, 0x53, 0x72].repeat(levels), vec![0x40]].concat();
            assert_eq!(Walker::default().value(&nested).map(drop), expected);
        }
    }
}
