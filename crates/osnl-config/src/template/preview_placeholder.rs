//! Placeholders of values that a preview does not fetch: `{{ server.name }}` is `<server.name>`, and so are results
//! of string filters and methods.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, Value};
use minijinja::{Error, State};

/// A value that a preview does not fetch, by its path.
#[derive(Debug)]
pub(super) struct Placeholder(String);

impl Placeholder {
    pub(super) fn value(path: &str) -> Value {
        Value::from_object(Self(path.to_owned()))
    }
}

pub fn placeholder(path: &str) -> String {
    format!("<{path}>")
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.0)
    }
}

impl Object for Placeholder {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(Self::value(&format!("{}.{key}", self.0)))
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        // Only `get` leads to another value; other methods return the same placeholder.
        match (method, args.first()) {
            ("get", Some(key)) => Ok(Self::value(&format!("{}.{key}", self.0))),
            _ => Ok(Value::from_dyn_object(self.clone())),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

pub fn readable<'a>(text: String, names: impl Iterator<Item = &'a str>) -> String {
    names.fold(text, |text, name| {
        ENDS.iter().fold(text, |text, (open, close)| with_placeholders(&text, name, open, close))
    })
}

const ENDS: [(&str, &str); 2] = [("%3C", "%3E"), ("&lt;", "&gt;")];

fn with_placeholders(text: &str, name: &str, open: &str, close: &str) -> String {
    let begin = format!("{open}{name}");
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&begin) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let path = &from[open.len()..];
        let end = path
            .find(close)
            .filter(|end| path[name.len()..*end].is_empty() || path[name.len()..].starts_with('.'));
        match end {
            Some(end) => {
                out.push_str(&placeholder(&path[..end]));
                rest = &path[end + close.len()..];
            }
            None => {
                out.push_str(&from[..begin.len()]);
                rest = &from[begin.len()..];
            }
        }
    }
    out.push_str(rest);
    out
}
