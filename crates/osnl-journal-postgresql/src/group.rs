//! A group of commands in one transaction, in steps that each concern all of them:
//!
//! 1. what is new is appended, with the rows of its readers; what is the first of an empty lane of this member is claimable;
//! 2. of claimed deliveries: attempts, enrichments, retries, ends, with the rows of their leases; an operator's change that
//!    waited for the end of a claim is made instead of it, unless the attempt succeeded;
//! 3. what had arrived before, also from other members, is admitted;
//! 4. lanes go on;
//! 5. with COMMIT is read what is left to admit.
//!
//! The end of a claim counts once: the first of a group. Claims of partitions that the member has lost are left out.

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

/// The end of a claim.
enum ClaimEnd<'a> {
    Outcome(&'a End),
    Retry(Due),
}

/// Runs a group; returns its results when it is committed.
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
    let look: [&(dyn ToSql + Sync); 2] = [&own, &AT_ONCE];
    let look = (!own.is_empty()).then_some((ARRIVALS, &look[..]));
    let (written, arrived) = transaction.commit_after(look, keep).await?;
    done.written = written;
    done.arrived = Some(ArrivedDelivery::all(&arrived)?);
    Ok(done)
}

impl Transaction<'_> {
    /// Writes the leases of what the commands are about; returns the ends of claims, one of each.
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

    /// Makes the changes that waited for claims which end now, and takes their ends out; returns the lanes that go on.
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

/// The longest keys and names, in bytes, that are stored as they are: an index of PostgreSQL takes entries of up to 2,704.
const LONGEST_NAME: usize = 1024;
/// The beginning that is kept of a longer one.
const BEGINNING: usize = 900;

/// A key or a name as it is stored and looked for: of a long one the beginning, and the digest of all of it.
pub(crate) fn stored_name(name: &str) -> Cow<'_, str> {
    if name.len() <= LONGEST_NAME {
        return Cow::Borrowed(name);
    }
    let beginning = &name[..name.floor_char_boundary(BEGINNING)];
    Cow::Owned(format!("{beginning}...{}", BodyDigest::of(name.as_bytes())))
}

/// A text as PostgreSQL takes it, which refuses NUL.
pub(crate) fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn clean_option(text: Option<&str>) -> Option<String> {
    text.map(clean)
}
