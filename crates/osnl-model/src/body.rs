//! Decodes a body by the encodings that its message properties name.
//!
//! | property | values that are read |
//! |---|---|
//! | header `compression` | `application/x-gzip`, `application/gzip`, `gzip`, `zlib`; `application/x-bz2`, `bzip2`, `bz2` |
//! | `content_encoding` | none, or a name of UTF-8 or ASCII: the body stays. `utf-8-sig`: its byte order mark goes. `latin-1`, `iso-8859-1`, UTF-16, UTF-32: the body becomes UTF-8. With any other name, the body stays if it is UTF-8 without zero bytes |
//! | `content_type` | any |
//!
//! oslo.messaging rejects a body whose content type is not `application/json`, even when the body
//! is the JSON of a notification. Here the content type is ignored, so that no readable message is
//! lost. An unknown content encoding is ignored, as by Python's codecs. Neither oslo.messaging nor osnl guesses an
//! encoding from the bytes: oslo.messaging drops a body in UTF-16 without that name, and osnl refuses the body.

use std::borrow::Cow;
use std::io::Read;

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use flate2::read::ZlibDecoder;

use crate::error::excerpt;
use crate::{Budget, DecodeError, Excess};

/// The most streams of a compressed body, one behind the other. Kombu writes one. An empty stream of bzip2 has 14 bytes
/// and costs tables of 60 kB, so that the size of the output bounds no time.
const MOST_STREAMS: usize = 64;

/// The properties of a message that say how its body is written, for [`plain_body`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContentInfo<'a> {
    pub content_type: Option<&'a str>,
    pub content_encoding: Option<&'a str>,
    pub compression: Option<&'a str>,
}

/// Returns the decompressed body as UTF-8 (not yet checked); borrows unless a conversion was
/// needed.
pub fn plain_body<'a>(raw: &'a [u8], info: &ContentInfo<'_>) -> Result<Cow<'a, [u8]>, DecodeError> {
    plain_body_of(raw, info, Budget::DEFAULT.body)
}

pub(crate) fn plain_body_of<'a>(
    raw: &'a [u8],
    info: &ContentInfo<'_>,
    limit: usize,
) -> Result<Cow<'a, [u8]>, DecodeError> {
    let plain = match info.compression {
        None | Some("") => Cow::Borrowed(raw),
        Some(name) => Cow::Owned(decompress(raw, name, limit)?),
    };
    let encoding = info.content_encoding.unwrap_or_default();
    match Charset::named(encoding) {
        Charset::Utf8 => Ok(plain),
        Charset::Utf8Marked => Ok(match plain.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::len) {
            Some(length) => Cow::Owned(plain[plain.len() - length..].to_vec()),
            None => plain,
        }),
        // JSON of ASCII in UTF-16 is valid UTF-8 with zeros.
        Charset::Wide(..) | Charset::Unknown
            if !plain.contains(&0) && std::str::from_utf8(&plain).is_ok() =>
        {
            Ok(plain)
        }
        Charset::Wide(..) if plain.len() > limit => Ok(plain),
        Charset::Wide(width, order) => match decode_units(&plain, width, order) {
            Some(text) => Ok(Cow::Owned(text.into_bytes())),
            None => Err(DecodeError::OtherEncoding { name: excerpt(encoding) }),
        },
        Charset::Unknown => Err(DecodeError::UnsupportedEncoding { name: excerpt(encoding) }),
        Charset::Latin1 if plain.is_ascii() => Ok(plain),
        // Conversion may double the size, so a body above the limit is not converted. Reading it
        // fails.
        Charset::Latin1 if plain.len() > limit => Ok(plain),
        Charset::Latin1 => {
            Ok(Cow::Owned(plain.iter().copied().map(char::from).collect::<String>().into_bytes()))
        }
    }
}

impl Budget {
    /// Returns the decompressed body as UTF-8 (not yet checked). The size of an uncompressed body is checked
    /// later, when it is read.
    pub fn plain_body<'a>(
        &self,
        raw: &'a [u8],
        info: &ContentInfo<'_>,
    ) -> Result<Cow<'a, [u8]>, DecodeError> {
        plain_body_of(raw, info, self.body)
    }
}

