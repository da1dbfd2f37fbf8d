//! The values that a `when` requires of a name, found by its text without evaluation.
//!
//! `event_type == "a" and payload.x in ["b", "c"]` requires a of `event_type`, and b or c of `payload.x`, since each
//! side of a top-level `and` must hold. Other forms, and any `or` or `if`, are ignored.

use osnl_config::template::conjuncts::{conjuncts, name, outside, text, texts};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Equality {
    pub(super) name: String,
    pub(super) texts: Vec<String>,
}

pub(super) fn find(source: &str) -> Vec<Equality> {
    conjuncts(source).unwrap_or_default().into_iter().filter_map(equality).collect()
}

fn equality(conjunct: &str) -> Option<Equality> {
    if let Some((left, right)) = outside(conjunct, "==") {
        let (name, text) = match (name(left), name(right)) {
            (Some(name), None) => (name, text(right)?),
            (None, Some(name)) => (name, text(left)?),
            (Some(_), Some(_)) | (None, None) => return None,
        };
        return Some(Equality { name, texts: vec![text] });
    }
    let (left, right) = outside(conjunct, " in ")?;
    Some(Equality { name: name(left)?, texts: texts(right)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_is_what_must_hold_whatever_else_does() {
        let check = |source: &str, expected: &[(&str, &[&str])]| {
            let found = find(source);
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
        check(r#"a == "x\"y""#, &[("a", &["x\"y"])]);
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
            "'x' in a",
            "a in [b]",
            "",
        ] {
            check(nothing, &[]);
        }
    }
}
