//! Escaping of values in the output of a template, for formats that a value must not break out of.
//!
//! One filter of each format marks its result as escaped. Results of other filters are escaped like any
//! value, since text that is harmless in one format may not be in another.

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, Output};

use super::conversion::{json, python_text, to_json};
use super::encode;

/// The encoding of values in a template's text, so that no value ends its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escape {
    #[default]
    None,
    /// Values within a JSON string, between its quotes; numbers, booleans and null in JSON's form. `tojson`
    /// writes whole values, quotes included.
    Json,
    Xml,
    /// One segment of a path, or one value of a query: everything but letters, digits and `-._~` is
    /// percent-encoded. `urlencode` keeps slashes, `form` writes blanks as `+`.
    Url,
    /// One word of a routing key: dots, and the binding patterns `*` and `#`, become `_`. `dotted` keeps
    /// dots.
    Word,
}

impl Escape {
    pub(super) fn install(self, engine: &mut Environment<'static>) {
        match self {
            Self::None => {}
            Self::Json => {
                engine.add_filter("tojson", |value: &Value| to_json(value).map(safe));
                engine.add_filter("to_json", |value: &Value| to_json(value).map(safe));
                engine.set_formatter(|out, _, value| write(out, value, in_json));
            }
            Self::Xml => {
                engine.add_filter("xml", |value: &Value| encode::xml(value).map(safe));
                engine.set_formatter(|out, _, value| write(out, value, encode::xml));
            }
            Self::Url => {
                engine.add_filter("urlencode", |value: &Value| encode::url(value).map(safe));
                engine.add_filter("form", |value: &Value| encode::form(value).map(safe));
                engine.set_formatter(|out, _, value| write(out, value, encode::segment));
            }
            Self::Word => {
                engine.add_filter("dotted", |value: &Value| encode::words(value).map(safe));
                engine.set_formatter(|out, _, value| write(out, value, encode::word));
            }
        }
    }
}

fn safe(text: String) -> Value {
    Value::from_safe_string(text)
}

fn write(
    out: &mut Output<'_>,
    value: &Value,
    escape: impl Fn(&Value) -> Result<String, Error>,
) -> Result<(), Error> {
    match value.as_str() {
        // The result of an `if` without `else`.
        _ if value.is_undefined() => Ok(()),
        Some(text) if value.is_safe() => out.write_str(text).map_err(Error::from),
        Some(_) | None => out.write_str(&escape(value)?).map_err(Error::from),
    }
}

fn in_json(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Bool | ValueKind::None | ValueKind::Number => Ok(json(value, 0)?.to_string()),
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => Ok(inside(&json(value, 0)?.to_string())),
        _ => Ok(inside(&python_text(value))),
    }
}

fn inside(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use osnl_model::Notification;
    use serde_json::json;

    use super::super::{Names, Template};
    use super::*;

    fn check(escape: Escape, cases: &[(&str, &str)]) {
        let payload = json!({
            "name": "a\"b\\c\n<&'> ü/../?x=1", "n": 3, "yes": true, "null": null, "list": ["\"", 1], "safe": "abc", "key": "x.y.#.*z",
        });
        let names = Names::from(Notification { payload, ..Notification::default() });
        for (source, expected) in cases {
            let rendered =
                Template::escaping(source, &[], escape).expect(source).render(&names).expect(source);
            assert_eq!(rendered, *expected, "{escape:?} {source}");
        }
    }

    #[test]
    fn no_value_breaks_out_of_its_place() {
        check(
            Escape::Json,
            &[
                (r#""{{ payload.name }}""#, r#""a\"b\\c\n<&'> ü/../?x=1""#),
                ("{{ payload.n }} {{ payload.yes }} {{ payload.null }}", "3 true null"),
                (r#""{{ payload.list }}""#, r#""[\"\\\"\",1]""#),
                ("{{ payload.list|tojson }}", r#"["\"", 1]"#),
                ("{{ payload.name|xml }}", r"a&quot;b\\c&#10;&lt;&amp;&#39;&gt; ü/../?x=1"),
                ("<{{ payload.missing if false }}>", "<>"),
                (r#"{{ "x" ~ payload.safe }}"#, "xabc"),
            ],
        );
        check(
            Escape::Xml,
            &[
                ("<a b='{{ payload.name }}'/>", "<a b='a&quot;b\\c&#10;&lt;&amp;&#39;&gt; ü/../?x=1'/>"),
                ("{{ payload.name|xml }}", "a&quot;b\\c&#10;&lt;&amp;&#39;&gt; ü/../?x=1"),
                ("{{ payload.list|tojson }}", "[&quot;\\&quot;&quot;, 1]"),
            ],
        );
        check(
            Escape::Word,
            &[
                ("a.{{ payload.key }}.b", "a.x_y____z.b"),
                ("{{ payload.key|dotted }}", "x.y._._z"),
                ("{{ payload.n }}.{{ payload.yes }}", "3.True"),
            ],
        );
        check(
            Escape::Url,
            &[
                ("/{{ payload.name }}/x", "/a%22b%5Cc%0A%3C%26%27%3E%20%C3%BC%2F..%2F%3Fx%3D1/x"),
                ("/{{ payload.name|urlencode }}", "/a%22b%5Cc%0A%3C%26%27%3E%20%C3%BC/../%3Fx%3D1"),
                (
                    "{{ payload.name|xml }}",
                    "a%26quot%3Bb%5Cc%26%2310%3B%26lt%3B%26amp%3B%26%2339%3B%26gt%3B%20%C3%BC%2F..%2F%3Fx%3D1",
                ),
            ],
        );
        check(Escape::None, &[("{{ payload.name }}", "a\"b\\c\n<&'> ü/../?x=1")]);
    }
}
