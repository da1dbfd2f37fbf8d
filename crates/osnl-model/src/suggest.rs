/// Returns the candidate with the fewest edits: at most one for short names, two from six characters on, three from
/// twelve. `-` counts as `_`, and case is ignored, because such differences are easily overlooked. Of equally near
/// candidates the first wins.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = plain(name);
    let limit = match name.len() {
        0..=5 => 1,
        6..=11 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        // A far longer name cannot be near, and a hostile file must not cost quadratic time.
        .filter(|candidate| candidate.chars().count().abs_diff(name.len()) <= limit)
        .map(|candidate| (edits(&name, &plain(candidate)), candidate))
        .filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Returns the end of an error message: a question if there is a near name, else nothing.
pub fn did_you_mean(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean {near}?"))
}

/// Returns the refusal of a name that does not exist, with the names that do.
pub fn no_such<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    /// An operator reads a few names. A site with hundreds has the nearest one.
    const NAMED: usize = 20;
    let known: Vec<&str> = known.into_iter().collect();
    let more = match known.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let there = match &known[..known.len().min(NAMED)] {
        [] => String::new(),
        some => format!("; there are {}{more}", some.join(", ")),
    };
    format!("there is no {what} {}{there}{}", as_name(name), did_you_mean(nearest(name, known)))
}

/// Returns a name as a sentence shows it: in quotes if it is empty or has blanks or punctuation, which would read as words
/// of the sentence.
pub fn as_name(name: &str) -> std::borrow::Cow<'_, str> {
    let is_part = |c: char| c.is_alphanumeric() || "-_./:@%+*".contains(c);
    match !name.is_empty() && name.chars().all(is_part) {
        true => name.into(),
        false => format!("\"{name}\"").into(),
    }
}

fn plain(name: &str) -> Vec<char> {
    name.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

fn edits(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_does_not_exist_is_refused_with_those_that_do() {
        let many: Vec<String> = (1..=23).map(|n| format!("action-{n}")).collect();
        let check = |name: &str, known: &[&str], expected: &str| {
            assert_eq!(no_such("action", name, known.iter().copied()), expected);
        };
        check("x", &[], "there is no action x");
        check("", &["roles"], "there is no action \"\"; there are roles");
        check("a b;", &["roles"], "there is no action \"a b;\"; there are roles");
        check("x", &["roles", "cmdb"], "there is no action x; there are roles, cmdb");
        check(
            "role",
            &["roles", "cmdb"],
            "there is no action role; there are roles, cmdb; did you mean roles?",
        );
        let known: Vec<&str> = many.iter().map(String::as_str).collect();
        let said = no_such("action", "action-23x", known);
        assert!(said.ends_with("action-19, action-20, and 3 more; did you mean action-23?"), "{said}");
    }

    #[test]
    fn small_slips_find_their_name() {
        let known = ["topic", "exchange", "transport_url", "debug_level", "log_file", "api_url"];
        let check = |name: &str, expected: Option<&str>| assert_eq!(nearest(name, known), expected, "{name}");
        check("topics", Some("topic"));
        check("tpoic", Some("topic"));
        check("exhcagne", Some("exchange"));
        check("transport-url", Some("transport_url"));
        check("TRANSPORT_URL", Some("transport_url"));
        check("trnsport_ur", Some("transport_url"));
        check("api-url", Some("api_url"));
        check("log_dir", None);
        check("log_level", None);
        check("colour", None);
        check("", None);
    }
}
