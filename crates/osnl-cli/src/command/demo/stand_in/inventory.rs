use std::collections::{BTreeMap, HashSet};

use fastrand::Rng;

pub(in super::super) type StandInHosts = BTreeMap<String, StandInHost>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct StandInHost {
    pub(in super::super) name: String,
    pub(in super::super) addresses: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StandInFault {
    Unavailable,
    Reset,
    Late,
}

pub(super) struct Inventory {
    hosts: StandInHosts,
    fail: u32,
    rng: Rng,
    requests: u32,
    failed: HashSet<String>,
    added: usize,
}

impl Inventory {
    pub(super) fn new(hosts: StandInHosts, fail: u32, seed: u64) -> Self {
        let rng = Rng::with_seed(seed);
        Self { hosts, fail, rng, requests: 0, failed: HashSet::new(), added: 0 }
    }

    pub(super) fn hosts(&self) -> &StandInHosts {
        &self.hosts
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.hosts.len(), self.hosts.values().map(|host| host.addresses.len()).sum())
    }

    pub(super) fn added(&self) -> usize {
        self.added
    }

    pub(super) fn put(&mut self, id: &str, name: &str, addresses: &[String]) {
        let host = StandInHost { name: name.to_owned(), addresses: addresses.to_vec() };
        self.added += usize::from(self.hosts.insert(id.to_owned(), host).is_none());
    }

    pub(super) fn fault(&mut self, target: &str) -> Option<StandInFault> {
        self.requests += 1;
        let fails =
            self.fail > 0 && self.requests.is_multiple_of(self.fail) && self.failed.insert(target.to_owned());
        // A late answer slows the demo, so it is rarer than the other failures.
        fails.then(|| match self.rng.u8(..5) {
            0 | 1 => StandInFault::Unavailable,
            2 | 3 => StandInFault::Reset,
            _ => StandInFault::Late,
        })
    }

    pub(super) fn forget(&mut self, id: &str) -> Vec<String> {
        self.hosts.remove(id).map(|host| host.addresses).unwrap_or_default()
    }
}

impl StandInFault {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Unavailable => "503 Service Unavailable",
            Self::Reset => "no answer, the connection is closed",
            Self::Late => "no answer in time",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(fail: u32, seed: u64) -> Inventory {
        let mut inventory = Inventory::new(StandInHosts::new(), fail, seed);
        inventory.put("a", "web-1", &["10.0.0.1".to_owned(), "10.0.0.2".to_owned()]);
        inventory
    }

    #[test]
    fn a_host_is_forgotten_once() {
        let mut inventory = inventory(0, 0);
        assert_eq!(inventory.size(), (1, 2));
        assert_eq!(inventory.forget("b"), [""; 0]);
        assert_eq!(inventory.forget("a"), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(inventory.forget("a"), [""; 0]);
        assert_eq!((inventory.size(), inventory.added()), ((0, 0), 1));
    }

    #[test]
    fn every_nth_request_fails_once_and_the_seed_says_how() {
        for (every, expected) in [(0, &[][..]), (1, &[0, 1, 2, 3, 4, 5]), (2, &[1, 3, 5]), (4, &[3])] {
            let mut inventory = inventory(every, 5);
            let failed: Vec<usize> = (0..6).filter(|n| inventory.fault(&format!("/{n}")).is_some()).collect();
            assert_eq!(failed, expected, "every {every}");
            assert_eq!(inventory.fault("/3"), None, "nothing fails twice");
        }
        let kinds = |seed| {
            let mut inventory = inventory(1, seed);
            (0..50)
                .filter_map(|n| inventory.fault(&format!("/{n}")).map(StandInFault::text))
                .collect::<Vec<_>>()
        };
        assert_eq!(kinds(1), kinds(1));
        assert_ne!(kinds(1), kinds(2));
        assert_eq!(kinds(1).iter().collect::<HashSet<_>>().len(), 3);
    }
}
