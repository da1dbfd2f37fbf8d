//! A check of a source before the engine compiles it, which finds unknown names, filters, tests, methods and
//! patterns. The engine would find an unknown name only at its evaluation.
//!
//! A path, `payload.a.b`, is rewritten to one name ([`Aliases`]), so that it is missing as a whole. The
//! length stays, and so do all positions.

mod lex;

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use crate::typed::bad_pattern;
use osnl_model::{Pattern, nearest};

use self::lex::{LintToken, TokenKind, lex, lex_until};
use super::engine::unquoted;
use super::error::TemplateError;
use super::foreign_syntax;
use super::limits::LONGEST_SOURCE;
use super::names::{ADDRESS, Aliases, NAMES, RESOURCE, has_fields};
use super::vocabulary::{FILTERS, METHODS, TESTS};

/// A source with its tokens, rewritten for the engine.
pub(super) struct EngineSource<'a> {
    written: &'a str,
    more: &'a [&'a str],
    pub(super) only: Option<Range<usize>>,
    tokens: Vec<LintToken>,
    pub(super) text: String,
    pub(super) aliases: Aliases,
    /// Whether the source has characters that the engine may be unable to read.
    pub(super) may_be_cut: bool,
}

const KEYWORDS: [&str; 26] = [
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "elif",
    "endif",
    "for",
    "endfor",
    "set",
    "endset",
    "true",
    "false",
    "none",
    "True",
    "False",
    "None",
    "recursive",
    "with",
    "endwith",
    "filter",
    "endfilter",
    "do",
    "loop",
];

impl<'a> EngineSource<'a> {
    pub(super) fn expression(written: &'a str, more: &'a [&'a str]) -> Result<Self, TemplateError> {
        if written.trim().is_empty() {
            return Err(TemplateError::new(0, "is empty", "write an expression, or remove the line"));
        }
        if let Some(at) = written.find("{{").or_else(|| written.find("{%")) {
            let problem = "has braces around it, and is an expression already";
            return Err(TemplateError::new(at, problem, "write it without {{ }} and {% %}"));
        }
        let mut tokens = Vec::new();
        lex(written, 0..written.len(), &mut tokens);
        Self::new(written, more, None, tokens)
    }

    pub(super) fn template(written: &'a str, more: &'a [&'a str]) -> Result<Self, TemplateError> {
        let mut tokens = Vec::new();
        let mut from = 0;
        let mut only = None;
        while let Some(found) = written[from..].find('{') {
            let open = from + found;
            let close = match written.as_bytes().get(open + 1) {
                Some(b'{') => "}}",
                Some(b'%') => "%}",
                Some(b'#') => "#}",
                Some(_) | None => {
                    from = open + 1;
                    continue;
                }
            };
            if close == "#}" {
                from = written[open..].find(close).map_or(written.len(), |end| open + end + 2);
                continue;
            }
            let inside = tokens.len();
            from = lex_until(written, open + 2, close, &mut tokens);
            // Words of one pair of braces have no neighbours in the next one.
            tokens.push(LintToken { kind: TokenKind::Sign, at: from..from });
            let is_all = written[..open].trim().is_empty() && written[from..].trim().is_empty();
            if close == "}}" && is_all && written[..from].ends_with(close) {
                only = Some(open + 2..from - 2);
            }
            if tokens.get(inside).is_some_and(|first| &written[first.at.clone()] == "raw") {
                tokens.truncate(inside);
                from = written[from..].find("endraw").map_or(written.len(), |end| from + end);
            }
        }
        Self::new(written, more, only, tokens)
    }

    fn new(
        written: &'a str,
        more: &'a [&'a str],
        only: Option<Range<usize>>,
        tokens: Vec<LintToken>,
    ) -> Result<Self, TemplateError> {
        if written.len() > LONGEST_SOURCE {
            let problem = format!("is {} bytes long", written.len());
            return Err(TemplateError::new(0, problem, format!("at most {LONGEST_SOURCE}")));
        }
        let (text, aliases) = Default::default();
        let mut source = Self { written, more, only, tokens, text, aliases, may_be_cut: false };
        source.check_tokens()?;
        source.rewrite()?;
        Ok(source)
    }

    fn word(&self, n: usize) -> &'a str {
        self.tokens.get(n).map_or("", |token| &self.written[token.at.clone()])
    }

    fn kind(&self, n: usize) -> Option<TokenKind> {
        self.tokens.get(n).map(|token| token.kind)
    }

