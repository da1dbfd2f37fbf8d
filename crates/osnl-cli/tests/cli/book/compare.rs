//! Compares an output with its page.
//!
//! Ids, times, ages, process and line numbers may differ, and so may blanks, since column widths vary. A line `...`
//! matches any number of lines, `...` within a line any text.

use std::sync::LazyLock;

use regex::Regex;

/// The order matters: an id contains digits that look like a number.
static ALIKE: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let pairs = [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32,64}\b", "ID"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d([.,]\d+)?( ?Z|\+00:00)?", "TIME"),
        (r"\b\d+(\.\d+)? (ms|s|min|h)\b", "AGE"),
        (r"\b\d+(\.\d+)? (KiB|MiB|GiB|bytes)\b", "SIZE"),
        (r"\bprocess \d+", "process N"),
        (r" (TIME )?([A-Z]+) ([a-z0-9_.]+):\d+ ", " $1$2 $3:N "),
        (r"\s+", " "),
    ];
    pairs.into_iter().map(|(pattern, text)| (Regex::new(pattern).unwrap(), text)).collect()
});

fn plain(line: &str) -> String {
    let mut line = format!(" {line} ");
    for (pattern, text) in &*ALIKE {
        line = pattern.replace_all(&line, *text).into_owned();
    }
    line.trim().to_owned()
}

pub(crate) fn is_as_shown(shown: &[String], printed: &str, begun: bool) -> bool {
    let shown: Vec<String> = shown.iter().map(|line| plain(line)).collect();
    let printed: Vec<String> = printed.lines().map(plain).collect();
    agree(&shown, &printed, begun)
}

fn agree(shown: &[String], printed: &[String], begun: bool) -> bool {
    match (shown, printed) {
        ([], rest) => begun || rest.is_empty(),
        ([any, after @ ..], _) if any == "..." => {
            (0..=printed.len()).any(|skipped| agree(after, &printed[skipped..], begun))
        }
        ([line, after @ ..], [first, rest @ ..]) => is_line(line, first) && agree(after, rest, begun),
        (_, []) => false,
    }
}

fn is_line(shown: &str, printed: &str) -> bool {
    let mut parts = shown.split("...");
    let Some(mut rest) = parts.next().and_then(|first| printed.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn what_is_alike_and_what_is_not() {
    let check = |shown: &str, printed: &str, expected: bool| {
        let shown: Vec<String> = shown.lines().map(str::to_owned).collect();
        assert_eq!(is_as_shown(&shown, printed, false), expected, "{shown:?} {printed:?}");
    };
    check("a  b", "a b", true);
    check("a", "a\nb", false);
    check("a\n...", "a\nb\nc", true);
    check("...\nc", "a\nb\nc", true);
    check("...\nd", "a\nb\nc", false);
    check("a\n...\nc", "a\nc", true);
    check("x=... y", "x=7 z y", true);
    check("x=... y", "x=7 z", false);
    check("id 1c6f24d5-3c6e-4ba9-ae58-db0e50b2d8ae", "id 2c6f24d5-3c6e-4ba9-ae58-db0e50b2d8ae", true);
    check("2026-11-20 06:41:49,007 INFO a.b:1 c", "2027-01-20 06:41:49,107 INFO a.b:22 c", true);
    check("2026-11-20 06:41:49,007 INFO a.b:1 c", "2027-01-20 06:41:49,107 WARNING a.b:22 c", false);
    check("3 s ago", "14 min ago", true);
    check("3 done", "4 done", false);
    check("", "a", false);
}
