//! A pattern for the linear engine: parsed at once, compiled for the first text.
//!
//! The patterns of a thousand rules are mostly event types and names of hosts: a few texts, such as
//! `^(port|network)\.delete\.end$`. Such texts are compared and never compiled. Any other pattern
//! is compiled when a text needs it. A pattern that the engine might refuse for its size is
//! compiled at once, since a configuration is refused before it runs. The plainest patterns are not
//! even parsed ([`plain`]).

mod plain;

use std::sync::{Arc, OnceLock};

use regex::Regex;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use self::plain::PlainPattern;

const MOST_TEXTS: usize = 32;
/// A weight that surely stays below the engine's limit of 10 MiB, see [`weight`].
const LIGHT: usize = 20_000;

/// A pattern for the linear engine, whose clones share the compiled form.
#[derive(Clone)]
pub(super) struct Linear(Arc<LinearMatcher>);

/// The texts to compare, or an expression that is compiled for its first text.
enum LinearMatcher {
    Texts(Vec<PlainText>),
    Engine { regex: String, built: OnceLock<Option<Regex>> },
}

/// A text that others must begin with, or equal if it is whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PlainText {
    text: String,
    whole: bool,
}

impl PlainText {
    fn begins(&self, text: &str) -> bool {
        if self.whole { self.text == text } else { text.starts_with(&self.text) }
    }
}

impl Linear {
    pub(super) fn new(regex: String) -> Result<Self, String> {
        match plain::read(&regex) {
            Some(PlainPattern::Texts(texts)) => return Ok(Self(Arc::new(LinearMatcher::Texts(texts)))),
            Some(PlainPattern::Small) => {
                return Ok(Self(Arc::new(LinearMatcher::Engine { regex, built: OnceLock::new() })));
            }
            None => {}
        }
        let hir = regex_syntax::parse(&regex).map_err(|refused| refused.to_string())?;
        if let Some(texts) = texts(&hir, true) {
            return Ok(Self(Arc::new(LinearMatcher::Texts(texts))));
        }
        let built = OnceLock::new();
        if weight(&hir) > LIGHT {
            let engine = Regex::new(&regex).map_err(|refused| refused.to_string())?;
            let _ = built.set(Some(engine));
        }
        Ok(Self(Arc::new(LinearMatcher::Engine { regex, built })))
    }

    pub(super) fn is_match(&self, text: &str) -> Option<bool> {
        match &*self.0 {
            LinearMatcher::Texts(texts) => Some(texts.iter().any(|wanted| wanted.begins(text))),
            LinearMatcher::Engine { regex, built } => {
                built.get_or_init(|| Regex::new(regex).ok()).as_ref().map(|regex| regex.is_match(text))
            }
        }
    }

    pub(super) fn prepare(&self) {
        let _ = self.is_match("");
    }
}

