//! The changes that `osnl queues --apply` makes: bindings of osnl's own queues, and its own empty queues.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_transport::{Binding, RabbitTransport, TransportError};
use tokio::time::timeout;

use super::{JournalConf, ListenerConf, Native};
use crate::listener::{Bindings, UnreadQueue};
use crate::queues::Survey;

#[derive(Clone, Debug)]
pub struct QueueChanges {
    pub listener: Arc<str>,
    pub bind: Vec<Binding>,
    pub unbind: Vec<Binding>,
    pub delete: Vec<(String, Vec<Binding>)>,
}

impl Native {
    fn record(&self) -> Bindings {
        let journal = match &self.journal {
            JournalConf::Memory => "memory://".to_owned(),
            JournalConf::Sqlite(options) => options.path.display().to_string(),
            JournalConf::Shared(options) => options.shown.clone(),
        };
        let record = Bindings::open(self.state_folder().as_deref(), journal);
        record.want(self.listeners.iter().flat_map(ListenerConf::read_queues).collect());
        record
    }

    #[must_use]
    pub fn has_received(&self, conf: &ListenerConf) -> bool {
        let record = self.record();
        conf.read_queues().iter().any(|queue| record.has_received(&queue.own))
    }

    /// Returns the queues that no listener reads any more, with their content where a listener's broker has them.
    pub async fn left_queues(&self, limit: Duration) -> Vec<UnreadQueue> {
        let mut left = self.record().left();
        for conf in &self.listeners {
            let Some(here) = conf.read_queues().into_iter().next() else { continue };
            let names: Vec<String> = left
                .iter()
                .filter(|one| one.seen.is_none() && one.queue.is_beside(&here.own))
                .map(|one| one.queue.queue.clone())
                .collect();
            if names.is_empty() {
                continue;
            }
            let Ok(transport) = conf.transport() else { continue };
            let Ok(Ok(seen)) = timeout(limit, transport.tidy(&[], &names)).await else { continue };
            for (name, seen) in names.iter().zip(seen) {
                let is_it = |one: &UnreadQueue| one.queue.queue == *name && one.queue.is_beside(&here.own);
                match seen {
                    None => left.retain(|one| !is_it(one)),
                    Some(seen) => left
                        .iter_mut()
                        .filter(|one| is_it(one))
                        .for_each(|one| one.seen = Some((seen, SystemTime::now()))),
                }
            }
        }
        left
    }

    #[must_use]
    pub fn queue_changes(&self, surveys: &[Survey], left: &[UnreadQueue]) -> Vec<QueueChanges> {
        let record = self.record();
        let mut planned: Vec<QueueChanges> = Vec::new();
        let mut deleted: Vec<&UnreadQueue> = Vec::new();
        for conf in &self.listeners {
            let queues = conf.read_queues();
            let Some(here) = queues.first() else { continue };
            let of: Vec<&Survey> =
                surveys.iter().filter(|survey| survey.wanted.listener == conf.name).collect();
            if of.is_empty() {
                continue;
            }
            let emptied: Vec<&UnreadQueue> = left
                .iter()
                .filter(|one| one.queue.is_beside(&here.own) && one.delete_command().is_some())
                .filter(|one| !deleted.iter().any(|other| other.queue.is_same(&one.queue)))
                .collect();
            deleted.extend(&emptied);
            let changes = QueueChanges {
                listener: conf.name.clone(),
                bind: of.into_iter().flat_map(Survey::unbound).collect(),
                unbind: queues.iter().flat_map(|queue| record.superfluous(&queue.own)).collect(),
                delete: emptied.iter().map(|one| (one.queue.queue.clone(), one.bindings.clone())).collect(),
            };
            if !(changes.bind.is_empty() && changes.unbind.is_empty() && changes.delete.is_empty()) {
                planned.push(changes);
            }
        }
        planned
    }

    /// Makes the changes at the listener's broker; returns the queues that are kept, because they are not empty or
    /// unused any more.
    ///
    /// # Errors
    /// The broker refuses a change; earlier changes are made.
    pub async fn change_queues(&self, changes: &QueueChanges) -> Result<Vec<String>, TransportError> {
        let Some(conf) = self.listeners.iter().find(|conf| conf.name == changes.listener) else {
            return Ok(Vec::new());
        };
        let transport = RabbitTransport::new(conf.transport_url.clone(), conf.rabbit.clone())?;
        transport.mend((&changes.bind, &changes.unbind), &changes.delete).await
    }
}

impl QueueChanges {
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let binding = |verb: &str, Binding { queue, exchange, routing_key }: &Binding| {
            format!("{verb} queue {queue} with {routing_key} of exchange {exchange}")
        };
        let bind = self.bind.iter().map(|one| binding("bind", one));
        let unbind = self.unbind.iter().map(|one| binding("unbind", one));
        let delete = self
            .delete
            .iter()
            .map(|(name, _)| format!("delete queue {name}, if it is still empty and unused"));
        bind.chain(unbind).chain(delete).collect()
    }
}
