//! What the demo plays: `fixtures/demo/notifications.json`, built into the binary.
//!
//! All bodies but one are as real services sent them; one is made by hand and cannot be read. The hosts are
//! what K2HR3 would hold about these instances.

use anyhow::Context as _;
use serde_json::Value;

const TEXT: &str = include_str!("../../../../../fixtures/demo/notifications.json");

/// The recording.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) hosts: Vec<Host>,
    pub(super) messages: Vec<Message>,
}

/// A host in the roles of K2HR3.
#[derive(Debug)]
pub(super) struct Host {
    /// The instance.
    pub(super) cuk: String,
    pub(super) addresses: Vec<String>,
    /// Whether it is there still when all is over.
    pub(super) remains: bool,
}

/// One message as it was published.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) exchange: String,
    pub(super) routing_key: String,
    pub(super) body: String,
    /// What it is, for people.
    pub(super) note: String,
}

impl Recording {
    /// Reads the text that was built in.
    ///
    /// # Errors
    /// It has another shape; a test sees to it that it has not.
    pub(super) fn built_in() -> anyhow::Result<Self> {
        let whole: Value = serde_json::from_str(TEXT).context("the recording is no JSON")?;
        Ok(Self {
            hosts: list(&whole, "hosts")?.iter().map(Host::read).collect::<anyhow::Result<_>>()?,
            messages: list(&whole, "messages")?.iter().map(Message::read).collect::<anyhow::Result<_>>()?,
        })
    }

    /// The instances that must be left at the end, in the order of their names.
    pub(super) fn remaining(&self) -> impl Iterator<Item = &String> {
        let mut remaining: Vec<&String> =
            self.hosts.iter().filter(|host| host.remains).map(|host| &host.cuk).collect();
        remaining.sort();
        remaining.into_iter()
    }
}

impl Host {
    fn read(value: &Value) -> anyhow::Result<Self> {
        let addresses =
            list(value, "addresses")?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let remains = value["remains"].as_bool().context("the recording lacks remains")?;
        Ok(Self { cuk: text(value, "cuk")?, addresses, remains })
    }
}

impl Message {
    fn read(value: &Value) -> anyhow::Result<Self> {
        Ok(Self {
            exchange: text(value, "exchange")?,
            routing_key: text(value, "routing_key")?,
            body: text(value, "body_text")?,
            note: text(value, "note")?,
        })
    }
}

fn text(value: &Value, key: &str) -> anyhow::Result<String> {
    value[key].as_str().map(str::to_owned).with_context(|| format!("the recording lacks {key}"))
}

fn list<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a [Value]> {
    value[key].as_array().map(Vec::as_slice).with_context(|| format!("the recording lacks {key}"))
}