fn texts(hir: &Hir, beginning: bool) -> Option<Vec<PlainText>> {
    let one = |text: &str| Some(vec![PlainText { text: text.to_owned(), whole: false }]);
    match hir.kind() {
        HirKind::Empty => one(""),
        HirKind::Look(Look::Start) if beginning => one(""),
        HirKind::Literal(literal) => one(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(Class::Unicode(class)) => {
            let ranges = class.ranges();
            if ranges.iter().map(regex_syntax::hir::ClassUnicodeRange::len).sum::<usize>() > MOST_TEXTS {
                return None;
            }
            let characters = ranges.iter().flat_map(|range| range.start()..=range.end());
            Some(characters.map(|c| PlainText { text: c.to_string(), whole: false }).collect())
        }
        HirKind::Look(Look::End) => Some(vec![PlainText { text: String::new(), whole: true }]),
        HirKind::Capture(capture) => texts(&capture.sub, beginning),
        HirKind::Repetition(repetition) if (repetition.min, repetition.max) == (0, Some(1)) => {
            let mut all = texts(&repetition.sub, beginning)?;
            all.push(PlainText::default());
            Some(all)
        }
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(texts(branch, beginning)?);
                if all.len() > MOST_TEXTS {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Concat(parts) => {
            let mut all = vec![PlainText::default()];
            for part in parts {
                let nothing_before = all.iter().all(|text| *text == PlainText::default());
                all = joined(&all, &texts(part, beginning && nothing_before)?)?;
            }
            Some(all)
        }
        HirKind::Class(Class::Bytes(_)) | HirKind::Look(_) | HirKind::Repetition(_) => None,
    }
}

fn joined(before: &[PlainText], behind: &[PlainText]) -> Option<Vec<PlainText>> {
    let mut all = Vec::new();
    for start in before {
        for rest in behind {
            if start.whole && !rest.text.is_empty() {
                continue;
            }
            all.push(PlainText {
                text: format!("{}{}", start.text, rest.text),
                whole: start.whole || rest.whole,
            });
        }
        if all.len() > MOST_TEXTS {
            return None;
        }
    }
    Some(all)
}

/// Returns an upper bound of the compiled size: ranges of characters and bytes of texts, times
/// their repetitions.
fn weight(hir: &Hir) -> usize {
    let sum = |parts: &[Hir]| parts.iter().map(weight).fold(parts.len(), usize::saturating_add);
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(Class::Bytes(_)) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Unicode(class)) => class.ranges().len() * 4,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(repetition.min).max(1);
            weight(&repetition.sub).saturating_mul(times as usize).saturating_add(1)
        }
        HirKind::Capture(capture) => weight(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => sum(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_few_texts_is_never_compiled() {
        let check = |regex: &str, expected: Option<&[&str]>| {
            let found = texts(&regex_syntax::parse(&format!(r"\A(?:{regex})")).unwrap(), true);
            let shown = found.map(|texts| {
                let shown = texts.into_iter().map(|t| t.text + if t.whole { "$" } else { "" });
                shown.collect::<Vec<_>>()
            });
            let expected = expected.map(|texts| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
            assert_eq!(shown, expected, "{regex}");
        };
        check("port", Some(&["port"]));
        check(r"\Aport\.", Some(&["port."]));
        check(r"\A(a|b)\.c(?:\n?\z)", Some(&["a.c\n$", "a.c$", "b.c\n$", "b.c$"]));
        check(r"[ab]c?", Some(&["ac", "a", "bc", "b"]));
        check("", Some(&[""]));
        check(r"\za", Some(&[]));
        check(r"a\Ab", None);
        check(r"port\..*", None);
        check("[0-9]{2}[a-z]", None);
        check(r"\w", None);
        check("a+", None);
    }

    #[test]
    fn texts_and_engine_agree() {
        let parts =
            [r"\A", "a", "ab", "b?", "[ab]", r"(?:\n?\z)", "(a|b)", r"(?:\Aa|b)", "(?i:a)", r"(?:a\z|b)", ""];
        let samples = ["", "a", "b", "ab", "aab", "abb", "A", "a\n", "ab\n", "ba", "b\n\n", "abab", "aba\n"];
        let mut compared = 0;
        for first in parts {
            for second in parts {
                for third in parts {
                    let regex = format!(r"\A(?:{first}{second}{third})");
                    let Some(texts) = texts(&regex_syntax::parse(&regex).unwrap(), true) else { continue };
                    let (ours, engine) =
                        (Linear(Arc::new(LinearMatcher::Texts(texts))), Regex::new(&regex).unwrap());
                    for sample in samples {
                        compared += 1;
                        assert_eq!(
                            ours.is_match(sample),
                            Some(engine.is_match(sample)),
                            "{regex} on {sample:?}"
                        );
                    }
                }
            }
        }
        assert!(compared > 5000, "{compared}");
    }

    #[test]
    fn what_may_be_refused_is_compiled_at_once() {
        let built = |regex: &str| match &*Linear::new(regex.to_owned()).unwrap().0 {
            LinearMatcher::Texts(_) => None,
            LinearMatcher::Engine { built, .. } => Some(built.get().is_some()),
        };
        assert_eq!(built(r"\A(?:port\..*)"), Some(false));
        assert_eq!(built(r"\A(?:\w{12})"), Some(true));
        assert_eq!(built(r"\A(?:port)"), None);
        assert!(Linear::new(r"(?:\w{1000}){1000}".to_owned()).is_err());
    }
}
