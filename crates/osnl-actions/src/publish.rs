//! The action `publish`: sends each event to an exchange of a broker; the broker's confirmation
//! means *delivered*.
//!
//! | `format` | the message |
//! | --- | --- |
//! | `notification` | a notification as oslo.messaging writes it, with the event's id, context and payload; event type, publisher, priority and payload by template |
//! | `raw` | the received bytes, compressed if the original is; or the rendered `payload` |
//! | `cloudevents` | a CloudEvent in structured mode, as `driver = http` makes it |
//!
//! With `shards`, [`shard_of`](osnl_model::shard_of) chooses the routing key by the order key of the delivery. All
//! deliveries of a key take the same way, in the order of their lane, and a message without a queue waits for its
//! shard as for a dependency, so that it holds no other shard.
//!
//! A retried message has the same ids, so that a reader recognises it. A notification's `_unique_id`, which
//! oslo.messaging chooses at random, is derived from the idempotency key here. So the action recognises its own
//! message and does not publish it again.

mod conf;
mod message;

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::join_all;
use osnl_action::{Action, ActionError, Completion, ErrorClass, Event};
use osnl_net::http::Expiry;
use osnl_transport::{BoxFuture, Declare, Remedy, Shards, Transport, TransportError};

pub use self::conf::PublishConf;
use self::message::{Chosen, MessageTemplates, Unsendable};
use crate::broker::CREATE_EXCHANGE;
use osnl_model::mask_text;

pub struct Publish {
    message: MessageTemplates,
    /// The command for the permissions that shards need; `None` without shards.
    permissions: Option<String>,
    transport: Arc<dyn Transport>,
    /// The file of the certificate that the broker sees, which each connection reads again.
    certificate: Option<PathBuf>,
}

impl Publish {
    async fn send(&self, event: &Event) -> Result<Completion, ActionError> {
        let addressed = match self.message.build(event) {
            Ok(addressed) => addressed,
            Err(Unsendable::Ours) => {
                return Ok(Completion::NothingToDo(
                    "this action has published it itself, and it came round".to_owned(),
                ));
            }
            Err(Unsendable::Content(why)) => return Err(ActionError::template(why)),
        };
        let (target, priority) = (&addressed.target, &addressed.priority);
        let exchange = target.exchange.as_deref().unwrap_or_default();
        let key = target.routing_key(priority);
        let place = if self.message.has_topics { key.clone() } else { format!("{exchange} with {key}") };
        let done = format!("published to {}", mask_text(&place));
        let sent = self.unless_blocked(self.transport.send(target, priority, addressed.message)).await;
        match sent {
            Ok(()) => Ok(Completion::Delivered(done)),
            Err(error @ (TransportError::Unroutable { .. } | TransportError::NotTaken { .. }))
                if self.message.shards.is_some() =>
            {
                let queue = format!("the queue of {key}");
                let why = match error {
                    TransportError::NotTaken { .. } => format!("{error}: start or look at its daemon"),
                    _ => format!("no queue is bound to exchange {exchange} with key {key}: start its daemon"),
                };
                Err(ActionError { needs_operator: true, ..ActionError::dependency(queue, why) })
            }
            Err(error) => Err(self.error(&error, exchange, &key)),
        }
    }

    /// An attempt ends while the broker blocks publishers: the target is held with the reason, and its probes send nothing.
    async fn unless_blocked<T>(
        &self,
        sending: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        tokio::select! {
            biased;
            blocked = self.transport.blocked() => Err(blocked),
            sent = sending => sent,
        }
    }

    fn error(&self, error: &TransportError, exchange: &str, key: &str) -> ActionError {
        let is_denied = matches!(error, TransportError::Refused { code: Some(ACCESS_REFUSED), .. });
        let permissions = self.permissions.clone().filter(|_| is_denied).map(Remedy::command);
        let remedy = self.transport.send_remedy(error, exchange, key, self.message.declare);
        let is_missing = error.is_not_found() && self.message.declare != Declare::Create;
        let missing = is_missing.then(|| match self.message.shards {
            Some(_) => "start the daemons of the shards, which make it".into(),
            None => Remedy::ConfigurationAdvice(CREATE_EXCHANGE.into()),
        });
        let own_remedy = permissions.or(remedy).or(missing);
        let class = class(error, self.message.chosen());
        let own_kind = match error {
            TransportError::OtherShards { .. } => Some("the shards differ"),
            TransportError::Blocked { .. } => Some("the broker blocks publishers"),
            _ => own_kind(class, error),
        };
        ActionError { own_kind, own_remedy, ..ActionError::new(class, error.to_string()) }
    }
}

