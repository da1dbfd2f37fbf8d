use std::io::Write as _;

use bzip2::write::BzEncoder;
use flate2::write::ZlibEncoder;

/// The compressions of kombu that a body may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// `kombu_compression = gzip`, which is zlib data (RFC 1950) in spite of the name.
    Gzip,
    Bzip2,
}

impl Compression {
    /// Reads a value of `kombu_compression`: `gzip` or `zlib`, which are the same in kombu, or
    /// `bz2`. `None` for any other.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "gzip" | "zlib" | "application/x-gzip" => Some(Self::Gzip),
            "bz2" | "bzip2" | "application/x-bz2" => Some(Self::Bzip2),
            _ => None,
        }
    }

    pub fn header(self) -> &'static str {
        match self {
            Self::Gzip => "application/x-gzip",
            Self::Bzip2 => "application/x-bz2",
        }
    }

    pub fn compress(self, plain: &[u8]) -> Vec<u8> {
        match self {
            Self::Gzip => {
                let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::default());
                let _ = encoder.write_all(plain);
                encoder.finish().unwrap_or_default()
            }
            Self::Bzip2 => {
                let mut encoder = BzEncoder::new(Vec::new(), bzip2::Compression::best());
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
        for name in ["gzip", "zlib", "application/x-gzip", "bz2", "bzip2", "application/x-bz2"] {
            let compression = Compression::parse(name).unwrap();
            let body = compression.compress(b"{\"a\": 1}");
            let info = ContentInfo { compression: Some(compression.header()), ..ContentInfo::default() };
            assert_eq!(&*plain_body(&body, &info).unwrap(), b"{\"a\": 1}", "{name}");
        }
        assert_eq!(Compression::parse("zstd"), None);
    }
}
