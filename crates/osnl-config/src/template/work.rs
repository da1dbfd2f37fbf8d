//! The work of one evaluation. The engine's fuel counts instructions, but one instruction can compare all
//! elements of two lists.
//!
//! Each value that a notification hands out, each call of a filter, test, or method, and each long text is
//! charged, so that the same event always gives the same verdict. In a template, loops end by a clock also, as
//! operators on texts that a variable holds cannot be charged.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use minijinja::value::{Enumerator, Object, ObjectRepr, Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Error, ErrorKind, State, filters};
use rustix::time::{ClockId, clock_gettime};

use super::limits::{TOO_MUCH, WORK};

/// The cost of one element.
pub(super) const NANOSECONDS: u64 = 100;
const LONGEST_LOOP: Duration = Duration::from_millis(500);
/// The charges from one look at the clock to the next.
const CHARGES_PER_CHECK: u32 = 16;
/// The bytes of a text that cost as much as one element.
const TEXT: usize = 64;

/// Filters that look at no element of a list, or at one.
const OF_ONE_ELEMENT: [&str; 7] = ["attr", "count", "d", "default", "first", "last", "length"];
/// Filters whose cost does not depend on the text's length.
const OF_NO_TEXT: [&str; 5] = ["attr", "d", "default", "first", "last"];

/// Filters that have a result for a missing value.
const OF_MISSING: [&str; 2] = ["d", "default"];

/// The work that is left for the evaluation of this thread.
#[derive(Clone, Copy)]
struct Allowance {
    left: u64,
    until: Option<Duration>,
    charges: u32,
}

const UNBOUNDED: Allowance = Allowance { left: u64::MAX, until: None, charges: 0 };

thread_local! {
    static ALLOWANCE: Cell<Allowance> = const { Cell::new(UNBOUNDED) };
}

/// Evaluates an expression, which has no loops, and takes its work from that of all parts.
pub(super) fn bounded<T>(
    of_parts: Option<&AtomicU64>,
    evaluate: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let allowed = of_parts.map_or(WORK, |left| left.load(Relaxed).min(WORK));
    let (left, result) = within(Allowance { left: allowed, ..UNBOUNDED }, evaluate);
    if let Some(of_parts) = of_parts {
        let _ = of_parts.fetch_update(Relaxed, Relaxed, |all| Some(all.saturating_sub(allowed - left)));
    }
    result
}

/// Evaluates a template, whose loops also end at a time, because operators on texts are not charged.
pub(super) fn bounded_loops<T>(evaluate: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let until = time_of_thread().checked_add(LONGEST_LOOP);
    within(Allowance { left: WORK, until, charges: 0 }, evaluate).1
}

/// Returns the processor time of this thread, which a busy or suspended machine does not add to.
fn time_of_thread() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn within<T>(allowance: Allowance, evaluate: impl FnOnce() -> Result<T, Error>) -> (u64, Result<T, Error>) {
    let before = ALLOWANCE.replace(allowance);
    let result = evaluate();
    let left = ALLOWANCE.replace(before).left;
    (left, if left == 0 { Err(too_much()) } else { result })
}

pub(super) fn too_much() -> Error {
    Error::new(ErrorKind::InvalidOperation, TOO_MUCH)
}

pub(super) fn is_spent() -> bool {
    ALLOWANCE.get().left == 0
}

/// Returns whether the evaluation may go on. What follows may be any value, as the result is an error.
pub(super) fn take(work: u64) -> bool {
    let mut allowance = ALLOWANCE.get();
    allowance.left = allowance.left.saturating_sub(work);
    allowance.charges = allowance.charges.wrapping_add(1);
    if allowance.charges.is_multiple_of(CHARGES_PER_CHECK)
        && allowance.until.is_some_and(|until| time_of_thread() > until)
    {
        allowance.left = 0;
    }
    ALLOWANCE.set(allowance);
    allowance.left > 0
}

