//! The treatment of a message that returns again and again to an existing quorum queue. After its delivery limit the
//! broker drops the message, or dead-letters it if the queue names an exchange for that.
//!
//! Refusals show a queue's arguments: it is declared with a value that no queue has, and the broker names the actual
//! value. Each question also has another invalid argument that is compared later, so that a deleted queue is not made
//! by it (see [`inspection`](super::inspection)). A client cannot see policies.

use std::borrow::Borrow;

use lapin::Connection;
use lapin::options::QueueDeclareOptions;

use super::arguments::table;
use super::failure::{PRECONDITION_FAILED, reason, reply_code};
use super::refusal::Difference;
use super::side::SideChannel;
use crate::topology::{
    Argument, BrokerVersion, CONSUMER_DISCONNECTED, DELIVERY_LIMIT, QueueArguments, QueueKind, QueueType,
    TYPE,
};

/// The argument that is compared last. The broker makes no queue with an unknown value (`rabbit_amqqueue.erl`,
/// `check_queue_leader_locator_arg`).
const LOCATOR: &str = "x-queue-leader-locator";
const DEAD_LETTERS: &str = "x-dead-letter-exchange";
const NOBODY_HAS: &str = "osnl-only-asks";
const NO_LIMIT_LIKE_IT: i64 = 2_147_480_011;

/// The value of a queue's argument, found by declarations that the broker refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ArgumentValue {
    Value(String),
    None,
    Unknown,
}

/// Returns a remark about an existing queue that osnl would make as a quorum queue, if one is due. `alike`: the broker
/// found no difference.
pub(super) async fn drops<C: Borrow<Connection>>(
    side: &mut SideChannel<C>,
    name: &str,
    kind: &QueueKind,
    version: Option<BrokerVersion>,
    alike: bool,
) -> Option<String> {
    if kind.queue_type != QueueType::Quorum {
        return None;
    }
    let declared = kind.declared_arguments();
    let own = |argument: &str| {
        declared.get(argument).map_or(ArgumentValue::None, |own| ArgumentValue::Value(own.to_string()))
    };
    if alike {
        return say(&own(DELIVERY_LIMIT), &own(DEAD_LETTERS), version);
    }
    let asked = (DEAD_LETTERS, Argument::Text(NOBODY_HAS.to_owned()));
    let exchange = argument(side, name, kind, asked, TYPE).await;
    let mut like_it = kind.clone();
    if let ArgumentValue::Value(exchange) = &exchange {
        like_it.arguments.insert(DEAD_LETTERS.to_owned(), Argument::Text(exchange.clone()));
    }
    let asked = (DELIVERY_LIMIT, Argument::Integer(NO_LIMIT_LIKE_IT));
    let limit = argument(side, name, &like_it, asked, LOCATOR).await;
    say(&limit, &exchange, version)
}

/// Returns the name of a queue's type. Older brokers record none of a classic queue.
pub(super) async fn queue_type<C: Borrow<Connection>>(
    side: &mut SideChannel<C>,
    name: &str,
    kind: &QueueKind,
) -> Option<String> {
    let asked = (TYPE, Argument::Text(NOBODY_HAS.to_owned()));
    match argument(side, name, kind, asked, LOCATOR).await {
        ArgumentValue::Value(found) => Some(found),
        ArgumentValue::None => Some(QueueType::Classic.as_str().to_owned()),
        ArgumentValue::Unknown => None,
    }
}

/// An existing queue, as far as the broker tells.
pub(super) struct FoundQueue {
    /// The asked kind, with what is known of the queue.
    pub(super) kind: QueueKind,
    /// Whether it survives the broker's restart; `None` if unknown.
    pub(super) durable: Option<bool>,
    /// Whether it goes with its last consumer; `None` if unknown.
    pub(super) auto_delete: Option<bool>,
}

