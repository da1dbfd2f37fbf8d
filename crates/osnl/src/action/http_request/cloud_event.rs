//! The event as a CloudEvent 1.0, by the bindings of JSON and HTTP.
//!
//! | attribute | what it is |
//! | --- | --- |
//! | `id` | the message's id, and which of several resources: the same for every action and attempt |
//! | `source` | `cloudevents_source`, by default `openstack/` and the publisher |
//! | `type` | `cloudevents_type`, by default `org.openstack.` and the event type |
//! | `subject` | `cloudevents_subject`, by default the resource's id |
//! | `time` | the notification's timestamp, which is UTC |
//! | `priority` | an extension: `info`, `error`, … |
//! | others | extensions: an `extension.NAME` each, absent where that is empty |
//!
//! **Binary** mode has the attributes in headers `ce-…` and the data as the body; **structured** mode has all of it in
//! one JSON object. Data is the action's body, or the payload with secrets masked.

use jiff::civil::DateTime;
use osnl_http::HeaderMap;
use osnl_http::header::{CONTENT_TYPE, HeaderName, HeaderValue, InvalidHeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value};

/// Of `application/cloudevents+json`.
pub(in crate::action) const STRUCTURED: &str = "application/cloudevents+json; charset=utf-8";
/// What a header's value may not hold as it is, besides what is not ASCII (HTTP binding, 3.1.3.2).
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// How the event is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloudEventMode {
    /// Attributes as headers.
    Binary,
    /// One JSON object.
    Structured,
}

/// The attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::action) struct CloudEvent {
    pub(in crate::action) id: String,
    pub(in crate::action) source: String,
    pub(in crate::action) kind: String,
    pub(in crate::action) subject: Option<String>,
    pub(in crate::action) time: Option<String>,
    pub(in crate::action) priority: Option<String>,
    /// Names that [`is_extension`] has agreed to, and their values; empty ones are left out.
    pub(in crate::action) extensions: Vec<(String, String)>,
}

/// Whether an attribute of this name may be added: lower-case letters and digits, at most twenty as the specification
/// recommends, and none that it knows itself.
pub(in crate::action) fn is_extension(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=20).contains(&name.len()) && name.chars().all(fine) && !OWN.contains(&name)
}

/// Attributes of the specification, what stands beside them in JSON, and our own.
const OWN: [&str; 11] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
    "data",
    "database64",
    "priority",
];

impl CloudEvent {
    fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        let always = [
            ("specversion", "1.0"),
            ("id", self.id.as_str()),
            ("source", self.source.as_str()),
            ("type", self.kind.as_str()),
        ];
        let maybe = [("subject", &self.subject), ("time", &self.time), ("priority", &self.priority)];
        let maybe = maybe.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let extensions = self.extensions.iter().filter(|(_, value)| !value.is_empty());
        let extensions = extensions.map(|(name, value)| (name.as_str(), value.as_str()));
        always.into_iter().chain(maybe).chain(extensions)
    }

    /// As headers, for binary mode.
    ///
    /// # Errors
    /// None that escaping leaves.
    pub(in crate::action) fn headers(&self, headers: &mut HeaderMap) -> Result<(), InvalidHeaderValue> {
        for (name, value) in self.attributes() {
            // All of them are names of headers by their form.
            let Ok(name) = HeaderName::try_from(format!("ce-{name}")) else { continue };
            headers.insert(name, HeaderValue::try_from(utf8_percent_encode(value, ESCAPED).to_string())?);
        }
        Ok(())
    }

    /// As an object, for structured mode; `data` is of this content type. What is JSON stays JSON.
    pub(in crate::action) fn structured(
        &self,
        headers: &mut HeaderMap,
        content_type: &str,
        data: &str,
    ) -> String {
        let mut event: Map<String, Value> =
            self.attributes().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let json = is_json(content_type).then(|| serde_json::from_str(data).ok()).flatten();
        event.insert("datacontenttype".to_owned(), content_type.into());
        event.insert("data".to_owned(), json.unwrap_or_else(|| data.into()));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(STRUCTURED));
        Value::Object(event).to_string()
    }
}

/// `application/json`, `text/json`, `…+json`, with parameters or without.
pub(in crate::action) fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.ends_with("/json") || kind.ends_with("+json")
}

/// A timestamp of oslo (`2026-11-20 06:36:22.662155`, UTC) or of RFC 3339, in RFC 3339.
pub(in crate::action) fn time(timestamp: &str) -> Option<String> {
    if let Ok(instant) = timestamp.parse::<jiff::Timestamp>() {
        return Some(instant.to_string());
    }
    let civil: DateTime = timestamp.parse().ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> CloudEvent {
        CloudEvent {
            id: "m1".to_owned(),
            source: "openstack/compute.host1".to_owned(),
            kind: "org.openstack.instance.delete.end".to_owned(),
            subject: Some("a \"ü\" 100%".to_owned()),
            time: time("2026-11-20 06:36:22.662155"),
            priority: None,
            extensions: vec![
                ("servername".to_owned(), "web 1".to_owned()),
                ("none".to_owned(), String::new()),
            ],
        }
    }

    #[test]
    fn binary_mode_escapes_what_no_header_may_hold() {
        let mut headers = HeaderMap::new();
        event().headers(&mut headers).unwrap();
        let found: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let expected = [
            ("ce-specversion", "1.0"),
            ("ce-id", "m1"),
            ("ce-source", "openstack/compute.host1"),
            ("ce-type", "org.openstack.instance.delete.end"),
            ("ce-subject", "a%20%22%C3%BC%22%20100%25"),
            ("ce-time", "2026-11-20T06:36:22.662155Z"),
            ("ce-servername", "web%201"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn structured_mode_keeps_json_and_quotes_all_else() {
        let check = |content_type: &str, data: &str, expected: Value| {
            let mut headers = HeaderMap::new();
            let body: Value =
                serde_json::from_str(&event().structured(&mut headers, content_type, data)).unwrap();
            assert_eq!(headers[CONTENT_TYPE], STRUCTURED);
            assert_eq!(body["data"], expected);
            assert_eq!(body["datacontenttype"], content_type);
            assert_eq!(body["subject"], "a \"ü\" 100%");
            assert_eq!((body.get("priority"), &body["servername"]), (None, &json!("web 1")));
        };
        check("application/json", r#"{"a": [1]}"#, json!({"a": [1]}));
        check("application/problem+JSON; charset=utf-8", "3", json!(3));
        check("text/plain", "3", json!("3"));
        check("application/xml", "<a/>", json!("<a/>"));
    }

    #[test]
    fn times_are_utc() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(time(text).as_deref(), expected, "{text}");
        };
        check("2026-11-20 06:36:22.662155", Some("2026-11-20T06:36:22.662155Z"));
        check("2026-11-20T06:36:22", Some("2026-11-20T06:36:22Z"));
        check("2026-11-20T06:36:22+02:00", Some("2026-11-20T04:36:22Z"));
        check("yesterday", None);
    }
}
