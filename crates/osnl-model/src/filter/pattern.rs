//! A regular expression with the meaning of Python's `re.match`.
//!
//! A pattern is parsed when the configuration is read and compiled for the first text; a list of few texts is
//! compared and never compiled.

mod linear;

use std::fmt;
use std::sync::OnceLock;

use thiserror::Error;

use self::linear::Linear;
use super::python_regex::{PatternEngine, Translation, translate};

/// The limit of fancy-regex's backtracking steps in one match (patterns with look-around or
/// back-references only). A text that exceeds the limit counts as not matching: a filter must never
/// hold up the stream.
const BACKTRACK_LIMIT: usize = 100_000;

/// The limit of the first, cheap try of a caller that matches many texts.
const TRIAL_STEPS: usize = 500;

/// The nanoseconds of one step.
const STEP: u64 = 50;

/// The longest text for the backtracking engine, in bytes. A look-ahead at each place costs the
/// square of the length without one backtracking step, so the step limit is not enough.
const LONGEST_BACKTRACKED: usize = 32 * 1024;

/// A regular expression of Python's `re`, matched like `re.match`: from the beginning of the text,
/// not necessarily to its end.
///
/// Matching takes time linear in the text. Exceptions are patterns with look-around,
/// back-references, atomic groups or possessive quantifiers, and `\b` on texts that are not ASCII.
/// Then the number of steps is bounded, and the text is limited to 32 KiB.
///
/// The table in `docs/patterns.md` lists the few elements that Python accepts and this type
/// refuses.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    engine: Engine,
}

/// The engine of a pattern. One with `\b` or `\B` has both: the linear one matches ASCII alone.
#[derive(Clone)]
enum Engine {
    Linear(Linear),
    Backtracking(Box<Backtracking>),
    Boundary(Linear, Box<Backtracking>),
}

/// A pattern for the backtracking engine, built a second time with few steps for trials.
#[derive(Clone)]
struct Backtracking {
    regex: fancy_regex::Regex,
    trial: OnceLock<Option<fancy_regex::Regex>>,
}

impl Backtracking {
    fn new(regex: &str) -> Result<Self, String> {
        let regex = Self::limited(regex, BACKTRACK_LIMIT).map_err(|refused| refused.to_string())?;
        Ok(Self { regex, trial: OnceLock::new() })
    }

    fn limited(regex: &str, steps: usize) -> Result<fancy_regex::Regex, fancy_regex::Error> {
        fancy_regex::RegexBuilder::new(regex).backtrack_limit(steps).build()
    }

    fn is_match_in_trial(&self, text: &str) -> Option<bool> {
        let build = || Self::limited(self.regex.as_str(), TRIAL_STEPS).ok();
        self.trial.get_or_init(build).as_ref()?.is_match(text).ok()
    }
}

/// A pattern that cannot be compiled, with the place of the fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    pub pattern: String,
    pub position: Option<usize>,
    pub message: String,
}

/// A match that was ended because it took too many steps; the pattern decides nothing then.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("given up after too many steps of the pattern \"{pattern}\"")]
pub struct StepLimit {
    pub pattern: String,
}

