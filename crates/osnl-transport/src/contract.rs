//! The contract of a broker: listening, publishing, tapping, and the remedies for what the broker refuses.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use osnl_model::{Framing, Priority, Target};
use tokio::time::Instant;

use crate::backoff::Reconnect;
use crate::dead_letters::QueueAccess;
use crate::error::TransportError;
use crate::future::BoxFuture;
use crate::message::Batch;
use crate::outgoing::OutgoingMessage;
use crate::remedy::Remedy;
use crate::settle::Window;
use crate::tap::{Tap, TapOptions};
use crate::topology::{Binding, Declare, ListenOptions, QueueKind, Shards, Subscription};

/// The messages and consumers of each queue of a subscription.
pub type QueueDepths = Vec<(Arc<str>, QueueSeen)>;

/// A broker that can be listened and published to. A default body is right for a broker without that feature, so a
/// wrapper must forward each method.
pub trait Transport: Send + Sync {
    /// Makes one attempt to connect, declare and consume. With several hosts, an attempt is one round over all of them.
    fn listen<'a>(
        &'a self,
        to: &'a [(Target, Priority)],
        options: &'a ListenOptions,
    ) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>>;

    /// Publishes a message, and waits until the broker has confirmed the message. Without `mandatory`, a message that
    /// no queue takes is confirmed too. A lost connection is reopened by the next send.
    ///
    /// Beyond a thousand sends in flight, further sends wait. Messages are published in the order of the
    /// sends, as long as the connection holds. `mandatory` messages are in flight one at a time, but for those to
    /// [shards](OutgoingMessage::shards), which may overtake each other. A broker
    /// that blocks publishers (memory or disk alarm) delays a send without a time limit, which is logged once, and
    /// further sends give it nothing.
    ///
    /// # Errors
    /// The message may have reached the broker despite an error, unless it is
    /// [`Unroutable`](TransportError::Unroutable) or [`TooLarge`](TransportError::TooLarge).
    fn send<'a>(
        &'a self,
        to: &'a Target,
        priority: &'a Priority,
        message: OutgoingMessage,
    ) -> BoxFuture<'a, Result<(), TransportError>>;

    /// Completes when the broker of an open connection blocks publishers, for callers that do not wait until it ends.
    fn blocked(&self) -> BoxFuture<'_, TransportError> {
        Box::pin(std::future::pending())
    }

    /// Connects as a publisher by this number of shards, as the first send does otherwise.
    fn register<'a>(&'a self, _shards: &'a Shards) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Closes the connection of the publisher in good order.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Makes one attempt to connect and to tap, with a queue that takes no message from other queues.
    fn tap<'a>(&'a self, options: &'a TapOptions) -> BoxFuture<'a, Result<Box<dyn Tap>, TransportError>>;

    /// Removes bindings of osnl's queues, then examines queues, each of which may be missing. Removing a missing
    /// binding is no error.
    fn tidy<'a>(
        &'a self,
        _superfluous: &'a [Binding],
        queues: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<QueueSeen>>, TransportError>> {
        Box::pin(std::future::ready(Ok(vec![None; queues.len()])))
    }

    /// Connects to look for alarms of the broker; `None` if this kind of broker has none.
    fn watch_alarms(
        &self,
        _limit: Duration,
    ) -> BoxFuture<'_, Result<Option<Box<dyn AlarmWatch>>, TransportError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Connects to look at the bindings of a subscription that is closed; `None` if the broker has no such look.
    fn watch_bindings<'a>(
        &'a self,
        _options: &'a ListenOptions,
        _found: &'a Subscription,
    ) -> Option<BoxFuture<'a, Result<Box<dyn BindingWatch>, TransportError>>> {
        None
    }

    /// Returns the access to messages that wait in a queue, for dead letter queues; `None` if the broker has none.
    fn queue_access(&self) -> Option<&dyn QueueAccess> {
        None
    }

    /// Returns the kind of queue that oslo.messaging would declare with the same options.
    fn oslo_queue(&self) -> QueueKind {
        QueueKind::OSLO
    }

    /// Returns what this kind of broker can do.
    fn features(&self) -> Features {
        Features::USUAL
    }

    /// Returns the pauses between two attempts to connect, as the options of this broker give them.
    fn reconnect(&self) -> Reconnect {
        Reconnect::default()
    }

    /// Returns the last valid second, since 1970, of the certificate that the broker showed last; `None` without TLS.
    fn certificate_ends(&self) -> Option<i64> {
        None
    }

    /// Connects to a host of the URL, and returns the last valid second of the certificate that it shows now; `None` without
    /// TLS, and without an answer.
    fn certificate_of<'a>(&'a self, _host: &'a str, _limit: Duration) -> BoxFuture<'a, Option<i64>> {
        Box::pin(std::future::ready(None))
    }

    /// Returns the hosts and the virtual host for the log and `osnl status`, without secrets.
    fn location(&self) -> String;

    /// Returns what an operator can do about an error of listening.
    fn remedy(
        &self,
        error: &TransportError,
        _to: &[(Target, Priority)],
        _options: &ListenOptions,
    ) -> Option<Remedy> {
        error.own_remedy().map(|advice| advice.to_owned().into())
    }

    /// Returns what an operator can do about an error of publishing.
    fn send_remedy(
        &self,
        error: &TransportError,
        _exchange: &str,
        _routing_key: &str,
        declare: Declare,
    ) -> Option<Remedy> {
        self.remedy(error, &[], &ListenOptions::new(None, 0, declare, QueueKind::OSLO))
    }
}

