//! The broker's words for a refusal, and the operator's remedy for each.
//!
//! One AMQP reply code has many meanings: 530 a missing virtual host or a limit of connections, 403 a missing
//! permission or an exclusive consumer. The words are those of RabbitMQ 3.10 to 4.x, in `rabbit_reader.erl`,
//! `rabbit_access_control.erl`, `rabbit_channel.erl`, and `rabbit_amqqueue.erl`.

use super::remedy::shell_quoted;
use crate::remedy::Remedy;

/// The meaning of a refusal, from which the remedy follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BrokerAnswer {
    NoVirtualHost,
    VirtualHostDown,
    NoPermission,
    NoTopicPermission,
    VirtualHostLimit,
    UserLimit,
    NodeLimit,
    ChannelLimit,
    QueueLimit,
    QueueAway,
    Locked,
    ExclusiveConsumer,
    Reserved,
}

/// Words that must all occur, the most specific first.
const WORDS: [(&[&str], BrokerAnswer); 20] = [
    (&["user connection limit"], BrokerAnswer::UserLimit),
    (&["node connection limit"], BrokerAnswer::NodeLimit),
    (&["connection limit"], BrokerAnswer::VirtualHostLimit),
    (&["channel limit"], BrokerAnswer::ChannelLimit),
    (&["number of channels opened"], BrokerAnswer::ChannelLimit),
    (&["maximum number of channels"], BrokerAnswer::ChannelLimit),
    (&["queue limit"], BrokerAnswer::QueueLimit),
    (&["down or inaccessible"], BrokerAnswer::QueueAway),
    (&["stopped by supervisor"], BrokerAnswer::QueueAway),
    (&["failed to restart"], BrokerAnswer::QueueAway),
    (&["failed to perform operation on queue", "timeout"], BrokerAnswer::QueueAway),
    (&["vhost", "is down"], BrokerAnswer::VirtualHostDown),
    (&["vhost", "not found", "NOT_ALLOWED"], BrokerAnswer::NoVirtualHost),
    (&["exclusive access to locked queue"], BrokerAnswer::Locked),
    (&["RESOURCE_LOCKED"], BrokerAnswer::Locked),
    (&["in exclusive use"], BrokerAnswer::ExclusiveConsumer),
    (&["reserved prefix"], BrokerAnswer::Reserved),
    (&["default exchange"], BrokerAnswer::Reserved),
    (&["access to topic", "refused for user"], BrokerAnswer::NoTopicPermission),
    (&["access to", "refused for user"], BrokerAnswer::NoPermission),
];

impl BrokerAnswer {
    pub(super) fn from_words(words: &str) -> Option<Self> {
        // A quoted name may contain any of the words.
        let words = without_names(words);
        let found = WORDS.iter().find(|(all, _)| all.iter().all(|word| words.contains(word)));
        found.map(|(_, answer)| *answer)
    }

    pub(super) fn remedy(self, virtual_host: &str, permissions: impl FnOnce(&str) -> String) -> Remedy {
        const CONNECTIONS: &str =
            "the connections there are: rabbitmqctl list_connections user vhost peer_host state";
        let vhost = shell_quoted(virtual_host);
        let advice = match self {
            Self::NoVirtualHost => format!(
                "choose one of rabbitmqctl list_vhosts, or create it: rabbitmqctl add_vhost {vhost}; {}",
                permissions(virtual_host)
            ),
            Self::VirtualHostDown => format!(
                "look at the broker's log; to start it again: rabbitmqctl restart_vhost -p {vhost}"
            ),
            Self::NoPermission => return Remedy::command(permissions(virtual_host)),
            Self::NoTopicPermission => format!(
                "let the user write or read that topic; see: rabbitmqctl list_topic_permissions -p {vhost}"
            ),
            Self::VirtualHostLimit => format!(
                "end connections, or raise the limit; the limit: rabbitmqctl list_vhost_limits -p {vhost}; {CONNECTIONS}"
            ),
            Self::UserLimit => format!(
                "end connections, or raise the user's limit; the limit: rabbitmqctl list_user_limits --global; {CONNECTIONS}"
            ),
            Self::NodeLimit => format!(
                "end connections, or raise connection_max in rabbitmq.conf of that node; {CONNECTIONS}"
            ),
            Self::ChannelLimit => "close channels, or raise the limit; the limits: rabbitmqctl list_user_limits --global, channel_max \
                                   in rabbitmq.conf; the channels there are: rabbitmqctl list_connections user peer_host channels"
                .to_owned(),
            Self::QueueLimit => format!(
                "delete queues, or raise the limit; the limit: rabbitmqctl list_vhost_limits -p {vhost}; the queues there are: \
                 rabbitmqctl list_queues -p {vhost} name messages consumers"
            ),
            Self::QueueAway => "start the node that has the queue, and its messages, again; osnl goes on by itself; the nodes: \
                                rabbitmqctl cluster_status"
                .to_owned(),
            Self::Locked => {
                "another connection has that queue for itself: give the listener a pool of its own".to_owned()
            }
            Self::ExclusiveConsumer => format!(
                "another consumer has that queue for itself: stop it, or give the listener a pool of its own; see: \
                 rabbitmqctl list_consumers -p {vhost}"
            ),
            Self::Reserved => "choose another name: the broker keeps this one for itself".to_owned(),
        };
        advice.into()
    }
}

