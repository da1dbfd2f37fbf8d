//! The bindings of an open subscription, made again and again: an exchange that is deleted and made again has lost them,
//! and nothing tells a client so.
//!
//! A binding that exists is not changed by another one that is equal. The looks have a channel of their own, since a
//! refusal closes its channel.
//!
//! They also notice that the broker's node has been cut off from the other nodes, on RabbitMQ 4.3 and later. Such a node
//! keeps its connections, answers heartbeats and does not notify its consumers. Meanwhile the other nodes give the
//! messages to the next consumer ([`CONSUMER_DISCONNECTED_TIMEOUT`](crate::topology::CONSUMER_DISCONNECTED_TIMEOUT)).
//! Before 4.3, `pause_minority` closes the connection. Only a majority of the nodes can answer a binding. Measured on a
//! cluster of three (4.3.6, loopback): 3 ms and two entries in the log of the metadata; a node that is cut off answers
//! after 30 s, with 541. That node answers a passive look at the queue in 1 ms, a published message would wait behind
//! others, and an alarm stops a connection that publishes.
//!
//! A look every 5 s with 10 s for its answer ends the subscription at most 15 s after the cut, before the next consumer
//! begins. The bindings that osnl removes from a queue that is left are removed at each look instead, which only a majority
//! can answer too. A queue whose bindings are not osnl's, or cannot be made, is not watched. While osnl itself has stopped reading, or the
//! broker reads nothing from osnl, silence shows nothing: such a look proves nothing about the node.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use lapin::Connection;
use lapin::options::ExchangeDeclareOptions;
use tokio::time::timeout;

use super::declare::{Declarer, bind, unbind};
use super::failure::{OperationFailure, is_missing, lacks_queue, reason, reply_code};
use super::held::ConnectionGuard;
use crate::body_flow::BodyFlow;
use crate::topology::Binding;
use crate::{BindingLook, BindingWatch, BoxFuture, TransportError};

const ANSWER: Duration = Duration::from_secs(10);
/// The interval at which a waiting look checks that osnl itself still reads.
const SAMPLE: Duration = Duration::from_secs(1);

/// The looks at the bindings of one subscription.
pub(super) struct RabbitBindingWatch {
    declarer: Declarer<SharedConnection>,
    body_flow: Arc<BodyFlow>,
    /// The options of an exchange that is missing; `None` if exchanges are left to their services.
    makes: Option<ExchangeDeclareOptions>,
    /// Whether silence shows that the node has been cut off.
    is_guard: bool,
}

/// The connection of the subscription, on which bindings are made too.
struct SharedConnection(Arc<ConnectionGuard>);

impl Borrow<Connection> for SharedConnection {
    fn borrow(&self) -> &Connection {
        &self.0
    }
}

impl RabbitBindingWatch {
    pub(super) fn new(
        connection: Arc<ConnectionGuard>,
        body_flow: Arc<BodyFlow>,
        makes: Option<ExchangeDeclareOptions>,
        is_guard: bool,
    ) -> Self {
        Self { declarer: Declarer::new(SharedConnection(connection), None), body_flow, makes, is_guard }
    }

    fn hearing(&self) -> Hearing {
        let connection = self.declarer.side.connection().0.clone();
        let (body_flow, pauses) = (self.body_flow.clone(), self.body_flow.pauses());
        Hearing { connection: SharedConnection(connection), body_flow, pauses }
    }

    fn ended<T>(&mut self, end: LookEnd<Result<T, OperationFailure>>) -> Result<Option<T>, TransportError> {
        match &end {
            LookEnd::Answered(_) => {}
            LookEnd::Deaf | LookEnd::Silent => self.declarer.side.forget_channel(),
        }
        answered(end, self.is_guard)
    }
}

/// Tells a silent broker from an osnl that does not read.
struct Hearing {
    connection: SharedConnection,
    body_flow: Arc<BodyFlow>,
    /// The number of pauses of reading at the last question.
    pauses: usize,
}

impl Hearing {
    /// Whether osnl itself reads or writes nothing at the moment, or has read nothing at some time since the last question.
    fn is_deaf(&mut self) -> bool {
        let connection: &Connection = self.connection.borrow();
        let before = std::mem::replace(&mut self.pauses, self.body_flow.pauses());
        connection.status().blocked() || self.body_flow.exceeds() || self.pauses != before
    }
}