/// A connection that looks for alarms of a broker.
pub trait AlarmWatch: Send {
    /// Returns why the broker blocks publishers.
    ///
    /// # Errors
    /// The broker refuses the look, or the connection is lost. The watch is of no more use.
    fn look(&mut self) -> BoxFuture<'_, Result<Option<String>, TransportError>>;
}

/// A queue as the broker described it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSeen {
    /// The messages that wait; those in hand of a consumer are not among them.
    pub messages: u32,
    pub consumers: u32,
}

/// The position of the group in a partition, from which its lag follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSeen {
    pub topic: Arc<str>,
    pub partition: i32,
    /// The offset that is committed next: all messages below are finished.
    pub next: i64,
    /// The offset after the last message, and the time of the broker's answer.
    pub end: Option<(i64, Instant)>,
    /// The reason why the end is unknown; `None` if it is known.
    pub unknown: Option<String>,
    /// The position that was lost when reading began; `None` for most.
    pub lost: Option<LostPosition>,
}

/// A committed position that no longer exists: the topic was deleted and created anew, or its messages expired unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostPosition {
    /// The lost offset; `None` if the group had none of the topic as it is now.
    pub before: Option<i64>,
    /// The offset from which messages are read.
    pub start: i64,
}

impl fmt::Display for LostPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.before {
            Some(before) => write!(f, "the committed offset {before} does not exist any more")?,
            None => f.write_str("the group has read before and has no committed offset of the topic")?,
        }
        write!(f, "; messages are read from offset {} on", self.start)
    }
}

impl PartitionSeen {
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        let (end, _) = self.end?;
        Some(u64::try_from(end.saturating_sub(self.next)).unwrap_or(0))
    }
}

/// The abilities of a kind of broker, for options and tests that depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Whether a message can return to its queue and be delivered again. A message of a partition never can.
    pub requeue: bool,
    /// Whether messages can be published.
    pub send: bool,
    /// The cases of the conformance suite that the broker cannot have.
    pub absent: &'static [&'static str],
    /// The only framing of published messages; `None` for any.
    pub framing: Option<Framing>,
    /// Whether messages with the same key keep their order.
    pub keys: bool,
    /// Whether topics have partitions instead of queues.
    pub partitions: bool,
    /// Whether the broker counts the messages that wait, and the consumers.
    pub counts: bool,
}

