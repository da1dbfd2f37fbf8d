//! Distinguishes our own daemon's consumers of a queue from others.

use std::collections::BTreeMap;

use crate::native::{ListenerConf, Native};
use crate::numbers::counted;
use crate::queues::DaemonCounts;

/// The daemon of the checked configuration, whose consumers are not strangers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnDaemon {
    Unknown(String),
    Stopped,
    Runs { pid: u32, counts: BTreeMap<String, DaemonCounts> },
}

impl OwnDaemon {
    #[must_use]
    pub fn counts(&self, native: &Native, conf: &ListenerConf) -> DaemonCounts {
        let counts = match self {
            Self::Unknown(_) => DaemonCounts::default(),
            Self::Stopped => DaemonCounts { consumers: Some(BTreeMap::new()), ..DaemonCounts::default() },
            Self::Runs { counts, .. } => counts.get(&*conf.name).cloned().unwrap_or_default(),
        };
        let has_received = native.has_received(conf).then_some(true).or(counts.has_received);
        DaemonCounts { has_received, ..counts }
    }

    /// Describes the readers of a queue; `own` are the daemon's consumers of it.
    pub(super) fn readers(&self, consumers: u32, own: u64) -> String {
        let readers = match consumers {
            0 => return "no consumer reads it".to_owned(),
            n => counted(n.into(), "consumer reads it", "consumers read it"),
        };
        match self {
            Self::Unknown(why) => {
                format!("{readers}; cannot tell whether that is the daemon of this configuration: {why}")
            }
            Self::Stopped => format!("{readers}, but no osnl runs with this state directory"),
            Self::Runs { pid, .. } => match u64::from(consumers).saturating_sub(own) {
                0 => format!("{readers}: the daemon of this configuration, process {pid}"),
                others => {
                    format!("{readers}, {others} of them not the daemon of this configuration, process {pid}")
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_of_another_program_is_told_from_our_own() {
        let runs = OwnDaemon::Runs { pid: 7, counts: BTreeMap::new() };
        let silent = OwnDaemon::Unknown("permission denied".to_owned());
        for (daemon, consumers, own, words) in [
            (&runs, 0, 0, "no consumer reads it"),
            (&runs, 1, 1, "1 consumer reads it: the daemon of this configuration, process 7"),
            (&runs, 2, 1, "2 consumers read it, 1 of them not the daemon of this configuration, process 7"),
            (&OwnDaemon::Stopped, 1, 0, "1 consumer reads it, but no osnl runs with this state directory"),
            (
                &silent,
                1,
                0,
                "1 consumer reads it; cannot tell whether that is the daemon of this configuration: permission denied",
            ),
        ] {
            assert_eq!(daemon.readers(consumers, own), words);
        }
    }
}
