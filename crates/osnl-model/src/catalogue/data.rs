use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use super::{CatalogueEvent, PayloadForm};

/// The notifications that services emit, with the classes and shapes of their payloads.
#[derive(Default)]
pub(super) struct Catalogue {
    pub(super) services: BTreeMap<&'static str, ServiceData>,
    pub(super) classes: BTreeMap<&'static str, Class>,
    pub(super) shapes: Vec<BTreeMap<&'static str, &'static str>>,
    pub(super) events: Vec<CatalogueEvent>,
}

/// The facts about a service that all its events share.
#[derive(Deserialize)]
pub(super) struct ServiceData {
    pub(super) exchange: &'static str,
    pub(super) version: &'static str,
    pub(super) since: BTreeMap<&'static str, &'static str>,
}

/// A class of versioned objects, with its fields.
#[derive(Deserialize)]
pub(super) struct Class {
    pub(super) version: &'static str,
    pub(super) first: &'static str,
    pub(super) since: BTreeMap<&'static str, &'static str>,
    pub(super) fields: BTreeMap<&'static str, &'static str>,
}

/// A payload of an event as an example.
#[derive(Deserialize)]
pub(super) struct SampleRow {
    pub(super) event: &'static str,
    pub(super) payload: Value,
}

/// The catalogue as `data/catalogue.json` has it.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
struct File {
    services: BTreeMap<&'static str, ServiceData>,
    classes: BTreeMap<&'static str, Class>,
    shapes: Vec<BTreeMap<&'static str, &'static str>>,
    events: Vec<EventRow>,
}

/// An event as the catalogue's file has it; shape and sample are places in the lists of these.
#[derive(Deserialize)]
struct EventRow {
    service: &'static str,
    event: &'static str,
    form: &'static str,
    topics: Vec<&'static str>,
    priorities: Vec<&'static str>,
    publishers: Vec<&'static str>,
    #[serde(default)]
    listed: bool,
    shape: Option<usize>,
    sample: Option<usize>,
}

/// The examples as `data/samples.json` has them.
#[derive(Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
struct SampleFile {
    samples: Vec<SampleRow>,
}

/// Returns the catalogue. A test parses both files, so a parse error here only gives an empty
/// catalogue.
pub(super) fn catalogue() -> &'static Catalogue {
    static READ: LazyLock<Catalogue> = LazyLock::new(|| {
        serde_json::from_str(include_str!("../../data/catalogue.json"))
            .map(Catalogue::from_file)
            .unwrap_or_default()
    });
    &READ
}

pub(super) fn samples() -> &'static [SampleRow] {
    static READ: LazyLock<SampleFile> =
        LazyLock::new(|| serde_json::from_str(include_str!("../../data/samples.json")).unwrap_or_default());
    &READ.samples
}

pub(super) fn class(service: &str, class: &str) -> Option<&'static Class> {
    catalogue().classes.get(format!("{service}.{class}").as_str())
}

impl Catalogue {
    fn from_file(file: File) -> Self {
        let events = file.events.into_iter().map(|line| CatalogueEvent {
            service: line.service,
            event_type: line.event,
            form: match line.form {
                "plain" => PayloadForm::Plain,
                "cadf" => PayloadForm::Cadf,
                "text" => PayloadForm::Text,
                class => PayloadForm::Versioned(class),
            },
            topics: line.topics,
            priorities: line.priorities,
            publishers: line.publishers,
            recorded: !line.listed,
            shape: line.shape,
            sample: line.sample,
        });
        Self { services: file.services, classes: file.classes, shapes: file.shapes, events: events.collect() }
    }
}
