//! The operands of an expression's `and`s, found in its text, for callers that ask which is false or
//! required.

use super::engine::unquoted;

/// Returns the operands of top-level `and`s; `None` if an `or` or an `if` is among these.
pub fn conjuncts(source: &str) -> Option<Vec<&str>> {
    let mut found = Vec::new();
    let (mut begin, mut word) = (0, None);
    for (at, depth, quoted, c) in places(source).chain([(source.len(), 0, false, ' ')]) {
        let is_word = !quoted && depth == 0 && (c.is_alphanumeric() || c == '_' || c == '.');
        match (is_word, word) {
            (true, None) => word = Some(at),
            (false, Some(from)) => {
                word = None;
                match &source[from..at] {
                    "or" | "if" => return None,
                    "and" => {
                        found.push(&source[begin..from]);
                        begin = at;
                    }
                    _ => {}
                }
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
    found.push(&source[begin..]);
    Some(found)
}

/// Returns each character with its place, the depth of brackets, and whether it is in quotes.
pub fn places(source: &str) -> impl Iterator<Item = (usize, usize, bool, char)> + '_ {
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    source.char_indices().map(move |(at, c)| {
        let quoted = quote.is_some();
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if open == c => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (Some(_) | None, _) => {}
        }
        (at, depth, quoted || quote.is_some(), c)
    })
}

pub fn outside<'a>(side: &'a str, sign: &str) -> Option<(&'a str, &'a str)> {
    let mut at =
        places(side).filter(|(at, depth, quoted, _)| !quoted && *depth == 0 && side[*at..].starts_with(sign));
    let found = at.next()?.0;
    Some((side[..found].trim(), side[found + sign.len()..].trim()))
}

pub fn name(written: &str) -> Option<String> {
    let begins = written.starts_with(|c: char| c.is_alphabetic());
    let is_name = begins && written.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    let is_value = ["true", "false", "none", "True", "False", "None"].contains(&written);
    (is_name && !is_value).then(|| written.to_owned())
}

pub fn text(written: &str) -> Option<String> {
    let quote = written.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inner = written.get(1..)?.strip_suffix(quote)?;
    if !inner.contains([quote, '\\']) {
        return Some(inner.to_owned());
    }
    places(written).all(|(.., quoted, _)| quoted).then(|| unquoted(written))?
}

pub fn texts(written: &str) -> Option<Vec<String>> {
    let inner = written.strip_prefix('[')?.strip_suffix(']')?;
    let commas = places(inner).filter(|(_, depth, quoted, c)| *c == ',' && !quoted && *depth == 0);
    let mut ends: Vec<usize> = commas.map(|(at, ..)| at).collect();
    ends.push(inner.len());
    let mut begin = 0;
    let items = ends.into_iter().map(|end| {
        let item = &inner[begin..end];
        begin = end + 1;
        text(item.trim())
    });
    items.collect()
}