fn decompress(raw: &[u8], name: &str, limit: usize) -> Result<Vec<u8>, DecodeError> {
    if raw.len() > limit {
        return Err(Excess::Decompressed { limit }.into());
    }
    match name.to_ascii_lowercase().as_str() {
        // kombu labels zlib data (RFC 1950) as application/x-gzip. Real gzip has a magic number.
        "application/x-gzip" | "application/gzip" | "gzip" | "zlib" => {
            if raw.starts_with(&[0x1f, 0x8b]) {
                read_streams(raw, limit, GzDecoder::new, GzDecoder::into_inner)
            } else {
                let mut plain = Vec::new();
                read_up_to(&mut ZlibDecoder::new(raw), limit, &mut plain)?;
                Ok(plain)
            }
        }
        "application/x-bz2" | "bzip2" | "bz2" => {
            read_streams(raw, limit, BzDecoder::new, BzDecoder::into_inner)
        }
        _ => Err(DecodeError::UnsupportedCompression { name: excerpt(name) }),
    }
}

/// Reads all streams of `raw`, at most [`MOST_STREAMS`], each by a decoder that ends where its stream does.
fn read_streams<'a, D: Read>(
    raw: &'a [u8],
    limit: usize,
    decoder: impl Fn(&'a [u8]) -> D,
    rest: impl Fn(D) -> &'a [u8],
) -> Result<Vec<u8>, DecodeError> {
    let (mut plain, mut raw) = (Vec::new(), raw);
    for _ in 0..MOST_STREAMS {
        let mut stream = decoder(raw);
        read_up_to(&mut stream, limit, &mut plain)?;
        raw = rest(stream);
        if raw.is_empty() {
            return Ok(plain);
        }
    }
    Err(DecodeError::DamagedCompression)
}

/// Adds what a reader has, up to a limit of the whole.
fn read_up_to(reader: &mut impl Read, limit: usize, plain: &mut Vec<u8>) -> Result<(), DecodeError> {
    // One byte more than allowed distinguishes "exactly the limit" from "more".
    let longest = u64::try_from(limit - plain.len()).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(longest).read_to_end(plain).map_err(|_| DecodeError::DamagedCompression)?;
    if plain.len() > limit { Err(Excess::Decompressed { limit }.into()) } else { Ok(()) }
}

/// Returns the text of UTF-16 or UTF-32, as Python's codecs read it: without an order in the name of the encoding, the
/// byte order mark decides, else the first byte of a number is its least.
fn decode_units(bytes: &[u8], width: usize, order: Option<ByteOrder>) -> Option<String> {
    let number = |unit: &[u8], order: ByteOrder| {
        let append = |number: u32, byte: &u8| number << 8 | u32::from(*byte);
        match order {
            ByteOrder::Big => unit.iter().fold(0, append),
            ByteOrder::Little => unit.iter().rev().fold(0, append),
        }
    };
    let is_marked = |order| bytes.get(..width).is_some_and(|unit| number(unit, order) == 0xfeff);
    let (order, units) = match order {
        Some(order) => (order, bytes),
        None if is_marked(ByteOrder::Big) => (ByteOrder::Big, &bytes[width..]),
        None if is_marked(ByteOrder::Little) => (ByteOrder::Little, &bytes[width..]),
        None => (ByteOrder::Little, bytes),
    };
    let units = units.chunks(width).map(|unit| (unit.len() == width).then(|| number(unit, order)));
    if width == 4 {
        return units.map(|unit| char::from_u32(unit?)).collect();
    }
    let units: Option<Vec<u16>> = units.map(|unit| u16::try_from(unit?).ok()).collect();
    String::from_utf16(&units?).ok()
}

/// The order of the bytes of a UTF-16 or UTF-32 code unit.
#[derive(Clone, Copy)]
enum ByteOrder {
    Big,
    Little,
}

/// The character set that a content encoding names.
enum Charset {
    Utf8,
    /// UTF-8 that may begin with a byte order mark.
    Utf8Marked,
    Latin1,
    /// UTF-16 or UTF-32, by the bytes of a number, and their order if the name has it.
    Wide(usize, Option<ByteOrder>),
    Unknown,
}

