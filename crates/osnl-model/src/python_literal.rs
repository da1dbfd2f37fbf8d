//! Python values that some services send as text: `"{'x': 'y'}"`.

use serde_json::{Map, Number, Value};

const DEEPEST: usize = 64;

/// The reason why a text is not read as a Python literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LiteralError {
    NotOne,
    /// The text is nested too deeply, or has too many values; it may be a literal.
    TooMuch,
}

/// Reads the `repr` of Python's dictionaries, lists, tuples, sets, texts, bytes, numbers, `None`
/// and booleans.
///
/// Tuples and sets become arrays, keys that are no text become their literal, an integer beyond 64
/// bits becomes a float, and a call (`ValueError('x')`) becomes its text. `None` for anything else,
/// such as `<object at 0x7f>` inside.
#[must_use]
pub fn parse_python_literal(text: &str) -> Option<Value> {
    read_literal(text, DEEPEST, usize::MAX).ok()
}

/// Reads at most 64 levels. The time is linear in the text's length.
pub(crate) fn read_literal(text: &str, levels: usize, values: usize) -> Result<Value, LiteralError> {
    let mut reader = LiteralReader { rest: text, values, has_too_much: false };
    let found = reader.value(levels.min(DEEPEST)).filter(|_| {
        reader.blanks();
        reader.rest.is_empty()
    });
    found.ok_or(if reader.has_too_much { LiteralError::TooMuch } else { LiteralError::NotOne })
}

