use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use osnl_model::Notification;
use serde_json::{Value, json};

use super::classes::Classes;
use super::more::{MORE, SINCE, expand};
use super::sample;
use super::shape::PayloadShape;

/// Recorded samples of objects on the wire; no service sends such events.
const PROBES: [&str; 4] = ["probe.", "baremetal.example_obj.", "baremetal.probe.", "baremetal.x."];

type EventKey = (String, String, String);

#[derive(Default)]
struct EventSummary {
    recorded: bool,
    topics: BTreeSet<String>,
    priorities: BTreeSet<String>,
    publishers: BTreeSet<String>,
    shape: PayloadShape,
    sample: Option<Value>,
}

pub(super) struct EventTable {
    pub(super) services: Value,
    pub(super) shapes: Value,
    pub(super) events: Value,
    pub(super) samples: Value,
}

pub(super) fn collect(folder: &Path, classes: &Classes) -> Result<EventTable> {
    let mut events: BTreeMap<EventKey, EventSummary> = BTreeMap::new();
    let mut services: BTreeMap<String, (String, String)> = BTreeMap::new();
    for part in ["captures", "captures2"] {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder.join(part))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        files.sort();
        for file in files {
            recorded(&file, &mut services, &mut events)?;
        }
    }
    read_nova(folder, classes, &mut events)?;
    more(classes, &mut events)?;
    Ok(written(classes, services, events))
}

fn recorded(
    file: &Path,
    services: &mut BTreeMap<String, (String, String)>,
    events: &mut BTreeMap<EventKey, EventSummary>,
) -> Result<()> {
    let read = super::read_json(file)?;
    let stem = file.file_stem().and_then(|stem| stem.to_str()).context("no name")?;
    let service = stem.split('-').next().unwrap_or(stem);
    for case in read["cases"].as_object().context("no cases")?.values() {
        for message in case.as_array().or_else(|| case["messages"].as_array()).context("no messages")? {
            let body = message["body_text"].as_str().context("no body")?;
            let n = Notification::decode(body.as_bytes())?;
            let event_type = n.event_type.clone().unwrap_or_default();
            if PROBES.iter().any(|probe| event_type.starts_with(probe)) {
                continue;
            }
            let exchange = message["exchange"].as_str().unwrap_or_default().to_owned();
            let versions = read["versions"].as_object().context("no versions")?;
            let version = versions.iter().find(|(name, _)| name.ends_with(service));
            let version = version.and_then(|(_, version)| version.as_str()).unwrap_or_default().to_owned();
            services.insert(service.to_owned(), (exchange, version));
            let event = events.entry((service.to_owned(), event_type, form(&n.payload))).or_default();
            event.recorded = true;
            let key = message["routing_key"].as_str().unwrap_or_default();
            event.topics.extend(key.rsplit_once('.').map(|(topic, _)| topic.to_owned()));
            event.priorities.extend(n.priority.as_ref().map(|priority| priority.as_str().to_uppercase()));
            event.publishers.insert(n.publisher_id.as_deref().map_or("null".to_owned(), publisher));
            event.shape.add(&n.payload);
            let sample = sample::from_payload(&n.payload);
            // The longest of the short samples shows the most.
            let size = |value: &Value| value.to_string().len();
            let better = event.sample.as_ref().is_none_or(|had| {
                size(had) > sample::LONGEST_OWN && size(&sample) < size(had)
                    || size(&sample) <= sample::LONGEST_OWN && size(&sample) > size(had)
            });
            if better {
                event.sample = Some(sample);
            }
        }
    }
    Ok(())
}

fn form(payload: &Value) -> String {
    let Some(object) = payload.as_object() else { return "text".to_owned() };
    let class =
        object.iter().find(|(key, _)| key.ends_with("_object.name")).and_then(|(_, class)| class.as_str());
    let otherwise = if object.contains_key("typeURI") { "cadf" } else { "plain" };
    class.unwrap_or(otherwise).to_owned()
}

fn publisher(id: &str) -> String {
    let Some(at) = id.find(['.', ':']) else { return id.to_owned() };
    let (service, host) = id.split_at(at);
    let backend = if host.contains('@') { "@<backend>" } else { "" };
    let pool = if host.contains('#') { "#<pool>" } else { "" };
    format!("{service}{}<host>{backend}{pool}", &host[..1])
}

