//! A cache of compiled patterns: nearly every pattern is a constant of the source, so each is compiled once.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use osnl_model::Pattern;

/// The place in a text at which a pattern must match.
#[derive(Clone, Copy)]
pub(super) enum MatchPosition {
    Start,
    Anywhere,
}

pub(super) fn pattern_of(pattern: &str, place: MatchPosition) -> Result<Arc<Pattern>, String> {
    compiled(pattern, matches!(place, MatchPosition::Anywhere))
}

/// The bound at which the cache is cleared, as templates can make patterns from notifications.
const REMEMBERED: usize = 1024;

type PatternCache = HashMap<(bool, Box<str>), Arc<Pattern>>;
static COMPILED: LazyLock<Mutex<PatternCache>> = LazyLock::new(Mutex::default);

fn compiled(pattern: &str, anywhere: bool) -> Result<Arc<Pattern>, String> {
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

/// Returns a pattern with which `re.match` finds the same as `re.search`. Flags must stay at the start.
fn searching(pattern: &str) -> String {
    let flags = pattern.strip_prefix("(?").and_then(|rest| rest.split_once(')')).map(|(flags, _)| flags);
    let is_flags = |flags: &&str| !flags.is_empty() && flags.chars().all(|c| "aiLmsux".contains(c));
    match flags.filter(is_flags) {
        Some(flags) => {
            let (head, rest) = pattern.split_at(flags.len() + 3);
            // Without the newline, a comment at the end of a verbose pattern would include the parenthesis.
            let end = if flags.contains('x') { "\n" } else { "" };
            format!("{head}[\\s\\S]*?(?:{rest}{end})")
        }
        None => format!("[\\s\\S]*?(?:{pattern})"),
    }
}
