//! The messages of a listener by event type. Publishers choose the types, so their number is bounded.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use super::Counter;

const MOST_TYPES: usize = 500;
const LONGEST_TYPE: usize = 100;
const OTHER: &str = "other";

/// Counts the messages of a listener by event type, within a bound.
#[derive(Debug, Default)]
pub struct EventTypes {
    named: RwLock<HashMap<Box<str>, Counter>>,
    /// Messages without a type, with a long one, or with one beyond the first [`MOST_TYPES`].
    other: Counter,
}

impl EventTypes {
    pub fn count(&self, event_type: Option<&str>) {
        let is_named = |name: &&str| name.len() <= LONGEST_TYPE && *name != OTHER;
        let Some(name) = event_type.filter(is_named) else { return self.other.increment() };
        let is_full = {
            let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = named.get(name) {
                return known.increment();
            }
            named.len() >= MOST_TYPES
        };
        if is_full {
            return self.other.increment();
        }
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        named.entry(name.into()).or_default().increment();
    }

    /// Returns the counts in the order of their names, then all others.
    #[must_use]
    pub fn counts(&self) -> Vec<(String, u64)> {
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        let mut counts: Vec<_> = named.iter().map(|(name, count)| (name.to_string(), count.get())).collect();
        counts.sort_unstable();
        let other = self.other.get();
        counts.extend((other > 0).then(|| (OTHER.to_owned(), other)));
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_names_is_bounded() {
        let types = EventTypes::default();
        let long = "x".repeat(LONGEST_TYPE + 1);
        for event_type in [Some("port.create.end"), None, Some("a.b"), Some("a.b"), Some(OTHER), Some(&long)]
        {
            types.count(event_type);
        }
        let counts = [("a.b", 2), ("port.create.end", 1), (OTHER, 3)];
        assert_eq!(types.counts(), counts.map(|(name, count)| (name.to_owned(), count)));
        (0..2 * MOST_TYPES).for_each(|n| types.count(Some(&format!("probe.{n}"))));
        types.count(Some("a.b"));
        let counts = types.counts();
        assert_eq!((counts.len(), counts.last().unwrap().1), (MOST_TYPES + 1, 5 + MOST_TYPES as u64));
        assert_eq!(counts[0], ("a.b".to_owned(), 3));
    }
}
