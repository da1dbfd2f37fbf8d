//! Encoded values. A value is taken without a look into its lists, maps, and arrays, so nothing recurses. Counts of
//! elements are not believed: a compound value ends with its bytes.

use osnl_transport::Properties;

/// A value, read when asked; a missing one is null.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Value<'a> {
    /// The outermost descriptor, [`u64::MAX`] if the descriptor is not a number.
    pub(super) descriptor: Option<u64>,
    code: u8,
    bytes: &'a [u8],
}

impl<'a> Value<'a> {
    /// Takes the first value. Takes nothing if the bytes end within the value, or if the type is unknown.
    pub(super) fn take(rest: &mut &'a [u8]) -> Option<Self> {
        let (mut ahead, mut descriptor) = (*rest, None);
        while let Some(described) = ahead.strip_prefix(&[0]) {
            ahead = described;
            let number = Self::plain(&mut ahead)?.number();
            descriptor.get_or_insert(number.unwrap_or(u64::MAX));
        }
        let value = Self { descriptor, ..Self::plain(&mut ahead)? };
        *rest = ahead;
        Some(value)
    }

    fn plain(rest: &mut &'a [u8]) -> Option<Self> {
        let (code, bytes) = rest.split_first()?;
        let (width, length) = match code >> 4 {
            4 => (0, 0),
            class @ 5..=9 => (0, 1 << (class - 5)),
            0xa | 0xc | 0xe => (1, usize::from(*bytes.first()?)),
            0xb | 0xd | 0xf => (4, u32::from_be_bytes(*bytes.first_chunk()?) as usize),
            _ => return None,
        };
        let (bytes, others) = bytes[width..].split_at_checked(length)?;
        *rest = others;
        Some(Self { descriptor: None, code: *code, bytes })
    }

    pub(super) fn is_null(self) -> bool {
        matches!(self.code, 0 | 0x40)
    }

    pub(super) fn is_true(self) -> bool {
        self.code == 0x41 || (self.code == 0x56 && self.bytes == [1])
    }

    pub(super) fn number(self) -> Option<u64> {
        let is_number = matches!(self.code, 0x43 | 0x44 | 0x50 | 0x52 | 0x53 | 0x60 | 0x70 | 0x80);
        is_number.then(|| self.bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Returns the bytes of a string, a symbol, or binary data.
    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        matches!(self.code >> 4, 0xa | 0xb).then_some(self.bytes)
    }

    /// Returns a text for logs, whose length is not the peer's to choose.
    pub(super) fn text(self) -> Option<String> {
        self.bytes().map(Properties::text)
    }

    /// Returns the values of a list, or the keys and values of a map.
    pub(super) fn values(self) -> impl Iterator<Item = Value<'a>> {
        let count = match self.code {
            0xc0 | 0xc1 => 1,
            0xd0 | 0xd1 => 4,
            _ => self.bytes.len(),
        };
        let mut rest = self.bytes.get(count..).unwrap_or_default();
        std::iter::from_fn(move || Value::take(&mut rest))
    }

    pub(super) fn field(self, at: usize) -> Value<'a> {
        self.values().nth(at).unwrap_or_default()
    }

    pub(super) fn entry(self, key: &str) -> Value<'a> {
        let mut values = self.values();
        while let (Some(name), Some(value)) = (values.next(), values.next()) {
            if name.bytes() == Some(key.as_bytes()) {
                return value;
            }
        }
        Value::default()
    }

    /// Returns the names in one symbol or in an array of symbols. A name has letters, digits, hyphens, and underscores,
    /// and the bytes of lengths before the names are control characters.
    pub(super) fn names(self) -> Vec<String> {
        let is_in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let names = self.bytes.split(|byte| !is_in_name(byte)).filter(|name| name.len() > 1);
        names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }
}

pub(super) const NULL: &[u8] = &[0x40];
pub(super) const TRUE: &[u8] = &[0x41];
#[cfg(test)]
pub(super) const FALSE: &[u8] = &[0x42];
pub(super) const BINARY: u8 = 0xb0;
pub(super) const STRING: u8 = 0xb1;
pub(super) const SYMBOL: u8 = 0xb3;

pub(super) fn uint(number: u32) -> Vec<u8> {
    [&[0x70][..], &number.to_be_bytes()].concat()
}

pub(super) fn text(code: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [&[code][..], &length(bytes.as_ref().len()), bytes.as_ref()].concat()
}

pub(super) fn list(descriptor: u8, fields: &[&[u8]]) -> Vec<u8> {
    let values = fields.concat();
    let sizes = [length(values.len() + 4), length(fields.len())].concat();
    [&[0x00, 0x53, descriptor, 0xd0][..], &sizes, &values].concat()
}

/// Returns a frame of channel 0, of AMQP (0) or of a login (1).
pub(super) fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    [&length(body.len() + 8)[..], &[2, kind, 0, 0], body].concat()
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_with_its_bytes_whatever_it_holds() {
        let nested = [0x00, 0x53, 0x72].repeat(100_000);
        let cases: [(&[u8], bool); 13] = [
            (&[0x98, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], true),
            (&[0xa3, 0], true),
            (&[0x00, 0x53, 0x24, 0x45], true),
            (&[0xe0, 6, 2, 0xa3, 1, b'a', 1, b'b'], true),
            (&[&nested[..], NULL].concat(), true),
            // The count says four billion nulls, or more values than there are.
            (&[0xf0, 0, 0, 0, 5, 255, 255, 255, 255, 0x40], true),
            (&[0xc0, 2, 200, 0x40], true),
            (&[0xd0, 0, 0, 0, 1, 0], true),
            (&[0xb1, 255, 255, 255, 255, 0], false),
            (&[0xd0, 0, 0], false),
            (&[0x00, 0x53], false),
            (&nested, false),
            (&[0x30], false),
        ];
        for (bytes, is_value) in cases {
            let (after, expected): (&[u8], &[u8]) = if is_value { (TRUE, TRUE) } else { (&[], bytes) };
            let more = [bytes, after].concat();
            let mut rest = &more[..];
            let value = Value::take(&mut rest);
            assert!(value.is_some() == is_value && rest == expected, "{:x?}", &bytes[..bytes.len().min(20)]);
            assert!(value.is_none_or(|value| value.values().count() < 3));
        }
        let list = list(0x10, &[&text(STRING, "a"), &uint(7), TRUE, NULL]);
        let value = Value::take(&mut &list[..]).unwrap();
        let field = |at| value.field(at);
        assert_eq!(
            (value.descriptor, field(0).text(), field(1).number()),
            (Some(16), Some("a".to_owned()), Some(7))
        );
        assert!(field(2).is_true() && field(3).is_null() && field(4).is_null() && !field(1).is_null());
    }
}
