//! `osnl events`: the catalogue of the notifications that OpenStack services send.
//!
//! `--format json` has the same content as the text, in an object with `services` or `events`. `--format markdown` is a
//! table of the events.

mod summary;

use std::fmt::Write as _;
use std::iter::once;

use clap::{Args, ValueEnum};
use osnl_config::{did_you_mean, nearest};
use osnl_model::catalogue::{self, CatalogueEvent, CatalogueField, PayloadForm};
use serde_json::{Value, json};

use super::sources;
use super::table::table;
use crate::exit::Exit;
use crate::output;

const OFFERED: usize = 5;

/// The flags of `osnl events`.
#[derive(Debug, Args)]
#[command(after_help = "Exits with 0; 1 if there is no such service or event.\n\n\
                  Examples:\n  osnl events\n  osnl events neutron\n  osnl events port.delete.end\n  \
                  osnl events nova instance.create.end --format json | jq '.events[].sample'")]
pub(crate) struct EventsArgs {
    /// A service such as neutron, or an event type [default: all services]
    #[arg(value_name = "SERVICE")]
    pub(crate) service: Option<String>,
    /// An event type, or the first part of one: port.delete
    #[arg(value_name = "EVENT")]
    pub(crate) event: Option<String>,
    /// text for people, json for scripts, markdown for a summary of all events
    #[arg(long, value_enum, default_value_t = EventsFormat::Text, value_name = "FORMAT")]
    pub(crate) format: EventsFormat,
}

/// The form of the output of `osnl events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventsFormat {
    Text,
    Json,
    // The book's page docs/reference/events.md has this format.
    Markdown,
}

pub(crate) fn run(args: &EventsArgs) -> Exit {
    let found = match select(args) {
        Ok(found) => found,
        Err(error) => {
            sources::complain(&error.to_string());
            return Exit::Failed;
        }
    };
    let text = match args.format {
        EventsFormat::Text => found.text(),
        EventsFormat::Json => format!("{:#}\n", found.json()),
        EventsFormat::Markdown => summary::page(&found.events()),
    };
    output::print(&text)
}

