//! Numbers as Jinja2 converts and tests them. The engine differs: it refuses text that is no number, and a
//! text is neither odd nor even.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind, State, filters, tests};
use osnl_model::Timestamp;

use super::conversion::there;

/// Converts a value to an integer; a value that is not a number becomes the default, 0 if none is given.
pub(super) fn int(
    state: &State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let default = default.or(kwargs.get("default")?).unwrap_or_else(|| Value::from(0));
    let base = base.or(kwargs.get("base")?);
    kwargs.assert_all_used()?;
    let text = there(value)?.as_str().map(|text| Value::from(digits(text)));
    let none = Kwargs::from_iter(std::iter::empty::<(&str, Value)>());
    let made = filters::int(state, text.as_ref().unwrap_or(value), Some(Value::from(())), base, none)?;
    Ok(if made.is_none() { default } else { made })
}

pub(super) fn float(
    state: &State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let default = default.or(kwargs.get("default")?).unwrap_or_else(|| Value::from(0.0));
    kwargs.assert_all_used()?;
    let text = there(value)?.as_str().map(|text| Value::from(digits(text)));
    let none = Kwargs::from_iter(std::iter::empty::<(&str, Value)>());
    let made = filters::float(state, text.as_ref().unwrap_or(value), Some(Value::from(())), none)?;
    Ok(if made.is_none() { default } else { made })
}

/// Reads as Python: with blanks around, and `_` between two digits.
fn digits(text: &str) -> String {
    let text = text.trim();
    let between = |at: usize| {
        let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
        at > 0 && digit(text.as_bytes().get(at - 1)) && digit(text.as_bytes().get(at + 1))
    };
    text.char_indices().filter(|(at, c)| *c != '_' || !between(*at)).map(|(_, c)| c).collect()
}

/// Converts any spelling of a service to seconds since 1970, or to their tenths and so on: 3 digits are milliseconds,
/// 9 are nanoseconds.
pub(super) fn unix(value: &Value, digits: Option<u32>) -> Result<i64, Error> {
    let wrong = |problem: String| Error::new(ErrorKind::InvalidOperation, problem);
    let value = there(value)?;
    let text =
        value.as_str().ok_or_else(|| wrong(format!("the time is not a string but {}", value.kind())))?;
    let time = Timestamp::parse(text).map_err(|_| wrong("the string is not a date and time".to_owned()))?;
    let digits = digits.unwrap_or(0);
    let scaled = match digits {
        0..=6 => Some(time.as_microseconds().div_euclid(10_i64.pow(6 - digits))),
        7..=9 => time.as_microseconds().checked_mul(10_i64.pow(digits - 6)),
        _ => None,
    };
    scaled.ok_or_else(|| wrong(format!("{digits} digits are more than a number has; at most 9")))
}

pub(super) fn is_even(value: &Value) -> Result<bool, Error> {
    number(value).cloned().map(tests::is_even)
}

pub(super) fn is_odd(value: &Value) -> Result<bool, Error> {
    number(value).cloned().map(tests::is_odd)
}

pub(super) fn is_divisible(value: &Value, by: &Value) -> Result<bool, Error> {
    if number(by)?.is_true() {
        return Ok(tests::is_divisibleby(number(value)?, by));
    }
    // The engine would divide by zero.
    Err(Error::new(ErrorKind::InvalidOperation, "nothing is divisible by 0"))
}

fn number(value: &Value) -> Result<&Value, Error> {
    match there(value)?.kind() {
        ValueKind::Number | ValueKind::Bool => Ok(value),
        kind => Err(Error::new(ErrorKind::InvalidOperation, format!("the value is not a number but {kind}"))),
    }
}
