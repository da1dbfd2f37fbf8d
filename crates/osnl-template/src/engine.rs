//! The one configured engine: which filters and tests there are, and what bounds them.
//!
//! Only what is listed here exists. Left out is what formats without a bound (`format`, `indent`, `pprint`),
//! what escapes for HTML, and every function (`range`, `debug`).

use std::io;
use std::sync::{Arc, LazyLock};

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, filters, tests};
use osnl_model::Pattern;

use super::encode;
use super::methods::{self, bounded_join, bounded_replace};
use super::numbers;
use super::{FUEL, LONGEST_OUTPUT};

/// The filters.
pub(super) const FILTERS: &[&str] = &[
    "abs",
    "attr",
    "bool",
    "capitalize",
    "count",
    "d",
    "default",
    "dictsort",
    "dotted",
    "first",
    "float",
    "form",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "to_json",
    "tojson",
    "trim",
    "unique",
    "upper",
    "urlencode",
    "xml",
];

/// The tests.
pub(super) const TESTS: &[&str] = &[
    "!=",
    "<",
    "<=",
    "==",
    ">",
    ">=",
    "boolean",
    "contains",
    "defined",
    "divisibleby",
    "eq",
    "equalto",
    "even",
    "false",
    "falsy",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "match",
    "ne",
    "none",
    "number",
    "odd",
    "regex",
    "search",
    "sequence",
    "string",
    "true",
    "truthy",
    "undefined",
    "upper",
];

/// The value of a quoted string of the source.
pub(super) fn unquoted(quoted: &str) -> Option<String> {
    let value = ENGINE.compile_expression(quoted).ok()?.eval(()).ok()?;
    value.as_str().map(str::to_owned)
}

pub(super) static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(engine);

fn engine() -> Environment<'static> {
    let mut engine = Environment::empty();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    // Errors tell the place, and which name is missing, in this mode only.
    engine.set_debug(true);
    engine.set_fuel(Some(FUEL));
    engine.set_recursion_limit(50);
    engine.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    engine.set_unknown_method_callback(methods::call);
    add_filters(&mut engine);
    add_tests(&mut engine);
    engine
}

fn add_filters(engine: &mut Environment<'_>) {
    engine.add_filter("abs", filters::abs);
    engine.add_filter("attr", filters::attr);
    engine.add_filter("bool", as_bool);
    engine.add_filter("capitalize", filters::capitalize);
    engine.add_filter("count", filters::length);
    engine.add_filter("d", filters::default);
    engine.add_filter("default", filters::default);
    engine.add_filter("dictsort", filters::dictsort);
    engine.add_filter("dotted", |value: &Value| encode::words(value));
    engine.add_filter("first", filters::first);
    engine.add_filter("float", numbers::float);
    engine.add_filter("form", encode::form);
    engine.add_filter("int", numbers::int);
    engine.add_filter("items", filters::items);
    engine.add_filter("join", bounded_join);
    engine.add_filter("last", filters::last);
    engine.add_filter("length", filters::length);
    engine.add_filter("list", filters::list);
    engine.add_filter("lower", filters::lower);
    engine.add_filter("map", filters::map);
    engine.add_filter("max", filters::max);
    engine.add_filter("min", filters::min);
    engine.add_filter("reject", filters::reject);
    engine.add_filter("rejectattr", filters::rejectattr);
    engine.add_filter("replace", bounded_replace);
    engine.add_filter("reverse", filters::reverse);
    engine.add_filter("round", filters::round);
    engine.add_filter("select", filters::select);
    engine.add_filter("selectattr", filters::selectattr);
    engine.add_filter("sort", filters::sort);
    engine.add_filter("split", filters::split);
    engine.add_filter("string", filters::string);
    engine.add_filter("sum", filters::sum);
    engine.add_filter("title", filters::title);
    engine.add_filter("to_json", to_json);
    engine.add_filter("tojson", to_json);
    engine.add_filter("trim", filters::trim);
    engine.add_filter("unique", filters::unique);
    engine.add_filter("upper", filters::upper);
    engine.add_filter("urlencode", encode::url);
    engine.add_filter("xml", encode::xml);
}

fn add_tests(engine: &mut Environment<'_>) {
    let mut compare = |names: &[&'static str], test: fn(&Value, &Value) -> bool| {
        for name in names {
            engine
                .add_test(*name, move |value: &Value, other: &Value| Ok(test(there(value)?, there(other)?)));
        }
    };
    compare(&["==", "eq", "equalto"], tests::is_eq);
    compare(&["!=", "ne"], tests::is_ne);
    compare(&["<", "lt", "lessthan"], tests::is_lt);
    compare(&["<=", "le"], tests::is_le);
    compare(&[">", "gt", "greaterthan"], tests::is_gt);
    compare(&[">=", "ge"], tests::is_ge);
    engine.add_test("boolean", tests::is_boolean);
    engine.add_test("contains", contains);
    engine.add_test("defined", tests::is_defined);
    engine.add_test("divisibleby", numbers::is_divisible);
    engine.add_test("even", numbers::is_even);
    engine.add_test("false", tests::is_false);
    engine.add_test("falsy", |value: &Value| there(value).map(|value| !value.is_true()));
    engine.add_test("float", tests::is_float);
    engine.add_test("in", |state: &mut State<'_, '_>, what: &Value, within: &Value| {
        tests::is_in(state, there(what)?, there(within)?)
    });
    engine.add_test("integer", tests::is_integer);
    engine.add_test("iterable", |value: &Value| {
        there(value).map(|value| !value.is_none() && tests::is_iterable(value))
    });
    engine.add_test("lower", tests::is_lower);
    engine.add_test("mapping", tests::is_mapping);
    engine.add_test("match", |value: &Value, pattern: &Value| matches(value, pattern, Place::Start));
    engine.add_test("none", tests::is_none);
    engine.add_test("number", tests::is_number);
    engine.add_test("odd", numbers::is_odd);
    engine.add_test("regex", |value: &Value, pattern: &Value| matches(value, pattern, Place::Anywhere));
    engine.add_test("search", |value: &Value, pattern: &Value| matches(value, pattern, Place::Anywhere));
    engine.add_test("sequence", |value: &Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map)
    });
    engine.add_test("string", tests::is_string);
    engine.add_test("true", tests::is_true);
    engine.add_test("truthy", |value: &Value| there(value).map(Value::is_true));
    engine.add_test("undefined", tests::is_undefined);
    engine.add_test("upper", tests::is_upper);
}

