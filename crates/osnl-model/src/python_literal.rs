//! Python values written as text, which some services send where an object is meant: `"{'x': 'y'}"`.

use serde_json::{Map, Number, Value};

/// Deeper is no literal of a service's.
const DEEPEST: usize = 64;

/// Reads what Python's `repr` gives for dictionaries, lists, tuples, sets, texts, bytes, numbers, `None` and
/// booleans.
///
/// Tuples and sets become arrays; keys that are no text become the text they were written with; an integer
/// beyond 64 bits becomes a float; what is made by a call (`ValueError('x')`) is the text of the call. `None` for anything else, such as `<object at 0x7f>` inside.
#[must_use]
pub fn parse_python_literal(text: &str) -> Option<Value> {
    let mut reader = Reader { rest: text };
    let value = reader.value(0)?;
    reader.blanks();
    reader.rest.is_empty().then_some(value)
}

/// A value as Python's `repr` writes it.
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

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, what: char) -> bool {
        self.blanks();
        let rest = self.rest.strip_prefix(what);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        self.blanks();
        match self.rest.chars().next()? {
            '{' => self.braces(depth),
            '[' => self.items('[', ']', depth),
            '(' => self.items('(', ')', depth),
            '\'' | '"' => self.text().map(Value::String),
            'u' | 'b' | 'r' if self.rest[1..].starts_with(['\'', '"']) => {
                self.rest = &self.rest[1..];
                self.text().map(Value::String)
            }
            _ => self.word_or_call(depth),
        }
    }

    /// A dictionary or a set.
    fn braces(&mut self, depth: usize) -> Option<Value> {
        self.eat('{');
        let (mut members, mut items) = (Map::new(), Vec::new());
        while !self.eat('}') {
            let first = self.value(depth + 1)?;
            if self.eat(':') {
                let key = match first {
                    Value::String(text) => text,
                    other => python_repr(&other),
                };
                members.insert(key, self.value(depth + 1)?);
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

    fn items(&mut self, open: char, close: char, depth: usize) -> Option<Value> {
        self.eat(open);
        let mut items = Vec::new();
        while !self.eat(close) {
            items.push(self.value(depth + 1)?);
            if !self.eat(',') && !self.rest.starts_with(close) {
                return None;
            }
        }
        Some(Value::Array(items))
    }

    /// `None`, `12`, or `ValueError('x', code=1)`.
    fn word_or_call(&mut self, depth: usize) -> Option<Value> {
        let before = self.rest;
        let name = self.word();
        if !self.rest.starts_with('(') {
            return word(name);
        }
        self.eat('(');
        while !self.eat(')') {
            if let Some((keyword, value)) = self.rest.split_once('=')
                && keyword.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            {
                self.rest = value;
            }
            self.value(depth + 1)?;
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

fn code(chars: &mut std::str::CharIndices<'_>, digits: usize) -> Option<char> {
    let text: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
    char::from_u32(u32::from_str_radix(&text, 16).ok()?)
}

fn word(word: &str) -> Option<Value> {
    match word {
        "None" => Some(Value::Null),
        "True" => Some(Value::Bool(true)),
        "False" => Some(Value::Bool(false)),
        // `inf` and `nan` are read as Python's JSON of them is: as nothing.
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
}
