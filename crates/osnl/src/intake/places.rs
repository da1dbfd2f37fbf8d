//! The places an engine has reserved, and those that the engine before it had: what has been read from the broker
//! by the time the rules change still has its place.

use crate::journal::Permit;

/// Places that a predecessor reserved for its actions are taken first; each goes back to the engine that reserved it.
#[derive(Debug, Default)]
pub(super) struct PredecessorPlaces {
    carried: Vec<Permit>,
    own: Permit,
}

impl PredecessorPlaces {
    pub(super) fn count(&self) -> usize {
        self.carried.iter().map(Permit::places).sum::<usize>() + self.own.places()
    }

    /// Gives back what is beyond so many; what was carried over is kept before our own.
    pub(super) fn keep(&mut self, mut at_most: usize) {
        for permit in self.carried.iter_mut().chain([&mut self.own]) {
            permit.keep(at_most);
            at_most -= permit.places();
        }
    }

    pub(super) fn merge(&mut self, more: Permit) {
        self.own.merge(more);
    }

    /// The permit that the next entry takes its place from.
    pub(super) fn next(&mut self) -> &mut Permit {
        self.carried.retain(|permit| permit.places() > 0);
        self.carried.first_mut().unwrap_or(&mut self.own)
    }

    /// Takes over a predecessor's places, which are used first.
    pub(super) fn succeed(&mut self, mut before: Self) {
        let before = before.carried.drain(..).chain([std::mem::take(&mut before.own)]);
        self.carried.splice(0..0, before.filter(|permit| permit.places() > 0));
    }
}
