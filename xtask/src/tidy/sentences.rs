//! Log lines of the libraries: a constant sentence, and values in fields.
//!
//! A sentence is the first string among the arguments of `tracing::error!` and its neighbours. The field `former`, which
//! repeats a line as older versions wrote it, is not one.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::Violation;

/// The crates whose lines are constant.
const CRATES: [&str; 13] = [
    "osnl",
    "osnl-actions",
    "osnl-config",
    "osnl-core",
    "osnl-delivery",
    "osnl-http",
    "osnl-journal",
    "osnl-model",
    "osnl-openstack",
    "osnl-oss",
    "osnl-template",
    "osnl-tls",
    "osnl-transport",
];
const MACROS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
/// Lines that keep a value: the end of the file's path, the sentence, the reason.
const KEPT: &[(&str, &str, &str)] = &[
    (
        "osnl-delivery/src/outcomes.rs",
        "{target} is held: {error}; nothing is lost, next try in {:.1} s",
        "docs/running.md names it for alarms, docs/coming-from-k2hr3-osnl.md for monitoring",
    ),
    ("osnl-delivery/src/outcomes.rs", "{} answers again", "its end, on the same page"),
    (
        "osnl-delivery/src/outcomes.rs",
        "{} is still held, for {} s now; nothing is lost",
        "found by the same words",
    ),
    ("osnl-actions/src/exec/chatter.rs", "{action}: {text}", "the sentence is the program's own"),
    (
        "osnl-journal/src/memory/dead.rs",
        "{line}",
        "the whole line is a JSON object: docs/coming-from-k2hr3-osnl.md",
    ),
];

/// The lines of a file that have a value in their sentence.
pub(super) fn check(path: &str, text: &str) -> Vec<Violation> {
    let is_library = CRATES.iter().any(|name| path.starts_with(&format!("crates/{name}/src/")));
    let tokens = text.parse::<TokenStream>().ok().filter(|_| is_library && path.ends_with(".rs"));
    let mut found = Vec::new();
    tokens.into_iter().for_each(|tokens| sentences(tokens, &mut found));
    let is_kept = |sentence: &str| {
        KEPT.iter().any(|(file, kept, _)| path.ends_with(file) && sentence.trim_matches('"') == *kept)
    };
    found.retain(|sentence| sentence.replace("{{", "").contains('{') && !is_kept(sentence));
    let violation = |sentence: String| Violation {
        path: path.to_owned(),
        line: text.find(&sentence).map_or(0, |at| text[..at].matches('\n').count() + 1),
        text: format!("a log line is a constant sentence: put the values of {sentence} into fields"),
    };
    found.into_iter().map(violation).collect()
}

/// Adds the sentences of all log macros, as they are written.
fn sentences(tokens: TokenStream, found: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        if group.delimiter() == Delimiter::Parenthesis && is_log_macro(&tokens[..at]) {
            found.extend(sentence(group.stream()));
        }
        sentences(group.stream(), found);
    }
}

/// Whether a log macro's name and its `!` are the last of these.
fn is_log_macro(before: &[TokenTree]) -> bool {
    match before {
        [.., TokenTree::Ident(name), TokenTree::Punct(mark)] => {
            mark.as_char() == '!' && MACROS.iter().any(|known| name == known)
        }
        _ => false,
    }
}

/// The first argument that is a string and nothing else.
fn sentence(arguments: TokenStream) -> Option<String> {
    let arguments: Vec<TokenTree> = arguments.into_iter().collect();
    let parts = arguments.split(|token| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ','));
    parts.into_iter().find_map(|part| match part {
        [TokenTree::Literal(literal)] => Some(literal.to_string()).filter(|text| text.starts_with('"')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sentences_with_values_are_refused() {
        let check = |path: &str, code: &str, expected: &[usize]| {
            let found = check(path, &format!("fn f() {{\n{code}\n}}\n"));
            assert_eq!(found.iter().map(|one| one.line).collect::<Vec<_>>(), expected, "{code}");
        };
        let path = "crates/osnl-core/src/x.rs";
        check(path, "tracing::warn!(\"it is {x}\");", &[2]);
        check(path, "if a {\n warn!(error = \"{\", %b, \"is {}\", x)\n}", &[3]);
        check(path, "tracing::warn!(former = format_args!(\"it is {x}\"), x, \"it is\");", &[]);
        check(path, "tracing::info!(target: \"a{\", \"{{}} stays\"); println!(\"{x}\");", &[]);
        check("crates/osnl-cli/src/x.rs", "tracing::warn!(\"it is {x}\");", &[]);
        check("crates/osnl-delivery/src/outcomes.rs", "tracing::info!(\"{} answers again\", x);", &[]);
    }
}
