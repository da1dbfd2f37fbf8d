//! Events from files: the one reader of all that osnl and services write.
//!
//! | a JSON document with | is | written by |
//! | --- | --- | --- |
//! | `body`, `body_text` or `body_base64` | a received body, with its `queue`, `exchange`, `routing_key`, `properties` and `received` | `osnl tap --save`, `osnl journal export --raw`, the quarantine, and the ring of [unmatched](crate::unmatched) messages |
//! | `oslo.message` | a body in the envelope 2.0 | services |
//! | anything else | a notification; `context` may be one object instead of `_context_<key>` | `osnl tap --format json`, `osnl journal export`, and the actions `dump` and `file` |

use std::borrow::Cow;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use osnl_model::{Budget, DecodeError, Emission, Framing, Priority, python_words};
use osnl_transport::{Properties, stamp};
use serde_json::error::Category;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

/// An event of a file, with the routing that it had.
#[derive(Clone, Debug)]
pub struct RecordedEvent {
    pub line: usize,
    pub body: Vec<u8>,
    pub properties: Properties,
    /// `None` if the file was not written from a listener's messages.
    pub queue: Option<String>,
    pub exchange: Option<String>,
    pub routing_key: Option<String>,
    pub received: Option<SystemTime>,
}

impl RecordedEvent {
    /// Returns an event of osnl's own, in the form of a service's.
    pub(crate) fn own(
        publisher: String,
        (event_type, priority): (&str, Priority),
        message_id: String,
        payload: &Value,
    ) -> Option<Self> {
        let emission = Emission {
            message_id: Some(message_id),
            publisher_id: Some(publisher),
            event_type: Some(event_type.to_owned()),
            priority: Some(priority),
            payload: to_raw_value(payload).ok()?,
            timestamp: Some(stamp::timestamp()),
            unique_id: None,
            context: Vec::new(),
            extra: Vec::new(),
        };
        let properties = Properties {
            content_type: Some("application/json".into()),
            content_encoding: Some("utf-8".into()),
            compression: None,
        };
        let body = emission.body(Framing::Envelope).ok()?.into_bytes();
        Some(Self {
            line: 0,
            body,
            properties,
            queue: None,
            exchange: None,
            routing_key: None,
            received: None,
        })
    }
}

/// The reasons for which a file of saved events cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SavedError {
    #[error("line {line}: not JSON: {reason}; {FORM}")]
    Json { line: usize, reason: String },
    #[error("line {line}: {reason}")]
    Document { line: usize, reason: String },
    #[error("there is no event in it")]
    Empty,
    #[error("{0}")]
    Encoding(&'static str),
}

const FORM: &str = "a file holds JSON documents, one after the other";

impl SavedError {
    #[must_use]
    pub fn in_file(&self, name: &str) -> String {
        match self {
            Self::Json { line, reason } => format!("{name}:{line}: not JSON: {reason}; {FORM}"),
            Self::Document { line, reason } => format!("{name}:{line}: {reason}"),
            Self::Empty | Self::Encoding(_) => format!("{name}: {self}"),
        }
    }
}

pub fn read(text: &str) -> Result<Vec<RecordedEvent>, SavedError> {
    read_first(text, usize::MAX)
}

pub(crate) fn read_first(text: &str, most: usize) -> Result<Vec<RecordedEvent>, SavedError> {
    let documents = documents(text, most)?.into_iter();
    let read =
        |(line, document)| event(document, line).map_err(|reason| SavedError::Document { line, reason });
    let found = documents.map(read).collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() { Err(SavedError::Empty) } else { Ok(found) }
}

/// Returns the text of a file.
pub fn text(bytes: Vec<u8>) -> Result<String, SavedError> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err(SavedError::Encoding("it is compressed with gzip; unpack it first: gunzip"));
    }
    String::from_utf8(bytes)
        .map_err(|_| SavedError::Encoding("it is not UTF-8, as JSON is; convert it first: iconv -t UTF-8"))
}

