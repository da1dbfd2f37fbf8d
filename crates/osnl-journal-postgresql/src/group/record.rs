use std::collections::BTreeMap;

use osnl_journal::store::clock::whole_millis;
use osnl_journal::{DeliveryId, LearntFacts, UsedLimits};

use super::{clean, stored_name};
use crate::command::PostgresCommand;
use crate::transaction::{CommitFailure, StatementValue, Transaction};

const ATTEMPTS: u32 = 20;
const ANSWER: usize = 1000;
const REQUEST: usize = 4096;
/// The requests of this many latest failed attempts are kept for each delivery.
const REQUESTS: u32 = 3;

const USED: &str = "UPDATE osnl_delivery d SET attempts = n.attempts, aged = n.aged, tries = n.tries \
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS n (id, attempts, aged, tries) WHERE d.id = n.id";
const ANSWERED: &str = "INSERT INTO osnl_attempt (delivery, slot, at, answer) \
     SELECT id, slot, $4::bigint, answer FROM unnest($1::bigint[], $2::smallint[], $3::text[]) AS n (id, slot, answer) \
     ON CONFLICT (delivery, slot) DO UPDATE SET at = excluded.at, answer = excluded.answer, request = NULL, took = NULL";
const SENT: &str = "UPDATE osnl_attempt SET request = $3, took = $4 WHERE delivery = $1 AND slot = $2";
const LET_GO: &str = "UPDATE osnl_attempt SET request = NULL WHERE delivery = $1 AND slot = $2";
const ENRICHED: &str = "INSERT INTO osnl_enriched (delivery, found) VALUES ($1, $2) \
     ON CONFLICT (delivery) DO UPDATE SET found = excluded.found";
const OBJECT: &str = "INSERT INTO osnl_object (name, at, body) VALUES ($1, $2, $3) \
     ON CONFLICT (name) DO UPDATE SET at = excluded.at, body = excluded.body";

fn slot(made: u32) -> i16 {
    (made % ATTEMPTS) as i16
}

impl Transaction<'_> {
    pub(super) async fn record(&mut self, batch: &[PostgresCommand]) -> Result<(), CommitFailure> {
        let mut used: BTreeMap<DeliveryId, UsedLimits> = BTreeMap::new();
        let mut answers: BTreeMap<(DeliveryId, i16), &str> = BTreeMap::new();
        for command in batch {
            let (PostgresCommand::Attempted(id, limits, answer)
            | PostgresCommand::Retry(id, _, limits, answer)) = command
            else {
                continue;
            };
            if self.member.place(*id).is_none() {
                continue;
            }
            used.insert(*id, *limits);
            // A retry without an answer follows no attempt.
            if !answer.is_empty() || matches!(command, PostgresCommand::Attempted(..)) {
                answers.insert((*id, slot(limits.made)), answer);
            }
        }
        self.answered(used, answers).await?;
        for command in batch {
            if command.claim().is_none_or(|id| self.member.place(id).is_none()) {
                continue;
            }
            if let PostgresCommand::Sent(id, made, sent) = command {
                let request = sent.request.as_deref();
                let request = request.map(|text| clean(&text[..text.floor_char_boundary(REQUEST)]));
                let took = whole_millis(sent.took);
                let values: Vec<StatementValue> =
                    vec![Box::new(id.row()), Box::new(slot(*made)), Box::new(request), Box::new(took)];
                self.later(SENT, values).await?;
                if *made > REQUESTS {
                    let last = slot(made - REQUESTS);
                    self.later(LET_GO, vec![Box::new(id.row()), Box::new(last)]).await?;
                }
            }
            if let PostgresCommand::Enriched(id, found, learnt, _) = command {
                self.later(ENRICHED, vec![Box::new(id.row()), Box::new(found.clone())]).await?;
                self.learnt(learnt).await?;
            }
        }
        Ok(())
    }

    async fn answered(
        &mut self,
        used: BTreeMap<DeliveryId, UsedLimits>,
        answers: BTreeMap<(DeliveryId, i16), &str>,
    ) -> Result<(), CommitFailure> {
        if used.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = used.keys().map(|id| id.row()).collect();
        let attempts: Vec<i64> = used.values().map(|used| i64::from(used.attempts)).collect();
        let aged: Vec<i64> = used.values().map(|used| whole_millis(used.age)).collect();
        let tries: Vec<i64> = used.values().map(|used| i64::from(used.made)).collect();
        let values: Vec<StatementValue> =
            vec![Box::new(ids), Box::new(attempts), Box::new(aged), Box::new(tries)];
        self.later(USED, values).await?;
        let (ids, slots): (Vec<i64>, Vec<i16>) = answers.keys().map(|(id, slot)| (id.row(), *slot)).unzip();
        let cut = |answer: &&str| clean(&answer[..answer.floor_char_boundary(ANSWER)]);
        let texts: Vec<String> = answers.values().map(cut).collect();
        let now = self.now;
        let values: Vec<StatementValue> =
            vec![Box::new(ids), Box::new(slots), Box::new(texts), Box::new(now)];
        self.later(ANSWERED, values).await
    }

    async fn learnt(&mut self, learnt: &LearntFacts) -> Result<(), CommitFailure> {
        let now = self.now;
        for (name, body) in &learnt.objects {
            let values: Vec<StatementValue> =
                vec![Box::new(stored_name(name).as_bytes().to_vec()), Box::new(now), Box::new(clean(body))];
            self.later(OBJECT, values).await?;
        }
        Ok(())
    }
}