impl Features {
    pub const USUAL: Self = Self {
        requeue: true,
        send: true,
        absent: &[],
        framing: None,
        keys: false,
        partitions: false,
        counts: true,
    };
}

/// One open subscription. Dropping it closes the connection, so that unsettled messages are redelivered.
pub trait Consumer: Send {
    /// Returns what the subscription has found at the broker.
    fn subscription(&self) -> &Subscription;

    /// Waits until at least one message is ready, then takes all ready messages that fit in `out`. Cancel-safe.
    fn poll<'a>(&'a mut self, out: &'a mut Batch) -> BoxFuture<'a, Result<(), TransportError>>;

    /// Waits for the end of the subscription without handing over messages, so that a lost connection is noticed while
    /// there is no room. Cancel-safe; messages that arrive meanwhile are kept for the next poll.
    fn ended(&mut self) -> BoxFuture<'_, TransportError>;

    /// Returns the number of messages that the broker has handed over, and no poll has taken.
    fn untaken(&self) -> usize;

    /// Sends the settlements that `window` has gathered, or leaves them there while the broker takes nothing.
    fn flush<'a>(&'a mut self, window: &'a mut Window) -> BoxFuture<'a, Result<(), TransportError>>;

    /// Returns a watch of the bindings, which works beside the messages; `None` if the broker has no bindings.
    fn binding_watch(&self) -> Option<Box<dyn BindingWatch>> {
        None
    }

    /// Asks for the messages and consumers of each queue; the answer is empty if the broker does not count. The question
    /// costs a few round trips, so it is for idle listeners and not for each message.
    fn waiting(&self) -> BoxFuture<'static, Result<QueueDepths, TransportError>>;

    /// Returns the partitions that it reads, with their ends at the last answer to [`Consumer::waiting`]; `None` if the
    /// broker has queues.
    fn partitions(&self) -> Option<Vec<PartitionSeen>> {
        None
    }

    /// Asks the broker to send no more messages. Settling stays possible.
    fn quiesce(&mut self) -> BoxFuture<'_, Result<(), TransportError>>;

    /// Closes in good order: the broker has processed every flushed settlement when this returns.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// The interval between two looks at a binding that was there.
pub const BINDING_INTERVAL: Duration = Duration::from_secs(5);

/// Looks at the bindings of an open subscription. An exchange may be deleted and made again at any time, and takes its
/// bindings along.
pub trait BindingWatch: Send {
    /// Makes the bindings, which changes nothing where they exist, and returns the failed ones; `None` if the broker has not answered. A lost connection is reported by the consumer.
    ///
    /// # Errors
    /// The subscription has to end, because the broker's node has been cut off from the others.
    fn look<'a>(
        &'a mut self,
        bindings: &'a [Binding],
    ) -> BoxFuture<'a, Result<Option<BindingLook>, TransportError>>;

    /// Removes the bindings of a queue that is to be left, if they exist. Like [`look`](Self::look), it also notices
    /// that the broker's node has been cut off from the others.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    fn look_unbound<'a>(&'a mut self, bindings: &'a [Binding]) -> BoxFuture<'a, Result<(), TransportError>> {
        let _ = bindings;
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The answers to one look at bindings. A binding that is in no list is there.
#[derive(Clone, Debug, Default)]
pub struct BindingLook {
    /// Bindings whose exchange does not exist.
    pub missing: Vec<Binding>,
    /// Queues that do not exist, and so have no binding.
    pub gone: BTreeSet<String>,
    /// Bindings that the broker refuses to make, each with its answer.
    pub refused: Vec<(Binding, TransportError)>,
    /// Exchanges that did not exist, and that osnl has made ([`Declare::Create`]).
    pub made: Vec<String>,
}
