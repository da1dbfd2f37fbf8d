//! The bindings that osnl makes and that a look misses, with the other ways on which their messages may come.

use std::collections::BTreeSet;

use osnl_transport::{Binding, ExchangeInspection};

use super::nothing::is_match;
use super::{QueueRow, Survey};
use crate::management::UnknownFact;

impl Survey {
    /// Returns the missing bindings whose messages do not reach the queue.
    #[must_use]
    pub fn unbound(&self) -> Vec<Binding> {
        let lost = self.missing().into_iter().filter(|(_, ways)| ways.is_empty());
        lost.map(|(one, _)| one.clone()).collect()
    }

    /// Returns the bindings that osnl makes, and of which the broker does not show whether they are there.
    pub(crate) fn unseen(&self) -> Vec<Binding> {
        let is_hidden = |row: &&QueueRow| row.is_read && row.is_there() && row.bindings.is_none();
        let hidden: Vec<&str> = self.queues.iter().filter(is_hidden).map(|row| row.name.as_str()).collect();
        self.makeable().filter(|one| hidden.contains(&one.queue.as_str())).cloned().collect()
    }

    /// Returns the bindings that osnl makes and whose exchange is there.
    fn makeable(&self) -> impl Iterator<Item = &Binding> {
        let is_there = |exchange: &str| {
            let mut exchanges = self.exchanges.iter();
            exchanges.any(|(name, inspection)| {
                name == exchange && matches!(inspection, ExchangeInspection::There(_))
            })
        };
        let is_ours = self.wanted.declares() && self.wanted.pool.is_some();
        self.wanted.bindings.iter().filter(move |one| is_ours && is_there(&one.exchange))
    }

    /// Returns why a former binding of osnl is to stay; `None` if the management API shows that no message of the wanted
    /// bindings needs the former one.
    pub(crate) fn needs(&self, former: &Binding, wanted: &[Binding]) -> Option<String> {
        let by = &former.exchange;
        let mut rows = self.queues.iter().filter(|row| row.is_read && row.name == former.queue);
        let Some(made) = rows.find_map(|row| row.bindings.as_ref()) else {
            let reason = self.unknown.as_ref().map_or("the broker does not tell", UnknownFact::reason);
            return Some(format!("the other bindings are not known ({reason})"));
        };
        if !made.iter().any(|(exchange, key)| exchange == by && *key == former.routing_key) {
            return None;
        }
        if let Some((one, ways)) =
            self.missing().iter().find(|(one, ways)| one.queue == former.queue && !ways.is_empty())
        {
            let (source, ways) = (&one.exchange, ways.join(", "));
            return Some(format!("messages of exchange {source} may come by {ways}"));
        }
        let passes = |one: &Binding| match self.passes_on(one, by) {
            _ if one.exchange == *by => None,
            Some(false) => None,
            Some(true) => Some(format!("exchange {} passes messages on to exchange {by}", one.exchange)),
            None => Some(format!("which exchanges pass messages on to exchange {by} is not known")),
        };
        wanted.iter().find_map(passes)
    }

    /// Returns whether messages of a binding reach an exchange by bindings between exchanges; `None` if the management API
    /// does not show all of them.
    pub(super) fn passes_on(&self, one: &Binding, to: &str) -> Option<bool> {
        let fits = |key: &str| is_match(key, &one.routing_key) || is_match(&one.routing_key, key);
        self.facts.as_ref()?.leads(&one.exchange, fits, to)
    }

    /// Returns the bindings that osnl makes and the broker lacks, each with the exchanges that the queue is bound to and
    /// that may pass on the same messages.
    pub(super) fn missing(&self) -> Vec<(&Binding, Vec<&str>)> {
        let mut missing = Vec::new();
        for one in self.makeable() {
            let mut rows = self.queues.iter().filter(|row| row.is_read && row.name == one.queue);
            let Some(made) = rows.find_map(|row| row.bindings.as_ref()) else { continue };
            if made.iter().any(|(x, key)| *x == one.exchange && *key == one.routing_key) {
                continue;
            }
            let others: BTreeSet<&str> =
                made.iter().map(|(x, _)| x.as_str()).filter(|x| *x != one.exchange).collect();
            let may = others.into_iter().filter(|other| self.passes_on(one, other) != Some(false));
            missing.push((one, may.collect()));
        }
        missing
    }
}