/// Returns the JSON documents of a text, and the members of its arrays, with their lines. A document may have Python's
/// `NaN`, as the listener reads it.
pub fn documents(text: &str, most: usize) -> Result<Vec<(usize, &str)>, SavedError> {
    if text.starts_with('\u{feff}') {
        return Err(SavedError::Encoding("it begins with a byte order mark; save it without one"));
    }
    let json = without_words(text);
    let (mut line, mut counted) = (1, 0);
    let mut documents = serde_json::Deserializer::from_str(&json).into_iter::<&RawValue>();
    let mut found = Vec::new();
    while let Some(document) = documents.next().filter(|_| found.len() < most) {
        let document = document.map_err(|error| SavedError::Json {
            line: error.line(),
            // The message of serde_json may contain values.
            reason: match error.classify() {
                Category::Eof => "it ends in the middle of a document".to_owned(),
                Category::Syntax | Category::Data | Category::Io => {
                    format!("unexpected character at column {}", error.column())
                }
            },
        })?;
        let start = documents.byte_offset() - document.get().len();
        line += text[counted..start].matches('\n').count();
        counted = start;
        if !document.get().starts_with('[') {
            found.push((line, &text[start..documents.byte_offset()]));
            continue;
        }
        let members: Vec<&RawValue> = serde_json::from_str(document.get())
            .map_err(|error| SavedError::Document { line, reason: error.to_string() })?;
        let mut at = start + 1;
        for member in members.into_iter().take(most - found.len()) {
            at += text[at..].find(|c| !matches!(c, ' ' | '\n' | '\r' | '\t' | ',')).unwrap_or_default();
            let end = at + member.get().len();
            found.push((line, &text[at..end]));
            at = end;
        }
    }
    Ok(found)
}

/// Replaces Python's words by numbers of the same length, so that all places in the text stay.
fn without_words(text: &str) -> Cow<'_, str> {
    let mut json = Cow::Borrowed(text);
    for place in python_words(text) {
        let number = format!("{:0<1$}", "1", place.len());
        json.to_mut().replace_range(place, &number);
    }
    json
}

fn event(document: &str, line: usize) -> Result<RecordedEvent, String> {
    // The message of a parser of any value has none of its content.
    let read = osnl_model::parse_python_json(document);
    let read = read.map_err(|error| match Budget::MOST.decode(document.as_bytes()) {
        Err(DecodeError::TooMuch(excess)) => excess.to_string(),
        Ok(_) | Err(_) => error.to_string(),
    });
    let Value::Object(object) = read? else { return Err("an event is a JSON object".to_owned()) };
    let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
    let (body, properties) = match body_of(&object)? {
        Some(body) => (body, properties_of(&object)),
        None => (plain(document, &object)?, Properties::default()),
    };
    let received = text("received").and_then(|at| at.parse::<Timestamp>().ok()).map(SystemTime::from);
    let (queue, exchange, routing_key) = (text("queue"), text("exchange"), text("routing_key"));
    Ok(RecordedEvent { line, body, properties, queue, exchange, routing_key, received })
}

pub fn body_of(object: &Map<String, Value>) -> Result<Option<Vec<u8>>, String> {
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    if let Some(body) = text("body").or_else(|| text("body_text")) {
        return Ok(Some(body.as_bytes().to_vec()));
    }
    let decoded = text("body_base64").map(|encoded| STANDARD.decode(encoded)).transpose();
    decoded.map_err(|_| "body_base64 is not base64".to_owned())
}

#[must_use]
pub fn properties_of(object: &Map<String, Value>) -> Properties {
    let properties = object.get("properties");
    let property = |key: &str| Some(properties?.get(key)?.as_str()?.to_owned());
    // `osnl tap` writes headers inside the properties, recordings beside them.
    let headers =
        properties.and_then(|properties| properties.get("headers")).or_else(|| object.get("headers"));
    Properties {
        content_type: property("content_type").map(Into::into),
        content_encoding: property("content_encoding").map(Into::into),
        compression: headers.and_then(|headers| Some(headers.get("compression")?.as_str()?.to_owned())),
    }
}