fn read_nova(folder: &Path, classes: &Classes, events: &mut BTreeMap<EventKey, EventSummary>) -> Result<()> {
    let list = super::read_json(&folder.join("catalog/nova-events.json"))?;
    for (event_type, forms) in list.as_object().context("no object")? {
        for form in forms.as_array().context("no list")? {
            let word = |at: usize| form[at].as_str().unwrap_or_default().to_owned();
            // The list also has names of examples, which extend a class's name by a word.
            let Some(class) = classes.longest_beginning("nova", &word(0)) else { continue };
            let event = events.entry(("nova".to_owned(), event_type.clone(), class)).or_default();
            event.topics.insert("versioned_notifications".to_owned());
            event.priorities.insert(word(1));
            event.publishers.insert(format!("{}:<host>", word(2)));
        }
    }
    Ok(())
}

fn more(classes: &Classes, events: &mut BTreeMap<EventKey, EventSummary>) -> Result<()> {
    for (service, pattern, described) in MORE {
        for event_type in expand(pattern) {
            let models = models(classes, events, service, &event_type, described);
            anyhow::ensure!(!models.is_empty(), "nothing recorded is like {service} {described}");
            for (form, model) in models {
                events.entry((service.to_owned(), event_type.clone(), form)).or_insert(model);
            }
        }
    }
    Ok(())
}

fn models(
    classes: &Classes,
    events: &BTreeMap<EventKey, EventSummary>,
    service: &str,
    event_type: &str,
    described: &str,
) -> BTreeMap<String, EventSummary> {
    let versioned = classes.has(service, described);
    let described = described.replace('~', event_type.split('.').next().unwrap_or_default());
    let (begin, end) = described.split_once('*').unwrap_or((&described, ""));
    let priority = if event_type.ends_with("error") { "ERROR" } else { "INFO" };
    let mut models: BTreeMap<String, EventSummary> = BTreeMap::new();
    for ((of, known, form), event) in events.iter().filter(|(_, event)| event.recorded) {
        let like = known.starts_with(begin) && known.ends_with(end) && form != "text";
        if of == service && if versioned { *form == described } else { like } {
            let model = models.entry(form.clone()).or_default();
            model.shape.merge(&event.shape);
            model.topics.extend(event.topics.iter().cloned());
            model.publishers.extend(event.publishers.iter().cloned());
            model.priorities.insert(priority.to_owned());
        }
    }
    models
}

fn written(
    classes: &Classes,
    services: BTreeMap<String, (String, String)>,
    events: BTreeMap<EventKey, EventSummary>,
) -> EventTable {
    let (mut shapes, mut samples, mut out) = (Vec::new(), Vec::new(), Vec::new());
    // One sample represents the events of a class, or of plain payloads of one length.
    let mut shared: BTreeMap<(String, String), usize> = BTreeMap::new();
    for ((service, event_type, form), event) in events {
        let mut line = json!({
            "service": service, "event": event_type, "form": form, "topics": event.topics,
            "priorities": event.priorities, "publishers": event.publishers,
        });
        if !event.recorded {
            line["listed"] = json!(true);
        }
        if !classes.has(&service, &form) {
            let shape = event.shape.to_json();
            let at = shapes.iter().position(|known| *known == shape).unwrap_or(shapes.len());
            if at == shapes.len() {
                shapes.push(shape);
            }
            line["shape"] = json!(at);
        }
        let family = (service.clone(), if form == "plain" { family(&event_type) } else { form.clone() });
        let at = match event.sample {
            Some(sample)
                if sample.to_string().len() <= sample::LONGEST_OWN || !shared.contains_key(&family) =>
            {
                samples.push(json!({"event": event_type, "payload": sample}));
                shared.entry(family).or_insert(samples.len() - 1);
                Some(samples.len() - 1)
            }
            _ => shared.get(&family).copied(),
        };
        if let Some(at) = at {
            line["sample"] = json!(at);
        }
        out.push(line);
    }
    let since: BTreeMap<String, &str> =
        SINCE.iter().map(|(service, field, release)| (format!("{service} {field}"), *release)).collect();
    EventTable {
        services: services
            .into_iter()
            .map(|(name, (exchange, version))| {
                let of: BTreeMap<&str, &str> = since
                    .iter()
                    .filter_map(|(key, release)| Some((key.strip_prefix(&format!("{name} "))?, *release)))
                    .collect();
                (name, json!({"exchange": exchange, "version": version, "since": of}))
            })
            .collect(),
        shapes: Value::Array(shapes),
        events: Value::Array(out),
        samples: Value::Array(samples),
    }
}

fn family(event_type: &str) -> String {
    let words: Vec<&str> = event_type.split('.').collect();
    let count = if ["compute", "scheduler", "dns", "orchestration"].contains(&words[0]) { 2 } else { 1 };
    words[..count.min(words.len())].join(".")
}
