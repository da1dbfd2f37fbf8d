use std::collections::VecDeque;

use super::series::HistorySample;

/// The latest `MOST` samples. The first sample allocates all of the memory.
#[derive(Default)]
pub(super) struct SampleRing<const MOST: usize>(VecDeque<HistorySample>);

impl<const MOST: usize> SampleRing<MOST> {
    pub(super) fn push(&mut self, sample: HistorySample) {
        if self.0.capacity() == 0 {
            self.0.reserve_exact(MOST);
        }
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(sample);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &HistorySample> {
        self.0.iter()
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<HistorySample>()
    }
}