/// Compares an existing queue with `kind`. The broker names one difference at a time, the durability before `auto_delete`, and
/// this before arguments, so the next question has what it has named.
pub(super) async fn as_found<C: Borrow<Connection>>(
    side: &mut SideChannel<C>,
    name: &str,
    kind: &QueueKind,
) -> FoundQueue {
    let (mut kind, mut durable, mut auto_delete) = (kind.clone(), None, None);
    while let Some(refusal) = difference(side, name, &kind).await {
        match Difference::read(&refusal) {
            Difference::Named { argument: "durable", found, .. } if durable.is_none() => {
                kind.durable = *durable.insert(found == "true");
            }
            Difference::Named { argument: "auto_delete", found, .. } if auto_delete.is_none() => {
                durable.get_or_insert(kind.durable);
                kind.auto_delete = *auto_delete.insert(found == "true");
            }
            named @ Difference::Named { argument, .. } if argument.starts_with("x-") => {
                durable.get_or_insert(kind.durable);
                auto_delete.get_or_insert(kind.auto_delete);
                kind = named.with_type(&kind);
                break;
            }
            Difference::Named { .. } | Difference::Other(_) => break,
        }
    }
    if let Some(queue_type) = queue_type(side, name, &kind).await {
        kind.queue_type = QueueType::named(&queue_type);
    }
    FoundQueue { kind, durable, auto_delete }
}

/// Returns the difference of a queue's [`CONSUMER_DISCONNECTED`] from that of `kind`. A broker that does not compare
/// this argument shows none.
pub(super) async fn late_take_over<C: Borrow<Connection>>(
    side: &mut SideChannel<C>,
    name: &str,
    kind: &QueueKind,
) -> Option<String> {
    let ours = kind.declared_arguments().get(CONSUMER_DISCONNECTED)?.to_string();
    let asked = (CONSUMER_DISCONNECTED, Argument::Integer(NO_LIMIT_LIKE_IT));
    let found = match argument(side, name, kind, asked, LOCATOR).await {
        ArgumentValue::Value(found) if found == ours => return None,
        ArgumentValue::Value(found) => found,
        ArgumentValue::None => "none".to_owned(),
        ArgumentValue::Unknown => return None,
    };
    Some(format!("{CONSUMER_DISCONNECTED}: configured {ours}, found {found}"))
}

