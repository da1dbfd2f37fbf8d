use std::collections::{HashMap, VecDeque};

use crate::oss::event::Occurrence;

#[derive(Debug)]
pub(super) struct DecidedMessages {
    last: VecDeque<String>,
    known: HashMap<String, Vec<Occurrence>>,
    most: usize,
}

impl DecidedMessages {
    pub(super) fn new(most: usize) -> Self {
        Self { last: VecDeque::new(), known: HashMap::new(), most }
    }

    pub(super) fn get(&self, id: &str) -> Option<Vec<Occurrence>> {
        self.known.get(id).cloned()
    }

    pub(super) fn put(&mut self, id: String, happened: Vec<Occurrence>) {
        if self.known.insert(id.clone(), happened).is_none() {
            self.last.push_back(id);
        }
        while self.last.len() > self.most
            && let Some(oldest) = self.last.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}
