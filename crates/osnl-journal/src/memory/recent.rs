//! A bounded memory of what has just been.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// The latest things, a bounded number of them.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    /// Each with its number.
    values: HashMap<K, (u64, V)>,
    order: BTreeMap<u64, K>,
    last: u64,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { values: HashMap::new(), order: BTreeMap::new(), last: 0 }
    }
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    /// As many as a window may hold, so that what a lost connection brings back is recognised.
    const KEPT: usize = u16::MAX as usize;

    /// The latest value of a key counts, and is the latest of all.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.take(&key);
        self.last += 1;
        self.order.insert(self.last, key.clone());
        self.values.insert(key, (self.last, value));
        if self.order.len() > Self::KEPT
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.values.remove(&oldest);
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key).map(|(_, value)| value)
    }

    pub(super) fn take(&mut self, key: &K) -> Option<V> {
        let (number, value) = self.values.remove(key)?;
        self.order.remove(&number);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_gone_and_the_oldest_leaves_first() {
        let mut recent = Recent::default();
        recent.insert(0, "old");
        assert_eq!(recent.take(&0), Some("old"));
        recent.insert(1, "one");
        recent.insert(0, "new");
        for n in 2..Recent::<usize, &str>::KEPT {
            recent.insert(n, "other");
        }
        assert_eq!((recent.get(&1), recent.get(&0)), (Some(&"one"), Some(&"new")));
        recent.insert(usize::MAX, "one more");
        assert_eq!((recent.get(&1), recent.get(&0)), (None, Some(&"new")));
    }
}
