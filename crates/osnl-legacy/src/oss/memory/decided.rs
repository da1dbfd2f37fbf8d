use std::collections::{HashMap, VecDeque};

use crate::oss::event::Occurrence;

#[derive(Debug)]
pub(super) struct DecidedMessages {
    last: VecDeque<String>,
    known: HashMap<String, Vec<Occurrence>>,
    most: usize,
    memory: usize,
}

const MOST_MEMORY: usize = 32 << 20;

impl DecidedMessages {
    pub(super) fn new(most: usize) -> Self {
        Self { last: VecDeque::new(), known: HashMap::new(), most, memory: 0 }
    }

    pub(super) fn get(&self, id: &str) -> Option<Vec<Occurrence>> {
        self.known.get(id).cloned()
    }

    pub(super) fn put(&mut self, id: String, happened: Vec<Occurrence>) {
        self.memory += memory(&happened);
        match self.known.insert(id.clone(), happened) {
            Some(before) => self.memory -= memory(&before),
            None => self.last.push_back(id),
        }
        while (self.last.len() > self.most || self.memory > MOST_MEMORY)
            && let Some(oldest) = self.last.pop_front()
        {
            self.memory -= self.known.remove(&oldest).map_or(0, |happened| memory(&happened));
        }
    }
}

fn memory(happened: &[Occurrence]) -> usize {
    happened.iter().map(Occurrence::memory).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oss::event::What;
    use crate::oss::instance::KnownInstance;

    #[test]
    fn decided_messages_are_bounded_in_bytes() {
        let mut decided = DecidedMessages::new(4096);
        let metadata = [("a".to_owned(), "v".repeat(1 << 20).into())].into_iter().collect();
        let instance = KnownInstance { metadata: Some(metadata), ..KnownInstance::default() };
        let happened =
            Occurrence { what: What::Instance, ip: None, port: None, instance, part: None, not: None };
        (0..40).for_each(|n| decided.put(n.to_string(), vec![happened.clone()]));
        let known = (0..40).filter(|n| decided.get(&n.to_string()).is_some()).count();
        assert!((30..33).contains(&known), "{known} MiB");
        assert!(decided.get("39").is_some() && decided.get("0").is_none());
    }
}
