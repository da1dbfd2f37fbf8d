//! The hosts that the stand-in knows, and its planned failures: no I/O.

use std::collections::{BTreeMap, HashSet};

use fastrand::Rng;

/// Hosts by `cuk`, the id of the instance.
pub(in super::super) type StandInHosts = BTreeMap<String, StandInHost>;

/// A host in the roles of K2HR3.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct StandInHost {
    /// For people; K2HR3 knows no names.
    pub(in super::super) name: String,
    pub(in super::super) addresses: Vec<String>,
}

/// The form of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StandInFault {
    /// 503, nothing is done.
    Unavailable,
    /// The connection is closed without an answer, nothing is done.
    Reset,
    /// It is done, and the answer does not come in time.
    Late,
}

/// See the [module](self).
pub(super) struct Roles {
    hosts: StandInHosts,
    /// Every how many requests one fails; 0 for never.
    fail: u32,
    rng: Rng,
    requests: u32,
    /// Request targets that have failed: none fails twice.
    failed: HashSet<String>,
    failing: Option<StandInFault>,
    gone: Vec<String>,
    registered: usize,
}

impl Roles {
    pub(super) fn new(hosts: StandInHosts, fail: u32, seed: u64) -> Self {
        let rng = Rng::with_seed(seed);
        Self {
            hosts,
            fail,
            rng,
            requests: 0,
            failed: HashSet::new(),
            failing: None,
            gone: Vec::new(),
            registered: 0,
        }
    }

    pub(super) fn hosts(&self) -> &StandInHosts {
        &self.hosts
    }

    /// The numbers of hosts and of addresses.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.hosts.len(), self.hosts.values().map(|host| host.addresses.len()).sum())
    }

    /// The names of hosts that are gone, the last one last.
    pub(super) fn gone(&self) -> &[String] {
        &self.gone
    }

    /// Hosts that registered themselves.
    pub(super) fn registered(&self) -> usize {
        self.registered
    }

    /// The failure of the last request, if it failed.
    pub(super) fn failing(&self) -> Option<StandInFault> {
        self.failing
    }

    pub(super) fn register(&mut self, cuk: &str, name: &str, addresses: &[String]) {
        self.registered += usize::from(!self.hosts.contains_key(cuk));
        let host = self.hosts.entry(cuk.to_owned()).or_default();
        host.name = name.to_owned();
        for address in addresses {
            if !host.addresses.contains(address) {
                host.addresses.push(address.clone());
            }
        }
    }

    /// Counts a request; how it fails, if it is one of those that do.
    pub(super) fn fault(&mut self, target: &str) -> Option<StandInFault> {
        self.requests += 1;
        let fails =
            self.fail > 0 && self.requests.is_multiple_of(self.fail) && self.failed.insert(target.to_owned());
        // A late answer takes its time, so it comes less often.
        self.failing = fails.then(|| match self.rng.u8(..5) {
            0 | 1 => StandInFault::Unavailable,
            2 | 3 => StandInFault::Reset,
            _ => StandInFault::Late,
        });
        self.failing
    }

    /// Forgets addresses of a host: those of the JSON list `host`, without it all. Gives them.
    pub(super) fn forget(&mut self, cuk: &str, host: Option<&str>) -> Vec<String> {
        let Some(known) = self.hosts.get_mut(cuk) else { return Vec::new() };
        let asked: Option<Vec<String>> =
            host.map(|host| serde_json::from_str(host).unwrap_or_else(|_| vec![host.to_owned()]));
        let (forgotten, kept): (Vec<String>, Vec<String>) = known
            .addresses
            .drain(..)
            .partition(|address| asked.as_ref().is_none_or(|asked| asked.contains(address)));
        if kept.is_empty() {
            self.gone.extend(self.hosts.remove(cuk).map(|host| host.name));
        } else {
            known.addresses = kept;
        }
        forgotten
    }
}

impl StandInFault {
    /// In a few words.
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

    fn roles(fail: u32, seed: u64) -> Roles {
        let mut roles = Roles::new(StandInHosts::new(), fail, seed);
        roles.register("a", "web-1", &["10.0.0.1".to_owned(), "10.0.0.2".to_owned()]);
        roles
    }

    #[test]
    fn addresses_are_forgotten_one_by_one_or_all() {
        for (asked, forgotten, left) in [
            (Some(r#"["10.0.0.1"]"#), &["10.0.0.1"][..], (1, 1)),
            (Some(r#"["10.0.0.9"]"#), &[], (1, 2)),
            (Some(r#"["10.0.0.2","10.0.0.1"]"#), &["10.0.0.1", "10.0.0.2"], (0, 0)),
            (Some("10.0.0.2"), &["10.0.0.2"], (1, 1)),
            (None, &["10.0.0.1", "10.0.0.2"], (0, 0)),
        ] {
            let mut roles = roles(0, 0);
            assert_eq!(roles.forget("a", asked), forgotten, "{asked:?}");
            assert_eq!(roles.size(), left, "{asked:?}");
            assert_eq!(roles.forget("b", asked), [""; 0]);
        }
    }

    #[test]
    fn every_nth_request_fails_once_and_the_seed_says_how() {
        for (every, expected) in [(0, &[][..]), (1, &[0, 1, 2, 3, 4, 5]), (2, &[1, 3, 5]), (4, &[3])] {
            let mut roles = roles(every, 5);
            let failed: Vec<usize> = (0..6).filter(|n| roles.fault(&format!("/{n}")).is_some()).collect();
            assert_eq!(failed, expected, "every {every}");
            assert_eq!(roles.fault("/3"), None, "nothing fails twice");
        }
        let kinds = |seed| {
            let mut roles = roles(1, seed);
            (0..50).filter_map(|n| roles.fault(&format!("/{n}")).map(StandInFault::text)).collect::<Vec<_>>()
        };
        assert_eq!(kinds(1), kinds(1));
        assert_ne!(kinds(1), kinds(2));
        assert_eq!(kinds(1).iter().collect::<HashSet<_>>().len(), 3);
    }
}
