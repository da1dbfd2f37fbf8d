//! The reserved places of an engine and its predecessors, so that polled messages keep their places over a reload.

use osnl_journal::Permit;

/// The places of an engine, its own and those of its predecessors, which are used first. Each returns to the engine that
/// reserved it.
#[derive(Debug, Default)]
pub(super) struct ReservedPlaces {
    carried: Vec<Permit>,
    own: Permit,
}

impl ReservedPlaces {
    pub(super) fn count(&self) -> usize {
        self.carried.iter().map(Permit::places).sum::<usize>() + self.own.places()
    }

    pub(super) fn keep(&mut self, mut at_most: usize) {
        for permit in self.carried.iter_mut().chain([&mut self.own]) {
            permit.keep(at_most);
            at_most -= permit.places();
        }
    }

    pub(super) fn merge(&mut self, more: Permit) {
        self.own.merge(more);
    }

    pub(super) fn next(&mut self) -> &mut Permit {
        self.carried.retain(|permit| permit.places() > 0);
        self.carried.first_mut().unwrap_or(&mut self.own)
    }

    pub(super) fn succeed(&mut self, mut before: Self) {
        let before = before.carried.drain(..).chain([std::mem::take(&mut before.own)]);
        self.carried.splice(0..0, before.filter(|permit| permit.places() > 0));
    }
}
