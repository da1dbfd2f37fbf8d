//! The fields of a rule's known events at a path. Many rules look at the same events, and the search is expensive, so
//! each answer is kept while a configuration is judged.

use std::collections::HashMap;

use osnl_model::catalogue::{self, Event, Lacking};

/// The fields of some events at a path.
pub(super) enum Found {
    /// None of them has anything there.
    Nothing(Lacking),
    /// One has, and none of them ever has a text there; the first that has it.
    NoText(&'static str),
    MayBeText,
}

/// By the events that were asked about.
#[derive(Default)]
pub(super) struct Fields(HashMap<Vec<usize>, HashMap<String, Found>>);

/// The fields of these events, by path.
pub(super) struct FieldsOf<'a> {
    events: &'a [&'static Event],
    known: &'a mut HashMap<String, Found>,
}

impl Fields {
    pub(super) fn of<'a>(&'a mut self, events: &'a [&'static Event]) -> FieldsOf<'a> {
        // The catalogue stays where it is.
        let numbers = events.iter().map(|event| std::ptr::from_ref(*event).addr()).collect();
        FieldsOf { events, known: self.0.entry(numbers).or_default() }
    }
}

impl FieldsOf<'_> {
    pub(super) fn at(&mut self, path: &str) -> &Found {
        if !self.known.contains_key(path) {
            self.known.insert(path.to_owned(), found(self.events, path));
        }
        &self.known[path]
    }
}

fn found(events: &[&'static Event], path: &str) -> Found {
    if let Some(lacking) = catalogue::lacking(events, path) {
        return Found::Nothing(lacking);
    }
    let mut having = events.iter().filter(|event| event.has_field(path)).peekable();
    match having.peek().map(|event| event.event_type) {
        Some(first) if !having.any(|event| may_be_text(event, path)) => Found::NoText(first),
        Some(_) | None => Found::MayBeText,
    }
}

/// Whether a field may be a text: a field without a description may, and so may one that was only ever seen as null.
fn may_be_text(event: &Event, path: &str) -> bool {
    let texts = ["text", "UUID", "date-time", "IP address", "MAC address"];
    event.field(path).is_none_or(|field| {
        let kind = field.kind;
        kind == "null" || kind.starts_with("one of: ") || kind.split(" or ").any(|kind| texts.contains(&kind))
    })
}
