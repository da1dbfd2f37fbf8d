//! Finds comparisons in `when` that can never hold because the types differ, as a number never equals a text. Only a
//! name and a constant in a side of a top-level `and` count.

use osnl_config::template::conjuncts::{conjuncts, name, outside, text, texts};

use super::fields::ValueTypes;

/// The comparison signs, longer ones first.
const SIGNS: [&str; 5] = ["==", "<=", ">=", "<", ">"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NameComparison {
    pub(super) name: String,
    pub(super) sign: &'static str,
    pub(super) written: String,
    pub(super) kind: ConstantKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConstantKind {
    Text,
    Number,
    Boolean,
}

impl ConstantKind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Boolean => "true or false",
        }
    }

    fn from_literal(written: &str) -> Option<Self> {
        let unsigned = written.strip_prefix('-').unwrap_or(written);
        let digits = unsigned.strip_suffix('.').unwrap_or(unsigned);
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Some(Self::Number);
        }
        if ["true", "false", "True", "False"].contains(&written) {
            return Some(Self::Boolean);
        }
        text(written).map(|_| Self::Text)
    }

    /// Whether a value may equal a constant of this type. `True` is 1, as in Python.
    pub(super) fn is_among(self, values: &ValueTypes) -> bool {
        match self {
            Self::Text => values.text,
            Self::Number | Self::Boolean => values.number || values.boolean,
        }
    }
}

pub(super) fn compared_names(source: &str) -> Vec<NameComparison> {
    conjuncts(source).unwrap_or_default().into_iter().filter_map(compared).collect()
}

fn compared(conjunct: &str) -> Option<NameComparison> {
    for sign in SIGNS {
        let Some((left, right)) = outside(conjunct, sign) else { continue };
        let (name, written) = match (name(left), name(right)) {
            (Some(name), None) => (name, right),
            (None, Some(name)) => (name, left),
            (Some(_), Some(_)) | (None, None) => return None,
        };
        return Some(NameComparison {
            name,
            sign,
            written: written.to_owned(),
            kind: ConstantKind::from_literal(written)?,
        });
    }
    let (left, right) = outside(conjunct, " in ")?;
    let name = name(left)?;
    if texts(right).is_some() {
        return Some(NameComparison {
            name,
            sign: "in",
            written: right.to_owned(),
            kind: ConstantKind::Text,
        });
    }
    let items = right.strip_prefix('[')?.strip_suffix(']')?.split(',').map(str::trim);
    let is_number = items.clone().all(|item| ConstantKind::from_literal(item) == Some(ConstantKind::Number));
    is_number.then(|| NameComparison {
        name,
        sign: "in",
        written: right.to_owned(),
        kind: ConstantKind::Number,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_constant_at_the_top_are_a_comparison() {
        let check = |source: &str, expected: &[(&str, &str, &str, ConstantKind)]| {
            let found = compared_names(source);
            let found: Vec<_> =
                found.iter().map(|c| (c.name.as_str(), c.sign, c.written.as_str(), c.kind)).collect();
            assert_eq!(found, expected, "{source}");
        };
        check("a == 1", &[("a", "==", "1", ConstantKind::Number)]);
        check(
            "-1.5 <= a.b and c == 'x'",
            &[("a.b", "<=", "-1.5", ConstantKind::Number), ("c", "==", "'x'", ConstantKind::Text)],
        );
        check("a == true", &[("a", "==", "true", ConstantKind::Boolean)]);
        check("a in [1, 2]", &[("a", "in", "[1, 2]", ConstantKind::Number)]);
        check("a in ['1', '2']", &[("a", "in", "['1', '2']", ConstantKind::Text)]);
        for none in [
            "a == b",
            "a == 1 or b == 2",
            "a | int == 1",
            "a != 1",
            "a not in [1]",
            "a in [1, 'x']",
            "a == none",
            "not a == 1",
        ] {
            check(none, &[]);
        }
    }
}