/// The end of a look: an answer of the broker, or none while osnl could hear one all the time.
#[derive(Debug)]
enum LookEnd<T> {
    Answered(T),
    Deaf,
    Silent,
}

/// Waits for an answer. Answers to parts of the look begin the time anew: many bindings at a slow broker.
async fn heard<T>(
    look: impl Future<Output = T>,
    answers: &AtomicUsize,
    mut is_deaf: impl FnMut() -> bool,
) -> LookEnd<T> {
    let mut look = pin!(look);
    let (mut silent, mut was_deaf) = (Duration::ZERO, false);
    while silent < ANSWER {
        was_deaf |= is_deaf();
        match timeout(SAMPLE, &mut look).await {
            Ok(found) => return LookEnd::Answered(found),
            Err(_) if answers.swap(0, Ordering::Relaxed) > 0 => (silent, was_deaf) = (Duration::ZERO, false),
            Err(_) => silent += SAMPLE,
        }
    }
    if was_deaf || is_deaf() { LookEnd::Deaf } else { LookEnd::Silent }
}

impl BindingWatch for RabbitBindingWatch {
    fn look<'a>(
        &'a mut self,
        bindings: &'a [Binding],
    ) -> BoxFuture<'a, Result<Option<BindingLook>, TransportError>> {
        Box::pin(async move {
            let (mut hearing, answers) = (self.hearing(), AtomicUsize::new(0));
            let look = self.declarer.look(bindings, self.makes, &answers);
            let end = heard(look, &answers, || hearing.is_deaf()).await;
            self.ended(end)
        })
    }

    fn look_unbound<'a>(&'a mut self, bindings: &'a [Binding]) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            let (mut hearing, answers) = (self.hearing(), AtomicUsize::new(0));
            let look = self.declarer.unbind_all(bindings, &answers);
            let end = heard(look, &answers, || hearing.is_deaf()).await;
            self.ended(end).map(drop)
        })
    }
}

fn answered<T>(
    end: LookEnd<Result<T, OperationFailure>>,
    is_guard: bool,
) -> Result<Option<T>, TransportError> {
    match end {
        LookEnd::Answered(Ok(look)) => Ok(Some(look)),
        LookEnd::Answered(Err(OperationFailure { what, error })) => {
            tracing::debug!(%error, what, "the bindings are not known at the moment");
            Ok(None)
        }
        LookEnd::Silent if is_guard => Err(TransportError::Lost {
            reason: format!(
                "the broker's node has not reached a majority of its cluster for {} s, so another daemon may read the \
                 queue soon",
                ANSWER.as_secs()
            ),
        }),
        LookEnd::Silent | LookEnd::Deaf => Ok(None),
    }
}

impl<C: Borrow<Connection>> Declarer<C> {
    async fn look(
        &mut self,
        bindings: &[Binding],
        makes: Option<ExchangeDeclareOptions>,
        answers: &AtomicUsize,
    ) -> Result<BindingLook, OperationFailure> {
        let mut look = BindingLook::default();
        let exchanges: BTreeSet<&str> = bindings.iter().map(|one| one.exchange.as_str()).collect();
        for exchange in exchanges {
            let of_it: Vec<&Binding> = bindings.iter().filter(|one| one.exchange == exchange).collect();
            let is_there = self.exchange_is_there(exchange).await;
            answers.fetch_add(1, Ordering::Relaxed);
            let seen = match (is_there, makes) {
                (Ok(true), _) => self.bind_all(&of_it, &mut look, answers).await,
                (Ok(false), None) => {
                    look.missing.extend(of_it.iter().copied().cloned());
                    Ok(())
                }
                (Ok(false), Some(options)) => {
                    let made = self.make_exchanges(&[exchange], &of_it, options).await;
                    match made {
                        Err(failure) if lacks_queue(&failure.error) => {
                            let bound = self.bind_all(&of_it, &mut look, answers).await;
                            let has_queue = of_it.iter().any(|one| !look.gone.contains(&one.queue));
                            look.made.extend(has_queue.then(|| exchange.to_owned()));
                            bound
                        }
                        made => made.map(|()| look.made.push(exchange.to_owned())),
                    }
                }
                (Err(failure), _) => Err(failure),
            };
            if let Err(failure) = seen {
                if !matches!(reply_code(&failure.error), Some(403..=406)) {
                    return Err(failure);
                }
                let refused = TransportError::from(failure);
                look.refused.extend(of_it.into_iter().map(|one| (one.clone(), refused.clone())));
            }
        }
        Ok(look)
    }