pub(crate) fn python_repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(python_repr).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(object) => {
            let members: Vec<String> = object
                .iter()
                .map(|(key, value)| format!("{}: {}", quoted(key), python_repr(value)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote || c == '\\' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// Reads a literal from the rest of a text, within a number of values.
struct LiteralReader<'a> {
    rest: &'a str,
    values: usize,
    has_too_much: bool,
}

impl<'a> LiteralReader<'a> {
    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, what: char) -> bool {
        self.blanks();
        let rest = self.rest.strip_prefix(what);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self, levels: usize) -> Option<Value> {
        self.blanks();
        let first = self.rest.chars().next()?;
        let Some(left) = self.values.checked_sub(1) else {
            self.has_too_much = true;
            return None;
        };
        self.values = left;
        match first {
            '{' => self.braces(levels),
            '[' => self.items('[', ']', levels),
            '(' => self.items('(', ')', levels),
            '\'' | '"' => self.text().map(Value::String),
            'u' | 'b' | 'r' if self.rest[1..].starts_with(['\'', '"']) => {
                self.rest = &self.rest[1..];
                self.text().map(Value::String)
            }
            _ => self.word_or_call(levels),
        }
    }

    fn inner(&mut self, levels: usize) -> Option<Value> {
        match levels.checked_sub(1) {
            Some(levels) => self.value(levels),
            None => {
                self.has_too_much = true;
                None
            }
        }
    }

    fn braces(&mut self, levels: usize) -> Option<Value> {
        self.eat('{');
        let (mut members, mut items) = (Map::new(), Vec::new());
        while !self.eat('}') {
            let first = self.inner(levels)?;
            if self.eat(':') {
                let key = match first {
                    Value::String(text) => text,
                    // Python has no such key. Keys that are dictionaries written as text would
                    // double in size with each level.
                    other if has_object(&other) => return None,
                    other => python_repr(&other),
                };
                members.insert(key, self.inner(levels)?);
            } else {
                items.push(first);
            }
            if !self.eat(',') && !self.rest.starts_with('}') {
                return None;
            }
        }
        match (members.is_empty(), items.is_empty()) {
            (_, true) => Some(Value::Object(members)),
            (true, false) => Some(Value::Array(items)),
            (false, false) => None,
        }
    }

    fn items(&mut self, open: char, close: char, levels: usize) -> Option<Value> {
        self.eat(open);
        let mut items = Vec::new();
        while !self.eat(close) {
            items.push(self.inner(levels)?);
            if !self.eat(',') && !self.rest.starts_with(close) {
                return None;
            }
        }
        Some(Value::Array(items))
    }

    fn word_or_call(&mut self, levels: usize) -> Option<Value> {
        let before = self.rest;
        let name = self.word();
        if !self.rest.starts_with('(') {
            return word(name);
        }
        self.eat('(');
        while !self.eat(')') {
            // Only the keyword's characters are searched, since a search for `=` could read the
            // whole rest.
            let keyword = self.rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
            self.rest = keyword.strip_prefix('=').unwrap_or(self.rest);
            self.inner(levels)?;
            if !self.eat(',') && !self.rest.starts_with(')') {
                return None;
            }
        }
        Some(Value::from(&before[..before.len() - self.rest.len()]))
    }

    fn text(&mut self) -> Option<String> {
        let quote = self.rest.chars().next()?;
        let mut out = String::new();
        let mut chars = self.rest[1..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next()?.1 {
                    'n' => out.push('\n'),
                    'r' => out.push('\r'),
                    't' => out.push('\t'),
                    'x' => out.push(code(&mut chars, 2)?),
                    'u' => out.push(code(&mut chars, 4)?),
                    'U' => out.push(code(&mut chars, 8)?),
                    '\n' => {}
                    other @ ('\\' | '\'' | '"') => out.push(other),
                    other => out.extend(['\\', other]),
                },
                c if c == quote => {
                    self.rest = &self.rest[1 + at + 1..];
                    return Some(out);
                }
                c => out.push(c),
            }
        }
        None
    }

    fn word(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-._".contains(c)));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }
}

fn has_object(value: &Value) -> bool {
    match value {
        Value::Object(_) => true,
        Value::Array(items) => items.iter().any(has_object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn code(chars: &mut std::str::CharIndices<'_>, digits: usize) -> Option<char> {
    let text: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
    char::from_u32(u32::from_str_radix(&text, 16).ok()?)
}

fn word(word: &str) -> Option<Value> {
    match word {
        "None" => Some(Value::Null),
        "True" => Some(Value::Bool(true)),
        "False" => Some(Value::Bool(false)),
        "inf" | "-inf" | "nan" => Some(Value::Null),
        _ if !word.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => None,
        _ => word
            .parse::<i64>()
            .map(Value::from)
            .or_else(|_| word.parse::<u64>().map(Value::from))
            .ok()
            .or_else(|| Number::from_f64(word.parse().ok()?).map(Value::Number)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_python_writes_is_read_and_written() {
        let check =
            |text: &str, expected: Value| assert_eq!(parse_python_literal(text), Some(expected), "{text}");
        check("{'x': 'y'}", json!({"x": "y"}));
        check("{}", json!({}));
        check(" [1, -2.5, None, True, False] ", json!([1, -2.5, null, true, false]));
        check("(1,)", json!([1]));
        check("{1, 2}", json!([1, 2]));
        check("{u'a': b'b', 1: \"it's\"}", json!({"a": "b", "1": "it's"}));
        check(r"'a\'b\\c\n\x41\u00e9\d'", json!("a'b\\c\nAé\\d"));
        check("{'a': {'b': [{}, ()]}}", json!({"a": {"b": [{}, []]}}));
        check(
            "{'e': E('x', [1], a=2), 'b': d.D(2026, 1)}",
            json!({"e": "E('x', [1], a=2)", "b": "d.D(2026, 1)"}),
        );
        check("99999999999999999999", json!(1e20));
        for text in ["{'a': \"b'c\", 'd': [None, True, 1, 'x\\ny']}", "'\\'\"'", "{'é': 'ü'}"] {
            let read = parse_python_literal(text).unwrap();
            assert_eq!(python_repr(&read), text);
        }
    }

    #[test]
    fn what_is_none_is_not_guessed_at() {
        for text in [
            "",
            "{",
            "{'a'",
            "{'a': }",
            "'a",
            "<object>",
            "{'a': <object at 0x7f>}",
            "x",
            "[1 2]",
            "{'a': 1} x",
            "{'a': 1, 2}",
            "'\\x4'",
            "'\\U00110000'",
            "+",
            "(",
            "é",
            "{'a': é}",
            "u",
            "E(",
            "E(1",
            "E(x)",
            "b",
        ] {
            assert_eq!(parse_python_literal(text), None, "{text}");
        }
        assert_eq!(parse_python_literal(&"[".repeat(100_000)), None);
    }

    #[test]
    fn a_literal_that_is_too_much_is_told_from_none() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let check = |text: &str, levels, values, expected| {
            assert_eq!(read_literal(text, levels, values).err(), expected, "{text}");
        };
        check(&nested(5), 4, 99, None);
        check(&nested(6), 4, 99, Some(LiteralError::TooMuch));
        check(&nested(65), 999, 99, None);
        check(&nested(66), 999, 99, Some(LiteralError::TooMuch));
        check("[1, 2]", 9, 3, None);
        check("[1, 2]", 9, 2, Some(LiteralError::TooMuch));
        check("[1, 2", 9, 3, Some(LiteralError::NotOne));
        check(&("{".repeat(40) + &"'a': 1}: 1, ".repeat(40)), 99, 999, Some(LiteralError::NotOne));
        check("{((1, 'a'), (2,)): 1}", 9, 99, None);
    }
}
