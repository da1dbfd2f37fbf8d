//! What a `when` wants a name to be, as far as its text says so without being evaluated.
//!
//! `event_type == "a" and payload.x in ["b", "c"]` wants `event_type` to be a and `payload.x` to be b or c: each side
//! of a top-level `and` must hold. Whatever is written in another way says nothing here, and so does everything beside
//! an `or` or an `if`.

use crate::template::{conjuncts, places};

/// A name and the texts that it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Equality {
    pub(super) name: String,
    pub(super) texts: Vec<String>,
}

/// In the order of the expression.
pub(super) fn of(source: &str) -> Vec<Equality> {
    conjuncts(source).unwrap_or_default().into_iter().filter_map(equality).collect()
}

fn equality(conjunct: &str) -> Option<Equality> {
    let outside = |sign: &str| {
        let mut at = places(conjunct)
            .filter(|(at, depth, quoted, _)| !quoted && *depth == 0 && conjunct[*at..].starts_with(sign));
        let found = at.next()?.0;
        Some((conjunct[..found].trim(), conjunct[found + sign.len()..].trim()))
    };
    if let Some((left, right)) = outside("==") {
        let (name, text) = match (name(left), name(right)) {
            (Some(name), None) => (name, text(right)?),
            (None, Some(name)) => (name, text(left)?),
            (Some(_), Some(_)) | (None, None) => return None,
        };
        return Some(Equality { name, texts: vec![text] });
    }
    let (left, right) = outside(" in ")?;
    let inner = right.strip_prefix('[')?.strip_suffix(']')?;
    let texts = split(inner).map(|item| text(item.trim())).collect::<Option<Vec<_>>>()?;
    Some(Equality { name: name(left)?, texts })
}

fn split(list: &str) -> impl Iterator<Item = &str> {
    let commas = places(list).filter(|(_, depth, quoted, c)| *c == ',' && !quoted && *depth == 0);
    let mut ends: Vec<usize> = commas.map(|(at, ..)| at).collect();
    ends.push(list.len());
    let mut begin = 0;
    ends.into_iter().map(move |end| {
        let item = &list[begin..end];
        begin = end + 1;
        item
    })
}

fn name(text: &str) -> Option<String> {
    let begins = text.starts_with(|c: char| c.is_alphabetic());
    let is_name = begins && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    (is_name && !["true", "false", "none", "True", "False", "None"].contains(&text)).then(|| text.to_owned())
}

/// A text in quotes without anything escaped.
fn text(written: &str) -> Option<String> {
    let quote = written.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inner = written.strip_prefix(quote)?.strip_suffix(quote)?;
    (!inner.contains([quote, '\\'])).then(|| inner.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_is_what_must_hold_whatever_else_does() {
        let check = |source: &str, expected: &[(&str, &[&str])]| {
            let found = of(source);
            let found: Vec<(&str, Vec<&str>)> = found
                .iter()
                .map(|found| (found.name.as_str(), found.texts.iter().map(String::as_str).collect()))
                .collect();
            let expected: Vec<(&str, Vec<&str>)> = expected.iter().map(|(n, t)| (*n, t.to_vec())).collect();
            assert_eq!(found, expected, "{source}");
        };
        check(r#"event_type == "a""#, &[("event_type", &["a"])]);
        check("'a and b' == payload.x.y and not payload.z", &[("payload.x.y", &["a and b"])]);
        check(r#"priority in ["a", 'b, c'] and payload.n > 3"#, &[("priority", &["a", "b, c"])]);
        check("a == 'x'\n    and (b == 'y' or c == 'z') and d=='w'", &[("a", &["x"]), ("d", &["w"])]);
        for nothing in [
            "a == 'x' or b == 'y'",
            "a == 'x' if b else c",
            "not a == 'x'",
            "a | lower == 'x'",
            "a == b",
            "a != 'x'",
            "a not in ['x']",
            "a == 1",
            r#"a == "x\"y""#,
            "'x' in a",
            "a in [b]",
            "",
        ] {
            check(nothing, &[]);
        }
    }
}