    async fn unbind_all(
        &mut self,
        bindings: &[Binding],
        answers: &AtomicUsize,
    ) -> Result<(), OperationFailure> {
        for binding in bindings {
            let channel = self.side.channel().await?;
            let unbound = unbind(&channel, binding).await;
            answers.fetch_add(1, Ordering::Relaxed);
            unbound.map_err(|failure| self.side.closed_by(&failure.what, failure.error))?;
        }
        Ok(())
    }

    /// Makes bindings of one exchange, all at once. An error is a refusal of all of them.
    async fn bind_all(
        &mut self,
        mut bindings: &[&Binding],
        look: &mut BindingLook,
        answers: &AtomicUsize,
    ) -> Result<(), OperationFailure> {
        while !bindings.is_empty() {
            let channel = self.side.channel().await?;
            let made = join_all(bindings.iter().map(async |binding| {
                let made = bind(&channel, binding).await;
                answers.fetch_add(1, Ordering::Relaxed);
                made
            }));
            // The broker handles bindings in this order, and a refusal discards the later ones with the channel.
            let first = made.await.into_iter().enumerate().find_map(|(at, answer)| Some((at, answer.err()?)));
            let Some((at, OperationFailure { what, error })) = first else { break };
            let failure = self.side.closed_by(&what, error);
            let words = reason(&failure.error);
            if is_missing(&failure.error) && words.contains("no exchange") {
                look.missing.extend(bindings[at..].iter().copied().cloned());
                break;
            }
            // Permissions for topics concern a key, all others the exchange or the queue.
            if lacks_queue(&failure.error) {
                look.gone.insert(bindings[at].queue.clone());
            } else if words.contains("access to topic") {
                look.refused.push((bindings[at].clone(), failure.into()));
            } else {
                return Err(failure);
            }
            bindings = &bindings[at + 1..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use lapin::ErrorKind;
    use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPSoftError};
    use tokio::time::Instant;

    use super::*;
    use crate::BINDING_INTERVAL;
    use crate::topology::CONSUMER_DISCONNECTED_TIMEOUT;

    #[test]
    fn silence_alone_ends_a_subscription_before_the_next_consumer_begins() {
        let silent = || LookEnd::<Result<BindingLook, OperationFailure>>::Silent;
        let error = answered(silent(), true).unwrap_err();
        assert!(error.is_recoverable() && error.to_string().contains("a majority"), "{error}");
        assert!((BINDING_INTERVAL + ANSWER).as_millis() < CONSUMER_DISCONNECTED_TIMEOUT.into());
        let refused = AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED);
        let error = ErrorKind::ProtocolError(AMQPError::new(refused, "ACCESS_REFUSED - no".into())).into();
        let failure = OperationFailure { what: "bind".to_owned(), error };
        for (end, is_guard) in [
            (LookEnd::Answered(Ok(BindingLook::default())), true),
            (LookEnd::Answered(Err(failure)), true),
            (LookEnd::Deaf, true),
            (silent(), false),
        ] {
            assert!(answered(end, is_guard).is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_that_of_a_time_in_which_osnl_hears() {
        let check = async |deaf_at: Option<u32>, answered_at: u32, expected: (&str, u64)| {
            let (begun, mut sampled, answers) = (Instant::now(), 0, AtomicUsize::new(0));
            let is_deaf = || {
                sampled += 1;
                answers.store(usize::from(sampled == answered_at), Ordering::Relaxed);
                deaf_at == Some(sampled)
            };
            let end = heard(std::future::pending::<()>(), &answers, is_deaf).await;
            assert_eq!((&*format!("{end:?}"), begun.elapsed().as_secs()), expected, "{deaf_at:?}");
        };
        check(None, 0, ("Silent", 10)).await;
        check(None, 5, ("Silent", 15)).await;
        // A pause of reading ends no look, and an answer after it shows that osnl hears again.
        for deaf_at in [1, 6, 11] {
            check(Some(deaf_at), 0, ("Deaf", 10)).await;
        }
        check(Some(2), 4, ("Silent", 14)).await;
    }
}