pub(super) fn spend(work: u64) -> Result<(), Error> {
    if take(work) { Ok(()) } else { Err(too_much()) }
}

pub(super) fn count_text(text: &str) -> u64 {
    (text.len() / TEXT) as u64
}

fn count_texts(values: &[Value]) -> u64 {
    values.iter().filter_map(Value::as_str).map(|text| 2 * count_text(text)).sum()
}

fn length(value: &Value) -> u64 {
    let length = || value.try_iter().map_or(0, Iterator::count);
    value.len().unwrap_or_else(length) as u64
}

/// Returns the work of an order of the elements: each is compared as often as the length has digits.
fn count_order(value: &Value) -> u64 {
    let texts = value.try_iter().map_or(0, |items| items.map(|item| count_texts(&[item])).sum::<u64>());
    let length = length(value);
    (length + texts).saturating_mul(u64::from(u64::BITS - length.leading_zeros()))
}

fn begins_with_number(value: &Value) -> bool {
    let first = value.try_iter().ok().and_then(|mut items| items.next());
    first.is_some_and(|first| first.kind() == ValueKind::Number)
}

fn count_filter(name: &str, args: &[Value]) -> u64 {
    let is_list = |value: &&Value| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    let lists = args.iter().filter(is_list);
    let elements = match (name, args.first()) {
        (name, _) if OF_ONE_ELEMENT.contains(&name) => 0,
        ("sort" | "dictsort", Some(value)) => count_order(value),
        // A tree has more comparisons.
        ("unique", Some(value)) => count_order(value).saturating_mul(2),
        // The sum of lists and of texts is copied with each element; numbers have none.
        ("sum", Some(value)) if args.len() > 1 && !begins_with_number(value) => {
            length(value).saturating_pow(2) / 64
        }
        _ => lists.filter_map(Value::len).sum::<usize>() as u64,
    };
    let texts = if OF_NO_TEXT.contains(&name) { 0 } else { count_texts(args) };
    elements.saturating_add(texts).saturating_add(4)
}

pub(super) fn filter(
    name: &'static str,
    filter: Value,
    prepare: fn(&str, Vec<Value>) -> Vec<Value>,
) -> impl Fn(&mut State<'_, '_>, Rest<ValueOrKwargs>) -> Result<Value, Error> + Send + Sync + 'static {
    move |state, args| {
        let args = args.into_values();
        spend(count_filter(name, &args))?;
        if !OF_MISSING.contains(&name)
            && let Some(missing) = args.first().filter(|value| value.is_undefined())
        {
            // Some filters of the engine fail without the missing name, which this error has.
            filters::string(state, missing)?;
        }
        filter.call(state, &prepare(name, args)).map(counted)
    }
}

pub(super) fn test(
    test: Value,
) -> impl Fn(&mut State<'_, '_>, Rest<ValueOrKwargs>) -> Result<Value, Error> + Send + Sync + 'static {
    move |state, args| {
        let args = args.into_values();
        spend(2 + count_texts(&args))?;
        test.call(state, &args)
    }
}

pub(super) fn method(
    value: &Value,
    args: &[Value],
    call: impl FnOnce() -> Result<Value, Error>,
) -> Result<Value, Error> {
    spend(4 + count_texts(std::slice::from_ref(value)) + count_texts(args))?;
    call().map(counted)
}

/// A list that charges the work of each item as it is read.
#[derive(Debug)]
struct CountedList(Vec<Value>);

fn counted(value: Value) -> Value {
    match value.downcast_object_ref::<Vec<Value>>() {
        Some(list) => Value::from_object(CountedList(list.clone())),
        None => value,
    }
}

impl Object for CountedList {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let item = self.0.get(key.as_usize()?)?;
        take(1 + item.as_str().map_or(0, count_text)).then(|| item.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        if is_spent() { Enumerator::Empty } else { Enumerator::Seq(self.0.len()) }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }
}