/// Returns the members that [`body_of`] and [`properties_of`] read.
#[must_use]
pub fn body_members(body: &[u8], properties: &Properties) -> Map<String, Value> {
    let mut read_by = Map::new();
    for (name, value) in [
        ("content_type", properties.content_type.as_deref().map(Value::from)),
        ("content_encoding", properties.content_encoding.as_deref().map(Value::from)),
        ("headers", properties.compression.as_ref().map(|compression| json!({"compression": compression}))),
    ] {
        read_by.extend(value.map(|value| (name.to_owned(), value)));
    }
    let (name, body) = match std::str::from_utf8(body) {
        Ok(text) => ("body", text.to_owned()),
        Err(_) => ("body_base64", STANDARD.encode(body)),
    };
    [("properties".to_owned(), read_by.into()), (name.to_owned(), body.into())].into_iter().collect()
}

fn plain(document: &str, object: &Map<String, Value>) -> Result<Vec<u8>, String> {
    if object.contains_key("oslo.message") || !object.get("context").is_some_and(Value::is_object) {
        return Ok(document.as_bytes().to_vec());
    }
    let mut emission = Emission::read(document.as_bytes()).map_err(|error| error.to_string())?;
    for (key, value) in std::mem::take(&mut emission.extra) {
        if key == "context" {
            let context = Emission::read_object(value.get()).map_err(|error| error.to_string())?;
            emission.context.extend(context);
        }
    }
    emission.body(Framing::Bare).map(String::into_bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use osnl_model::Notification;

    use super::*;

    fn check(text: &str, expected: &[(usize, &str, Option<&str>, Option<&str>)]) {
        let read = read(text).unwrap();
        let seen: Vec<_> = read
            .iter()
            .map(|saved| {
                let plain = osnl_model::plain_body(&saved.body, &saved.properties.content_info()).unwrap();
                let event_type = Notification::decode(&plain).unwrap().event_type.unwrap();
                (saved.line, event_type, saved.exchange.clone(), saved.routing_key.clone())
            })
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(line, event, exchange, key)| {
                (*line, (*event).to_owned(), exchange.map(str::to_owned), key.map(str::to_owned))
            })
            .collect();
        assert_eq!(seen, expected, "{text}");
    }

    /// A message without room in the quarantine must still be usable by replay and send.
    #[tokio::test]
    async fn messages_that_left_the_quarantine_are_read_with_their_bytes() {
        use osnl_core::received::ReceivedMessage;
        use osnl_journal::Journal as _;
        use osnl_journal::sqlite::{SqliteJournal, SqliteOptions};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let options = SqliteOptions::new(path).bounded(|bounds| {
            bounds.max_dead = 1;
            bounds.allow_volatile = true;
        });
        let journal = SqliteJournal::open(options, Default::default()).unwrap();
        let mut first = ReceivedMessage::sample(vec![0x78, 0x9c, 0xff], false);
        first.properties.content_encoding = Some("binary".into());
        first.properties.compression = Some("application/x-gzip".to_owned());
        for received in [first.clone(), ReceivedMessage::sample("{", false)] {
            journal.set_aside(received, "why".to_owned()).await;
        }
        let saved = folder.path().join("journal.db.quarantine.jsonl");
        let text = || std::fs::read_to_string(&saved).unwrap_or_default();
        osnl_testkit::wait_until(std::time::Duration::from_secs(20), "one has left", || {
            text().ends_with('\n')
        });
        let read = read(&text()).unwrap();
        assert_eq!((read.len(), &read[0].body[..]), (1, &first.body[..]));
        assert_eq!(read[0].properties.content_encoding, first.properties.content_encoding);
        assert_eq!(read[0].properties.compression, first.properties.compression);
        assert_eq!(read[0].received, Some(first.origin.received));
        assert_eq!(read[0].routing_key.as_deref(), Some("notifications.info"));
        assert_eq!(read[0].queue.as_deref(), Some(&*first.origin.queue));
    }

    #[test]
    fn every_form_is_read() {
        let plain = r#"{"event_type": "a", "payload": {}}"#;
        let envelope = json!({"oslo.version": "2.0", "oslo.message": plain}).to_string();
        check(plain, &[(1, "a", None, None)]);
        check(&envelope, &[(1, "a", None, None)]);
        let saved = |key: &str, body: &str| {
            json!({"received": "2026-11-20T05:05:41.462643Z", "exchange": "nova", "routing_key": "notifications.info",
                   "properties": {"content_type": "application/json"}, key: body})
            .to_string()
        };
        let place = (Some("nova"), Some("notifications.info"));
        for (key, body) in [
            ("body", envelope.clone()),
            ("body_text", plain.to_owned()),
            ("body_base64", STANDARD.encode(plain)),
        ] {
            check(&saved(key, &body), &[(1, "a", place.0, place.1)]);
        }
        let at: SystemTime = "2026-11-20T05:05:41.462643Z".parse::<Timestamp>().unwrap().into();
        assert_eq!(read(&saved("body", plain)).unwrap()[0].received, Some(at));
        let lines = format!("{plain}\n\n{}\n{{\n \"event_type\": \"b\"}}", saved("body", plain));
        check(&lines, &[(1, "a", None, None), (3, "a", place.0, place.1), (4, "b", None, None)]);
        check(&format!("\n[{plain}, {plain}]"), &[(2, "a", None, None), (2, "a", None, None)]);
    }

    #[test]
    fn no_more_is_read_than_wanted() {
        for text in ["{}".repeat(10), format!("[{}{{}}]", "{},".repeat(9))] {
            assert_eq!(read_first(&text, 3).unwrap().len(), 3);
        }
        assert_eq!(read_first("{} {} S3CRET", 1).unwrap().len(), 1);
    }

    #[test]
    fn a_context_in_one_object_becomes_that_of_the_notification() {
        let event =
            r#"{"event_type": "a", "context": {"user": "u"}, "resource": {}, "payload": {"n": 1.50}}"#;
        let body = read(event).unwrap().remove(0).body;
        let notification = Notification::decode(&body).unwrap();
        assert_eq!(notification.context.get("user"), Some(&json!("u")));
        assert!(String::from_utf8(body).unwrap().contains("1.50"), "numbers keep their digits");
    }

    #[test]
    fn what_is_no_event_is_said_with_its_line_and_without_its_content() {
        let check = |text: &str, expected: &str| {
            assert_eq!(read(text).unwrap_err().to_string(), expected);
        };
        check("", "there is no event in it");
        check("[]", "there is no event in it");
        check("{}\n3", "line 2: an event is a JSON object");
        check(
            "{}\n{\"auth_token\": S3CRET}",
            "line 2: not JSON: unexpected character at column 16; a file holds JSON documents, one after the other",
        );
        check(r#"{"body_base64": "***"}"#, "line 1: body_base64 is not base64");
        let deep = format!("{{\"payload\": {}{}}}", "[".repeat(200), "]".repeat(200));
        check(
            &deep,
            "line 1: the message is nested deeper than 120 levels, the most that any listener reads",
        );
        check("\u{feff}{}", "it begins with a byte order mark; save it without one");
        check("{\"a\": -NaN}", "line 1: invalid number at line 1 column 8");
    }

    #[test]
    fn what_the_listener_reads_is_read_from_a_file() {
        let nan = r#"{"event_type": "a", "payload": {"v": NaN, "w": [-Infinity, 1e400], "x": "NaN"}}"#;
        let found = read(&format!("{nan}\n[{nan} ,\n {nan}]\n{nan}")).unwrap();
        let seen: Vec<_> = found.iter().map(|saved| (saved.line, &saved.body[..])).collect();
        let body = nan.as_bytes();
        assert_eq!(seen, [(1, body), (2, body), (2, body), (4, body)]);
        let payload = Notification::decode(body).unwrap().payload;
        assert_eq!(payload, json!({"v": null, "w": [null, null], "x": "NaN"}));
    }

    #[test]
    fn a_file_that_is_no_text_has_a_reason() {
        let check = |bytes: &[u8], expected: &str| {
            assert!(text(bytes.to_vec()).unwrap_err().in_file("f").starts_with(expected), "{expected}");
        };
        check(b"\x1f\x8b\x08", "f: it is compressed with gzip");
        check(b"{\xff", "f: it is not UTF-8");
        assert_eq!(text(b"{}".to_vec()).unwrap(), "{}");
    }
}
