//! The event as a CloudEvent 1.0, by the bindings of JSON and HTTP.
//!
//! | attribute | value |
//! | --- | --- |
//! | `id` | the message's id and the resource's index: the same for every action and attempt |
//! | `source` | `openstack/` and the publisher, or `cloudevents_source` of `driver = http` |
//! | `type` | `org.openstack.` and the event type, or `cloudevents_type` |
//! | `subject` | the resource's id, or `cloudevents_subject` |
//! | `time` | the notification's timestamp, which is UTC |
//! | `priority` | an extension: `info`, `error`, … |
//!
//! The rendered attributes must be valid by the specification, or the event becomes a dead letter.
//! `id` and `type` are not empty, `source` is a URI-reference, no text has a control character or a
//! noncharacter.
//!
//! **Binary** mode has the attributes in headers `ce-…` and the data as the body; **structured** mode has all of it in
//! one JSON object. Data is the action's body, or the payload with secrets masked.

use jiff::civil::DateTime;
use osnl_config::template::{Names, Template};
use osnl_core::misfit::{Misfit, MisfitCause};
use osnl_net::http::HeaderMap;
use osnl_net::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::driver::OF_EVERY_DRIVER;

pub const STRUCTURED: &str = "application/cloudevents+json; charset=utf-8";
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The binding: attributes in headers, or all in one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloudEventMode {
    Binary,
    Structured,
}

pub(super) const SOURCE: &str = "openstack/{{ publisher_id|default('unknown')|urlencode }}";
pub(super) const TYPE: &str = "org.openstack.{{ event_type }}";
pub(super) const SUBJECT: &str = "{{ resource.id|default('') }}";

/// The templates of the attributes that an action may set.
#[derive(Clone, Debug)]
pub struct AttributeTemplates {
    pub(super) source: Template,
    pub(super) kind: Template,
    pub(super) subject: Template,
}

impl AttributeTemplates {
    /// Returns the templates of an action without options of its own.
    #[must_use]
    pub fn usual() -> Option<Self> {
        let compiled = |text: &str| Template::compile(text, &OF_EVERY_DRIVER).ok();
        Some(Self { source: compiled(SOURCE)?, kind: compiled(TYPE)?, subject: compiled(SUBJECT)? })
    }

    /// Renders the attributes of an event. The headers or the object check them.
    pub fn event(&self, names: &Names, id: String) -> Result<CloudEvent, Misfit> {
        let text = |option: &str, template: &Template| {
            let rendered = template.render(names);
            rendered.map_err(|error| Misfit::in_option(format!("cloudevents_{option}"), error))
        };
        let notification = names.notification();
        Ok(CloudEvent {
            id,
            source: text("source", &self.source)?,
            kind: text("type", &self.kind)?,
            subject: Some(text("subject", &self.subject)?).filter(|subject| !subject.is_empty()),
            time: notification.timestamp.as_deref().and_then(time),
            priority: notification.priority.as_ref().map(|priority| priority.as_str().to_owned()),
        })
    }
}

/// The attributes of one event, rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvent {
    pub(crate) id: String,
    pub(crate) source: String,
    pub(crate) kind: String,
    pub(crate) subject: Option<String>,
    pub(crate) time: Option<String>,
    pub(crate) priority: Option<String>,
}

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
        let maybe = maybe.filter(|(_, value)| !value.is_empty());
        always.into_iter().chain(maybe)
    }

    fn check(&self) -> Result<(), Misfit> {
        for (name, value) in self.attributes() {
            let required = ["id", "source", "type"].contains(&name);
            if required && value.is_empty() {
                return Err(misfit(format!("its {name} is empty")));
            }
            if !value.chars().all(allowed) {
                return Err(misfit(format!("its {name} holds a control character, which none may")));
            }
        }
        if is_uri_reference(&self.source) {
            Ok(())
        } else {
            Err(misfit("its source is not a URI-reference; |urlencode makes values valid in one"))
        }
    }

    pub(crate) fn headers(&self, headers: &mut HeaderMap) -> Result<(), Misfit> {
        self.check()?;
        for (name, value) in self.attributes() {
            let Ok(name) = HeaderName::try_from(format!("ce-{name}")) else { continue };
            let value = HeaderValue::try_from(utf8_percent_encode(value, ESCAPED).to_string());
            headers.insert(name, value.map_err(|error| misfit(error.to_string()))?);
        }
        Ok(())
    }

    /// Returns the event as an object, for structured mode; `data` is of this content type. JSON
    /// data stays JSON with its numbers unchanged.
    pub fn structured(
        &self,
        headers: &mut HeaderMap,
        content_type: &str,
        data: &str,
    ) -> Result<String, Misfit> {
        self.check()?;
        let mut event: Map<String, Value> =
            self.attributes().map(|(name, value)| (name.to_owned(), value.into())).collect();
        event.insert("datacontenttype".to_owned(), content_type.into());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(STRUCTURED));
        if !is_json(content_type) {
            event.insert("data".to_owned(), data.into());
            return Ok(Value::Object(event).to_string());
        }
        let data: &RawValue = serde_json::from_str(data).map_err(|error| {
            misfit(MisfitCause::not_json("its data is not JSON, as its content type says", &error))
        })?;
        let mut text = Value::Object(event).to_string();
        text.truncate(text.len() - 1);
        Ok(format!("{text},\"data\":{data}}}"))
    }
}

