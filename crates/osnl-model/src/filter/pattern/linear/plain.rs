//! Reads the plainest patterns without the engine's parser, which takes twenty times as long. Most
//! patterns of a configuration are texts, alternatives of texts, dots and repetitions.
//!
//! The input is the output of `python_regex`. `None` leaves any doubtful pattern to the parser.

use super::{MOST_TEXTS, PlainText, joined};

/// A pattern that is a few texts, or an expression small enough for the engine.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PlainPattern {
    Texts(Vec<PlainText>),
    Small,
}

/// The parser reads longer patterns, so that a small pattern stays below the engine's limit.
const LONGEST: usize = 1000;
const DEEPEST: u8 = 8;
const END: &str = r"(?:\n?\z)";

pub(super) fn read(regex: &str) -> Option<PlainPattern> {
    if regex.len() > LONGEST {
        return None;
    }
    let mut reader = PatternReader { rest: regex, for_engine: false, depth: 0 };
    let texts = reader.alternation(true)?;
    match (reader.rest, reader.for_engine) {
        ("", false) => Some(PlainPattern::Texts(texts)),
        ("", true) => Some(PlainPattern::Small),
        _ => None,
    }
}

/// Reads a plain pattern, and notes whether it needs the engine.
struct PatternReader<'a> {
    rest: &'a str,
    for_engine: bool,
    depth: u8,
}

impl PatternReader<'_> {
    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn alternation(&mut self, beginning: bool) -> Option<Vec<PlainText>> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let mut all = Vec::new();
        loop {
            all.extend(self.concatenation(beginning)?);
            self.for_engine |= all.len() > MOST_TEXTS;
            if !self.take("|") {
                self.depth -= 1;
                return Some(all);
            }
        }
    }

    fn concatenation(&mut self, beginning: bool) -> Option<Vec<PlainText>> {
        let mut all = vec![PlainText::default()];
        loop {
            let begins = beginning && all.iter().all(|text| *text == PlainText::default());
            let part = match self.rest.chars().next() {
                None | Some('|' | ')') => return Some(all),
                Some('.') => {
                    self.rest = &self.rest[1..];
                    let _repeated = self.take("*") || self.take("+");
                    self.for_engine = true;
                    continue;
                }
                Some('(') if self.take(END) => {
                    let end = |text: &str| PlainText { text: text.to_owned(), whole: true };
                    vec![end("\n"), end("")]
                }
                Some('(') => {
                    if !self.take("(?:") {
                        self.rest = &self.rest[1..];
                    }
                    let part = self.alternation(begins)?;
                    if !self.take(")") {
                        return None;
                    }
                    part
                }
                Some('\\') if begins && self.take(r"\A") => continue,
                Some(_) => vec![PlainText { text: self.literal()?, whole: false }],
            };
            if self.for_engine {
                continue;
            }
            match joined(&all, &part) {
                Some(texts) => all = texts,
                None => self.for_engine = true,
            }
        }
    }

    fn literal(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            let mut chars = self.rest.chars();
            match chars.next() {
                Some('\\') => text.push(chars.next().filter(char::is_ascii_punctuation)?),
                None | Some('.' | '(' | ')' | '|') => break,
                Some('*' | '+' | '?' | '[' | ']' | '{' | '}' | '^' | '$') => return None,
                Some(c) => text.push(c),
            }
            self.rest = chars.as_str();
        }
        Some(text).filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn nothing_is_taken_that_is_more_than_plain() {
        let check = |regex: &str, expected: Option<&[&str]>| {
            let found = read(&format!(r"\A(?:{regex})")).map(|plain| match plain {
                PlainPattern::Texts(texts) => {
                    texts.into_iter().map(|t| t.text + if t.whole { "$" } else { "" }).collect()
                }
                PlainPattern::Small => vec!["engine".to_owned()],
            });
            let expected = expected.map(|texts| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
            assert_eq!(found, expected, "{regex}");
        };
        check(r"\Aport\.delete", Some(&["port.delete"]));
        check(r"\A(?:a|b)\.c(?:\n?\z)", Some(&["a.c\n$", "a.c$", "b.c\n$", "b.c$"]));
        check(r"\Anetwork\..*(?:\n?\z)", Some(&["engine"]));
        check(r"a\-b\~é", Some(&["a-b~é"]));
        check(r"(?:a|b)(?:c|d)(?:e|f)(?:g|h)(?:i|j)(?:k|l)", Some(&["engine"]));
        for left in [
            "a*",
            "a.?",
            "(?:a)*",
            "[ab]",
            r"\d",
            r"a\A",
            r"\n",
            "a{2}",
            "(?i:a)",
            "(?s:.)",
            "(a",
            "a)",
            r"\",
            "(?:a|(?:b)?)",
            ".*?",
            ".{2}",
            r"(?:\n?\z)?",
            "(?=a)",
            "(?m:^)",
            r"\p{L}",
        ] {
            check(left, None);
        }
    }

    #[test]
    fn what_is_plain_means_what_it_means_to_the_engine() {
        let parts =
            ["", r"\A", "a", r"\.", ".", ".*", ".+", r"(?:\n?\z)", "(?:a|ab)", r"(?:\Ab|)", "(?:.|a)"];
        let samples = ["", "a", "b", "ab", ".", "a.", "a\n", "\n", "ba", "a.b\n", "abab", "ab\n\n", "é"];
        let (mut compared, mut small) = (0, 0);
        for (first, second) in parts.iter().flat_map(|first| parts.map(|second| (first, second))) {
            for third in parts {
                let regex = format!(r"\A(?:{first}{second}{third})");
                let Some(plain) = read(&regex) else { continue };
                let engine = Regex::new(&regex).unwrap();
                let PlainPattern::Texts(texts) = plain else {
                    small += 1;
                    continue;
                };
                for sample in samples {
                    compared += 1;
                    let found = texts.iter().any(|text| text.begins(sample));
                    assert_eq!(found, engine.is_match(sample), "{regex} on {sample:?}");
                }
            }
        }
        assert!(compared > 2000 && small > 100, "{compared} {small}");
    }
}