/// Returns the name of a failure that holds the target although its broker answers.
fn own_kind(class: ErrorClass, error: &TransportError) -> Option<&'static str> {
    let is_answer = matches!(error, TransportError::Refused { .. } | TransportError::NoExchange { .. });
    (class == ErrorClass::Connect && is_answer).then_some("the broker refuses")
}

const NO_ROUTE: u16 = 312;
const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;
const RESOURCE_ERROR: u16 = 506;

fn class(error: &TransportError, chosen: Chosen) -> ErrorClass {
    match error {
        // Another event's place may exist, and permit more.
        TransportError::Refused { code: code @ Some(NOT_FOUND | ACCESS_REFUSED), .. }
            if chosen != Chosen::Nothing =>
        {
            ErrorClass::Refused(*code)
        }
        TransportError::Refused { code: None, .. } if chosen == Chosen::Place => {
            ErrorClass::Refused(Some(NOT_FOUND))
        }
        // The event's exchange is there, with another durability than the options have.
        TransportError::Refused { code: Some(PRECONDITION_FAILED), .. } if chosen == Chosen::Place => {
            ErrorClass::Refused(None)
        }
        TransportError::Tls { .. } | TransportError::TlsFiles { .. } => ErrorClass::Tls,
        TransportError::Lost { .. } => ErrorClass::Reset,
        TransportError::NotConfirmed { .. } => ErrorClass::Timeout,
        TransportError::TooLarge { .. } | TransportError::ListenOptions { .. } => ErrorClass::Content,
        // No queue is bound for this message's key; another key may have one.
        TransportError::Unroutable { .. } => ErrorClass::Refused(Some(NO_ROUTE)),
        TransportError::NotTaken { .. } => ErrorClass::Busy(Some(RESOURCE_ERROR)),
        // The broker or its address fails: nothing can be sent until that is repaired.
        _ => ErrorClass::Connect,
    }
}

impl Action for Publish {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        Box::pin(join_all(events.iter().map(|event| self.send(event))))
    }

    /// Takes up the number of shards before their daemons read their queues, after which another is refused.
    fn open(&self) -> BoxFuture<'_, Result<(), ActionError>> {
        Box::pin(async move {
            let Some(shards) = self.message.all_shards() else { return Ok(()) };
            let registered = self.unless_blocked(self.transport.register(&shards)).await;
            registered.map_err(|error| self.error(&error, &shards.exchange, Shards::TOPIC))
        })
    }

    fn target(&self) -> String {
        match self.message.shards {
            Some(shards) => format!("{shards} shards at {}", self.transport.location()),
            None => self.transport.location(),
        }
    }

    fn certificate_ends(&self) -> Option<i64> {
        self.transport.certificate_ends()
    }

    fn expiries(&self) -> Vec<Expiry> {
        self.certificate.iter().filter_map(|file| Expiry::for_client_file(file)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_that_is_there_is_not_called_missing() {
        let check = |code, chosen, expected: ErrorClass| {
            let error = TransportError::Refused { what: String::new(), reason: String::new(), code };
            assert_eq!(class(&error, chosen), expected, "{code:?} {chosen:?}");
        };
        check(None, Chosen::Place, ErrorClass::Refused(Some(NOT_FOUND)));
        for code in [NOT_FOUND, ACCESS_REFUSED] {
            check(Some(code), Chosen::Place, ErrorClass::Refused(Some(code)));
            check(Some(code), Chosen::Priority, ErrorClass::Refused(Some(code)));
        }
        check(Some(PRECONDITION_FAILED), Chosen::Place, ErrorClass::Refused(None));
        check(None, Chosen::Priority, ErrorClass::Connect);
        for code in [None, Some(NOT_FOUND), Some(ACCESS_REFUSED), Some(PRECONDITION_FAILED)] {
            check(code, Chosen::Nothing, ErrorClass::Connect);
        }
    }

    #[test]
    fn a_broker_that_refuses_an_exchange_is_connected() {
        let kind = |error: &TransportError| own_kind(class(error, Chosen::Nothing), error);
        let refused = |code| TransportError::Refused { what: String::new(), reason: String::new(), code };
        assert_eq!(kind(&refused(Some(NOT_FOUND))), Some("the broker refuses"));
        assert_eq!(kind(&refused(Some(ACCESS_REFUSED))), Some("the broker refuses"));
        let away = TransportError::Connect { host: "mq1:5672".to_owned(), reason: "refused".to_owned() };
        assert_eq!(kind(&away), None);
        // The status of an event's exchange is the kind already.
        assert_eq!(own_kind(class(&refused(None), Chosen::Place), &refused(None)), None);
    }
}
