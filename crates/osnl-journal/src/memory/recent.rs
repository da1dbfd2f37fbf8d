use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

/// The latest values by key, bounded in number and bytes.
#[derive(Debug)]
pub(super) struct RecentItems<K, V> {
    values: HashMap<Arc<K>, LatestValue<V>>,
    order: BTreeMap<u64, Arc<K>>,
    last: u64,
    bytes: usize,
}

/// A value with its place in the order, and its bytes.
#[derive(Debug)]
struct LatestValue<V> {
    number: u64,
    value: V,
    bytes: usize,
}

impl<K, V> Default for RecentItems<K, V> {
    fn default() -> Self {
        Self { values: HashMap::new(), order: BTreeMap::new(), last: 0, bytes: 0 }
    }
}

impl<K: Eq + Hash, V> RecentItems<K, V> {
    /// As many as a window may hold, so that redelivered messages after a lost connection are recognised.
    const KEPT: usize = u16::MAX as usize;
    /// The bound of the bytes of texts in keys and values; the kept ids take less.
    const KEPT_BYTES: usize = 32 << 20;

    pub(super) fn insert(&mut self, key: K, value: V, bytes: usize) {
        self.take(&key);
        self.last += 1;
        let key = Arc::new(key);
        self.order.insert(self.last, key.clone());
        self.values.insert(key, LatestValue { number: self.last, value, bytes });
        self.bytes += bytes;
        while (self.order.len() > Self::KEPT || self.bytes > Self::KEPT_BYTES)
            && let Some((_, oldest)) = self.order.first_key_value()
        {
            let oldest = oldest.clone();
            self.take(&oldest);
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key).map(|remembered| &remembered.value)
    }

    pub(super) fn take(&mut self, key: &K) -> Option<V> {
        let LatestValue { number, value, bytes } = self.values.remove(key)?;
        self.order.remove(&number);
        self.bytes -= bytes;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_gone_and_the_oldest_leaves_first() {
        let mut recent = RecentItems::default();
        recent.insert(0, "old", 3);
        assert_eq!(recent.take(&0), Some("old"));
        recent.insert(1, "one", 3);
        recent.insert(0, "new", 3);
        for n in 2..RecentItems::<usize, &str>::KEPT {
            recent.insert(n, "other", 5);
        }
        assert_eq!((recent.get(&1), recent.get(&0)), (Some(&"one"), Some(&"new")));
        recent.insert(usize::MAX, "one more", 8);
        assert_eq!((recent.get(&1), recent.get(&0)), (None, Some(&"new")));
    }

    #[test]
    fn the_bytes_of_what_is_remembered_are_bounded() {
        const QUARTER: usize = RecentItems::<usize, ()>::KEPT_BYTES / 4;
        let mut recent = RecentItems::default();
        (0..6).for_each(|n| recent.insert(n, (), QUARTER));
        (2..6).for_each(|_| recent.insert(5, (), QUARTER));
        assert_eq!([1, 2, 5].map(|n| recent.get(&n).is_some()), [false, true, true]);
        recent.insert(6, (), 5 * QUARTER);
        assert_eq!((recent.bytes, recent.order.len(), recent.values.len()), (0, 0, 0), "one larger than all");
        recent.insert(7, (), 4 * QUARTER);
        assert!(recent.get(&7).is_some());
        assert_eq!((recent.take(&7), recent.bytes), (Some(()), 0));
    }
}
