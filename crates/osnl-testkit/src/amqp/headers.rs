const HEADERS: u16 = 1 << 13;

#[must_use]
pub fn alone(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    [&HEADERS.to_be_bytes()[..], &table(entries)[1..]].concat()
}

#[must_use]
pub fn table(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entry = |(name, value): &(&str, Vec<u8>)| named(name.as_bytes(), value);
    sized(b'F', &entries.iter().flat_map(entry).collect::<Vec<_>>())
}

#[must_use]
pub fn text(text: &str) -> Vec<u8> {
    sized(b'S', text.as_bytes())
}

#[must_use]
pub fn named(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[u8::try_from(name.len()).unwrap()], name, value].concat()
}

#[must_use]
pub fn sized(kind: u8, octets: &[u8]) -> Vec<u8> {
    [&[kind][..], &u32::try_from(octets.len()).unwrap().to_be_bytes(), octets].concat()
}

#[must_use]
pub fn tables(levels: usize) -> Vec<u8> {
    (1..levels).fold(sized(b'F', &[]), |inner, _| sized(b'F', &named(b"", &inner)))
}

#[must_use]
pub fn arrays(levels: usize) -> Vec<u8> {
    (1..levels).fold(sized(b'A', &[]), |inner, _| sized(b'A', &inner))
}
