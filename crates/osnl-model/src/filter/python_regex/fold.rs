//! Python's `re` compares lower-case forms and a short list of further equals (`_EXTRA_CASES` in
//! `Lib/re/_casefix.py`). That is Unicode's simple folding, except that i, I, the dotless and the
//! dotted i are all equal. A comparison over every character found no other difference but letters
//! newer than that Python's Unicode.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::Flags;

const DOTS: [char; 4] = ['I', 'i', '\u{130}', '\u{131}'];

pub(super) fn folded(ranges: &[(char, char)], flags: Flags) -> Vec<(char, char)> {
    if !flags.ignore_case {
        return ranges.to_vec();
    }
    if flags.ascii {
        let others = ('A'..='Z').chain('a'..='z').filter(|c| holds(ranges, *c)).map(|c| {
            let other = if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            (other, other)
        });
        return ranges.iter().copied().chain(others).collect();
    }
    let dots = DOTS.iter().any(|&c| holds(ranges, c)).then_some(DOTS).into_iter().flatten().map(|c| (c, c));
    let all = ranges.iter().copied().chain(dots);
    let mut class = ClassUnicode::new(all.map(|(low, high)| ClassUnicodeRange::new(low, high)));
    class.case_fold_simple();
    class.iter().map(|range| (range.start(), range.end())).collect()
}

fn holds(ranges: &[(char, char)], c: char) -> bool {
    ranges.iter().any(|&(low, high)| (low..=high).contains(&c))
}