/// Returns the text outside single quotes. A name that contains a quote leaves a part.
fn without_names(words: &str) -> String {
    words.split('\'').step_by(2).collect::<Vec<_>>().join("''")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: [(&str, BrokerAnswer, &str); 15] = [
        ("530 NOT_ALLOWED - vhost v not found", BrokerAnswer::NoVirtualHost, "add_vhost v; PERMISSIONS"),
        (
            "530 NOT_ALLOWED - access to vhost 'v' refused for user 'u'",
            BrokerAnswer::NoPermission,
            "PERMISSIONS",
        ),
        (
            "530 NOT_ALLOWED - access to vhost 'v' refused for user 'u': connection limit (2) is reached",
            BrokerAnswer::VirtualHostLimit,
            "list_vhost_limits -p v;",
        ),
        (
            "530 NOT_ALLOWED - connection refused for user 'u': user connection limit (1) is reached",
            BrokerAnswer::UserLimit,
            "list_user_limits",
        ),
        (
            "530 NOT_ALLOWED - connection refused: node connection limit (1) is reached",
            BrokerAnswer::NodeLimit,
            "connection_max",
        ),
        (
            "541 INTERNAL_ERROR - access to vhost 'v' refused for user 'u': vhost 'v' is down",
            BrokerAnswer::VirtualHostDown,
            "restart_vhost -p v",
        ),
        (
            "530 NOT_ALLOWED - number of channels opened for user 'u' has reached the maximum allowed user limit of (1)",
            BrokerAnswer::ChannelLimit,
            "channel_max",
        ),
        (
            "406 PRECONDITION_FAILED - cannot declare queue 'q': queue limit in vhost 'v' (1) is reached",
            BrokerAnswer::QueueLimit,
            "list_queues -p v",
        ),
        (
            "404 NOT_FOUND - home node 'rabbit@mq1' of durable queue 'q' in vhost 'v' is down or inaccessible",
            BrokerAnswer::QueueAway,
            "cluster_status",
        ),
        (
            "405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost 'v'",
            BrokerAnswer::Locked,
            "pool of its own",
        ),
        (
            "403 ACCESS_REFUSED - queue 'q' in vhost 'v' in exclusive use",
            BrokerAnswer::ExclusiveConsumer,
            "list_consumers -p v",
        ),
        (
            "403 ACCESS_REFUSED - access to exchange 'connection limit' in vhost 'v' refused for user 'u'",
            BrokerAnswer::NoPermission,
            "PERMISSIONS",
        ),
        (
            "403 ACCESS_REFUSED - configure access to queue 'q' in vhost 'v' refused for user 'u'",
            BrokerAnswer::NoPermission,
            "PERMISSIONS",
        ),
        (
            "403 ACCESS_REFUSED - access to topic 't' in exchange 'x' in vhost 'v' refused for user 'u'",
            BrokerAnswer::NoTopicPermission,
            "list_topic_permissions",
        ),
        (
            "403 ACCESS_REFUSED - queue name 'amq.q' contains reserved prefix 'amq.*'",
            BrokerAnswer::Reserved,
            "another name",
        ),
    ];

    #[test]
    fn the_words_and_not_the_code_choose_the_remedy() {
        for (words, expected, remedy) in CASES {
            let answer = BrokerAnswer::from_words(words);
            assert_eq!(answer, Some(expected), "{words}");
            let found = expected.remedy("v", |_| "PERMISSIONS".to_owned());
            assert!(found.contains(remedy), "{words}: {found}");
            let is_missing = matches!(expected, BrokerAnswer::NoPermission | BrokerAnswer::NoVirtualHost);
            assert_eq!(found.contains("PERMISSIONS"), is_missing, "{words}: {found}");
        }
        let own = super::super::failure::reason(&lapin::ErrorKind::ChannelsLimitReached.into());
        assert_eq!(BrokerAnswer::from_words(&own), Some(BrokerAnswer::ChannelLimit), "{own}");
        for words in ["403 ACCESS_REFUSED", "320 CONNECTION_FORCED - bye", "Connection refused"] {
            assert_eq!(BrokerAnswer::from_words(words), None, "{words}");
        }
    }
}