impl Charset {
    /// Names without separators, which Python's aliases have or lack. kombu names bytes `binary` or `ascii-8bit`.
    const UTF_8: [&str; 6] = ["", "utf8", "usascii", "ascii", "binary", "ascii8bit"];
    const LATIN_1: [&str; 2] = ["latin1", "iso88591"];
    const WIDE: [(&[&str], usize, Option<ByteOrder>); 6] = [
        (&["utf16", "u16"], 2, None),
        (&["utf16le", "unicodelittleunmarked"], 2, Some(ByteOrder::Little)),
        (&["utf16be", "unicodebigunmarked"], 2, Some(ByteOrder::Big)),
        (&["utf32", "u32"], 4, None),
        (&["utf32le"], 4, Some(ByteOrder::Little)),
        (&["utf32be"], 4, Some(ByteOrder::Big)),
    ];

    fn named(name: &str) -> Self {
        let letters = || name.bytes().filter(|byte| !matches!(byte, b'-' | b'_'));
        let is_named = |known: &str| known.bytes().eq(letters().map(|byte| byte.to_ascii_lowercase()));
        let is_one_of = |names: &[&str]| names.iter().any(|known| is_named(known));
        if is_one_of(&Self::UTF_8) {
            Self::Utf8
        } else if is_one_of(&Self::LATIN_1) {
            Self::Latin1
        } else if is_named("utf8sig") {
            Self::Utf8Marked
        } else {
            let wide = Self::WIDE.iter().find(|(names, ..)| is_one_of(names));
            wide.map_or(Self::Unknown, |(_, width, order)| Self::Wide(*width, *order))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use bzip2::write::BzEncoder;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    const MAX_PLAIN_BODY: usize = Budget::DEFAULT.body;

    fn zlib(plain: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn bz2(plain: &[u8]) -> Vec<u8> {
        let mut encoder = BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn info<'a>(content_encoding: Option<&'a str>, compression: Option<&'a str>) -> ContentInfo<'a> {
        ContentInfo { content_type: Some("text/plain"), content_encoding, compression }
    }

    #[test]
    fn an_ordinary_body_is_borrowed() {
        for encoding in
            ["", "utf-8", "UTF8", "utf_8", "us-ascii", "binary", "ascii-8bit", "gzip", "klingon"].map(Some)
        {
            let body = plain_body("é".as_bytes(), &info(encoding, None)).unwrap();
            assert!(matches!(body, Cow::Borrowed(bytes) if bytes == "é".as_bytes()), "{encoding:?}");
        }
        assert!(matches!(plain_body(b"\xff", &info(None, None)), Ok(Cow::Borrowed(b"\xff"))));
        assert!(matches!(plain_body(b"{}", &info(Some("latin-1"), Some(""))), Ok(Cow::Borrowed(b"{}"))));
    }

    #[test]
    fn latin_1_becomes_utf_8() {
        for encoding in ["latin-1", "latin1", "ISO-8859-1", "iso_8859-1"] {
            assert_eq!(&*plain_body(b"\xe9\xff", &info(Some(encoding), None)).unwrap(), "éÿ".as_bytes());
        }
    }

    #[test]
    fn utf_16_beyond_the_limit_is_not_converted() {
        let raw = b"{\0\"\0\"\0:\0";
        let read = |limit| plain_body_of(raw, &info(Some("utf-16"), None), limit).unwrap().into_owned();
        assert_eq!((read(raw.len() - 1), read(raw.len())), (raw.to_vec(), b"{\"\":".to_vec()));
    }

    #[test]
    fn compression_is_undone_before_the_encoding() {
        for name in ["application/x-gzip", "gzip", "ZLIB"] {
            let body = plain_body(&zlib(b"\xe9"), &info(Some("latin-1"), Some(name))).unwrap().into_owned();
            assert_eq!(body, "é".as_bytes(), "{name}");
        }
        for name in ["application/x-bz2", "BZIP2", "bz2"] {
            let two_streams = [bz2(b"\xe9"), bz2(b"a")].concat();
            let body = plain_body(&two_streams, &info(Some("latin-1"), Some(name))).unwrap().into_owned();
            assert_eq!(body, "éa".as_bytes(), "{name}");
        }
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(b"{}").unwrap();
        assert_eq!(
            &*plain_body(&gzip.finish().unwrap(), &info(None, Some("application/gzip"))).unwrap(),
            b"{}"
        );
    }

    #[test]
    fn streams_without_end_are_refused_whatever_they_hold() {
        let gzip = |text: &[u8]| {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(text).unwrap();
            gzip.finish().unwrap()
        };
        for (name, stream) in
            [("bz2", bz2(b"")), ("gzip", gzip(b"")), ("bz2", bz2(b"a")), ("gzip", gzip(b"a"))]
        {
            let read = |streams: usize| {
                plain_body(&stream.repeat(streams), &info(None, Some(name))).map(|body| body.len())
            };
            assert!(read(MOST_STREAMS).unwrap() <= MOST_STREAMS, "{name}");
            assert_eq!(read(MOST_STREAMS + 1).unwrap_err(), DecodeError::DamagedCompression, "{name}");
        }
        let long = plain_body_of(&gzip(b"{}"), &info(None, Some("gzip")), 4).unwrap_err();
        assert_eq!(long, Excess::Decompressed { limit: 4 }.into());
    }

    #[test]
    fn what_cannot_be_undone_is_named() {
        let check = |raw: &[u8], encoding, compression, message: &str| {
            assert_eq!(plain_body(raw, &info(encoding, compression)).unwrap_err().to_string(), message);
        };
        let damaged = "the compressed body is damaged or cut off";
        check(
            b"x",
            None,
            Some("application/x-lzma"),
            "unsupported compression \"application/x-lzma\"; osnl reads gzip, zlib, and bz2",
        );
        check(
            b"x",
            None,
            Some("0123456789012345678901234"),
            "unsupported compression \"012345678901234567890123…\"; osnl reads gzip, zlib, and bz2",
        );
        check(b"{\0}\0", Some("utf-7"), None, "unsupported content encoding \"utf-7\"");
        check(b"\xff\xfex\0", Some("cp1252"), None, "unsupported content encoding \"cp1252\"");
        let other = |raw: &[u8], encoding: &'static str| {
            check(
                raw,
                Some(encoding),
                None,
                &format!("the body is not in its content encoding {encoding:?}"),
            );
        };
        other(b"{\0}\0\0", "utf-16");
        other(b"\xd8\0\0x", "UTF-16BE");
        other(b"\x7b\0\0\0\0\0\x11\0", "utf_32_le");
        check(b"{}", None, Some("gzip"), damaged);
        check(b"", None, Some("gzip"), damaged);
        let whole = zlib(&[b'a'; 1000]);
        check(&whole[..whole.len() - 5], None, Some("gzip"), damaged);
        let whole = bz2(&[b'a'; 1000]);
        check(&whole[..whole.len() - 5], None, Some("application/x-bz2"), damaged);
        check(b"{}", None, Some("application/x-bz2"), damaged);
        check(b"", None, Some("application/x-bz2"), damaged);
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let read = |packed: &[u8], name: &str| {
            plain_body_of(packed, &info(None, Some(name)), 1000).map(|body| body.len())
        };
        let check = |size: usize| read(&zlib(&vec![0; size]), "gzip");
        assert_eq!(check(1000), Ok(1000));
        assert_eq!(check(1001), Err(Excess::Decompressed { limit: 1000 }.into()));

        let bomb = zlib(&vec![0; MAX_PLAIN_BODY + 1]);
        let refused = plain_body(&bomb, &info(None, Some("gzip"))).unwrap_err();
        assert_eq!(refused, Excess::Decompressed { limit: MAX_PLAIN_BODY }.into());

        let check = |size: usize| read(&bz2(&vec![0; size]), "bz2");
        assert_eq!(check(1000), Ok(1000));
        assert_eq!(check(1001), Err(Excess::Decompressed { limit: 1000 }.into()));
        let bomb = bz2(&vec![0; 4_000_000]).repeat(MAX_PLAIN_BODY / 4_000_000 + 16);
        assert!(bomb.len() < 10_000, "{}", bomb.len());
        let refused = plain_body(&bomb, &info(None, Some("application/x-bz2"))).unwrap_err();
        assert_eq!(refused, Excess::Decompressed { limit: MAX_PLAIN_BODY }.into());
    }
}
