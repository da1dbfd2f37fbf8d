//! The files beside the journal, which other processes read while a daemon writes.
//!
//! A full `journal.db.unmatched` becomes `journal.db.unmatched.1`: together they hold the ring and at most as much
//! again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use std::{fs, io};

use jiff::Timestamp;
pub(super) use osnl_journal::files::beside;
use serde_json::{Value, json};

use super::{UnmatchedMessage, UnmatchedState, line, locked};

pub(super) fn current(journal: &Path) -> PathBuf {
    beside(journal, ".unmatched")
}

pub(super) fn former(journal: &Path) -> PathBuf {
    beside(journal, ".unmatched.1")
}

pub(super) fn rules(journal: &Path) -> PathBuf {
    beside(journal, ".rules")
}

pub fn read(journal: &Path, most: usize) -> io::Result<Vec<UnmatchedMessage>> {
    // In the other order, entries moved between the two reads would be missed.
    let new = fs::read_to_string(current(journal));
    let old = fs::read_to_string(former(journal));
    let text = match (old, new) {
        (Err(_), Err(error)) => return Err(error),
        (Ok(old), Ok(new)) if old == new => new,
        (old, new) => old.unwrap_or_default() + &new.unwrap_or_default(),
    };
    let lines: Vec<&str> = text.lines().collect();
    let mut found: Vec<UnmatchedMessage> =
        lines.into_iter().rev().filter_map(line::read).take(most).collect();
    found.reverse();
    Ok(found)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleMatches {
    pub listener: Arc<str>,
    pub rule: Arc<str>,
    pub tested: u64,
    pub matched: u64,
    pub failed: Vec<(String, u64)>,
}

/// Returns counts since the daemon's start, at most some seconds old.
pub fn counts(journal: &Path) -> io::Result<(SystemTime, Vec<RuleMatches>)> {
    let value: Value = serde_json::from_str(&fs::read_to_string(rules(journal))?)?;
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "is damaged");
    let since = value.get("since").and_then(Value::as_str).and_then(|at| at.parse::<Timestamp>().ok());
    let rules = value.get("rules").and_then(Value::as_array).ok_or_else(damaged)?;
    let counted = |rule: &Value| {
        let failed = rule.get("failed")?.as_object()?.iter();
        Some(RuleMatches {
            listener: rule.get("listener")?.as_str()?.into(),
            rule: rule.get("rule")?.as_str()?.into(),
            tested: rule.get("seen")?.as_u64()?,
            matched: rule.get("fired")?.as_u64()?,
            failed: failed
                .map(|(name, times)| Some((name.clone(), times.as_u64()?)))
                .collect::<Option<_>>()?,
        })
    };
    let rules = rules.iter().map(counted).collect::<Option<Vec<_>>>().ok_or_else(damaged)?;
    Ok((since.ok_or_else(damaged)?.into(), rules))
}

impl UnmatchedState {
    pub(super) fn counts(&self) -> String {
        let sets = locked(&self.rules).clone();
        let rules: Vec<Value> = sets
            .iter()
            .flat_map(|(listener, rules)| rules.counts().into_iter().map(move |counts| (listener, counts)))
            .map(|(listener, counts)| {
                let failed =
                    counts.failed.iter().map(|(condition, times)| (condition.to_string(), json!(times)));
                json!({
                    "listener": &**listener,
                    "rule": &*counts.rule,
                    "seen": counts.seen,
                    "fired": counts.fired,
                    "failed": failed.collect::<serde_json::Map<_, _>>(),
                })
            })
            .collect();
        let since = Timestamp::try_from(self.started).map(|at| format!("{at:.3}")).unwrap_or_default();
        json!({"since": since, "rules": rules}).to_string()
    }
}
