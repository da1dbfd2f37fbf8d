//! Notification bodies that a publisher sends to hurt a reader: bodies only, no headers.
//!
//! | family | functions | effect on a careless reader |
//! | --- | --- | --- |
//! | depth | [`nested`], [`texts_within_texts`] | overflows its stack |
//! | texts | [`texts`] | needs time in the square of their length |
//! | trees | [`trees`] | needs a hundred times their size in memory |
//! | bulk requests | [`bulk`] | does work for each pair of resources |
//! | bombs | [`bomb`] | unpacks a few hundred bytes into all of its memory |
//!
//! The module needs nothing of this crate, because tests of `osnl-model` and the fuzz targets include the file. Its own
//! tests are beside it, so that they run once.

use std::fmt::Write as _;
use std::io::Write as _;

use bzip2::write::BzEncoder;
use flate2::write::{GzEncoder, ZlibEncoder};

#[derive(Clone, Debug)]
pub struct Body {
    pub name: String,
    pub bytes: Vec<u8>,
    pub compression: Option<&'static str>,
    pub plain: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostileCompression {
    /// RFC 1950, which kombu calls `application/x-gzip`.
    Zlib,
    Gzip,
    /// The densest of the formats: hundreds of bytes become megabytes.
    Bzip2,
}

impl HostileCompression {
    #[must_use]
    pub const fn header(self) -> &'static str {
        match self {
            Self::Zlib | Self::Gzip => "application/x-gzip",
            Self::Bzip2 => "application/x-bz2",
        }
    }

    #[must_use]
    pub(crate) fn pack(self, plain: &[u8]) -> Vec<u8> {
        let packed = match self {
            Self::Zlib => {
                let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::best());
                encoder.write_all(plain).and_then(|()| encoder.finish())
            }
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
                encoder.write_all(plain).and_then(|()| encoder.finish())
            }
            Self::Bzip2 => {
                let mut encoder = BzEncoder::new(Vec::new(), bzip2::Compression::best());
                encoder.write_all(plain).and_then(|()| encoder.finish())
            }
        };
        packed.unwrap()
    }
}

