//! The sides of an expression's `and`s, found in its text: which of them is false, which of them says what must hold.

/// The sides of top-level `and`s; `None` if an `or` or an `if` stands among them.
pub(crate) fn conjuncts(source: &str) -> Option<Vec<&str>> {
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

/// Each character with its place, how many brackets it stands in, and whether it stands in quotes.
pub(crate) fn places(source: &str) -> impl Iterator<Item = (usize, usize, bool, char)> + '_ {
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
