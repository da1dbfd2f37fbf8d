//! Hints for syntax of other languages, with the equivalent of this one.

use osnl_model::catalogue;

use super::names::NAMES;
use super::vocabulary::{FILTERS, METHODS, TESTS};

/// Signs or words in wrong places, and the likely meaning.
const SIGNS: [(&str, &str); 17] = [
    ("=~", "a pattern is tested with is match(\"...\")"),
    ("==", "a comparison needs a value on each side"),
    ("=>", "at least is >="),
    ("=", "a comparison is =="),
    ("&", "write and"),
    ("|", "write or; a single | is followed by a filter"),
    ("!", "write not; unequal is !="),
    ("?", "write a if condition else b"),
    ("<>", "unequal is !="),
    (">", "unequal is !="),
    ("~=", "a pattern is tested with is match(\"...\")"),
    ("#", "a comment needs a line of its own"),
    ("$", "write the name without a sign before it"),
    ("@", "write the name without a sign before it"),
    ("^", "a pattern is a string in quotes, after is match"),
    (";", "write and, or or"),
    ("\\", "a long expression continues on the next line without a sign, if that begins with a space"),
];

const WORDS: [(&str, &str); 8] = [
    ("and", "write and, in small letters"),
    ("or", "write or, in small letters"),
    ("not", "write not, in small letters"),
    ("contains", "write \"text\" in value"),
    ("like", "a pattern is tested with is match(\"...\")"),
    ("matches", "a pattern is tested with is match(\"...\")"),
    ("match", "a pattern is tested with is match(\"...\")"),
    ("startswith", "write value.startswith(\"...\")"),
];

pub(super) fn at(rest: &str) -> &'static str {
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let word = rest[..end].to_lowercase();
    let of_word = WORDS.iter().find(|(written, _)| *written == word);
    let of_sign = || SIGNS.iter().find(|(sign, _)| rest.starts_with(sign));
    of_word.or_else(of_sign).map_or("", |(_, hint)| hint)
}

/// Suggests the right form if the engine may have misread the text before the place: the `~` of `~=`, or
/// `NOT` as a name.
pub(super) fn near(source: &str, place: usize) -> &'static str {
    let (before, rest) = source.split_at(place);
    if before.ends_with('~') && rest.starts_with('=') {
        return at(&source[place - 1..]);
    }
    let word = before.trim_end().rsplit(|c: char| !c.is_alphanumeric() && c != '_').next();
    match (at(rest), word) {
        ("", Some("NOT")) => at("NOT"),
        (hint, _) => hint,
    }
}

/// Names of other languages for a filter, test, method, function or name.
const FOREIGN: [(&str, &str); 22] = [
    ("len", "length"),
    ("size", "length"),
    ("str", "string"),
    ("null", "none"),
    ("nil", "none"),
    ("undef", "undefined"),
    ("empty", "value is not defined, or value == \"\""),
    ("exists", "defined"),
    ("present", "defined"),
    ("matches", "match"),
    ("regex_search", "search"),
    ("regex_match", "match"),
    ("regexp", "regex"),
    ("like", "match"),
    ("starts_with", "startswith"),
    ("ends_with", "endswith"),
    ("substring", "in"),
    ("includes", "in"),
    ("has", "in"),
    ("tolowercase", "lower"),
    ("touppercase", "upper"),
    ("ipaddr", "match"),
];

pub(super) fn instead(what: &str, word: &str) -> Option<String> {
    let lower = word.to_lowercase();
    let known = FOREIGN.iter().find(|(foreign, _)| *foreign == lower).map_or(word, |(_, ours)| ours);
    let is = |all: &[&str]| all.contains(&known);
    Some(match what {
        _ if known == "in" || known == "contains" => "write \"text\" in value".to_owned(),
        _ if known == "none" => "null is written none: value is none, or value == none".to_owned(),
        "test" if known == word && is(METHODS) => format!("write value.{known}(...)"),
        _ if is(TESTS) && (what != "test" || known != word) => match known {
            "match" | "search" | "regex" => format!("write value is {known}(\"...\")"),
            known => format!("write value is {known}"),
        },
        _ if is(METHODS) && what != "method" => format!("write value.{known}(...)"),
        _ if is(FILTERS) && what != "filter" => format!("write value | {known}"),
        _ if known != word => format!("write {known}"),
        _ => return None,
    })
}

/// Returns the path for an unknown name: `event.payload.id` is `payload.id`, and `port_id` is the payload's.
/// `rest` is the text after the name.
pub(super) fn path(word: &str, rest: &str) -> Option<String> {
    let words = ["event", "notification", "message", "msg", "item", "ctxt", "body", "data"];
    if let Some(rest) = rest.strip_prefix('.').filter(|_| words.contains(&word)) {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        return NAMES.iter().find(|name| **name == &rest[..end]).map(|name| (*name).to_owned());
    }
    if word.starts_with("nova_object") || word == "port" || word == "instance" {
        return Some(format!("payload.{word}"));
    }
    // A short name is more likely a text without quotes.
    let of_payload = word.len() > 3 && catalogue::events().iter().any(|event| event.field(word).is_some());
    of_payload.then(|| format!("payload.{word}"))
}