#[must_use]
pub fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if u32::from(c) < 0x20 => drop(write!(json, "\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

#[must_use]
pub fn notification(event_type: &str, payload: &str) -> String {
    format!(
        r#"{{"message_id": "5f1c0a3e-0000-4000-8000-000000000000", "publisher_id": "hostile.host1", "event_type": {}, "priority": "INFO", "timestamp": "2026-11-20 06:36:22.662155", "payload": {payload}}}"#,
        quoted(event_type)
    )
}

#[must_use]
pub fn enveloped(notification: &str) -> String {
    format!(r#"{{"oslo.version": "2.0", "oslo.message": {}}}"#, quoted(notification))
}

#[must_use]
pub fn nested(levels: usize, key: Option<&str>) -> String {
    match key {
        None => "[".repeat(levels) + &"]".repeat(levels),
        Some(key) => format!("{{{}:", quoted(key)).repeat(levels) + "0" + &"}".repeat(levels),
    }
}

/// Returns a JSON text whose arrays contain a JSON text, and so on, each below `brackets` arrays. Quotes are escaped
/// as `\u0022`, so that a level adds ten bytes instead of doubling the size.
#[must_use]
pub fn texts_within_texts(texts: usize, brackets: usize) -> String {
    let (open, close) = ("[".repeat(brackets), "]".repeat(brackets));
    let (mut before, mut after) = (String::new(), String::new());
    for outer in (0..texts).rev() {
        let mut quote = String::from("\"");
        if outer > 0 {
            quote = format!("\\{}", "u005c".repeat(outer - 1)) + "u0022";
        }
        before = format!("{open}{quote}{before}");
        after = format!("{after}{quote}{close}");
    }
    format!("{before}{after}")
}

#[must_use]
pub fn texts(bytes: usize) -> Vec<(&'static str, String)> {
    let filled = |piece: &str| piece.repeat(bytes / piece.len().max(1));
    let within = |open: &str, piece: &str| format!("{open}{}", filled(piece));
    vec![
        ("a=", filled("a=") + "pwd="),
        ("a:", filled("a:") + "pwd:"),
        ("a= ", filled("a= ")),
        ("password=", filled("password=")),
        ("password=,", filled("password=,")),
        ("?sig=&", filled("?sig=&")),
        ("pwd=None;", filled("pwd=None;")),
        (
            "password: x, then spaces",
            filled("password: x\n")[..bytes / 2].to_owned() + &" ".repeat(bytes / 2),
        ),
        ("sig=)", filled("sig=)")),
        ("password= ", filled("password= ")),
        ("password='", filled("password='")),
        ("password=\\\"", filled("password=\\\"")),
        ("password:", filled("password:")),
        ("pwd=None ", filled("pwd=None ")),
        ("one name", filled("a") + "=x"),
        ("one name of words", filled("password") + "=x"),
        ("dashes", filled("-")),
        ("--password", filled("--password ")),
        ("signs", filled("=")),
        ("colons", filled(":")),
        ("spaces before a sign", within("password", " ") + "=x"),
        ("spaces behind a sign", within("password=", " ") + "x"),
        ("a=, then spaces", within("a=", "a=      ")),
        ("backslashes", filled("\\")),
        ("a\\\\\\", filled("a\\\\\\\"=")),
        ("password\\", within("password=\"", "\\")),
        ("double quotes", filled("\"")),
        ("single quotes", filled("'")),
        ("a list of quotes", within("[", "\"\",")),
        ("calls", within("[f(1,", "1,")),
        ("calls in calls", within("[", "f(1,")),
        ("calls with keywords", within("[f(", "a=1,")),
        ("a call with one long word", within("[f(", "a")),
        ("square brackets", filled("[")),
        ("braces", filled("{")),
        ("parentheses", filled("(")),
        ("braces with keys", filled("{'a':")),
        ("a list of lists", within("[", "[],")),
        ("a list of dictionaries", within("[", "{'a':1},")),
        ("a list of texts", within("[", "'[',")),
        ("a list of numbers", within("[", "1,")),
        ("a list of long numbers", within("[1", "0")),
        ("a row of rows", within("[", "{'key':'password','value':'x'},")),
        ("token", filled("gAAAAA")),
        ("tokens", filled("gAAAAA ")),
        ("eyJ", filled("eyJ")),
        ("eyJ.", filled("eyJ.")),
        ("eyJa.eyJa", filled("eyJa.eyJa ")),
        ("private keys", filled("-----BEGIN PRIVATE KEY-----")),
        ("half private keys", filled("-----BEGIN ")),
        ("a private key", filled("PRIVATE KEY")),
        ("://", filled("://")),
        ("a://", filled("a://")),
        ("a://b", filled("a://b@")),
        ("a://b:", filled("a://b:")),
        ("a long scheme", filled("a") + "://u:p@h"),
        ("a long login", within("a://u:", "p") + "@h"),
        ("Authorization:", filled("Authorization: ")),
        ("Authorization: Bearer", filled("Authorization: Bearer ")),
        ("chpasswd", filled("chpasswd: list: | ")),
        ("<password>", filled("<password>")),
        ("<a", filled("<a ")),
        ("percent", filled("%70")),
        ("escapes", filled("\\u0022")),
        ("nested escapes", texts_within_texts(nested_in(bytes), 2)),
        ("beyond ASCII", filled("é=")),
        ("words beyond ASCII", filled("pässword=x ")),
        ("zeros", filled("\0")),
    ]
    .into_iter()
    .chain(written_signs(bytes))
    .collect()
}

fn written_signs(bytes: usize) -> Vec<(&'static str, String)> {
    let filled = |piece: &str| piece.repeat(bytes / piece.len());
    let within = |open: &str, piece: &str| format!("{open}{}", filled(piece));
    vec![
        ("password%3D", filled("password%3D")),
        ("encoded quotes", within("password%3D", "%22")),
        ("password&quot;:&quot;", filled("password&quot;:&quot;")),
        ("a=&quot;", filled("pwd=&quot;")),
        ("password]=", filled("password]=")),
        ("triple quotes", filled("pwd='''")),
        ("Bearer", filled("Bearer ")),
        ("a long bearer", within("Bearer ", "a")),
        ("quotes before a sign", within("password", "'") + "=x"),
        ("brackets before a sign", within("password", "]") + "=x"),
        ("no-break spaces behind a sign", within("password=", "\u{a0}") + "x"),
    ]
}

fn nested_in(bytes: usize) -> usize {
    // Each level adds ten bytes to the level before.
    (bytes / 5).isqrt()
}

#[must_use]
pub fn trees(bytes: usize) -> Vec<(&'static str, String)> {
    let list = |item: &str| {
        let times = (bytes / (item.len() + 1)).max(1);
        format!("[{}{item}]", format!("{item},").repeat(times - 1))
    };
    let wide = |value: &str| {
        let mut object = String::from("{");
        let mut n = 0;
        while object.len() < bytes {
            let _ = write!(object, "\"{n:x}\":{value},");
            n += 1;
        }
        object.push_str("\"\":0}");
        object
    };
    vec![
        ("objects with one member", list(r#"{"":0}"#)),
        ("objects within objects", list(&nested(16, Some("")))),
        ("empty objects", list("{}")),
        ("empty arrays", list("[]")),
        ("arrays of one", list("[0]")),
        ("arrays of empty objects", list("[{},{},{}]")),
        ("digits", list("0")),
        ("long numbers", list("1234567890123456789012345678901234567890")),
        ("floating numbers", list("1e-300")),
        ("short texts", list(r#""x""#)),
        ("empty texts", list(r#""""#)),
        ("a wide object", wide("0")),
        ("a wide object of objects", wide(r#"{"a":0}"#)),
        ("rows", list(r#"{"key":"a","value":"b"}"#)),
        ("one text", quoted(&"x".repeat(bytes))),
        ("one text of escapes", format!("\"{}\"", "\\u0041".repeat(bytes / 6))),
    ]
}

#[must_use]
pub fn bulk(ports: usize, port: &str) -> String {
    let ports: Vec<String> = (0..ports).map(|n| port.replace('$', &n.to_string())).collect();
    format!(r#"{{"ports": [{}]}}"#, ports.join(","))
}

#[must_use]
pub fn bulk_beside(ports: usize, name: &str, text: &str) -> String {
    format!("{{{}: {}, {}", quoted(name), quoted(text), &bulk(ports, "{}")[1..])
}

#[must_use]
pub fn bomb(event_type: &str, plain: usize, packing: HostileCompression) -> Body {
    let text = notification(event_type, &quoted(&"0".repeat(plain)));
    packed(format!("a bomb, {packing:?}"), &text, packing)
}

#[must_use]
pub(crate) fn tree_bomb(event_type: &str, plain: usize, packing: HostileCompression) -> Body {
    let times = plain / 7;
    let text = notification(event_type, &format!("[{}0]", r#"{"":0},"#.repeat(times)));
    packed(format!("a bomb of objects, {packing:?}"), &text, packing)
}

fn packed(name: String, plain: &str, packing: HostileCompression) -> Body {
    let bytes = packing.pack(plain.as_bytes());
    Body { name, bytes, compression: Some(packing.header()), plain: plain.len() }
}

fn plain(name: impl Into<String>, notification: &str, framed: bool) -> Body {
    let bytes = if framed { enveloped(notification) } else { notification.to_owned() }.into_bytes();
    Body { name: name.into(), plain: bytes.len(), bytes, compression: None }
}

#[must_use]
pub fn bodies(event_type: &str, bytes: usize) -> Vec<Body> {
    let told = |name: &str, payload: &str| plain(name, &notification(event_type, payload), false);
    let mut found: Vec<Body> = Vec::new();
    for levels in [120, 1000, 100_000] {
        found.push(told("nested arrays", &nested(levels, None)));
        found.push(told("nested objects", &nested(levels, Some("a"))));
    }
    for (levels, brackets) in [(5, 20), (20, 60), (170, 126), (400, 1)] {
        let text = quoted(&texts_within_texts(levels, brackets));
        found.push(told("texts within texts", &format!(r#"{{"display_name": {text}}}"#)));
    }
    found.extend(texts(bytes).iter().map(|(name, text)| {
        plain(*name, &notification(event_type, &format!(r#"{{"name": {}}}"#, quoted(text))), true)
    }));
    found.extend(trees(bytes).iter().map(|(name, tree)| told(name, tree)));
    found.push(plain(
        "ports that are empty",
        &notification("port.create.start", &bulk(bytes / 3, "{}")),
        false,
    ));
    let port = r#"{"id": "p$", "device_id": "d$"}"#;
    found.push(plain("ports", &notification("port.create.start", &bulk(bytes / 30, port)), false));
    for name in ["device_id", "port_id", "id"] {
        let payload = bulk_beside(bytes / 6, name, &"é".repeat(bytes / 4));
        let name = format!("ports below a long {name}");
        found.push(plain(name, &notification("port.delete.end", &payload), false));
    }
    for packing in [HostileCompression::Zlib, HostileCompression::Gzip, HostileCompression::Bzip2] {
        found.push(bomb(event_type, bytes * 16, packing));
        found.push(tree_bomb(event_type, bytes * 16, packing));
    }
    let whole = notification(event_type, "{}");
    found.push(Body { compression: Some("application/x-gzip"), ..plain("no zlib data", &whole, false) });
    found.push(plain("cut off", &whole[..whole.len() - 3], false));
    found
}

#[derive(Clone, Debug)]
pub struct Stream {
    event_type: String,
    largest: usize,
    random: u64,
    left: Vec<Body>,
}

impl Stream {
    #[must_use]
    pub fn new(event_type: &str, largest: usize, seed: u64) -> Self {
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { event_type: event_type.to_owned(), largest: largest.max(64), random, left: Vec::new() }
    }

    fn number(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 16).unwrap_or_default() % below.max(1)
    }
}

impl Iterator for Stream {
    type Item = Body;

    fn next(&mut self) -> Option<Body> {
        if self.left.is_empty() {
            let divisor = 1 << self.number(6);
            self.left = bodies(&self.event_type, self.largest / divisor);
        }
        let at = self.number(self.left.len());
        Some(self.left.swap_remove(at))
    }
}
