//! Python's regular expressions, translated for the `regex` and `fancy-regex` crates.
//!
//! The languages differ in detail, so each element is parsed as Python 3.11 does and written anew:
//! literals escaped, classes as code points, flags resolved.
//!
//! | Python | written as |
//! |---|---|
//! | `$` | `(?:\n?\z)`: the end, or before a final newline |
//! | `\Z`, `^` | `\z`, `\A` |
//! | `\b`, `\B` | look-around over `\w`; for ASCII texts the linear dialect's own |
//! | `(?i)` | classes of characters that Python's folding makes equal, without a flag |
//! | `\w`, `\d`, `\s` | `[\p{L}\p{N}_]`, `\p{Nd}`, white space with U+001C to U+001F; ASCII under `(?a)` |
//! | `[` `&&` `--` `~~` in a class, an initial `]`, `{` outside a quantifier, `\<` | literals |
//! | `(?P<n>..)`, `(..)` | `(?:..)`; only the match counts, not the groups |
//! | `{,n}` | `{0,n}` |
//!
//! Look-around, references to groups, conditionals, atomic groups and possessive quantifiers exist
//! in the backtracking dialect only. So does an exact `$`:
//! `(?:\n?\z)` consumes the newline, which is wrong if an element after the `$` could match there, such
//! as `$\s`. The linear `\b` is exact for ASCII texts only, so a pattern with `\b` is written in
//! both dialects.

mod class;
mod escape;
mod fold;
mod group;
mod width;

use width::Width;

/// A pattern in the syntax of one engine, or of both.
pub(super) enum Translation {
    One(PatternEngine, String),
    Two { linear_for_ascii: String, exact: String },
}

/// The engine that a pattern is translated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PatternEngine {
    Linear,
    Backtracking,
}

/// The reason why a pattern is refused, with the position of the fault if it has one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) position: Option<usize>,
    pub(super) message: String,
}

pub(super) fn translate(pattern: &str) -> Result<Translation, Rejection> {
    let linear = Translator::new(pattern, PatternEngine::Linear).run()?;
    if !linear.needs_backtracking && !linear.has_boundary {
        return Ok(Translation::One(PatternEngine::Linear, linear.out));
    }
    let exact = Translator::new(pattern, PatternEngine::Backtracking).run()?.out;
    Ok(if linear.needs_backtracking {
        Translation::One(PatternEngine::Backtracking, exact)
    } else {
        Translation::Two { linear_for_ascii: linear.out, exact }
    })
}

type ScanStep = Result<(), Rejection>;

const MAX_DEPTH: usize = 50;

/// Translates a pattern of Python's `re` into the syntax of one engine, character by character.
struct Translator {
    /// The characters of the pattern.
    pattern: Vec<char>,
    /// The position of the next character.
    at: usize,
    /// The engine that the result is for.
    dialect: PatternEngine,
    /// The result so far.
    out: String,
    /// Whether the linear engine cannot match the pattern.
    needs_backtracking: bool,
    /// Whether the pattern has a `\b` or `\B`, which the linear engine knows for ASCII alone.
    has_boundary: bool,
    /// Whether a look-behind has no fixed width. Python reports this error after all others.
    loose_look_behind: bool,
    /// The flags at the present position.
    flags: Flags,
    /// The element before the present position.
    last: Last,
    /// The width of the present alternative so far.
    width: Width,
    /// The width without the last element, which a quantifier repeats.
    before_last: Width,
    /// The width of the last element.
    last_width: Width,
    /// The number of groups before the outermost look-behind that is open; `None` outside of one.
    groups_before_look_behind: Option<usize>,
    /// Whether a `$` comes before, so that a further element needs backtracking.
    after_dollar: bool,
    /// The groups that are open, the innermost last.
    open: Vec<group::OpenGroup>,
    /// The capturing groups so far, in the order of their numbers.
    captures: Vec<group::Capture>,
}

/// The flags of Python's `re` that hold at a position.
#[derive(Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    multi_line: bool,
    dot_all: bool,
    verbose: bool,
    ascii: bool,
}

/// The kind of the element before a position, which decides whether it can be repeated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Anchor,
    LookAround,
    Item,
    Repeated,
}

impl Translator {
    fn new(pattern: &str, dialect: PatternEngine) -> Self {
        Self {
            pattern: pattern.chars().collect(),
            at: 0,
            dialect,
            out: String::new(),
            needs_backtracking: false,
            has_boundary: false,
            loose_look_behind: false,
            width: Width::ZERO,
            before_last: Width::ZERO,
            last_width: Width::ZERO,
            groups_before_look_behind: None,
            flags: Flags::default(),
            last: Last::Nothing,
            after_dollar: false,
            open: Vec::new(),
            captures: Vec::new(),
        }
    }

