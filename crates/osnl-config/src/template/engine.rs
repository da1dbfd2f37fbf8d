//! The one configured engine: its filters, its tests, and their bounds.
//!
//! The filters and tests are those of [`vocabulary`](super::vocabulary). Unbounded formatters (`format`,
//! `indent`, `pprint`), escapes for HTML, and all functions (`range`, `debug`) are left out.
//!
//! `fast_path` decides plain comparisons without the engine, with the same result.

use std::io;
use std::sync::LazyLock;

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, filters, tests};

use super::conversion::{python_text, there, to_json};
use super::encode;
use super::limits::{FUEL, LONGEST_OUTPUT, TOO_LONG};
use super::methods::{self, bounded_join, bounded_replace};
use super::names::with_paths;
use super::numbers;
use super::patterns::{MatchPosition, pattern_of};
use super::work;

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
    let mut add = |name, filter| engine.add_filter(name, work::filter(name, filter, with_paths));
    add("abs", Value::from_function(filters::abs));
    add("attr", Value::from_function(filters::attr));
    add("bool", Value::from_function(as_bool));
    add("capitalize", Value::from_function(filters::capitalize));
    add("count", Value::from_function(filters::length));
    add("d", Value::from_function(filters::default));
    add("default", Value::from_function(filters::default));
    add("dictsort", Value::from_function(filters::dictsort));
    add("dotted", Value::from_function(|value: &Value| encode::words(value)));
    add("first", Value::from_function(filters::first));
    add("float", Value::from_function(numbers::float));
    add("form", Value::from_function(encode::form));
    add("int", Value::from_function(numbers::int));
    add("items", Value::from_function(filters::items));
    add("join", Value::from_function(bounded_join));
    add("last", Value::from_function(filters::last));
    add("length", Value::from_function(filters::length));
    add("list", Value::from_function(filters::list));
    add("lower", Value::from_function(filters::lower));
    add("map", Value::from_function(filters::map));
    add("max", Value::from_function(filters::max));
    add("min", Value::from_function(filters::min));
    add("reject", Value::from_function(filters::reject));
    add("rejectattr", Value::from_function(filters::rejectattr));
    add("replace", Value::from_function(bounded_replace));
    add("reverse", Value::from_function(filters::reverse));
    add("round", Value::from_function(filters::round));
    add("select", Value::from_function(filters::select));
    add("selectattr", Value::from_function(filters::selectattr));
    add("sort", Value::from_function(filters::sort));
    add("split", Value::from_function(filters::split));
    add("string", Value::from_function(filters::string));
    add("sum", Value::from_function(filters::sum));
    add("title", Value::from_function(filters::title));
    add("to_json", Value::from_function(to_json));
    add("tojson", Value::from_function(to_json));
    add("trim", Value::from_function(filters::trim));
    add("unique", Value::from_function(filters::unique));
    add("unix", Value::from_function(numbers::unix));
    add("upper", Value::from_function(filters::upper));
    add("urlencode", Value::from_function(encode::url));
    add("xml", Value::from_function(encode::xml));
}

fn add_tests(engine: &mut Environment<'_>) {
    let mut add = |name: &'static str, test| engine.add_test(name, work::test(test));
    let mut compare = |names: &[&'static str], test: fn(&Value, &Value) -> bool| {
        for &name in names {
            let test = move |value: &Value, other: &Value| Ok::<_, Error>(test(there(value)?, there(other)?));
            add(name, Value::from_function(test));
        }
    };
    compare(&["==", "eq", "equalto"], tests::is_eq);
    compare(&["!=", "ne"], tests::is_ne);
    compare(&["<", "lt", "lessthan"], tests::is_lt);
    compare(&["<=", "le"], tests::is_le);
    compare(&[">", "gt", "greaterthan"], tests::is_gt);
    compare(&[">=", "ge"], tests::is_ge);
    add("boolean", Value::from_function(tests::is_boolean));
    add("contains", Value::from_function(contains));
    add("defined", Value::from_function(tests::is_defined));
    add("divisibleby", Value::from_function(numbers::is_divisible));
    add("even", Value::from_function(numbers::is_even));
    add("false", Value::from_function(tests::is_false));
    add("falsy", Value::from_function(|value: &Value| there(value).map(|value| !value.is_true())));
    add("float", Value::from_function(tests::is_float));
    let is_in = |state: &mut State<'_, '_>, what: &Value, within: &Value| {
        tests::is_in(state, there(what)?, there(within)?)
    };
    add("in", Value::from_function(is_in));
    add("integer", Value::from_function(tests::is_integer));
    let is_iterable = |value: &Value| there(value).map(|value| !value.is_none() && tests::is_iterable(value));
    add("iterable", Value::from_function(is_iterable));
    add("lower", Value::from_function(tests::is_lower));
    add("mapping", Value::from_function(tests::is_mapping));
    let begins = |value: &Value, pattern: &Value| matches(value, pattern, MatchPosition::Start);
    add("match", Value::from_function(begins));
    add("none", Value::from_function(tests::is_none));
    add("number", Value::from_function(tests::is_number));
    add("odd", Value::from_function(numbers::is_odd));
    let contains_match = |value: &Value, pattern: &Value| matches(value, pattern, MatchPosition::Anywhere);
    add("regex", Value::from_function(contains_match));
    add("search", Value::from_function(contains_match));
    let is_sequence =
        |value: &Value| matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map);
    add("sequence", Value::from_function(is_sequence));
    add("string", Value::from_function(tests::is_string));
    add("true", Value::from_function(tests::is_true));
    add("truthy", Value::from_function(|value: &Value| there(value).map(Value::is_true)));
    add("undefined", Value::from_function(tests::is_undefined));
    add("upper", Value::from_function(tests::is_upper));
}

/// The longest text in bytes whose first steps of backtracking take less than 30 microseconds.
const SHORT: usize = 512;

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
    let text = text.as_str().unwrap_or_default();
    // Of a short text the first steps cost little, and most patterns need no more.
    let cost = if text.len() <= SHORT {
        4 + text.len() as u64 / 16
    } else {
        compiled.trial_cost(text) / work::NANOSECONDS
    };
    work::spend(cost)?;
    if let Some(matches) = compiled.matches_in_trial(text) {
        return Ok(matches);
    }
    // One long text alone does not exceed the work.
    work::spend((compiled.cost(text) / work::NANOSECONDS).min(super::limits::WORK / 3))?;
    compiled
        .matches(text)
        .map_err(|_| Error::new(ErrorKind::InvalidOperation, "the pattern was given up after too many steps"))
}

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

/// The text that a template writes, which ends with an error at [`LONGEST_OUTPUT`].
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