impl Pattern {
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let error = |position, message| PatternError { pattern: pattern.to_owned(), position, message };
        let translated = translate(pattern).map_err(|refused| error(refused.position, refused.message))?;
        let linear = |regex: &str| {
            let built = Linear::new(format!(r"\A(?:{regex})"));
            built.map_err(|refused| error(None, reason(&refused)))
        };
        let backtracking = |regex: &str| {
            let built = Backtracking::new(&format!(r"\A(?:{regex})"));
            built.map(Box::new).map_err(|refused| error(None, reason(&refused)))
        };
        let engine = match translated {
            Translation::One(PatternEngine::Linear, regex) => Engine::Linear(linear(&regex)?),
            Translation::One(PatternEngine::Backtracking, regex) => {
                Engine::Backtracking(backtracking(&regex)?)
            }
            Translation::Two { linear_for_ascii, exact } => {
                Engine::Boundary(linear(&linear_for_ascii)?, backtracking(&exact)?)
            }
        };
        Ok(Self { text: pattern.to_owned(), engine })
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.matches(text).unwrap_or(false)
    }

    /// The text counts as no match beyond the limit of steps, and the caller should report it.
    pub fn matches(&self, text: &str) -> Result<bool, StepLimit> {
        let given_up = || StepLimit { pattern: self.text.clone() };
        match &self.engine {
            Engine::Linear(regex) => regex.is_match(text).ok_or_else(given_up),
            Engine::Boundary(regex, _) if text.is_ascii() && !text.is_empty() => {
                regex.is_match(text).ok_or_else(given_up)
            }
            Engine::Boundary(..) | Engine::Backtracking(_) if text.len() > LONGEST_BACKTRACKED => {
                Err(given_up())
            }
            Engine::Boundary(_, backtracking) | Engine::Backtracking(backtracking) => {
                backtracking.regex.is_match(text).map_err(|_| given_up())
            }
        }
    }

    /// Matches, but returns `None` for a text that takes more than a few steps of backtracking. A
    /// caller that matches many texts asks first for the cost of each call.
    pub fn matches_in_trial(&self, text: &str) -> Option<bool> {
        match self.backtracking(text) {
            Some(backtracking) => backtracking.is_match_in_trial(text),
            None => self.matches(text).ok(),
        }
    }

    /// The most nanoseconds, roughly, that [`matches_in_trial`](Self::matches_in_trial) takes
    /// beyond one pass over the text. A look-ahead may read the whole text in each step.
    pub fn trial_cost(&self, text: &str) -> u64 {
        self.backtracking(text).map_or(0, |_| TRIAL_STEPS as u64 * (STEP + text.len() as u64))
    }

    pub fn cost(&self, text: &str) -> u64 {
        let length = text.len() as u64;
        self.backtracking(text).map_or(0, |_| BACKTRACK_LIMIT as u64 * STEP + length * length)
    }

    fn backtracking(&self, text: &str) -> Option<&Backtracking> {
        match &self.engine {
            Engine::Linear(_) => None,
            Engine::Boundary(..) if text.is_ascii() && !text.is_empty() => None,
            Engine::Boundary(_, backtracking) | Engine::Backtracking(backtracking) => {
                Some(&**backtracking).filter(|_| text.len() <= LONGEST_BACKTRACKED)
            }
        }
    }

    pub fn prepare(&self) {
        match &self.engine {
            Engine::Linear(regex) | Engine::Boundary(regex, _) => regex.prepare(),
            Engine::Backtracking(_) => {}
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Returns an engine's error without the excerpts of the translated pattern, which mean nothing to
/// the reader.
fn reason(error: &str) -> String {
    let last = error.lines().last().unwrap_or_default();
    let last = last.strip_prefix("error: ").unwrap_or(last);
    let last = match last.split_once("at position ") {
        Some((_, rest)) => rest.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, ':' | ' ')),
        None => last,
    };
    last.trim_end_matches('.').to_lowercase()
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid regular expression \"{}\": {}", self.pattern, self.message)?;
        match self.position {
            Some(position) => write!(f, " (at position {position})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for PatternError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_linear_unless_the_pattern_forbids() {
        let check = |pattern: &str, linear: bool| {
            let compiled = Pattern::new(pattern).unwrap();
            assert_eq!(matches!(compiled.engine, Engine::Linear(_)), linear, "{pattern}");
        };
        check(r"^port\.delete\.end$", true);
        check(r"^(port\.(create|delete)\.end$|network$)", true);
        check(r"(?P<service>nova)-\w+:", true);
        check("a$$|b$", true);
        check(r"a$\n", false);
        check(r"(?:a$|b)c", false);
        check(r"(?!x)", false);
        check(r"(.)\1", false);
        check(r"a++", false);
    }

    #[test]
    fn going_back_too_often_is_no_match() {
        let catastrophic = Pattern::new(r"(?=.*)(a|aa)+\1$").unwrap();
        assert!(catastrophic.is_match("aaa"));
        assert!(!catastrophic.is_match(&("a".repeat(60) + "b")));
    }

    #[test]
    fn the_longest_text_for_an_engine_that_goes_back_is_bounded() {
        let check = |pattern: &str, text: &str, expected: Option<bool>| {
            let matches = Pattern::new(pattern).unwrap().matches(text);
            assert_eq!(matches.ok(), expected, "{pattern} on {} bytes", text.len());
        };
        let longest = "a".repeat(LONGEST_BACKTRACKED);
        check("^(?!b).*$", &longest, Some(true));
        check("^(?!b).*$", &format!("{longest}a"), None);
        check(r"\ba", &format!("{longest}a"), Some(true));
        check(r"\ba", &format!("{longest}é"), None);
        check("a*$", &format!("{longest}é"), Some(false));
    }

    #[test]
    fn errors_show_the_pattern_and_the_place() {
        let check = |pattern: &str, message: &str| {
            assert_eq!(Pattern::new(pattern).unwrap_err().to_string(), message);
        };
        check("^port(", "invalid regular expression \"^port(\": unclosed group (at position 5)");
        check("é**", "invalid regular expression \"é**\": multiple repeat (at position 2)");
        check(r"\q", "invalid regular expression \"\\q\": bad escape \\q (at position 0)");
        check(
            r"\N{BULLET}",
            "invalid regular expression \"\\N{BULLET}\": named characters (\\N) are not supported (at position 0)",
        );
        check(
            "(?=a)*",
            "invalid regular expression \"(?=a)*\": a repeated look-around is not supported (at position 5)",
        );
        let deep = "(".repeat(100_000);
        assert!(Pattern::new(&deep).unwrap_err().message.contains("nested too deeply"));
        let large = Pattern::new(r"(?:\w{1000}){1000}").unwrap_err();
        assert_eq!(
            (large.position, large.message.as_str()),
            (None, "compiled regex exceeds size limit of 10485760 bytes")
        );
        check(
            "(?:$){2}(?=)",
            "invalid regular expression \"(?:$){2}(?=)\": target of repeat operator is invalid",
        );
        assert_eq!(Pattern::new("a{5000000000}").unwrap_err().position, Some(1));
    }

    #[test]
    fn a_pattern_shows_as_it_was_written() {
        let pattern = Pattern::new(r"^port\.$").unwrap();
        assert_eq!((pattern.as_str(), pattern.to_string()), (r"^port\.$", r"^port\.$".to_owned()));
        assert_eq!(pattern, Pattern::new(r"^port\.$").unwrap());
        assert_eq!(format!("{pattern:?}"), r#"Pattern("^port\\.$")"#);
    }
}
