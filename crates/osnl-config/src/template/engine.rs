//! The one configured engine: its filters, its tests, and their bounds.
//!
//! The filters and tests are those of [`vocabulary`](super::vocabulary). Unbounded formatters (`format`,
//! `indent`, `pprint`), escapes for HTML, and all functions (`range`, `debug`) are left out.

use std::io;
use std::sync::LazyLock;

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, filters, tests};

use super::conversion::{python_text, there, to_json};
use super::encode;
use super::limits::{FUEL, LONGEST_OUTPUT, TOO_LONG};
use super::methods::{self, bounded_join, bounded_replace};
use super::numbers;
use super::patterns::{MatchPosition, pattern_of};

pub(super) fn unquoted(quoted: &str) -> Option<String> {
    let value = ENGINE.compile_expression(quoted).ok()?.eval(()).ok()?;
    value.as_str().map(str::to_owned)
}

pub(super) static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(engine);

fn engine() -> Environment<'static> {
    let mut engine = Environment::empty();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    // Only in this mode do errors have the place and the missing name.
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
    engine.add_filter("unix", numbers::unix);
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
    engine.add_test("match", |value: &Value, pattern: &Value| matches(value, pattern, MatchPosition::Start));
    engine.add_test("none", tests::is_none);
    engine.add_test("number", tests::is_number);
    engine.add_test("odd", numbers::is_odd);
    engine
        .add_test("regex", |value: &Value, pattern: &Value| matches(value, pattern, MatchPosition::Anywhere));
    engine.add_test("search", |value: &Value, pattern: &Value| {
        matches(value, pattern, MatchPosition::Anywhere)
    });
    engine.add_test("sequence", |value: &Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map)
    });
    engine.add_test("string", tests::is_string);
    engine.add_test("true", tests::is_true);
    engine.add_test("truthy", |value: &Value| there(value).map(Value::is_true));
    engine.add_test("undefined", tests::is_undefined);
    engine.add_test("upper", tests::is_upper);
}

/// Matches as Ansible: a number as its text; null matches nothing.
fn matches(value: &Value, pattern: &Value, place: MatchPosition) -> Result<bool, Error> {
    let wrong = |what: &str, kind: ValueKind| {
        Error::new(ErrorKind::InvalidOperation, format!("{what} is not a string but {kind}"))
    };
    let (value, pattern) = (there(value)?, there(pattern)?);
    let pattern = pattern.as_str().ok_or_else(|| wrong("the pattern", pattern.kind()))?;
    let text = match value.kind() {
        ValueKind::String => value.clone(),
        ValueKind::Number | ValueKind::Bool => Value::from(python_text(value)),
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

/// Tests as Ansible whether a list, text or object contains a value.
fn contains(state: &mut State<'_, '_>, within: &Value, what: &Value) -> Result<bool, Error> {
    match there(within)?.kind() {
        kind @ (ValueKind::None | ValueKind::Bool | ValueKind::Number) => Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("the value is not a string, list, or map but {kind}"),
        )),
        _ => tests::is_in(state, there(what)?, within),
    }
}

/// Converts as Ansible: `"yes"`, `"on"`, `"1"` and `"true"` in any case, and 1, are true.
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

#[derive(Default)]
pub(super) struct BoundedOutput {
    bytes: Vec<u8>,
    full: bool,
}

impl BoundedOutput {
    pub(super) fn full(&self) -> bool {
        self.full
    }

    pub(super) fn into_text(self) -> String {
        String::from_utf8(self.bytes).unwrap_or_default()
    }
}

impl io::Write for BoundedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > LONGEST_OUTPUT {
            self.full = true;
            return Err(io::Error::other(TOO_LONG));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
