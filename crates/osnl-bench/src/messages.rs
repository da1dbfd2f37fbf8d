//! Notifications as neutron and oslo.messaging wrote them, byte for byte, but with ids of their own. A message
//! without a match has a description that fills it up to the requested size.
//!
//! The number of a message is in its instance id, where the [sink](crate::sink) finds it.

use anyhow::{Context as _, Result};
use serde_json::Value;

const RECORDED: &str = include_str!("../../../fixtures/bench/notifications.json");

pub(crate) const SIZE: usize = 4096;

/// Returns the number in an instance id, its last twelve digits; `None` for a foreign id.
pub(crate) fn number_of(instance: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(instance.get(24..36)?).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

/// Returns the instance id in a body; `None` for a foreign body.
pub(crate) fn instance_of(body: &[u8]) -> Option<&str> {
    const START: &[u8] = br#"\"device_id\": \""#;
    let at = body.windows(START.len()).position(|window| window == START)? + START.len();
    std::str::from_utf8(body.get(at..at + 36)?).ok()
}

pub(crate) fn number_in_address(text: &[u8]) -> Option<u64> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.').unwrap_or(text.len());
    let rest = std::str::from_utf8(&text[..end]).ok()?.strip_prefix("10.")?;
    rest.split('.').try_fold(0, |sum, part| Some(sum * 256 + part.parse::<u64>().ok()?))
}

pub(crate) struct Messages {
    deleted: String,
    created: String,
}

impl Messages {
    pub(crate) fn new(size: usize) -> Result<Self> {
        let recorded: Value = serde_json::from_str(RECORDED).context("the recorded notifications")?;
        let find = |event_type: &str| {
            let messages = recorded["messages"].as_array().into_iter().flatten();
            messages
                .filter_map(|message| message["body_text"].as_str())
                .find(|body| {
                    body.contains(&escaped("event_type", event_type)) && body.contains("compute:nova")
                })
                .with_context(|| format!("no recorded {event_type} of an instance"))
        };
        let created = find("port.create.end")?;
        let description = "x".repeat(size.saturating_sub(created.len()));
        let created = created.replacen(&escaped("description", ""), &escaped("description", &description), 1);
        Ok(Self { deleted: find("port.delete.end")?.to_owned(), created })
    }

    pub(crate) fn matching(&self, n: u64) -> Vec<u8> {
        numbered(&self.deleted, n)
    }

    pub(crate) fn small(&self, n: u64, key: u64, size: usize) -> Vec<u8> {
        let [_, _, _, _, _, a, b, c] = n.to_be_bytes();
        let head = format!(
            r#"{{"event_type": "port.delete.end", "publisher_id": "network.vm", "message_id": "10000000-0000-4000-8000-{n:012x}", "_unique_id": "20000000000040008000{n:012x}", "payload": {{"port": {{"device_id": "00000000-0000-4000-8000-{key:012x}", "device_owner": "compute:nova", "fixed_ips": [{{"ip_address": "10.{a}.{b}.{c}"}}], "description": ""#
        );
        let tail = r#""}}}"#;
        let filler = "x".repeat(size.saturating_sub(head.len() + tail.len()));
        format!("{head}{filler}{tail}").into_bytes()
    }

    pub(crate) fn other(&self, n: u64) -> Vec<u8> {
        numbered(&self.created, n)
    }
}

fn escaped(key: &str, value: &str) -> String {
    format!(r#"\"{key}\": \"{value}\""#)
}

fn numbered(template: &str, n: u64) -> Vec<u8> {
    let mut body = template.as_bytes().to_vec();
    for (key, prefix) in [
        ("message_id", "10000000-0000-4000-8000-"),
        ("device_id", "00000000-0000-4000-8000-"),
        ("_unique_id", "20000000000040008000"),
    ] {
        let start = format!(r#"\"{key}\": \""#);
        if let Some(at) = template.find(&start) {
            let id = format!("{prefix}{n:012x}");
            body[at + start.len()..][..id.len()].copy_from_slice(id.as_bytes());
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inner(body: &[u8]) -> Value {
        let body: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(body["oslo.version"], "2.0");
        serde_json::from_str(body["oslo.message"].as_str().unwrap()).unwrap()
    }

    #[test]
    fn messages_have_their_number_their_size_and_ids_of_their_own() {
        let messages = Messages::new(SIZE).unwrap();
        for n in [0, 1, 59_999, 0xffff_ffff] {
            let (deleted, created) = (messages.matching(n), messages.other(n));
            assert_eq!(created.len(), SIZE);
            let (deleted, created) = (inner(&deleted), inner(&created));
            let device = deleted["payload"]["port"]["device_id"].as_str().unwrap();
            assert_eq!(number_of(device.as_bytes()), Some(n));
            assert_eq!(deleted["event_type"], "port.delete.end");
            assert_eq!(created["event_type"], "port.create.end");
        }
        for id in ["message_id", "_unique_id"] {
            assert_ne!(inner(&messages.other(1))[id], inner(&messages.other(2))[id]);
            assert_ne!(inner(&messages.matching(1))[id], inner(&messages.matching(2))[id]);
        }
    }

    #[test]
    fn small_ones_have_their_number_their_key_and_their_size() {
        let messages = Messages::new(0).unwrap();
        for n in [1, 256, 999_999] {
            let body = messages.small(n, 7, 512);
            assert_eq!(body.len(), 512);
            let body: Value = serde_json::from_slice(&body).unwrap();
            let port = &body["payload"]["port"];
            assert_eq!(number_of(port["device_id"].as_str().unwrap().as_bytes()), Some(7));
            let address = format!("{}%22", port["fixed_ips"][0]["ip_address"].as_str().unwrap());
            assert_eq!(number_in_address(address.as_bytes()), Some(n));
        }
        assert_eq!(number_in_address(b"192.0.2.1"), None);
    }

    #[test]
    fn what_is_no_instance_id_of_ours_has_no_number() {
        assert_eq!(number_of(b"00000000-0000-4000-8000-00000000000a&host="), Some(10));
        assert_eq!(number_of(b"00000000-0000-4000-8000-"), None);
        assert_eq!(number_of(b"00000000-0000-4000-8000-not-a-number"), None);
    }
}