/// An undefined value is an error here, whatever the engine lets pass.
pub(super) fn there(value: &Value) -> Result<&Value, Error> {
    if value.is_undefined() { Err(Error::from(ErrorKind::UndefinedError)) } else { Ok(value) }
}

/// The place at which a pattern must match.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Start,
    Anywhere,
}

/// As Ansible: a number is matched as it is written; null matches nothing.
fn matches(value: &Value, pattern: &Value, place: Place) -> Result<bool, Error> {
    let wrong = |what: &str, kind: ValueKind| {
        Error::new(ErrorKind::InvalidOperation, format!("{what} is no text but {kind}"))
    };
    let (value, pattern) = (there(value)?, there(pattern)?);
    let pattern = pattern.as_str().ok_or_else(|| wrong("the pattern", pattern.kind()))?;
    let text = match value.kind() {
        ValueKind::String => value.clone(),
        ValueKind::Number | ValueKind::Bool => Value::from(methods::python_text(value)),
        ValueKind::None => return Ok(false),
        kind => return Err(wrong("the value", kind)),
    };
    let compiled = pattern_of(pattern, place).map_err(|problem| {
        Error::new(ErrorKind::InvalidOperation, format!("the pattern cannot be compiled: {problem}"))
    })?;
    compiled
        .matches(text.as_str().unwrap_or_default())
        .map_err(|_| Error::new(ErrorKind::InvalidOperation, "the pattern was given up after too many steps"))
}

/// Returns the compiled pattern, the same for every caller.
pub(super) fn pattern_of(pattern: &str, place: Place) -> Result<Arc<Pattern>, String> {
    patterns::compiled(pattern, matches!(place, Place::Anywhere))
}

/// Ansible's: the list, the text or the object has it.
fn contains(state: &mut State<'_, '_>, within: &Value, what: &Value) -> Result<bool, Error> {
    match there(within)?.kind() {
        kind @ (ValueKind::None | ValueKind::Bool | ValueKind::Number) => Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("the value is no text, list or map but {kind}"),
        )),
        _ => tests::is_in(state, there(what)?, within),
    }
}

/// Ansible's: `"yes"`, `"on"`, `"1"` and `"true"` in any case, and 1.
fn as_bool(value: &Value) -> Result<bool, Error> {
    let value = there(value)?;
    Ok(match value.kind() {
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default().to_lowercase();
            ["yes", "on", "1", "true", "t", "y"].contains(&&*text)
        }
        ValueKind::Bool => value.is_true(),
        _ => value.as_i64() == Some(1),
    })
}

/// As Python's `json.dumps` spells it, without sorting.
pub(super) fn to_json(value: &Value) -> Result<String, Error> {
    let json = methods::json(there(value)?, 0)?;
    osnl_model::to_python_json(&json)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// The output of a template so far, which is bounded.
#[derive(Default)]
pub(super) struct Written {
    bytes: Vec<u8>,
    full: bool,
}

impl Written {
    pub(super) fn full(&self) -> bool {
        self.full
    }

    pub(super) fn into_text(self) -> String {
        String::from_utf8(self.bytes).unwrap_or_default()
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > LONGEST_OUTPUT {
            self.full = true;
            return Err(io::Error::other(super::error::TOO_LONG));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Patterns are texts of the source nearly always, so each is compiled once.
mod patterns {
    use super::*;
    use std::collections::HashMap;
    use std::sync::{Mutex, PoisonError};

    /// The bound beyond which all are forgotten: templates can make patterns from what notifications hold.
    const REMEMBERED: usize = 1024;

    type Compiled = HashMap<(bool, Box<str>), Arc<Pattern>>;
    static COMPILED: LazyLock<Mutex<Compiled>> = LazyLock::new(Mutex::default);

    pub(super) fn compiled(pattern: &str, anywhere: bool) -> Result<Arc<Pattern>, String> {
        let key = (anywhere, Box::from(pattern));
        let mut all = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = all.get(&key) {
            return Ok(found.clone());
        }
        let source = if anywhere { searching(pattern) } else { pattern.to_owned() };
        let compiled = Arc::new(Pattern::new(&source).map_err(|error| error.message)?);
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(key, compiled.clone());
        Ok(compiled)
    }
}

/// A pattern for `re.match` that finds what `re.search` would. Flags must stay in front.
fn searching(pattern: &str) -> String {
    let flags = pattern.strip_prefix("(?").and_then(|rest| rest.split_once(')')).map(|(flags, _)| flags);
    let is_flags = |flags: &&str| !flags.is_empty() && flags.chars().all(|c| "aiLmsux".contains(c));
    match flags.filter(is_flags) {
        Some(flags) => {
            let (head, rest) = pattern.split_at(flags.len() + 3);
            // A comment at the end of a verbose pattern would swallow the parenthesis.
            let end = if flags.contains('x') { "\n" } else { "" };
            format!("{head}[\\s\\S]*?(?:{rest}{end})")
        }
        None => format!("[\\s\\S]*?(?:{pattern})"),
    }
}
