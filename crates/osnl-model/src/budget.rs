//! The limits on one message, the same for every reader.
//!
//! | limit | default | unit |
//! | --- | --- | --- |
//! | [`body`](Budget::body) | 4 MiB | bytes of the body without compression |
//! | [`values`](Budget::values) | 500,000 | values of both JSON texts, while they are parsed |
//! | [`memory`](Budget::memory) | 6 times `body` | bytes that the values take, while they are parsed: `{"":0}` takes 700 |
//! | [`DEPTH`](Budget::DEPTH) | 120, fixed | arrays, objects, and the text of the envelope, together |
//! | [`resources`](Budget::resources) | 10,000 | resources of a bulk request |
//!
//! `max_body` is the only option: the other limits follow from it, see [`Budget::for_body`]. The contents of texts in
//! the payload are not counted; masking, which reads these, has limits of its own.

mod tree;

use std::cell::Cell;

use serde::de::DeserializeSeed as _;
use serde_json::Value;

pub use self::tree::{ForeignJson, foreign_json, memory_of};
pub(crate) use self::tree::{Tree, members_memory};

/// The limits on one message, which follow from the option `max_body`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    pub body: usize,
    pub values: usize,
    pub resources: usize,
}

/// The limit that a message exceeds, in words that name the option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Excess {
    #[error("the body has {found} bytes; the limit is {limit} (option max_body)")]
    Body { found: usize, limit: usize },
    /// The decompressed body is too large. Decompression stopped at the limit, so the size is
    /// unknown.
    #[error("the body has more than {limit} bytes when decompressed, the limit (option max_body)")]
    Decompressed { limit: usize },
    #[error("the message has more than {limit} values, the limit (it grows with option max_body)")]
    Values { limit: usize },
    #[error(
        "the message takes more than {limit} bytes of memory when decoded, the limit ({} times option max_body)",
        Budget::MEMORY
    )]
    Memory { limit: usize },
    #[error("the message is nested deeper than {limit} levels, the most that any listener reads")]
    Depth { limit: usize },
    #[error("the message has {found} resources; the limit is {limit} (it grows with option max_body)")]
    Resources { found: usize, limit: usize },
}

impl Excess {
    #[must_use]
    pub const fn is_raised_by_max_body(&self) -> bool {
        match self {
            Self::Body { .. }
            | Self::Decompressed { .. }
            | Self::Memory { .. }
            | Self::Values { .. }
            | Self::Resources { .. } => true,
            Self::Depth { .. } => false,
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Budget {
    pub const DEFAULT: Self = Self { body: 4 * 1024 * 1024, values: 500_000, resources: 10_000 };

    pub const LEAST_BODY: usize = 4 << 10;

    /// The limits of the greatest `max_body`. A machine can hold a few such messages, and a
    /// delivery's number has room for 65,536 resources.
    pub const MOST: Self = Self { body: 128 << 20, values: 16_000_000, resources: 60_000 };

    #[must_use]
    pub fn for_body(body: usize) -> Self {
        let larger =
            |least: usize, most: usize| (least.saturating_mul(body) / Self::DEFAULT.body).clamp(least, most);
        Self {
            body,
            values: larger(Self::DEFAULT.values, Self::MOST.values),
            resources: larger(Self::DEFAULT.resources, Self::MOST.resources),
        }
    }

    /// The depth to which arrays, objects and texts may be nested. Reading, masking, writing and
    /// dropping a message are recursive and must work on a small stack, so no option changes it.
    pub(crate) const DEPTH: usize = 120;

    /// The memory of a decoded message as a multiple of `body`. An ordinary message takes four to
    /// seven times its own size. With its masked and written copies, the worst message takes twenty
    /// times `body` (`tests/cost.rs`).
    pub const MEMORY: usize = 6;

    #[must_use]
    pub const fn memory(&self) -> usize {
        self.body.saturating_mul(Self::MEMORY)
    }

    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            body: self.body.max(other.body),
            values: self.values.max(other.values),
            resources: self.resources.max(other.resources),
        }
    }

    /// Reads the JSON of an answer within the limits on values, memory, and depth; `None` for any other text.
    #[must_use]
    pub fn read_json(&self, text: &[u8]) -> Option<Value> {
        Purse::for_budget(self).parse(std::str::from_utf8(text).ok()?, 0).ok()
    }

    pub(crate) fn check_size(&self, body: &[u8]) -> Result<(), Excess> {
        match body.len() {
            found if found > self.body => Err(Excess::Body { found, limit: self.body }),
            _ => Ok(()),
        }
    }
}

/// The rest of a budget while one message is parsed. The two JSON texts of an envelope draw on the same purse.
#[derive(Debug)]
pub(crate) struct Purse {
    /// The values that may still be parsed.
    values: Cell<usize>,
    /// The bytes of memory that values may still take.
    memory: Cell<usize>,
    most_values: usize,
    most_memory: usize,
    most_levels: usize,
    /// The limit that was exceeded; `None` while all hold.
    excess: Cell<Option<Excess>>,
}

impl Purse {
    pub(crate) fn for_budget(budget: &Budget) -> Self {
        Self::new(budget.values, budget.memory(), Budget::DEPTH)
    }

    pub(crate) fn new(values: usize, memory: usize, levels: usize) -> Self {
        Self {
            values: values.into(),
            memory: memory.into(),
            most_values: values,
            most_memory: memory,
            most_levels: levels,
            excess: Cell::new(None),
        }
    }

    pub(crate) fn parse(&self, text: &str, depth: usize) -> Result<Value, serde_json::Error> {
        let before = (self.values.get(), self.memory.get());
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let value = Tree::new(self, depth).deserialize(&mut deserializer);
        value.and_then(|value| deserializer.end().map(|()| value)).inspect_err(|_| {
            // The partial value is dropped, so its cost is given back: the text may be parsed again
            // as Python's JSON.
            self.values.set(before.0);
            self.memory.set(before.1);
        })
    }

    pub(crate) fn excess(&self) -> Option<Excess> {
        self.excess.get()
    }

    fn take(&self, bytes: usize) -> Result<(), Excess> {
        let Some(left) = self.values.get().checked_sub(1) else {
            return Err(self.exceeded(Excess::Values { limit: self.most_values }));
        };
        self.values.set(left);
        self.take_memory(bytes).map_err(|()| self.exceeded(Excess::Memory { limit: self.most_memory }))
    }

    fn take_memory(&self, bytes: usize) -> Result<(), ()> {
        self.memory.set(self.memory.get().checked_sub(bytes).ok_or(())?);
        Ok(())
    }

    fn enter(&self, depth: usize) -> Result<(), Excess> {
        let limit = self.most_levels;
        if depth > limit { Err(self.exceeded(Excess::Depth { limit })) } else { Ok(()) }
    }

    fn exceeded(&self, excess: Excess) -> Excess {
        self.excess.set(Some(excess));
        excess
    }
}

#[cfg(test)]
mod tests;
