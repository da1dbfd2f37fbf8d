//! Conditions that only compare the notification's values with constants of the rule. The engine takes ten times as
//! long, which decides a message's cost with a thousand rules.
//!
//! The engine decides every other form of source, and a plain condition if the comparison of a value is not obvious
//! (a number in `match`, a list in `in`).
//!
//! So two modules decide the same conditions. `fast_path/tests.rs` compares this one with the engine.

use std::sync::Arc;

use osnl_model::Pattern;
use serde_json::Value as Json;

use super::conjuncts::{conjuncts, name, outside, text, texts};
use super::names::{Aliases, NameValue, Names};
use super::patterns::{MatchPosition, pattern_of};

/// A condition whose parts all compare a path with constants.
#[derive(Debug)]
pub(super) struct FastPath(Vec<PathCondition>);

/// The comparison of one path with constants.
#[derive(Debug)]
struct PathCondition {
    path: Box<str>,
    test: Test,
}

/// The test of a value.
#[derive(Debug)]
enum Test {
    OneOf { texts: Vec<String>, wanted: bool },
    Number { sign: &'static str, number: i64 },
    Begins(String),
    Ends(String),
    Defined(bool),
    Matches { pattern: Arc<Pattern>, wanted: bool },
}

/// The truth of a condition, the path that is missing, or that the engine must decide.
pub(super) enum Truth<'a> {
    Holds(bool),
    Lacks(&'a str),
    Engine,
}

impl FastPath {
    pub(super) fn read(source: &str, aliases: &Aliases) -> Option<Self> {
        let sides = conjuncts(source)?.into_iter().map(|side| PathCondition::read(side.trim()));
        let sides = sides.collect::<Option<Vec<_>>>()?;
        // The engine walks a path without an alias itself.
        let known = |side: &PathCondition| aliases.0.values().any(|path| **path == *side.path);
        sides.iter().all(known).then_some(Self(sides))
    }

    pub(super) fn prepare(&self) {
        for side in &self.0 {
            if let Test::Matches { pattern, .. } = &side.test {
                pattern.prepare();
            }
        }
    }

    pub(super) fn ask(&self, names: &Names) -> Truth<'_> {
        for side in &self.0 {
            match side.ask(names) {
                Truth::Holds(true) => {}
                other @ (Truth::Holds(false) | Truth::Lacks(_) | Truth::Engine) => return other,
            }
        }
        Truth::Holds(true)
    }
}

impl PathCondition {
    fn read(side: &str) -> Option<Self> {
        let of = |path: String, test| Some(Self { path: path.into(), test });
        if let Some((left, right)) = outside(side, " is ") {
            let path = name(left)?;
            let (wanted, test) = match right.strip_prefix("not ") {
                Some(rest) => (false, rest.trim()),
                None => (true, right),
            };
            return match test {
                "defined" => of(path, Test::Defined(wanted)),
                "undefined" => of(path, Test::Defined(!wanted)),
                test => {
                    let (test, pattern) = test.strip_suffix(')')?.split_once('(')?;
                    let place = match test.trim() {
                        "match" => MatchPosition::Start,
                        "search" | "regex" => MatchPosition::Anywhere,
                        _ => return None,
                    };
                    let pattern = pattern_of(&text(pattern.trim())?, place).ok()?;
                    of(path, Test::Matches { pattern, wanted })
                }
            };
        }
        for sign in ["==", "!=", "<=", ">=", "<", ">"] {
            let Some((left, right)) = outside(side, sign) else { continue };
            let equal = ["==", "!="].contains(&sign);
            return match (name(left), text(right), number(right)) {
                (Some(path), Some(text), _) if equal => {
                    of(path, Test::OneOf { texts: vec![text], wanted: sign == "==" })
                }
                (Some(path), None, Some(number)) => of(path, Test::Number { sign, number }),
                (None, _, _) if equal => {
                    of(name(right)?, Test::OneOf { texts: vec![text(left)?], wanted: sign == "==" })
                }
                (Some(_) | None, _, _) => None,
            };
        }
        if let Some((left, right)) = outside(side, " in ") {
            let texts = texts(right)?;
            return match left.strip_suffix(" not") {
                Some(left) => of(name(left.trim())?, Test::OneOf { texts, wanted: false }),
                None => of(name(left)?, Test::OneOf { texts, wanted: true }),
            };
        }
        let (called, argument) = side.strip_suffix(')')?.split_once('(')?;
        let (path, method) = called.rsplit_once('.')?;
        let (path, argument) = (name(path)?, text(argument.trim())?);
        match method {
            "startswith" => of(path, Test::Begins(argument)),
            "endswith" => of(path, Test::Ends(argument)),
            _ => None,
        }
    }

    fn ask<'a>(&'a self, names: &Names) -> Truth<'a> {
        let value = names.get(&self.path);
        if let Test::Defined(wanted) = self.test {
            return Truth::Holds(value.is_some() == wanted);
        }
        let Some(value) = value else { return Truth::Lacks(&self.path) };
        let found = match value {
            NameValue::Text(text) => Some(text),
            NameValue::Json(Json::String(text)) => Some(text.as_str()),
            NameValue::Json(_) | NameValue::Context => None,
            NameValue::Placeholder => return Truth::Engine,
        };
        match (&self.test, found) {
            (Test::OneOf { texts, wanted }, found) => {
                Truth::Holds(found.is_some_and(|found| texts.iter().any(|text| text == found)) == *wanted)
            }
            (Test::Number { sign, number }, None) => match value {
                NameValue::Json(Json::Number(found)) => {
                    found.as_i64().map_or(Truth::Engine, |found| Truth::Holds(compared(found, sign, *number)))
                }
                NameValue::Text(_) | NameValue::Json(_) | NameValue::Context | NameValue::Placeholder => {
                    Truth::Engine
                }
            },
            (Test::Begins(text), Some(found)) => Truth::Holds(found.starts_with(text.as_str())),
            (Test::Ends(text), Some(found)) => Truth::Holds(found.ends_with(text.as_str())),
            (Test::Matches { pattern, wanted }, Some(found)) => {
                pattern.matches(found).map_or(Truth::Engine, |matches| Truth::Holds(matches == *wanted))
            }
            (
                Test::Number { .. }
                | Test::Begins(_)
                | Test::Ends(_)
                | Test::Matches { .. }
                | Test::Defined(_),
                _,
            ) => Truth::Engine,
        }
    }
}

fn number(written: &str) -> Option<i64> {
    let digits = !written.is_empty() && written.bytes().all(|byte| byte.is_ascii_digit());
    if digits { written.parse().ok() } else { None }
}

fn compared(found: i64, sign: &str, number: i64) -> bool {
    match sign {
        "==" => found == number,
        "!=" => found != number,
        "<=" => found <= number,
        ">=" => found >= number,
        "<" => found < number,
        _ => found > number,
    }
}

#[cfg(test)]
mod tests;