    fn run(mut self) -> Result<Self, Rejection> {
        while let Some(c) = self.next() {
            let start = self.at - 1;
            match c {
                _ if self.flags.verbose && matches!(c, ' ' | '\t'..='\r') => {}
                '#' if self.flags.verbose => while self.next().is_some_and(|c| c != '\n') {},
                '\\' => self.escape(start)?,
                '[' => self.class(start)?,
                '(' => self.open_group(start)?,
                ')' => self.close_group(start)?,
                '|' => self.alternative(start)?,
                '*' => self.repeat(start, "*", Width::new(0, u64::MAX))?,
                '+' => self.repeat(start, "+", Width::new(1, u64::MAX))?,
                '?' => self.repeat(start, "?", Width::new(0, 1))?,
                '{' => self.brace(start)?,
                '.' if self.flags.dot_all => self.item("(?s:.)"),
                '.' => self.item("."),
                '^' if self.flags.multi_line => self.anchor("(?m:^)"),
                '^' => self.anchor(r"\A"),
                '$' => self.dollar(),
                literal => self.literal(literal),
            }
        }
        if let Some(open) = self.open.last() {
            return Err(refused(open.start, "unclosed group"));
        }
        if self.loose_look_behind {
            let message = "look-behind requires fixed-width pattern".to_owned();
            return Err(Rejection { position: None, message });
        }
        Ok(self)
    }

    fn peek(&self) -> Option<char> {
        self.pattern.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    fn next_if(&mut self, expected: char) -> bool {
        let found = self.peek() == Some(expected);
        self.at += usize::from(found);
        found
    }

    fn item(&mut self, regex: &str) {
        self.follow(Last::Item);
        self.out.push_str(regex);
        self.add_width(Width::new(1, 1));
    }

    fn add_width(&mut self, width: Width) {
        self.before_last = self.width;
        self.last_width = width;
        self.width = self.width + width;
    }

    fn anchor(&mut self, regex: &str) {
        self.follow(Last::Anchor);
        self.out.push_str(regex);
    }

    fn literal(&mut self, c: char) {
        match fold::folded(&[(c, c)], self.flags)[..] {
            [(low, high)] if low == high => self.item(&regex_syntax::escape(c.encode_utf8(&mut [0; 4]))),
            ref ranges => self.item(&format!("[{}]", class::ranges(ranges))),
        }
    }

    fn dollar(&mut self) {
        if self.flags.multi_line {
            return self.anchor("(?m:$)");
        }
        // `follow` is not needed: a second `$` sees the same end as the first.
        self.last = Last::Anchor;
        self.after_dollar = true;
        self.out.push_str(match self.dialect {
            PatternEngine::Linear => r"(?:\n?\z)",
            PatternEngine::Backtracking => r"(?=\n?\z)",
        });
    }

    fn follow(&mut self, last: Last) {
        self.needs_backtracking |= self.after_dollar;
        self.last = last;
    }

    fn alternative(&mut self, start: usize) -> ScanStep {
        if let Some(open) = self.open.last_mut() {
            open.count_alternative(start, self.width)?;
            open.some_end_with_dollar |= self.after_dollar;
        }
        self.after_dollar = false;
        self.last = Last::Nothing;
        self.width = Width::ZERO;
        self.out.push('|');
        Ok(())
    }

    fn brace(&mut self, start: usize) -> ScanStep {
        let after_brace = self.at;
        let least = self.digits();
        let most = if self.next_if(',') { self.digits() } else { least.clone() };
        let comma_or_digits = self.at > after_brace;
        if !comma_or_digits || !self.next_if('}') {
            self.at = after_brace;
            self.literal('{');
            return Ok(());
        }
        let number = |digits: &str| {
            digits.parse::<u32>().map_err(|_| refused(start, "the repetition number is too large"))
        };
        let low = if least.is_empty() { 0 } else { number(&least)? };
        let high = if most.is_empty() { String::new() } else { number(&most)?.to_string() };
        if !most.is_empty() && number(&most)? < low {
            return Err(refused(after_brace, "min repeat greater than max repeat"));
        }
        let most = high.parse().unwrap_or(u64::MAX);
        self.repeat(start, &format!("{{{low},{high}}}"), Width::new(low.into(), most))
    }

    fn digits(&mut self) -> String {
        let mut digits = String::new();
        while let Some(digit) = self.peek().filter(char::is_ascii_digit) {
            digits.push(digit);
            self.at += 1;
        }
        digits
    }

    fn repeat(&mut self, start: usize, quantifier: &str, times: Width) -> ScanStep {
        match self.last {
            Last::Item => {}
            Last::Nothing | Last::Anchor => return Err(refused(start, "nothing to repeat")),
            // Python accepts a repeated look-around, which never changes a match; fancy-regex
            // refuses it.
            Last::LookAround => return Err(refused(start, "a repeated look-around is not supported")),
            Last::Repeated => return Err(refused(start, "multiple repeat")),
        }
        self.follow(Last::Repeated);
        self.width = self.before_last + self.last_width * times;
        self.out.push_str(quantifier);
        if self.next_if('?') {
            self.out.push('?');
        } else if self.next_if('+') {
            self.needs_backtracking = true;
            self.out.push('+');
        }
        Ok(())
    }
}

fn refused(position: usize, message: impl Into<String>) -> Rejection {
    Rejection { position: Some(position), message: message.into() }
}
