//! The tables that all stores have, their columns, and the values of a row.

/// A table. The variants are in the order in which tables are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JournalTable {
    /// Messages that are kept for a delivery.
    Events,
    /// Deliveries.
    Deliveries,
    /// Failed attempts.
    Attempts,
    /// Answers to enrichments of deliveries.
    Enrichments,
    /// Last known states of objects.
    Objects,
    /// Facts about resources that earlier messages told.
    Seen,
    /// Messages in quarantine.
    Quarantined,
    /// Paused actions.
    Pauses,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// A number, or 0 and 1 for false and true.
    Number,
    /// A text.
    Text,
    /// A text that databases keep as bytes, since they compare it: it is [`CellValue::Bytes`].
    Key,
    /// Bytes.
    Bytes,
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CellValue {
    /// None.
    Null,
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl CellValue {
    /// Returns its size in memory, about.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Null | Self::Number(_) => 16,
            Self::Text(text) => 32 + text.len(),
            Self::Bytes(bytes) => 32 + bytes.len(),
        }
    }
}

use ColumnKind::{Bytes, Key, Number, Text};

const EVENTS: &[(&str, ColumnKind)] = &[
    ("id", Number),
    ("received", Number),
    ("redelivered", Number),
    ("copies", Number),
    ("deliveries", Number),
    ("listener", Text),
    ("queue", Text),
    ("exchange", Text),
    ("routing_key", Text),
    ("content_type", Text),
    ("content_encoding", Text),
    ("compression", Text),
    ("message_id", Text),
    ("unique_id", Text),
    ("event_type", Text),
    ("body", Bytes),
    ("happened", Text),
];

/// `holds`: a dead letter that holds its lane. `message_id` is that of the event.
const DELIVERIES: &[(&str, ColumnKind)] = &[
    ("id", Number),
    ("event", Number),
    ("rule", Text),
    ("action", Text),
    ("key", Key),
    ("state", Number),
    ("holds", Number),
    ("attempts", Number),
    ("aged", Number),
    ("tries", Number),
    ("due", Number),
    ("pause", Number),
    ("ordered", Number),
    ("guarded", Number),
    ("resource", Number),
    ("subject_id", Text),
    ("subject_name", Text),
    ("ended", Number),
    ("took", Number),
    ("reason", Text),
    ("cause", Text),
    ("message_id", Text),
];

const ATTEMPTS: &[(&str, ColumnKind)] = &[
    ("delivery", Number),
    ("slot", Number),
    ("at", Number),
    ("answer", Text),
    ("request", Text),
    ("took", Number),
];

const ENRICHMENTS: &[(&str, ColumnKind)] = &[("delivery", Number), ("found", Text)];

const OBJECTS: &[(&str, ColumnKind)] = &[("name", Key), ("at", Number), ("body", Text)];

/// `at` orders them: those that were touched last are forgotten last.
const SEEN: &[(&str, ColumnKind)] = &[("name", Key), ("at", Number), ("told", Text)];

const QUARANTINED: &[(&str, ColumnKind)] = &[
    ("id", Number),
    ("received", Number),
    ("redelivered", Number),
    ("listener", Text),
    ("queue", Text),
    ("exchange", Text),
    ("routing_key", Text),
    ("content_type", Text),
    ("content_encoding", Text),
    ("compression", Text),
    ("reason", Text),
    ("size", Number),
    ("extent", Number),
    ("message_id", Text),
    ("publisher_id", Text),
    ("event_type", Text),
    ("digest", Text),
    ("body", Bytes),
];

const PAUSES: &[(&str, ColumnKind)] = &[("action", Text), ("since", Number), ("operator", Text)];

impl JournalTable {
    /// All, in the order in which they are copied.
    pub const ALL: [Self; 8] = [
        Self::Events,
        Self::Deliveries,
        Self::Attempts,
        Self::Enrichments,
        Self::Objects,
        Self::Seen,
        Self::Quarantined,
        Self::Pauses,
    ];

    /// Returns its columns; the first ones are its [`key`](Self::key).
    #[must_use]
    pub fn columns(self) -> &'static [(&'static str, ColumnKind)] {
        match self {
            Self::Events => EVENTS,
            Self::Deliveries => DELIVERIES,
            Self::Attempts => ATTEMPTS,
            Self::Enrichments => ENRICHMENTS,
            Self::Objects => OBJECTS,
            Self::Seen => SEEN,
            Self::Quarantined => QUARANTINED,
            Self::Pauses => PAUSES,
        }
    }

    /// Returns the number of columns that no two rows share, by which they are ordered.
    #[must_use]
    pub fn key(self) -> usize {
        if self == Self::Attempts { 2 } else { 1 }
    }

    /// Returns the name for operators.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Deliveries => "deliveries",
            Self::Attempts => "failed attempts",
            Self::Enrichments => "enrichments",
            Self::Objects => "known objects",
            Self::Seen => "facts of oss_watcher",
            Self::Quarantined => "messages in quarantine",
            Self::Pauses => "paused actions",
        }
    }

    /// Returns a row whose values are found by the names of their columns.
    #[must_use]
    pub fn named(self, row: &[CellValue]) -> RowView<'_> {
        RowView { table: self, row }
    }
}

/// A row whose values are found by the names of their columns.
#[derive(Clone, Copy, Debug)]
pub struct RowView<'a> {
    table: JournalTable,
    row: &'a [CellValue],
}

impl<'a> RowView<'a> {
    fn value(&self, name: &str) -> &'a CellValue {
        let at = self.table.columns().iter().position(|(known, _)| *known == name);
        debug_assert!(at.is_some(), "{:?} has no column {name}", self.table);
        at.and_then(|at| self.row.get(at)).unwrap_or(&CellValue::Null)
    }

    /// Returns a number; 0 without one.
    #[must_use]
    pub fn number(&self, name: &str) -> i64 {
        match self.value(name) {
            CellValue::Number(number) => *number,
            CellValue::Null | CellValue::Text(_) | CellValue::Bytes(_) => 0,
        }
    }

    /// Returns a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        match self.value(name) {
            CellValue::Text(text) => Some(text),
            CellValue::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            CellValue::Null | CellValue::Number(_) => None,
        }
    }

    /// Returns bytes; of what has none, no bytes.
    #[must_use]
    pub fn bytes(&self, name: &str) -> &'a [u8] {
        match self.value(name) {
            CellValue::Bytes(bytes) => bytes,
            CellValue::Text(text) => text.as_bytes(),
            CellValue::Null | CellValue::Number(_) => &[],
        }
    }
}
