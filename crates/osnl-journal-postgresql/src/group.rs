//! A group of commands in one transaction. Each step concerns all commands:
//!
//! 1. Append new messages with the rows of their readers. The first delivery of an empty lane of this member
//!    is claimable.
//! 2. Record attempts, enrichments, retries, and ends of claimed deliveries with the rows of their leases. An
//!    operator's change that waited for the end of a claim replaces the end, unless the attempt succeeded.
//! 3. Admit deliveries that had arrived before, also from other members.
//! 4. Advance the lanes.
//! 5. With COMMIT, read the deliveries that are left to admit.
//!
//! The first end of a claim in a group counts. Claims of lost partitions are left out.

mod append;
mod ends;
mod record;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use osnl_journal::store::clock::Due;
use osnl_journal::{DeliveryId, End, Outcome};
use osnl_model::BodyDigest;
use tokio_postgres::types::ToSql;

use crate::command::PostgresCommand;
use crate::delivery::ArrivedDelivery;
use crate::lane::{ARRIVALS, AT_ONCE};
use crate::member::Member;
use crate::results::{GroupResult, JobResult};
use crate::session::Session;
use crate::transaction::{CommitFailure, Transaction, TransactionProgress};

enum ClaimEnd<'a> {
    Outcome(&'a End),
    Retry(Due),
}

pub(crate) async fn run(
    session: &mut Session,
    member: &Member,
    batch: &[PostgresCommand],
    now: i64,
    (kept, progress): (&mut Option<JobResult>, &mut TransactionProgress),
) -> Result<GroupResult, CommitFailure> {
    let mut transaction = Transaction::begin(session, member, now, progress);
    let mut done = GroupResult::default();
    transaction.append(batch, &mut done).await?;
    let mut over = transaction.own_claims(batch).await?;
    transaction.record(batch).await?;
    let mut lanes = transaction.make_deferred_changes(&mut over, &mut done).await?;
    lanes.extend(transaction.end_claims(over, &mut done).await?);
    transaction.make_due(batch, &mut done).await?;
    let admitted = transaction.admit().await?;
    lanes.extend(admitted.lanes);
    done.promoted.extend(admitted.ready);
    done.promoted.extend(transaction.turn(lanes).await?);
    let keep = || *kept = Some(JobResult::Group(Box::new(done.clone())));
    let own = member.leases.partitions();
    let arrivals: [&(dyn ToSql + Sync); 2] = [&own, &AT_ONCE];
    let arrivals = (!own.is_empty()).then_some((ARRIVALS, &arrivals[..]));
    let (written, arrived) = transaction.commit_after(arrivals, keep).await?;
    done.written = written;
    done.arrived = Some(ArrivedDelivery::all(&arrived)?);
    Ok(done)
}

impl Transaction<'_> {
    async fn own_claims<'c>(
        &mut self,
        batch: &'c [PostgresCommand],
    ) -> Result<Vec<(DeliveryId, ClaimEnd<'c>)>, CommitFailure> {
        let mut partitions = BTreeSet::new();
        let mut seen = HashSet::new();
        let mut over = Vec::new();
        for command in batch {
            if let PostgresCommand::DueNow(..) = command {
                partitions.extend(self.member.leases.partitions());
            }
            let Some(id) = command.claim() else { continue };
            let Some(place) = self.member.place(id) else { continue };
            partitions.insert(place.partition);
            let end = match command {
                PostgresCommand::Retry(_, due, ..) => Some(ClaimEnd::Retry(*due)),
                PostgresCommand::End(_, end) => Some(ClaimEnd::Outcome(end)),
                _ => None,
            };
            over.extend(end.filter(|_| seen.insert(id)).map(|end| (id, end)));
        }
        self.own(partitions).await?;
        Ok(over)
    }

    async fn make_deferred_changes(
        &mut self,
        over: &mut Vec<(DeliveryId, ClaimEnd<'_>)>,
        done: &mut GroupResult,
    ) -> Result<Vec<i64>, CommitFailure> {
        let member = self.member;
        let (mut rows, mut succeeded) = (Vec::new(), Vec::new());
        for (id, end) in &*over {
            let Some(row) = member.deferred.get(id) else { continue };
            match end {
                ClaimEnd::Outcome(End { outcome: Outcome::Delivered | Outcome::NothingToDo, .. }) => {
                    succeeded.push(row);
                }
                ClaimEnd::Outcome(_) | ClaimEnd::Retry(_) => rows.push(row),
            }
        }
        self.refuse_succeeded(&succeeded).await?;
        let (changed, lanes) = self.change_ended(&rows).await?;
        done.changed = changed.into_iter().map(|changed| (changed.id, changed)).collect();
        over.retain(|(id, _)| !done.changed.contains_key(id));
        Ok(lanes)
    }
}

/// An index of PostgreSQL takes entries of up to 2,704 bytes.
const LONGEST_NAME: usize = 1024;
const BEGINNING: usize = 900;

/// Returns a long key or name as its beginning and the digest of all of it, for storing and searching.
pub(crate) fn stored_name(name: &str) -> Cow<'_, str> {
    if name.len() <= LONGEST_NAME {
        return Cow::Borrowed(name);
    }
    let beginning = &name[..name.floor_char_boundary(BEGINNING)];
    Cow::Owned(format!("{beginning}...{}", BodyDigest::of(name.as_bytes())))
}

pub(crate) fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn clean_option(text: Option<&str>) -> Option<String> {
    text.map(clean)
}
