//! Licence expressions as SPDX writes them: identifiers, `WITH`, `AND`, `OR`, parentheses, and the older
//! `MIT/Apache-2.0` of early crates. `AND` binds tighter than `OR`.

/// Whether the expression can be fulfilled with licences that `allowed` knows. One with an exception is asked for
/// as a whole, `Apache-2.0 WITH LLVM-exception`.
///
/// # Errors
/// What is wrong with the expression.
pub(super) fn is_fulfilled(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { words: &words, allowed };
    let fulfilled = reader.any();
    match (fulfilled, reader.words.first()) {
        (Some(fulfilled), None) => Ok(fulfilled),
        (Some(_), Some(word)) => Err(format!("licence expression `{expression}`: unexpected `{word}`")),
        (None, _) => Err(format!("licence expression `{expression}` cannot be read")),
    }
}

struct Reader<'a> {
    words: &'a [&'a str],
    allowed: &'a dyn Fn(&str) -> bool,
}

impl<'a> Reader<'a> {
    /// `all OR all …`
    fn any(&mut self) -> Option<bool> {
        let mut fulfilled = self.all()?;
        while self.skip("OR") {
            fulfilled |= self.all()?;
        }
        Some(fulfilled)
    }

    /// `one AND one …`
    fn all(&mut self) -> Option<bool> {
        let mut fulfilled = self.one()?;
        while self.skip("AND") {
            fulfilled &= self.one()?;
        }
        Some(fulfilled)
    }

    /// `( any )`, `licence` or `licence WITH exception`
    fn one(&mut self) -> Option<bool> {
        if self.skip("(") {
            let fulfilled = self.any()?;
            return self.skip(")").then_some(fulfilled);
        }
        let licence = self.identifier()?;
        if self.skip("WITH") {
            let exception = self.identifier()?;
            return Some((self.allowed)(&format!("{licence} WITH {exception}")));
        }
        Some((self.allowed)(licence))
    }

    fn identifier(&mut self) -> Option<&'a str> {
        let (word, rest) = self.words.split_first()?;
        if matches!(*word, "(" | ")" | "AND" | "OR" | "WITH") {
            return None;
        }
        self.words = rest;
        Some(word)
    }

    fn skip(&mut self, expected: &str) -> bool {
        match self.words.split_first() {
            Some((word, rest)) if *word == expected => {
                self.words = rest;
                true
            }
            Some(_) | None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let known = |id: &str| matches!(id, "MIT" | "ISC" | "Apache-2.0 WITH LLVM-exception");
        let check = |expression: &str, expected: Option<bool>| {
            assert_eq!(is_fulfilled(expression, &known).ok(), expected, "{expression}");
        };
        check("MIT", Some(true));
        check("GPL-3.0-only", Some(false));
        check("MIT OR GPL-3.0-only", Some(true));
        check("GPL-3.0-only OR MIT", Some(true));
        check("GPL-3.0-only/MIT", Some(true));
        check("MIT AND GPL-3.0-only", Some(false));
        check("MIT AND ISC", Some(true));
        check("Apache-2.0 WITH LLVM-exception OR Apache-2.0", Some(true));
        check("Apache-2.0", Some(false));
        check("MIT WITH LLVM-exception", Some(false));
        // AND binds tighter: MIT OR (ISC AND GPL).
        check("MIT OR ISC AND GPL-3.0-only", Some(true));
        check("(MIT OR ISC) AND GPL-3.0-only", Some(false));
        check("(GPL-3.0-only OR MIT) AND (ISC OR GPL-3.0-only)", Some(true));
        check("((MIT))", Some(true));
        check("", None);
        check("MIT OR", None);
        check("MIT ISC", None);
        check("(MIT", None);
        check("MIT)", None);
        check("AND", None);
        check("MIT WITH", None);
    }
}
