//! Versions of objects: `1.17`, compared as two integers.

use std::fmt;
use std::str::FromStr;

use osnl_model::excerpt;

/// The version of an object: a major and a minor number, so 1.10 is newer than 1.3.
///
/// A new minor version only adds fields (or values of an enum); a new major one may change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectVersion {
    /// The major number; readers of another one cannot read the object.
    pub major: u32,
    /// The minor number; readers of a lower one ignore new fields.
    pub minor: u32,
}

/// The error of a malformed version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a version of an object: it is a major and a minor number, such as 1.17")]
pub struct ObjectVersionError(String);

impl ObjectVersion {
    /// Makes a version of its two numbers.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Whether a reader made for version `self` can read an object of version `written`: same major.
    pub const fn reads(self, written: Self) -> bool {
        self.major == written.major
    }

    /// Returns the version for added fields.
    pub const fn next_minor(self) -> Self {
        Self { major: self.major, minor: self.minor.saturating_add(1) }
    }
}

impl FromStr for ObjectVersion {
    type Err = ObjectVersionError;

    /// Reads `1.17`. `1` is 1.0, and numbers after the minor one (`1.3.1`) are dropped, as
    /// oslo.versionedobjects' serializer does.
    fn from_str(text: &str) -> Result<Self, ObjectVersionError> {
        let number = |part: &str| -> Option<u32> {
            // u32's own parser would accept a sign.
            if part.bytes().all(|byte| byte.is_ascii_digit()) { part.parse().ok() } else { None }
        };
        let parts: Option<Vec<u32>> = text.split('.').map(number).collect();
        match parts.as_deref() {
            Some([major]) => Ok(Self::new(*major, 0)),
            Some([major, minor, ..]) => Ok(Self::new(*major, *minor)),
            Some([]) | None => Err(ObjectVersionError(excerpt(text))),
        }
    }
}

impl fmt::Display for ObjectVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_serializer_reads_them() {
        let check = |text: &str, expected: Option<(u32, u32)>| {
            let read = text.parse::<ObjectVersion>().ok().map(|version| (version.major, version.minor));
            assert_eq!(read, expected, "{text}");
        };
        check("1.17", Some((1, 17)));
        check("1", Some((1, 0)));
        check("1.3.1", Some((1, 3)));
        check("0.9", Some((0, 9)));
        check("1.05", Some((1, 5)));
        for text in ["", "x", "1.", ".1", "1.x", "-1.0", "+1.0", "1.3.x", " 1.0", "1,0", "99999999999.0"] {
            check(text, None);
        }
        let error = "version one".parse::<ObjectVersion>().unwrap_err().to_string();
        assert_eq!(
            error,
            "\"version one\" is not a version of an object: it is a major and a minor number, such as 1.17"
        );
    }

    #[test]
    fn versions_compare_as_integers() {
        let ascending = ["0.9", "1.0", "1.3", "1.10", "2.0", "10.0"];
        for pair in ascending.windows(2) {
            assert!(
                pair[0].parse::<ObjectVersion>().unwrap() < pair[1].parse::<ObjectVersion>().unwrap(),
                "{pair:?}"
            );
        }
        assert!(ObjectVersion::new(1, 3).reads(ObjectVersion::new(1, 10)));
        assert!(!ObjectVersion::new(1, 3).reads(ObjectVersion::new(2, 0)));
        assert_eq!(ObjectVersion::new(1, 9).next_minor(), ObjectVersion::new(1, 10));
    }
}
