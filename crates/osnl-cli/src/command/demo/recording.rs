//! The notifications of the demo's cloud, recorded from real services:
//! `fixtures/demo/notifications.json`, built in.
//!
//! Filling replaces the names in a recorded body (`stands_for`) and leaves every other byte. One template is handmade
//! and cannot be read.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::Value;

const TEXT: &str = include_str!("../../../fixtures/demo/notifications.json");

pub(super) type Replacements = BTreeMap<&'static str, String>;

#[derive(Debug)]
pub(super) struct Recording {
    templates: BTreeMap<String, RecordingTemplate>,
}

#[derive(Debug)]
struct RecordingTemplate {
    exchange: String,
    routing_key: String,
    note: String,
    stands_for: Vec<(String, String)>,
    body: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DemoMessage {
    pub(super) exchange: String,
    pub(super) routing_key: String,
    pub(super) body: String,
    pub(super) note: String,
}

impl Recording {
    pub(super) fn built_in() -> anyhow::Result<Self> {
        let whole: Value = serde_json::from_str(TEXT).context("the recording is not JSON")?;
        let templates = whole["templates"].as_array().context("the recording lacks templates")?;
        let templates =
            templates.iter().map(|value| Ok((text(value, "name")?, RecordingTemplate::read(value)?)));
        Ok(Self { templates: templates.collect::<anyhow::Result<_>>()? })
    }

    pub(super) fn fill(&self, template: &str, names: &Replacements) -> anyhow::Result<DemoMessage> {
        let found =
            self.templates.get(template).with_context(|| format!("the recording lacks {template}"))?;
        let mut body = found.body.clone();
        for (key, recorded) in &found.stands_for {
            let name = names.get(key.as_str()).with_context(|| format!("{template} needs {key}"))?;
            body = body.replace(recorded.as_str(), name);
        }
        let note = match names.get("server") {
            Some(server) => found.note.replace("{server}", server),
            None => found.note.clone(),
        };
        Ok(DemoMessage {
            exchange: found.exchange.clone(),
            routing_key: found.routing_key.clone(),
            body,
            note,
        })
    }

    pub(super) fn exchanges(&self) -> Vec<&str> {
        let mut exchanges: Vec<&str> =
            self.templates.values().map(|template| template.exchange.as_str()).collect();
        exchanges.sort_unstable();
        exchanges.dedup();
        exchanges
    }
}

impl RecordingTemplate {
    fn read(value: &Value) -> anyhow::Result<Self> {
        let stands_for = value["stands_for"].as_object().context("the recording lacks stands_for")?;
        let stands_for = stands_for
            .iter()
            .map(|(key, recorded)| Ok((key.clone(), recorded.as_str().context("no text")?.to_owned())));
        Ok(Self {
            exchange: text(value, "exchange")?,
            routing_key: text(value, "routing_key")?,
            note: text(value, "note")?,
            stands_for: stands_for.collect::<anyhow::Result<_>>()?,
            body: text(value, "body_text")?,
        })
    }
}

fn text(value: &Value, key: &str) -> anyhow::Result<String> {
    value[key].as_str().map(str::to_owned).with_context(|| format!("the recording lacks {key}"))
}
