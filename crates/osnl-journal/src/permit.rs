use std::fmt;
use std::sync::Arc;

/// Reserved places for entries. A listener reads no message without one; a place that is not used returns on drop.
#[derive(Debug, Default)]
pub struct Permit {
    places: usize,
    from: Option<Arc<dyn PermitStore>>,
}

/// The owner of the places of a permit, which takes unused ones back.
pub trait PermitStore: fmt::Debug + Send + Sync {
    fn give_back(&self, places: usize);
}

impl Permit {
    #[must_use]
    pub fn new(places: usize, from: Arc<dyn PermitStore>) -> Self {
        Self { places, from: Some(from) }
    }

    #[must_use]
    pub fn places(&self) -> usize {
        self.places
    }

    pub fn merge(&mut self, mut other: Self) {
        if self.places == 0 {
            std::mem::swap(self, &mut other);
        } else {
            self.places += std::mem::take(&mut other.places);
        }
    }

    pub fn keep(&mut self, at_most: usize) {
        if let (surplus @ 1.., Some(from)) = (self.places.saturating_sub(at_most), &self.from) {
            self.places = at_most;
            from.give_back(surplus);
        }
    }

    pub(crate) fn take_one(&mut self) -> Option<Self> {
        self.places = self.places.checked_sub(1)?;
        Some(Self { places: 1, from: self.from.clone() })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let (places @ 1.., Some(from)) = (self.places, &self.from) {
            from.give_back(places);
        }
    }
}
