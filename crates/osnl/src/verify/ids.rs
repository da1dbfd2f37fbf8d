//! The ids of resources that a target holds, as a file lists them.

use std::fmt;
use std::io::{self, BufRead, Read as _};
use std::str::FromStr;

/// The longest line of a list, in bytes: an id, and a comment.
const LONGEST_LINE: u64 = 1000;
/// The most ids of a list: 16 bytes each in memory.
const MOST: usize = 5_000_000;
const FORM: &str = "write one UUID a line, such as 7f2f4e4a-9a6e-4f0e-8c76-02d9a5a90003; # begins a comment";

/// The id of a server or a port. OpenStack writes it in lower case with dashes, and some databases compare exactly.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(u128);

impl ResourceId {
    /// Makes an id of a digest, which is always the same for the same text.
    pub(super) fn from_digest(digest: &[u8; 32]) -> Self {
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        Self(u128::from_be_bytes(first))
    }
}

/// A text that is not a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct NotAnId;

impl FromStr for ResourceId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let has_dashes = |at: &[usize]| text.bytes().enumerate().all(|(n, b)| (b == b'-') == at.contains(&n));
        let is_id = match text.len() {
            36 => has_dashes(&[8, 13, 18, 23]),
            32 => has_dashes(&[]),
            _ => false,
        };
        // A sign would be read too.
        if !is_id || !text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()) {
            return Err(NotAnId);
        }
        u128::from_str_radix(&text.replace('-', ""), 16).map(Self).map_err(|_| NotAnId)
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The reasons for which a list of ids cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IdsError {
    #[error("{name}: {error}")]
    Io { name: String, error: io::Error },
    #[error("{name}:{line}: {found} is not an id; {FORM}")]
    Line { name: String, line: usize, found: String },
    #[error("{name}: has more than {MOST} ids; split it")]
    TooMany { name: String },
    #[error("{name}: there is no id in it; {FORM}")]
    Empty { name: String },
}

/// Ids in their order and without duplicates, so that a run can go on behind an id, in whatever order a list has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceIds(Vec<ResourceId>);

impl ResourceIds {
    /// Reads a list: an id a line. Empty lines and comments are skipped.
    pub fn read(name: &str, mut from: impl BufRead) -> Result<Self, IdsError> {
        let (mut ids, mut bytes) = (Vec::new(), Vec::new());
        for line in 1.. {
            bytes.clear();
            let read = (&mut from).take(LONGEST_LINE).read_until(b'\n', &mut bytes);
            if read.map_err(|error| IdsError::Io { name: name.to_owned(), error })? == 0 {
                break;
            }
            let text = String::from_utf8_lossy(&bytes);
            let text = text.split('#').next().unwrap_or_default().trim_start_matches('\u{feff}').trim();
            let is_cut = bytes.len() as u64 == LONGEST_LINE && !bytes.ends_with(b"\n");
            match text.parse() {
                Ok(id) if !is_cut => ids.push(id),
                _ if text.is_empty() && !is_cut => {}
                Ok(_) | Err(NotAnId) => {
                    let found = format!("{:?}", text.chars().take(60).collect::<String>());
                    return Err(IdsError::Line { name: name.to_owned(), line, found });
                }
            }
            if ids.len() > MOST {
                return Err(IdsError::TooMany { name: name.to_owned() });
            }
        }
        if ids.is_empty() { Err(IdsError::Empty { name: name.to_owned() }) } else { Ok(Self::from(ids)) }
    }

    /// Returns the ids behind one, with which a run was interrupted.
    #[must_use]
    pub fn behind(&self, after: Option<ResourceId>) -> &[ResourceId] {
        &self.0[after.map_or(0, |after| self.0.partition_point(|id| *id <= after))..]
    }
}

impl From<Vec<ResourceId>> for ResourceIds {
    fn from(mut ids: Vec<ResourceId>) -> Self {
        ids.sort_unstable();
        ids.dedup();
        ids.shrink_to_fit();
        Self(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0d1b5c0c-2d4a-4a92-9c3f-3a6a8b8f0002";
    const B: &str = "5ac1d5a5-1cbc-4f5d-8f4f-6bd3a7c6a001";

    #[test]
    fn a_list_has_an_id_a_line_in_any_spelling_and_order() {
        let text = format!(
            "\u{feff}# hosts\r\n\n{B} # web 1\r\n  {}\n{A}\n{}\n",
            A.to_uppercase(),
            B.replace('-', "")
        );
        let ids = ResourceIds::read("ids", text.as_bytes()).unwrap();
        let shown: Vec<String> = ids.behind(None).iter().map(ToString::to_string).collect();
        assert_eq!(shown, [A, B]);
        assert_eq!(ids.behind(Some(A.parse().unwrap())), [B.parse().unwrap()]);
        assert!(ids.behind(Some("6ac1d5a51cbc4f5d8f4f6bd3a7c6a001".parse().unwrap())).is_empty());
    }

    #[test]
    fn what_is_not_an_id_is_refused_with_its_line() {
        let long = "a".repeat(100_000);
        let of_32 = "+".to_owned() + &A.replace('-', "")[1..];
        let padded = format!("{A}{}", " ".repeat(5000));
        for hostile in [
            "x",
            "..",
            "../servers",
            "detail",
            "%2e%2e",
            "\u{1b}[2J",
            &long,
            &of_32,
            &padded,
            &A[..35],
            "0d1b5c0c2-d4a-4a92-9c3f-3a6a8b8f0002",
            "0d1b5c0c-2d4a-4a92-9c3f-3a6a8b8f000\u{e9}",
            "\0",
        ] {
            let error = ResourceIds::read("a.ids", format!("# 1\n{B}\n{hostile}\n").as_bytes())
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("a.ids:3: \"") && error.len() < 300 && !error.contains('\u{1b}'),
                "{error}"
            );
        }
        let empty = ResourceIds::read("a.ids", "# nothing\n".as_bytes()).unwrap_err().to_string();
        assert!(empty.starts_with("a.ids: there is no id in it"), "{empty}");
    }
}
