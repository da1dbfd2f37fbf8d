//! The body of a request: a text by template, a form, the event itself, or nothing.
//!
//! | `format` | values of the event in `body` | check |
//! | --- | --- | --- |
//! | `json` | as inside a JSON text: `"name": "{{ payload.name }}"`; with `tojson`, as a whole value | valid JSON |
//! | `ndjson` | as `json` | valid JSON values, each written on a line |
//! | `xml` | `&`, `<`, `>` and quotes escaped | |
//! | `form` | none: each `field.KEY` is a parameter, encoded | |
//! | `text` | unchanged | |

use osnl_config::template::{Escape, Names, Template};
use osnl_core::misfit::{Misfit, MisfitCause};
use osnl_model::mask_secrets;
use osnl_net::http::Method;
use osnl_net::http::header::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::driver::EVENT;

const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'*');

/// The option `format`: the escape of values, the content type, and the check of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFormat {
    Json,
    Ndjson,
    Xml,
    Form,
    Text,
}

impl BodyFormat {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Xml => "application/xml; charset=utf-8",
            Self::Form => "application/x-www-form-urlencoded",
            Self::Text => "text/plain; charset=utf-8",
        }
    }

    pub(super) fn escape(self) -> Escape {
        match self {
            Self::Json | Self::Ndjson => Escape::Json,
            Self::Xml => Escape::Xml,
            Self::Form | Self::Text => Escape::None,
        }
    }
}

/// The body as the options give it.
#[derive(Clone, Debug)]
pub(super) enum RequestBody {
    /// No `body` is configured: the method decides between [`Self::Event`] and [`Self::Nothing`].
    Usual,
    Nothing,
    Event,
    Text(BodyFormat, Template),
    Form(Vec<(String, Template)>),
}

impl RequestBody {
    pub(super) fn for_method(&self, method: &Method) -> &Self {
        match self {
            Self::Usual if [Method::POST, Method::PUT, Method::PATCH].contains(method) => &Self::Event,
            Self::Usual => &Self::Nothing,
            Self::Nothing | Self::Event | Self::Text(..) | Self::Form(_) => self,
        }
    }

    pub(super) fn format(&self) -> Option<BodyFormat> {
        match self {
            Self::Usual | Self::Nothing => None,
            Self::Event => Some(BodyFormat::Json),
            Self::Text(format, _) => Some(*format),
            Self::Form(_) => Some(BodyFormat::Form),
        }
    }

    pub(super) fn is_lines(&self) -> bool {
        matches!(self, Self::Text(BodyFormat::Ndjson, _))
    }

    pub(super) fn render(&self, names: &Names) -> Result<String, Misfit> {
        match self {
            Self::Usual | Self::Nothing => Ok(String::new()),
            Self::Event => Ok(event(names).to_string()),
            Self::Text(format, template) => {
                let mut named = names.clone();
                if template.roots().any(|root| root == EVENT) {
                    named = named.with(EVENT, event(names));
                }
                let text = template.render(&named).map_err(|error| Misfit::in_option("body", error))?;
                // With unknown values outside quotes, the text becomes JSON only once the values
                // are known.
                let is_known = names.unknown().next().is_none();
                match format {
                    BodyFormat::Json if is_known => json_of(&text)?,
                    BodyFormat::Ndjson if is_known => return lines(&text),
                    _ => {}
                }
                Ok(text)
            }
            Self::Form(fields) => Ok(rendered(fields, "field", names)?
                .iter()
                .map(|(key, value)| format!("{}={}", form_encoded(key), form_encoded(value)))
                .collect::<Vec<_>>()
                .join("&")),
        }
    }
}

fn json_of(text: &str) -> Result<(), Misfit> {
    let read = serde_json::from_str::<IgnoredAny>(text);
    read.map(drop).map_err(|error| {
        let cause = MisfitCause::not_json("the rendered template is not JSON", &error);
        Misfit::in_option("body", cause)
    })
}

fn lines(text: &str) -> Result<String, Misfit> {
    let mut lines = String::with_capacity(text.len() + 1);
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let mut begin = 0;
    while let Some(value) = values.next() {
        value.map_err(|error| {
            let what = "the rendered template has a line that is not JSON";
            Misfit::in_option("body", MisfitCause::not_json(what, &error))
        })?;
        let end = values.byte_offset();
        // A line end within a value is only between its parts: strings have it escaped.
        let parts: Vec<&str> = text[begin..end].lines().map(str::trim).collect();
        lines.push_str(parts.join(" ").trim());
        lines.push('\n');
        begin = end;
    }
    if lines.is_empty() {
        return Err(Misfit::in_option("body", "the rendered template has no line"));
    }
    Ok(lines)
}

pub(crate) fn rendered(
    pairs: &[(String, Template)],
    option: &str,
    names: &Names,
) -> Result<Vec<(String, String)>, Misfit> {
    let pair = |(key, template): &(String, Template)| match template.render(names) {
        Ok(value) => Ok((key.clone(), value)),
        Err(error) => Err(Misfit::in_option(format!("{option}.{key}"), error)),
    };
    pairs.iter().map(pair).collect()
}

pub(super) fn form_encoded(text: &str) -> String {
    utf8_percent_encode(text, FORM).to_string().replace("%20", "+")
}

/// Returns the event as an object, with the answers of enrichments: the body if the operator
/// configures no template.
pub(super) fn event(names: &Names) -> Value {
    let notification = names.notification();
    let mut event = json!({
        "event_type": notification.event_type,
        "publisher_id": notification.publisher_id,
        "priority": notification.priority.as_ref().map(|priority| priority.as_str()),
        "message_id": notification.message_id,
        "timestamp": notification.timestamp,
        "payload": mask_secrets(&notification.payload),
    });
    if let Some(found) = names.found() {
        event["enrichments"] = mask_secrets(&found);
    }
    event
}

pub(super) fn content_type(text: &str) -> Option<HeaderValue> {
    let mut pieces = text.split(';').next().unwrap_or_default().trim_end().split('/');
    let token = |piece: Option<&str>| {
        let letter = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        piece.is_some_and(|piece| !piece.is_empty() && piece.bytes().all(letter))
    };
    let is_one = token(pieces.next()) && token(pieces.next()) && pieces.next().is_none();
    HeaderValue::try_from(text).ok().filter(|value| is_one && value.to_str().is_ok())
}