    fn before(&self, n: usize) -> &'a str {
        n.checked_sub(1).map_or("", |n| self.word(n))
    }

    fn is_name(&self, n: usize) -> bool {
        let names_argument =
            self.word(n + 1) == "=" && self.word(n + 2) != "=" && ["(", ","].contains(&self.before(n));
        let is_part = [".", "|"].contains(&self.before(n)) || self.is_test(n) || names_argument;
        self.kind(n) == Some(TokenKind::Word) && !KEYWORDS.contains(&self.word(n)) && !is_part
    }

    fn is_test(&self, n: usize) -> bool {
        let before = self.before(n);
        before == "is" || before == "not" && n >= 2 && self.word(n - 2) == "is"
    }

    /// Refuses slices with a step that is not a positive number, as the engine evaluates such slices
    /// differently from Python.
    fn slices(&self) -> Result<(), TemplateError> {
        let mut open: Vec<(&str, u32)> = Vec::new();
        for n in 0..self.tokens.len() {
            match self.word(n) {
                bracket @ ("[" | "(" | "{") => open.push((bracket, 0)),
                "]" | ")" | "}" => drop(open.pop()),
                ":" => match open.last_mut() {
                    Some(("[", colons @ 1)) => {
                        *colons += 1;
                        let step = self.kind(n + 1) == Some(TokenKind::Number) && self.word(n + 2) == "]";
                        if !step && self.word(n + 1) != "]" {
                            let problem = "the step of a slice is not a positive number";
                            let at = self.tokens[n].at.start;
                            return Err(TemplateError::new(at, problem, "| reverse reverses a value"));
                        }
                    }
                    Some((_, colons)) => *colons += 1,
                    None => {}
                },
                _ => {}
            }
        }
        Ok(())
    }

    fn check_tokens(&mut self) -> Result<(), TemplateError> {
        self.slices()?;
        for n in 0..self.tokens.len() {
            match self.kind(n) {
                // No name has such letters, and behind a text the engine ignores the word.
                Some(TokenKind::Word)
                    if !self.word(n).is_ascii() && n > 0 && self.kind(n - 1) == Some(TokenKind::Text) =>
                {
                    let at = self.tokens[n].at.start;
                    return Err(TemplateError::new(at, "cannot be read: unexpected character", ""));
                }
                Some(TokenKind::Word) => {}
                Some(TokenKind::Sign) => {
                    self.sign(n)?;
                    continue;
                }
                Some(TokenKind::Text) => {
                    self.may_be_cut |= self.word(n).contains('\\');
                    self.closed(n)?;
                    continue;
                }
                Some(TokenKind::Number) | None => {
                    self.may_be_cut |= self.word(n).contains(|c: char| !c.is_ascii_digit());
                    continue;
                }
            }
            let word = self.word(n);
            if self.before(n) == "|" {
                self.known(n, word, "filter", FILTERS)?;
                self.arguments(n, word)?;
            } else if self.is_test(n) && word != "not" {
                self.known(n, word, "test", TESTS)?;
                if ["match", "search", "regex"].contains(&word) {
                    let at = if self.word(n + 1) == "(" { n + 2 } else { n + 1 };
                    self.pattern(at)?;
                }
            } else if self.before(n) == "." && self.word(n + 1) == "(" {
                self.known(n, word, "method", METHODS)?;
            }
        }
        Ok(())
    }

    /// Refuses a sign that the engine would take for the end of the expression.
    fn sign(&self, n: usize) -> Result<(), TemplateError> {
        let (sign, at) = (self.word(n), self.tokens[n].at.start);
        let follows = |sign: &str| self.word(n + 1) == sign && self.tokens[n + 1].at.start == at + 1;
        let known = match sign {
            "!" => follows("="),
            "=" => true,
            sign => "+-/*%~|.,:()[]{}<>".contains(sign),
        };
        let twice = sign == "|" && follows("|");
        if known && !twice {
            return Ok(());
        }
        Err(TemplateError::new(
            at,
            "cannot be read: unexpected character",
            foreign_syntax::at(&self.written[at..]),
        ))
    }

    fn closed(&self, n: usize) -> Result<(), TemplateError> {
        let text = self.word(n);
        if text.len() > 1 && text.ends_with(&text[..1]) {
            return Ok(());
        }
        let at = self.tokens[n].at.start;
        Err(TemplateError::new(at, "cannot be read: the string has no end", "close its quote"))
    }

    fn arguments(&self, n: usize, filter: &str) -> Result<(), TemplateError> {
        let named = match filter {
            "select" | "reject" => n + 2,
            "selectattr" | "rejectattr" if self.word(n + 3) == "," => n + 4,
            "map" if self.word(n + 3) != "=" => n + 2,
            _ => return Ok(()),
        };
        if self.word(n + 1) != "(" || self.kind(named) != Some(TokenKind::Text) {
            return Ok(());
        }
        let Some(name) = unquoted(self.word(named)) else { return Ok(()) };
        if filter == "map" {
            return self.known(named, &name, "filter", FILTERS);
        }
        self.known(named, &name, "test", TESTS)?;
        if ["match", "search", "regex"].contains(&&*name) && self.word(named + 1) == "," {
            self.pattern(named + 2)?;
        }
        Ok(())
    }

    fn known(&self, n: usize, name: &str, what: &str, all: &[&'static str]) -> Result<(), TemplateError> {
        if all.contains(&name) {
            return Ok(());
        }
        let problem = format!("there is no {what} {}", shown(name));
        if let Some(instead) = foreign_syntax::instead(what, name) {
            return Err(TemplateError::new(self.tokens[n].at.start, problem, instead));
        }
        let mut sorted = all.to_vec();
        sorted.retain(|name| name.starts_with(|c: char| c.is_alphabetic()));
        sorted.sort_unstable();
        let error =
            TemplateError::new(self.tokens[n].at.start, problem, format!("there are {}", sorted.join(", ")));
        Err(TemplateError { suggestion: nearest(name, sorted).map(str::to_owned), ..error })
    }

    fn pattern(&self, n: usize) -> Result<(), TemplateError> {
        let ends = ["", ")", ",", "and", "or", "if", "|"].contains(&self.word(n + 1));
        if self.kind(n) != Some(TokenKind::Text) || !ends {
            return Ok(());
        }
        let at = self.tokens[n].at.start;
        let Some(pattern) = unquoted(self.word(n)) else { return Ok(()) };
        match Pattern::new(&pattern) {
            Ok(_) => Ok(()),
            Err(error) => {
                let refusal = bad_pattern("", &error);
                Err(TemplateError::new(at, refusal.problem, refusal.allowed))
            }
        }
    }

    fn rewrite(&mut self) -> Result<(), TemplateError> {
        let words: BTreeSet<&str> = (0..self.tokens.len()).map(|n| self.word(n)).collect();
        let mut text = String::with_capacity(self.written.len());
        let mut copied = 0;
        let mut n = 0;
        while n < self.tokens.len() {
            let token = self.tokens[n].clone();
            if self.is_name(n) && self.is_known(self.word(n)) {
                let (last, path) = self.path(n);
                let written = &self.written[token.at.start..self.tokens[last].at.end];
                self.resource_field(n, &path)?;
                let alias = self.alias(written, &path, &words);
                text.push_str(&self.written[copied..token.at.start]);
                text.push_str(&alias);
                copied = self.tokens[last].at.end;
                self.aliases.0.insert(alias, path);
                n = last;
            }
            n += 1;
        }
        text.push_str(&self.written[copied..]);
        self.text = text;
        Ok(())
    }

    /// Returns the last token of the path at `n`, and the path with dots: `payload['ports'][0].id` is
    /// `payload.ports.0.id`. A number in brackets at the end is left to the engine, since it also selects a character.
    fn path(&self, n: usize) -> (usize, String) {
        let (mut last, mut path) = (n, self.word(n).to_owned());
        let mut whole = (last, path.len());
        while has_fields(self.word(n)) {
            let joined = |from: usize, to: usize| {
                (from..to).all(|n| {
                    self.tokens.get(n + 1).is_some_and(|next| self.tokens[n].at.end == next.at.start)
                })
            };
            let key = match (self.word(last + 1), self.kind(last + 2)) {
                (".", Some(TokenKind::Word | TokenKind::Number))
                    if joined(last, last + 2) && self.word(last + 3) != "(" =>
                {
                    last += 2;
                    self.word(last)
                }
                ("[", Some(TokenKind::Text)) if self.word(last + 3) == "]" && joined(last, last + 3) => {
                    let key = self.word(last + 2);
                    let key = key.get(1..key.len() - 1).unwrap_or_default();
                    let plain = key.starts_with(|c: char| c.is_alphabetic())
                        && key.chars().all(|c| c.is_alphanumeric() || c == '_');
                    if !plain {
                        break;
                    }
                    last += 3;
                    key
                }
                ("[", Some(TokenKind::Number)) if self.word(last + 3) == "]" && joined(last, last + 3) => {
                    path = format!("{path}.{}", self.word(last + 2));
                    last += 3;
                    continue;
                }
                _ => break,
            };
            path = format!("{path}.{key}");
            whole = (last, path.len());
        }
        path.truncate(whole.1);
        (whole.0, path)
    }

    /// Returns a word of the same length that the source does not contain.
    fn alias(&self, written: &str, path: &str, words: &BTreeSet<&str>) -> String {
        if !path.contains('.') {
            return written.to_owned();
        }
        let spelt = ["_", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
            .map(|sign| written.replace(|c: char| !c.is_alphanumeric() && c != '_', sign));
        let free = spelt.iter().find(|alias| match self.aliases.0.get(*alias) {
            Some(other) => other == path,
            None => !words.contains(alias.as_str()),
        });
        // For too many paths that differ only in their dots, the engine walks this path step by step.
        free.cloned().unwrap_or_else(|| written.to_owned())
    }

    /// Refuses a field that no resource has, and below `addresses` one that no address has.
    fn resource_field(&self, n: usize, path: &str) -> Result<(), TemplateError> {
        let mut steps = path.strip_prefix("resource.").into_iter().flat_map(|below| below.split('.'));
        let Some(field) = steps.next() else { return Ok(()) };
        if !RESOURCE.contains(&field) {
            return Err(self.lacks(n, "resource", field, &RESOURCE));
        }
        let Some(item) = steps.next().filter(|_| field == "addresses") else { return Ok(()) };
        if !item.bytes().all(|byte| byte.is_ascii_digit()) {
            let problem = format!("resource.addresses is a list, which has no {}", shown(item));
            let allowed = "write the place of an address, such as resource.addresses.0.address";
            return Err(TemplateError::new(self.tokens[n].at.start, problem, allowed));
        }
        match steps.next() {
            Some(field) if !ADDRESS.contains(&field) => Err(self.lacks(n, "an address", field, &ADDRESS)),
            Some(_) | None => Ok(()),
        }
    }

    fn lacks(&self, n: usize, what: &str, field: &str, known: &[&'static str]) -> TemplateError {
        let at = self.tokens[n].at.start;
        let allowed = format!("it has {}", known.join(", "));
        let error = TemplateError::new(at, format!("{what} has no {}", shown(field)), allowed);
        TemplateError { suggestion: nearest(field, known.iter().copied()).map(str::to_owned), ..error }
    }

    fn names(&self) -> Vec<&'a str> {
        NAMES.iter().chain(self.more).copied().collect()
    }

    fn is_known(&self, word: &str) -> bool {
        NAMES.contains(&word) || self.more.contains(&word)
    }

    pub(super) fn check(&self, undeclared: &HashSet<String>) -> Result<(), TemplateError> {
        for n in 0..self.tokens.len() {
            let word = self.word(n);
            let at = self.tokens[n].at.start;
            let local = ["for", "set", "with"].contains(&self.before(n));
            if local && self.kind(n) == Some(TokenKind::Word) && self.is_known(word) {
                let problem = format!("{word} is a name already and cannot be another one");
                return Err(TemplateError::new(at, problem, "give the variable another name"));
            }
            let known = self.is_known(word) || self.aliases.0.contains_key(word);
            if self.is_name(n) && !known && undeclared.contains(word) {
                let what = if self.word(n + 1) == "(" { "function" } else { "name" };
                let problem = format!("there is no {what} {}", shown(word));
                let unknown = Some(word.to_owned());
                if let Some(instead) = foreign_syntax::instead(what, word) {
                    return Err(TemplateError { unknown, ..TemplateError::new(at, problem, instead) });
                }
                let mut allowed = format!("the names are {}", self.names().join(", "));
                // As in `state == ACTIVE`, without quotes.
                if ["=", ",", "[", "in"].contains(&self.before(n)) {
                    allowed.push_str("; a string is written in quotes");
                }
                let rest = &self.written[self.tokens[n].at.end..];
                let near = nearest(word, self.names()).map(str::to_owned);
                let suggestion = near.or_else(|| foreign_syntax::path(word, rest));
                return Err(TemplateError {
                    suggestion,
                    unknown,
                    ..TemplateError::new(at, problem, allowed)
                });
            }
        }
        Ok(())
    }
}

fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(60).collect()
}
