//! Compressing bodies as kombu does (`kombu_compression`).

use std::io::Write as _;

use flate2::write::ZlibEncoder;

/// A compression that kombu's readers undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// `kombu_compression = gzip`: zlib data (RFC 1950), whatever the name says.
    Gzip,
}

impl Compression {
    /// Reads a value of `kombu_compression`: `gzip` or `zlib`, which are the same there. `None` for any other.
    pub fn parse(name: &str) -> Option<Self> {
        matches!(name, "gzip" | "zlib" | "application/x-gzip").then_some(Self::Gzip)
    }

    /// What the message's header `compression` says.
    pub fn header(self) -> &'static str {
        match self {
            Self::Gzip => "application/x-gzip",
        }
    }

    /// The compressed body.
    pub fn compress(self, plain: &[u8]) -> Vec<u8> {
        match self {
            Self::Gzip => {
                let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::default());
                // Writing to memory does not fail.
                let _ = encoder.write_all(plain);
                encoder.finish().unwrap_or_default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContentInfo, plain_body};

    #[test]
    fn what_is_compressed_is_read_again() {
        for name in ["gzip", "zlib", "application/x-gzip"] {
            let compression = Compression::parse(name).unwrap();
            let body = compression.compress(b"{\"a\": 1}");
            let info = ContentInfo { compression: Some(compression.header()), ..ContentInfo::default() };
            assert_eq!(&*plain_body(&body, &info).unwrap(), b"{\"a\": 1}", "{name}");
        }
        assert_eq!(Compression::parse("bz2"), None);
    }
}