async fn argument<C: Borrow<Connection>>(
    side: &mut SideChannel<C>,
    name: &str,
    kind: &QueueKind,
    (argument, value): (&'static str, Argument),
    refused: &str,
) -> ArgumentValue {
    let mut arguments = kind.declared_arguments();
    arguments.insert(argument.to_owned(), value);
    let refusal = refusal(side, name, kind, arguments, refused).await;
    refusal.map_or(ArgumentValue::Unknown, |refusal| read(&refusal, argument))
}

/// Returns the broker's words about the first difference of an existing queue from `kind`, or about an argument that no
/// queue has if they are equal; `None` if the broker does not tell.
pub(super) async fn difference<C: Borrow<Connection>>(
    side: &mut SideChannel<C>,
    name: &str,
    kind: &QueueKind,
) -> Option<String> {
    refusal(side, name, kind, kind.declared_arguments(), LOCATOR).await
}

async fn refusal<C: Borrow<Connection>>(
    side: &mut SideChannel<C>,
    name: &str,
    kind: &QueueKind,
    mut arguments: QueueArguments,
    refused: &str,
) -> Option<String> {
    arguments.insert(refused.to_owned(), Argument::Text(NOBODY_HAS.to_owned()));
    let options =
        QueueDeclareOptions { durable: kind.durable, auto_delete: kind.auto_delete, ..Default::default() };
    let channel = side.channel().await.ok()?;
    let error = channel.queue_declare(name.into(), options, table(&arguments)).await.err()?;
    let failure = side.closed_by("look at a queue", error);
    (reply_code(&failure.error) == Some(PRECONDITION_FAILED)).then(|| reason(&failure.error))
}

fn read(refusal: &str, asked: &str) -> ArgumentValue {
    match Difference::read(refusal) {
        Difference::Named { argument, found: "none", .. } if argument == asked => ArgumentValue::None,
        Difference::Named { argument, found, .. } if argument == asked => {
            ArgumentValue::Value(found.to_owned())
        }
        Difference::Named { .. } | Difference::Other(_) => ArgumentValue::Unknown,
    }
}

fn say(limit: &ArgumentValue, exchange: &ArgumentValue, version: Option<BrokerVersion>) -> Option<String> {
    let times = match (limit, version.map(BrokerVersion::default_delivery_limit)) {
        (ArgumentValue::Value(limit), _) => match limit.parse::<i64>() {
            Ok(limit) if limit < 0 => return None,
            Ok(limit) => format!("has a delivery limit of {limit}"),
            Err(_) => format!("has a delivery limit of {limit}"),
        },
        (ArgumentValue::None, Some(Some(default))) => {
            format!("has the broker's delivery limit, {default} unless a policy sets another")
        }
        (ArgumentValue::None, Some(None)) => return None,
        (ArgumentValue::None, None) | (ArgumentValue::Unknown, _) => {
            "may have a delivery limit; which is unknown".to_owned()
        }
    };
    let then = match exchange {
        ArgumentValue::Value(exchange) => format!("beyond it, a message goes to exchange \"{exchange}\""),
        ArgumentValue::None => {
            "beyond it, a message is dropped: no dead-letter exchange is among its arguments (a policy may name one)"
                .to_owned()
        }
        ArgumentValue::Unknown => "whether a message beyond it is dropped or dead-lettered is unknown".to_owned(),
    };
    Some(format!("{times}; {then}; each lost connection, rejection, or consumer time-out counts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_said_as_far_as_it_is_known() {
        let value = |text: &str| ArgumentValue::Value(text.to_owned());
        let check = |limit: ArgumentValue, exchange: ArgumentValue, version: &str, expected: Option<&str>| {
            let said = say(&limit, &exchange, BrokerVersion::read(version));
            match (&said, expected) {
                (Some(said), Some(expected)) => {
                    assert!(said.starts_with(expected), "{said}");
                    assert!(said.ends_with("; each lost connection, rejection, or consumer time-out counts"));
                }
                (said, expected) => assert_eq!(said.as_deref(), expected),
            }
        };
        check(value("-1"), ArgumentValue::None, "4.3.6", None);
        check(ArgumentValue::None, ArgumentValue::None, "3.10.8", None);
        check(
            value("3"),
            ArgumentValue::None,
            "3.10.8",
            Some("has a delivery limit of 3; beyond it, a message is dropped"),
        );
        check(
            value("3"),
            value("dlx"),
            "4.3.6",
            Some("has a delivery limit of 3; beyond it, a message goes to exchange \"dlx\""),
        );
        check(
            ArgumentValue::None,
            ArgumentValue::None,
            "4.3.6",
            Some("has the broker's delivery limit, 20 unless"),
        );
        check(
            ArgumentValue::None,
            ArgumentValue::Unknown,
            "",
            Some("may have a delivery limit; which is unknown"),
        );
        check(
            ArgumentValue::Unknown,
            ArgumentValue::None,
            "4.3.6",
            Some("may have a delivery limit; which is unknown"),
        );
    }

    #[test]
    fn only_what_was_asked_for_is_read() {
        let refusal = |argument: &str, found: &str| {
            format!(
                "406 PRECONDITION_FAILED - inequivalent arg '{argument}' for queue 'q' in vhost '/': received the \
                 value '2147480011' of type 'signedint' but current is {found}"
            )
        };
        let three = refusal(DELIVERY_LIMIT, "the value '3' of type 'signedint'");
        assert_eq!(read(&three, DELIVERY_LIMIT), ArgumentValue::Value("3".to_owned()));
        assert_eq!(read(&refusal(DELIVERY_LIMIT, "none"), DELIVERY_LIMIT), ArgumentValue::None);
        assert_eq!(read(&refusal("x-max-length", "none"), DELIVERY_LIMIT), ArgumentValue::Unknown);
    }
}
