use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::events;

/// Returns at most `most` known event types that share the most words with `name`, those with the
/// longest common beginning first; none if no word is shared.
#[must_use]
pub fn alike(name: &str, most: usize) -> Vec<&'static str> {
    let words = |name: &str| -> BTreeSet<String> {
        name.split(|c: char| !c.is_alphanumeric())
            .filter(|word| word.len() > 2)
            .map(str::to_lowercase)
            .collect()
    };
    let wanted = words(name);
    let mut found: Vec<_> = events()
        .iter()
        .map(|event| event.event_type)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(|known| {
            let theirs = words(known);
            let shared = wanted.intersection(&theirs).count();
            let prefix =
                known.bytes().zip(name.bytes()).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
            (Reverse(shared), Reverse(prefix), theirs.len(), known)
        })
        .filter(|(shared, prefix, _, _)| shared.0 > 0 || prefix.0 > 3)
        .collect();
    found.sort_unstable();
    found.into_iter().take(most).map(|(_, _, _, known)| known).collect()
}