fn misfit(cause: impl Into<MisfitCause>) -> Misfit {
    Misfit::in_option("cloudevents", cause)
}

pub(crate) fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.ends_with("/json") || kind.ends_with("+json")
}

fn time(timestamp: &str) -> Option<String> {
    let instant = match timestamp.parse::<jiff::Timestamp>() {
        Ok(instant) => instant,
        Err(_) => {
            let civil: DateTime = timestamp.parse().ok()?;
            civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()
        }
    };
    Some(instant.to_string()).filter(|text| !text.starts_with('-'))
}

fn allowed(c: char) -> bool {
    let code = u32::from(c);
    let noncharacter = code & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&code);
    !c.is_control() && !noncharacter
}

fn is_uri_reference(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#@!$&'()*+,;=%[]".contains(c);
    let encoded = text
        .split('%')
        .skip(1)
        .all(|rest| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    let (path, fragment) = text.split_once('#').map_or((text, ""), |(path, fragment)| (path, fragment));
    let path = path.split('?').next().unwrap_or_default();
    // In the first segment a colon may only end a scheme.
    let scheme = path.split('/').next().unwrap_or_default().split_once(':');
    let scheme_fine = scheme.is_none_or(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    let behind = path.split_once("//").filter(|(before, _)| before.is_empty() || before.ends_with(':'));
    let authority = behind.map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    let brackets = |text: &str| text.matches(['[', ']']).count();
    let authority_fine = match brackets(authority) {
        0 => true,
        2 => authority.rsplit('@').next().is_some_and(|host| {
            host.strip_prefix('[').and_then(|host| host.split_once(']')).is_some_and(|(address, port)| {
                address.parse::<std::net::Ipv6Addr>().is_ok()
                    && (port.is_empty()
                        || port
                            .strip_prefix(':')
                            .is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit())))
            })
        }),
        _ => false,
    };
    text.chars().all(known)
        && encoded
        && scheme_fine
        && authority_fine
        && brackets(text) == brackets(authority)
        && !fragment.contains('#')
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
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn structured_mode_keeps_json_and_quotes_all_else() {
        let check = |content_type: &str, data: &str, expected: Value| {
            let mut headers = HeaderMap::new();
            let body: Value =
                serde_json::from_str(&event().structured(&mut headers, content_type, data).unwrap()).unwrap();
            assert_eq!(headers[CONTENT_TYPE], STRUCTURED);
            assert_eq!(body["data"], expected);
            assert_eq!(body["datacontenttype"], content_type);
            assert_eq!(body["subject"], "a \"ü\" 100%");
            assert_eq!(body.get("priority"), None);
        };
        check("application/json", r#"{"a": [1]}"#, json!({"a": [1]}));
        check("application/problem+JSON; charset=utf-8", "3", json!(3));
        check("text/plain", "3", json!("3"));
        check("application/xml", "<a/>", json!("<a/>"));
        let mut headers = HeaderMap::new();
        let exact =
            event().structured(&mut headers, "application/json", "{\"n\": 12345678901234567890123.10}");
        assert!(exact.unwrap().ends_with(",\"data\":{\"n\": 12345678901234567890123.10}}"));
        let refused = event().structured(&mut headers, "text/json", "no").unwrap_err().to_string();
        let what =
            "cloudevents: its data is not JSON, as its content type says: expected ident at line 1 column 2";
        assert_eq!(refused, what);
    }

    #[test]
    fn an_attribute_is_what_the_specification_allows() {
        let check = |event: CloudEvent, expected: &str| {
            let mut headers = HeaderMap::new();
            let of_headers = event.headers(&mut headers).unwrap_err();
            let of_body = event.structured(&mut headers, "a/b", "").unwrap_err();
            assert!(of_headers.to_string().contains(expected), "{event:?}");
            assert_eq!(of_body, of_headers);
            assert!(headers.is_empty());
        };
        check(CloudEvent { id: String::new(), ..event() }, "its id is empty");
        check(CloudEvent { kind: String::new(), ..event() }, "its type is empty");
        check(CloudEvent { source: String::new(), ..event() }, "its source is empty");
        check(CloudEvent { source: "a b".to_owned(), ..event() }, "not a URI-reference");
        for bad in ["a\nb", "\u{7f}", "\u{85}", "\u{fdd0}", "\u{ffff}", "\u{1fffe}"] {
            check(CloudEvent { subject: Some(bad.to_owned()), ..event() }, "its subject holds a control");
        }
    }

    #[test]
    fn a_source_is_a_uri_reference() {
        for fine in [
            "openstack/compute.host1",
            "https://user@cloud.example:5000/a?b=c#d",
            "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
            "mailto:ops@cloud.example",
            "//[2001:db8::1]:80/a",
            "//u@[::1]",
            "1-555-123-4567",
            "./1:2",
            "a/b:c",
            "?a",
            "#a",
            "%C3%BC",
            "/a//b",
        ] {
            assert!(is_uri_reference(fine), "{fine}");
        }
        for bad in [
            "a b", "ü", "a#b#c", "%", "%4", "%zz", "a%2", "1:2", "a_b:c", ":a", "a[b]", "//[::1", "//[x]/",
            "a\"b", "a<b>", "a\\b", "^", "{a}", "a|b", "`",
        ] {
            assert!(!is_uri_reference(bad), "{bad}");
        }
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
        check("-000001-01-01T00:00:00Z", None);
    }
}
