use std::collections::{HashMap, VecDeque};

use osnl_model::{BodyDigest, BodyHasher, Notification};

use crate::oss::event::Occurrence;

#[derive(Debug)]
pub(super) struct DecidedMessages {
    last: VecDeque<BodyDigest>,
    known: HashMap<BodyDigest, Vec<Occurrence>>,
    most: usize,
    memory: usize,
}

const MOST_MEMORY: usize = 32 << 20;

impl DecidedMessages {
    pub(super) fn new(most: usize) -> Self {
        Self { last: VecDeque::new(), known: HashMap::new(), most, memory: 0 }
    }

    pub(super) fn get(&self, message: &BodyDigest) -> Option<Vec<Occurrence>> {
        self.known.get(message).cloned()
    }

    pub(super) fn put(&mut self, message: BodyDigest, happened: Vec<Occurrence>) {
        self.memory += memory(&happened);
        match self.known.insert(message, happened) {
            Some(before) => self.memory -= memory(&before),
            None => self.last.push_back(message),
        }
        while (self.last.len() > self.most || self.memory > MOST_MEMORY)
            && let Some(oldest) = self.last.pop_front()
        {
            self.memory -= self.known.remove(&oldest).map_or(0, |happened| memory(&happened));
        }
    }
}

/// Returns the digest by which a repeated message is recognised; `None` without an id. Nova has sent two different bodies
/// under one id.
pub(super) fn message_digest(n: &Notification, payload: Option<&str>) -> Option<BodyDigest> {
    let mut hasher = BodyHasher::default();
    for text in [n.id()?, n.event_type.as_deref().unwrap_or_default()] {
        hasher.add(text.as_bytes());
        hasher.add(&[0]);
    }
    match payload {
        Some(payload) => hasher.add(payload.as_bytes()),
        None => hasher.add(n.payload.to_string().as_bytes()),
    }
    Some(hasher.finish())
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
        let message = |n: u8| BodyDigest::new(&[n]);
        (0..40).for_each(|n| decided.put(message(n), vec![happened.clone()]));
        let known = (0..40).filter(|n| decided.get(&message(*n)).is_some()).count();
        assert!((30..33).contains(&known), "{known} MiB");
        assert!(decided.get(&message(39)).is_some() && decided.get(&message(0)).is_none());
    }
}
