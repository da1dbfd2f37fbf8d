//! The fields of a rule's known events at a path, cached because the search is expensive and many rules share events.

use std::collections::HashMap;

use osnl_model::catalogue::{self, CatalogueEvent, LackingPath};

pub(super) enum PathFields {
    Nothing(LackingPath),
    Values(ValueTypes),
}

#[derive(Default)]
pub(super) struct ValueTypes {
    pub(super) event: &'static str,
    pub(super) text: bool,
    pub(super) number: bool,
    pub(super) boolean: bool,
}

#[derive(Default)]
pub(super) struct EventFields(HashMap<Vec<usize>, HashMap<String, PathFields>>);

pub(super) struct FieldsOf<'a> {
    events: &'a [&'static CatalogueEvent],
    known: &'a mut HashMap<String, PathFields>,
}

impl EventFields {
    pub(super) fn for_events<'a>(&'a mut self, events: &'a [&'static CatalogueEvent]) -> FieldsOf<'a> {
        // The catalogue is static, so addresses identify events.
        let numbers = events.iter().map(|event| std::ptr::from_ref(*event).addr()).collect();
        FieldsOf { events, known: self.0.entry(numbers).or_default() }
    }
}

impl FieldsOf<'_> {
    pub(super) fn at(&mut self, path: &str) -> &PathFields {
        if !self.known.contains_key(path) {
            self.known.insert(path.to_owned(), found(self.events, path));
        }
        &self.known[path]
    }
}

fn found(events: &[&'static CatalogueEvent], path: &str) -> PathFields {
    if let Some(lacking) = catalogue::lacking(events, path) {
        return PathFields::Nothing(lacking);
    }
    let mut values = ValueTypes::default();
    for event in events.iter().filter(|event| event.has_field(path)) {
        values.add(event, path);
    }
    if values.event.is_empty() && events.iter().any(|event| event.service == "neutron") {
        // A field of an extension may have any type.
        (values.text, values.number, values.boolean) = (true, true, true);
    }
    PathFields::Values(values)
}

impl ValueTypes {
    /// Adds the types that a field may have: any, if undocumented or only ever seen as null.
    fn add(&mut self, event: &CatalogueEvent, path: &str) {
        const TEXTS: [&str; 5] = ["text", "UUID", "date-time", "IP address", "MAC address"];
        if self.event.is_empty() {
            self.event = event.event_type;
        }
        let Some(kind) = event.field(path).map(|field| field.kind).filter(|kind| *kind != "null") else {
            (self.text, self.number, self.boolean) = (true, true, true);
            return;
        };
        let mut kinds = kind.split(" or ");
        self.text |= kind.starts_with("one of: ") || kinds.clone().any(|kind| TEXTS.contains(&kind));
        self.number |= kinds.clone().any(|kind| kind == "number");
        self.boolean |= kinds.any(|kind| kind == "boolean");
    }
}
