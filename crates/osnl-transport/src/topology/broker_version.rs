//! The version of RabbitMQ, and the behaviour that depends on it. No other code knows these versions.
//!
//! | | 3.10 | 4.0 | 4.3 |
//! | --- | --- | --- | --- |
//! | a quorum queue that names no delivery limit | has none | has 20 | has 20 |
//! | `x-delivery-limit = -1` | drops a message at its first return | no limit | no limit |
//! | a queue that is neither durable nor exclusive | is made | is made | is refused, unless its operator permits it |
//! | a restart of the broker | deletes transient exchanges | deletes them | keeps them |
//! | a passive declaration of an object without any permission | is answered | is answered | is refused with 403 |
//! | a daemon's node that is cut off from the others | closes the connection with `pause_minority` | the same | keeps it, as `rabbit::majority` says |
//! | a message held beyond the consumer time-out | closes the channel | closes it | cancels the consumer of a quorum queue |
//!
//! The third row is RabbitMQ's default, which its operator may change; Debian's package of 4.3 permits such queues. So
//! the broker's answer decides about a declaration, and the version only warns before it.

/// A version of RabbitMQ, from which its behaviour follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BrokerVersion {
    major: u32,
    minor: u32,
}

impl BrokerVersion {
    const V4_0: Self = Self { major: 4, minor: 0 };
    const V4_3: Self = Self { major: 4, minor: 3 };

    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (major, rest) = text.split_once('.')?;
        let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }

    #[must_use]
    pub fn default_delivery_limit(self) -> Option<u32> {
        (self >= Self::V4_0).then_some(20)
    }

    #[must_use]
    pub(crate) fn knows_unlimited_deliveries(self) -> bool {
        self >= Self::V4_0
    }

    #[must_use]
    pub fn keeps_cut_off_connections(self) -> bool {
        self >= Self::V4_3
    }

    #[must_use]
    pub fn keeps_transient_exchanges(self) -> bool {
        self >= Self::V4_3
    }

    #[must_use]
    pub fn denies_transient_queues(self) -> bool {
        self >= Self::V4_3
    }
}

#[cfg(test)]
mod tests {
    use super::BrokerVersion;

    #[test]
    fn what_a_version_decides_is_read_from_its_first_two_numbers() {
        let check = |text: &str, expected: Option<(Option<u32>, bool, bool)>| {
            let found = BrokerVersion::read(text).map(|version| {
                let limit = version.default_delivery_limit();
                (limit, version.knows_unlimited_deliveries(), version.denies_transient_queues())
            });
            assert_eq!(found, expected, "{text}");
        };
        check("3.10.8", Some((None, false, false)));
        check("3.13.7", Some((None, false, false)));
        check("4.0.5", Some((Some(20), true, false)));
        check("4.2.0-rc.1", Some((Some(20), true, false)));
        check("4.3.6", Some((Some(20), true, true)));
        check("4.3-beta.2", Some((Some(20), true, true)));
        check("4.10", Some((Some(20), true, true)));
        check("5.0.0", Some((Some(20), true, true)));
        for text in ["", "4", "4.", ".3", "four.3", "4.x", "99999999999.1"] {
            check(text, None);
        }
    }
}
