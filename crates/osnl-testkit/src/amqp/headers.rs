//! Headers of messages, octet for octet.

/// The flag of the headers among the properties of a content header.
const HEADERS: u16 = 1 << 13;

/// Properties that are nothing but headers: the flags and the table.
#[must_use]
pub fn alone(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    [&HEADERS.to_be_bytes()[..], &table(entries)[1..]].concat()
}

/// The value of a table.
#[must_use]
pub fn table(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entry = |(name, value): &(&str, Vec<u8>)| named(name.as_bytes(), value);
    sized(b'F', &entries.iter().flat_map(entry).collect::<Vec<_>>())
}

/// The value of a text.
#[must_use]
pub fn text(text: &str) -> Vec<u8> {
    sized(b'S', text.as_bytes())
}

/// An entry of a table, its name any octets.
///
/// # Panics
/// When the name is longer than 255 octets.
#[must_use]
pub fn named(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[u8::try_from(name.len()).unwrap()], name, value].concat()
}

/// A value of a type that has its length before it.
///
/// # Panics
/// When it is longer than 4 GiB.
#[must_use]
pub fn sized(kind: u8, octets: &[u8]) -> Vec<u8> {
    [&[kind][..], &u32::try_from(octets.len()).unwrap().to_be_bytes(), octets].concat()
}

/// Tables with empty names in one another.
#[must_use]
pub fn tables(levels: usize) -> Vec<u8> {
    (1..levels).fold(sized(b'F', &[]), |inner, _| sized(b'F', &named(b"", &inner)))
}

/// Arrays in one another.
#[must_use]
pub fn arrays(levels: usize) -> Vec<u8> {
    (1..levels).fold(sized(b'A', &[]), |inner, _| sized(b'A', &inner))
}