enum Selection {
    Services,
    Events(Vec<&'static CatalogueEvent>),
    One(Vec<&'static CatalogueEvent>),
}

fn select(args: &EventsArgs) -> Result<Selection, String> {
    let services: Vec<&str> = catalogue::services().iter().map(|(name, _)| *name).collect();
    let (service, event) = match (&args.service, &args.event) {
        (None, _) => return Ok(Selection::Services),
        // An event of the catalogue names its service.
        (Some(name), None) if name.contains('.') && !services.contains(&name.as_str()) => (None, Some(name)),
        (Some(name), event) => (Some(name), event.as_ref()),
    };
    if let Some(service) = service.filter(|name| !services.contains(&name.as_str())) {
        let meant = did_you_mean(nearest(service, services.iter().copied()));
        return Err(format!("no service \"{service}\" is known; known: {}{meant}", services.join(", ")));
    }
    let of_service = |event: &&'static CatalogueEvent| service.is_none_or(|name| event.service == name);
    let Some(name) = event else {
        return Ok(Selection::Events(catalogue::events().iter().filter(of_service).collect()));
    };
    let found: Vec<&CatalogueEvent> = catalogue::find(name).into_iter().filter(of_service).collect();
    if !found.is_empty() {
        return Ok(Selection::One(found));
    }
    let below: Vec<&CatalogueEvent> = catalogue::events()
        .iter()
        .filter(of_service)
        .filter(|event| {
            event.event_type.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.'))
        })
        .collect();
    if !below.is_empty() {
        return Ok(Selection::Events(below));
    }
    let mut offered = catalogue::alike(name, OFFERED);
    offered.retain(|known| catalogue::find(known).into_iter().any(|event| of_service(&event)));
    let offered = match offered[..] {
        [] => "osnl events lists the services".to_owned(),
        _ => format!("near it: {}", offered.join(", ")),
    };
    Err(format!(
        "no event \"{name}\" is known{}; {offered}",
        service.map_or(String::new(), |s| format!(" of {s}"))
    ))
}

impl Selection {
    fn events(&self) -> Vec<&'static CatalogueEvent> {
        match self {
            Self::Services => catalogue::events().iter().collect(),
            Self::Events(events) | Self::One(events) => events.clone(),
        }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        match self {
            Self::Services => {
                let heads = ["SERVICE", "RECORDED", "EXCHANGE", "EVENTS"].map(str::to_owned);
                let rows = services().map(|(name, version, exchange, count)| {
                    [name.to_owned(), version.to_owned(), exchange.to_owned(), count.to_string()]
                });
                out.push_str(&table(once(heads).chain(rows)));
                out.push_str(
                    "\nosnl events SERVICE lists a service's events, osnl events EVENT shows one.\n",
                );
            }
            Self::Events(events) => {
                let heads = ["EVENT", "PRIORITY", "PAYLOAD"].map(str::to_owned);
                let rows = events
                    .iter()
                    .map(|event| [event.event_type.to_owned(), event.priorities.join(","), form(event)]);
                out.push_str(&table(once(heads).chain(rows)));
            }
            Self::One(events) => {
                for (at, event) in events.iter().enumerate() {
                    out.push_str(if at > 0 { "\n" } else { "" });
                    one(&mut out, event);
                }
            }
        }
        out
    }

    fn json(&self) -> Value {
        let (name, listed): (&str, Vec<Value>) = match self {
            Self::Services => {
                let rows = services().map(|(name, version, exchange, count)| {
                    json!({"service": name, "recorded": version, "exchange": exchange, "events": count})
                });
                ("services", rows.collect())
            }
            Self::Events(events) => ("events", events.iter().map(|event| described(event)).collect()),
            Self::One(events) => {
                let rows = events.iter().map(|event| {
                    let mut whole = described(event);
                    whole["fields"] = event.fields().iter().map(field).collect();
                    if let Some(sample) = event.sample() {
                        whole["sample"] = json!({"event_type": sample.event_type, "payload": sample.payload});
                    }
                    whole
                });
                ("events", rows.collect())
            }
        };
        json!({name: listed})
    }
}

fn services() -> impl Iterator<Item = (&'static str, &'static str, &'static str, usize)> {
    catalogue::services().into_iter().map(|(name, version)| {
        let mut of: Vec<&CatalogueEvent> =
            catalogue::events().iter().filter(|event| event.service == name).collect();
        let exchange = of.first().map_or("", |event| event.exchange());
        of.dedup_by_key(|event| event.event_type);
        (name, version, exchange, of.len())
    })
}

fn form(event: &CatalogueEvent) -> String {
    match event.form {
        PayloadForm::Plain => "plain".to_owned(),
        PayloadForm::Cadf => "CADF".to_owned(),
        PayloadForm::Text => "text".to_owned(),
        PayloadForm::Versioned(class) => {
            format!("{class} {}", event.version().unwrap_or_default()).trim().to_owned()
        }
    }
}

fn described(event: &CatalogueEvent) -> Value {
    let (form, class) = match event.form {
        PayloadForm::Plain => ("plain", None),
        PayloadForm::Cadf => ("cadf", None),
        PayloadForm::Text => ("text", None),
        PayloadForm::Versioned(class) => ("versioned", Some(class)),
    };
    json!({
        "service": event.service,
        "event_type": event.event_type,
        "exchange": event.exchange(),
        "topics": event.topics,
        "priorities": event.priorities,
        "publishers": event.publishers,
        "form": form,
        "class": class,
        "version": event.version(),
        "recorded": event.recorded,
    })
}

fn field(field: &CatalogueField) -> Value {
    json!({
        "path": field.path,
        "type": field.kind,
        "sometimes_absent": field.sometimes_absent,
        "since": field.since,
        "later": field.later,
    })
}

fn one(out: &mut String, event: &CatalogueEvent) {
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "{name:<10} {value}");
    };
    line("event", event.event_type);
    line("service", event.service);
    line("exchange", event.exchange());
    line("topics", &event.topics.join(", "));
    line("priority", &event.priorities.join(", "));
    line("publisher", &event.publishers.join(", "));
    line("payload", &form(event));
    if !event.recorded {
        line("known", "from the service's lists or documentation; no message of it was recorded");
    }
    let fields = event.fields();
    if let (PayloadForm::Versioned(_), Some(wrapper)) =
        (event.form, fields.first().and_then(|field| field.path.first()))
    {
        line(
            "fields",
            &format!("inside {wrapper}, at each level; those without a version are as old as their class"),
        );
    } else if !fields.is_empty() {
        let release = catalogue::services().into_iter().find(|(name, _)| *name == event.service);
        let release = release.map_or(String::new(), |(name, version)| format!("{name} {version}"));
        let as_seen = if event.recorded { "as recorded from" } else { "of events like it, recorded from" };
        line("fields", &format!("{as_seen} {release}; since: the first release, where known"));
    }
    out.push_str(&table(fields.iter().map(|field| {
        let absent = if field.sometimes_absent { ", not always there" } else { "" };
        // A field that the first version already had shows no version.
        let since = field.since.as_deref().filter(|_| field.later);
        let since = since.map_or(String::new(), |since| format!(", since {since}"));
        [format!("  {}", field.short()), format!("{}{absent}{since}", field.kind)]
    })));
    if let Some(sample) = event.sample() {
        let of = if sample.event_type == event.event_type { "" } else { sample.event_type };
        let of = if of.is_empty() { String::new() } else { format!(": a payload of {of}") };
        let _ = writeln!(out, "sample{of}\n{:#}", sample.payload);
    }
}
