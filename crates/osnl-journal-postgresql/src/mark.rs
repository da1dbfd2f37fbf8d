//! The mark of a journal that is moved: no daemon works on it.
//!
//! The counter of arrivals has another name then, and there are no partitions: a daemon that looks refuses to start, and one
//! that does not look, or was silent meanwhile, can neither append nor own anything.

use tokio_postgres::{Client, Error};

use crate::session::OpenError;

/// The name of the counter of a journal in use.
pub(crate) const ARRIVAL: &str = "arrival";
/// The counter that keeps the highest epoch while there are no partitions.
pub(crate) const EPOCH: &str = "epoch";

const NAMES: &str = "SELECT name FROM osnl_counter WHERE name LIKE 'mov%'";
const TO: &str = "moved to ";
const FROM: &str = "moving ";

/// The name of the counter of arrivals, if that is a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It was moved to this URL.
    MovedTo(String),
    /// It is the unfinished copy of this URL; the name of the counter.
    Unfinished(String, String),
}

impl Mark {
    /// Returns the name that marks a journal as moved to a URL.
    pub(crate) fn moved_to(url: &str) -> String {
        short(format!("{TO}{url}"))
    }

    /// Returns the name that marks the unfinished copy of a URL. No two moves have the same: a move that has lost its mark to
    /// another one does not finish.
    pub(crate) fn moving_from(url: &str) -> String {
        let token: String = std::iter::repeat_with(fastrand::alphanumeric).take(8).collect();
        short(format!("{FROM}{token} from {url}"))
    }

    fn of(name: &str) -> Option<Self> {
        if let Some(to) = name.strip_prefix(TO) {
            return Some(Self::MovedTo(to.to_owned()));
        }
        let (_, from) = name.strip_prefix(FROM)?.split_once(" from ")?;
        Some(Self::Unfinished(from.to_owned(), name.to_owned()))
    }

    /// Returns the name of the counter.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::MovedTo(url) => Self::moved_to(url),
            Self::Unfinished(_, name) => name.clone(),
        }
    }
}

impl From<Mark> for OpenError {
    fn from(mark: Mark) -> Self {
        match mark {
            Mark::MovedTo(to) => Self::Moved(to),
            Mark::Unfinished(from, _) => Self::Unfinished(from),
        }
    }
}

/// It is in an index, whose rows are at most a third of a page.
fn short(mut name: String) -> String {
    name.truncate(name.floor_char_boundary(1000));
    name
}

/// Reads the mark.
pub(crate) async fn read(client: &Client) -> Result<Option<Mark>, Error> {
    for row in client.query(NAMES, &[]).await? {
        if let Some(mark) = Mark::of(row.try_get(0)?) {
            return Ok(Some(mark));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_names_the_other_side() {
        let url = "postgresql://osnl@db from here/osnl";
        assert_eq!(Mark::of(&Mark::moved_to(url)), Some(Mark::MovedTo(url.to_owned())));
        let name = Mark::moving_from(url);
        let mark = Mark::of(&name).unwrap();
        assert_eq!(mark, Mark::Unfinished(url.to_owned(), name.clone()));
        assert_eq!(mark.name(), name);
        assert_eq!(Mark::of(ARRIVAL), None);
        assert!(Mark::moved_to(&"ü".repeat(2000)).len() <= 1000);
    }
}
