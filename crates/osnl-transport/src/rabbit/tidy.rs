use std::borrow::Borrow;

use lapin::Connection;
use lapin::options::{BasicGetOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;

use super::RabbitTransport;
use super::declare::{bind, unbind};
use super::failure::{
    NOT_IMPLEMENTED, OperationFailure, PRECONDITION_FAILED, RESOURCE_LOCKED, is_missing, reply_code,
};
use super::inspection::close;
use super::side::SideChannel;
use crate::topology::Binding;
use crate::{QueueSeen, TransportError};

pub(super) async fn tidy(
    transport: &RabbitTransport,
    superfluous: &[Binding],
    queues: &[String],
) -> Result<Vec<Option<QueueSeen>>, TransportError> {
    let mut side = SideChannel::new(transport.connection().await?);
    for binding in superfluous {
        unbind(&side.channel().await?, binding).await?;
    }
    let mut seen = Vec::new();
    for queue in queues {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let channel = side.channel().await?;
        match channel.queue_declare(queue.as_str().into(), passive, FieldTable::default()).await {
            Ok(found) => seen
                .push(Some(QueueSeen { messages: found.message_count(), consumers: found.consumer_count() })),
            Err(error) => {
                let failure = side.closed_by(&format!("look at queue \"{queue}\""), error);
                if !is_missing(&failure.error) {
                    return Err(failure.into());
                }
                seen.push(None);
            }
        }
    }
    let _ = side.connection().close(200, "tidied".into()).await;
    Ok(seen)
}

impl RabbitTransport {
    /// Binds, unbinds, then deletes queues with their bindings if empty and unused. Returns those that are kept.
    ///
    /// # Errors
    /// The broker refuses a change; the other changes are made, unless the connection fails.
    pub async fn mend(
        &self,
        bindings: &[Binding],
        superfluous: &[Binding],
        emptied: &[(String, Vec<Binding>)],
    ) -> Result<Vec<String>, TransportError> {
        // In this order no message falls between an old and a new binding, and a refused binding leaves the old ones.
        self.bind(bindings).await?;
        tidy(self, superfluous, &[]).await?;
        let (mut kept, mut refused) = (Vec::new(), None);
        for (queue, bindings) in emptied {
            match self.delete(queue, bindings).await {
                Ok(true) => {}
                Ok(false) => kept.push(queue.clone()),
                Err(error) => drop(refused.get_or_insert(error)),
            }
        }
        refused.map_or(Ok(kept), Err)
    }

    async fn bind(&self, bindings: &[Binding]) -> Result<(), TransportError> {
        let mut side = SideChannel::new(self.connection().await?);
        for binding in bindings {
            let channel = side.channel().await?;
            bind(&channel, binding).await?;
        }
        let _ = side.connection().close(200, "mended".into()).await;
        Ok(())
    }

    async fn delete(&self, queue: &str, bindings: &[Binding]) -> Result<bool, TransportError> {
        let mut side = SideChannel::new(self.connection().await?);
        let channel = side.channel().await?;
        // A stream ignores the conditions of a deletion, and refuses this question with 540; a quorum queue with a single
        // active consumer refuses the question with 405.
        match channel.basic_get(queue.into(), BasicGetOptions::default()).await {
            Ok(None) => {}
            Ok(Some(_)) => {
                let _ = side.connection().close(200, "kept".into()).await;
                return Ok(false);
            }
            Err(error) => {
                let failure = side.closed_by(&format!("delete queue \"{queue}\""), error);
                if reply_code(&failure.error) != Some(RESOURCE_LOCKED) {
                    return Err(failure.into());
                }
            }
        }
        let deleted = self.delete_unused(&mut side, queue, bindings).await;
        close(side.connection()).await;
        deleted
    }

    /// Deletes a queue with its bindings, and returns whether it had neither messages nor consumers. The broker may close
    /// the connection of `side`.
    pub(super) async fn delete_unused<C: Borrow<Connection>>(
        &self,
        side: &mut SideChannel<C>,
        queue: &str,
        bindings: &[Binding],
    ) -> Result<bool, TransportError> {
        let what = format!("delete queue \"{queue}\"");
        let channel = side.channel().await?;
        let options = QueueDeleteOptions { if_unused: true, if_empty: true, ..QueueDeleteOptions::default() };
        let deleted = channel.queue_delete(queue.into(), options).await;
        match deleted.map_err(|error| side.closed_by(&what, error)) {
            Ok(_) => return Ok(true),
            Err(failure) => match reply_code(&failure.error) {
                Some(NOT_IMPLEMENTED) => {}
                Some(PRECONDITION_FAILED) => return Ok(false),
                Some(_) | None => return Err(failure.into()),
            },
        }
        // A quorum queue knows no conditions, which end the connection (540). Nothing is routed to a queue without
        // bindings.
        let queues = [queue.to_owned()];
        let is_unused = |seen: Vec<Option<QueueSeen>>| {
            seen.into_iter().flatten().all(|seen| seen.messages == 0 && seen.consumers == 0)
        };
        if !is_unused(tidy(self, &[], &queues).await?) {
            return Ok(false);
        }
        if !bindings.is_empty() && !is_unused(tidy(self, bindings, &queues).await?) {
            self.bind(bindings).await?;
            return Ok(false);
        }
        let mut side = SideChannel::new(self.connection().await?);
        let channel = side.channel().await?;
        let deleted = channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await;
        deleted.map_err(|error| OperationFailure { what, error })?;
        let _ = side.connection().close(200, "mended".into()).await;
        Ok(true)
    }
}
