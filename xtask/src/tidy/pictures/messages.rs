//! The messages of a Rust file: what its text literals say to people. Tests, documentation, logs, and what describes
//! instead of refusing are left out.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// Functions and constants whose texts refuse nothing, by name.
const DESCRIBING: [&str; 14] = [
    "does",
    "explain",
    "preview",
    "probe",
    "probed",
    "target",
    "about",
    "shown",
    "OPTIONS",
    "KEYED",
    "RABBIT_OPTIONS",
    "RPC",
    "COMPRESSION",
    "TRANSIENT",
];
/// The calls that take texts that describe options, and macros for logs and for developers.
const TAKING: [&str; 11] = [
    "SectionDef",
    "OptionDef",
    "DriverTable",
    "trace",
    "debug",
    "info",
    "assert",
    "assert_eq",
    "unreachable",
    "matches",
    "panic",
];
/// The calls that refuse, by the name before their arguments.
const REFUSALS: [&str; 14] = [
    "Err",
    "anyhow",
    "bail",
    "ensure",
    "error",
    "complain",
    "context",
    "with_context",
    "ok_or_else",
    "map_err",
    "refuse",
    "Unanswered",
    "failed",
    "new",
];

/// One literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MessageLiteral {
    /// From 1.
    pub(super) line: usize,
    /// The message, with `{}` for each value put in.
    pub(super) text: String,
    /// The same where nothing is put in, and braces are braces.
    pub(super) plain: String,
}

/// All of them, in the order of the file; `None` if it cannot be read as Rust.
pub(super) fn all(source: &str) -> Option<Vec<MessageLiteral>> {
    of(source, true)
}

/// Only those that are an argument of what refuses.
pub(super) fn refusals(source: &str) -> Option<Vec<MessageLiteral>> {
    of(source, false)
}

fn of(source: &str, wanted: bool) -> Option<Vec<MessageLiteral>> {
    let tokens: TokenStream = source.parse().ok()?;
    let mut literals = Vec::new();
    walk(tokens, wanted, &mut literals);
    let mut from = 0;
    let messages = literals.into_iter().filter_map(|written: String| {
        // Outside of a compiler's macro, tokens do not tell their line.
        let at = source.get(from..)?.find(&written)? + from;
        from = at + written.len();
        let line = source.get(..at)?.matches('\n').count() + 1;
        let plain = syn::parse_str::<syn::LitStr>(&written).ok()?.value();
        let text = with_holes(&plain);
        // A template is no message, whatever words are in it.
        let is_template = plain.replace("{{ }}", "").contains("{{ ");
        (is_prose(&text) && !is_template).then_some(MessageLiteral { line, text, plain })
    });
    Some(messages.collect())
}

/// Gathers the literals as they are written; `wanted` are those of this level.
fn walk(tokens: TokenStream, wanted: bool, found: &mut Vec<String>) {
    let mut tokens = tokens.into_iter().peekable();
    // Until the braces or the semicolon that end what is left out; the next parentheses or braces.
    let (mut skip, mut skip_next) = (false, false);
    let (mut defines, mut refuses) = (false, false);
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(sign) if sign.as_char() == '#' => {
                tokens.next_if(|token| matches!(token, TokenTree::Punct(inner) if inner.as_char() == '!'));
                if let Some(TokenTree::Group(group)) = tokens.next_if(is_brackets) {
                    let attribute = group.stream().to_string();
                    if attribute.starts_with("error") {
                        walk(group.stream(), true, found);
                    }
                    skip |= attribute.replace(' ', "") == "cfg(test)";
                }
            }
            TokenTree::Ident(name) => {
                let name = name.to_string();
                let is_macro = matches!(tokens.peek(), Some(TokenTree::Punct(sign)) if sign.as_char() == '!');
                skip |= defines && DESCRIBING.contains(&&*name);
                skip_next |= TAKING.contains(&&*name);
                defines = matches!(&*name, "fn" | "const" | "static");
                refuses = REFUSALS.contains(&&*name) || refuses && is_macro;
            }
            TokenTree::Punct(sign) => {
                skip &= sign.as_char() != ';';
                skip_next &= matches!(sign.as_char(), '!' | ':');
                refuses &= matches!(sign.as_char(), '!' | ':');
            }
            TokenTree::Group(group) => {
                if !skip && !skip_next {
                    walk(group.stream(), wanted || refuses, found);
                }
                let ends = group.delimiter() == Delimiter::Brace;
                (skip, skip_next, refuses) = (skip && !ends, false, false);
            }
            TokenTree::Literal(literal) => {
                let written = literal.to_string();
                if wanted && !skip && written.starts_with(['"', 'r']) {
                    found.push(written);
                }
            }
        }
    }
}

fn is_brackets(token: &TokenTree) -> bool {
    let brackets = |group: &Group| group.delimiter() == Delimiter::Bracket;
    matches!(token, TokenTree::Group(group) if brackets(group))
}

/// `{name}`, `{0:?}` and `{}` as `{}`; doubled braces as one.
fn with_holes(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        match c {
            '{' if chars.next_if_eq(&'{').is_none() => {
                chars.by_ref().find(|c| *c == '}');
                out.push('}');
            }
            '}' => {
                chars.next_if_eq(&'}');
            }
            _ => {}
        }
    }
    out
}

/// Whether it is words for people: at least two, beside what is put in.
fn is_prose(text: &str) -> bool {
    let letters = |word: &&str| word.chars().filter(|c| c.is_alphabetic()).count() > 1;
    text.split_whitespace().filter(letters).count() > 1
}

/// Whether a line of `said` holds what the message says, with anything in its holes.
pub(super) fn is_in(message: &str, said: &str) -> bool {
    said.lines().any(|line| {
        let mut rest = line;
        message.split("{}").all(|part| match rest.split_once(part.trim_matches('\n')) {
            Some((_, behind)) => {
                rest = behind;
                true
            }
            None => false,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(messages: Option<Vec<MessageLiteral>>) -> Vec<(usize, String)> {
        messages.unwrap().into_iter().map(|message| (message.line, message.text)).collect()
    }

    const SOURCE: &str = r##"
/// Documentation is no message.
#[error("no file {0}; name one")]
struct NoFile(String);
fn f(x: &str) -> Result<(), String> {
    let plain = "neither of both";
    tracing::info!("a line of a log");
    g(&format!("it has {x:?} and {{braces}}"), "one");
    Err(format!("refused as {x}"))
}
fn does() -> String { "says what it does".to_owned() }
#[cfg(test)]
mod tests { const X: &str = "of a test"; }
fn last() -> anyhow::Error { anyhow!("really the last") }
"##;

    #[test]
    fn messages_are_texts_for_people() {
        let expected = [
            (3, "no file {}; name one"),
            (6, "neither of both"),
            (8, "it has {} and {braces}"),
            (9, "refused as {}"),
            (14, "really the last"),
        ];
        assert_eq!(texts(all(SOURCE)), expected.map(|(line, text)| (line, text.to_owned())));
        let expected = [(3, "no file {}; name one"), (9, "refused as {}"), (14, "really the last")];
        assert_eq!(texts(refusals(SOURCE)), expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn a_message_is_in_what_holds_its_parts_in_order() {
        let check =
            |message: &str, said: &str, expected| assert_eq!(is_in(message, said), expected, "{message}");
        check("no file {}; name one", "x: no file a.conf; name one", true);
        check("no file {}; name one", "name one; no file", false);
        check("no file {}; name one", "no file\n; name one", false);
        check("{} and {}", "1 and 2", true);
    }
}
