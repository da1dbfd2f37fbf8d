//! Distinguishes our own daemon's consumers of a queue from others.

use std::collections::BTreeMap;

/// The daemon of a configuration, by its control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnDaemon {
    /// The daemon cannot be asked, for this reason.
    Unknown(String),
    Stopped,
    Runs {
        pid: u32,
        consumers: BTreeMap<(String, String), u64>,
    },
}

impl OwnDaemon {
    /// Describes the readers of a queue, with advice if some are, or may be, foreign.
    pub(super) fn readers(
        &self,
        (broker, queue): (&str, &str),
        consumers: u32,
        is_exclusive: bool,
    ) -> (String, Option<&'static str>) {
        let readers = match consumers {
            0 => return ("no consumer reads it".to_owned(), None),
            1 => "1 consumer reads it".to_owned(),
            n => format!("{n} consumers read it"),
        };
        match self {
            Self::Unknown(why) => (
                format!("{readers}; cannot tell whether that is the daemon of this configuration: {why}"),
                Some(
                    "whoever else reads it takes messages from us; give each reader a pool of its own; to see \
                     them: rabbitmqctl list_consumers",
                ),
            ),
            Self::Stopped => (
                format!("{readers}, but no osnl runs with this state directory"),
                Some(
                    "another program, or osnl on another machine, takes its messages; give each reader a pool of \
                     its own; to see them: rabbitmqctl list_consumers",
                ),
            ),
            Self::Runs { pid, consumers: own } => {
                let own = own.get(&(broker.to_owned(), queue.to_owned())).copied().unwrap_or_default();
                let others = u64::from(consumers).saturating_sub(own);
                if others == 0 {
                    return (format!("{readers}: the daemon of this configuration, process {pid}"), None);
                }
                let advice = if is_exclusive && own > 0 {
                    "right if that is a standby; one of them is active at a time (single_active_consumer)"
                } else {
                    "each message goes to one of them; give each reader a pool of its own; to see them: rabbitmqctl \
                     list_consumers"
                };
                (
                    format!(
                        "{readers}, {others} of them not the daemon of this configuration, process {pid}"
                    ),
                    Some(advice),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_of_another_program_is_told_from_our_own() {
        let own = BTreeMap::from([(("rabbit at mq1".to_owned(), "osnl".to_owned()), 1)]);
        let runs = OwnDaemon::Runs { pid: 7, consumers: own };
        let silent = OwnDaemon::Unknown("permission denied".to_owned());
        for (daemon, queue, consumers, exclusive, words, advice) in [
            (&runs, "osnl", 0, false, "no consumer reads it", None),
            (
                &runs,
                "osnl",
                1,
                false,
                "1 consumer reads it: the daemon of this configuration, process 7",
                None,
            ),
            (
                &runs,
                "osnl",
                2,
                false,
                "2 consumers read it, 1 of them not the daemon of this configuration, process 7",
                Some("each message goes to one"),
            ),
            (
                &runs,
                "osnl",
                2,
                true,
                "2 consumers read it, 1 of them not the daemon of this configuration, process 7",
                Some("right if that is a standby"),
            ),
            (
                &runs,
                "other",
                1,
                true,
                "1 consumer reads it, 1 of them not the daemon of this configuration, process 7",
                Some("each message goes to one"),
            ),
            (
                &OwnDaemon::Stopped,
                "osnl",
                1,
                true,
                "1 consumer reads it, but no osnl runs with this state directory",
                Some("another program, or osnl on another machine"),
            ),
            (
                &silent,
                "osnl",
                1,
                true,
                "1 consumer reads it; cannot tell whether that is the daemon of this configuration: permission denied",
                Some("whoever else reads it"),
            ),
        ] {
            let (found, why) = daemon.readers(("rabbit at mq1", queue), consumers, exclusive);
            assert_eq!(found, words);
            assert_eq!(why.is_some(), advice.is_some(), "{found}");
            assert!(why.unwrap_or_default().starts_with(advice.unwrap_or_default()), "{found}: {why:?}");
        }
    }
}
