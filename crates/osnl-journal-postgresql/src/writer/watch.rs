//! Renews, watches, takes, and gives back leases.
//!
//! A member takes partitions up to its share of the live members, and gives back the excess without claims.

use std::collections::{BTreeMap, HashSet};
use std::sync::PoisonError;
use std::time::Duration;

use osnl_core::epoch::from_millis;
use osnl_journal::shared::{HeldTarget, SharedMember};
use osnl_journal::store::clock::whole_millis;
use osnl_journal::{DeliveryId, PausedActions};
use tokio::time::timeout;
use tokio_postgres::types::ToSql;

use super::isolating::REMOVAL;
use super::{PostgresWriter, wall};
use crate::bounds::OF_QUARANTINE;
use crate::command::PostgresCommand;
use crate::delivery::ArrivedDelivery;
use crate::job::TransactionJob;
use crate::lane::{ARRIVALS, AT_ONCE};
use crate::leases::{Lease, LeaseRow, LeaseToken};
use crate::partition::{PARTITIONS, PartitionNumber};
use crate::prune;
use crate::report;
use crate::results::JobResult;
use crate::session::{GROWING, StatementValues, TABLE_SIZES, words};
use crate::shared::MembersSeen;
use crate::transaction::is_of_a_row;
use crate::view::PAUSED;

const WATCH: Duration = Duration::from_secs(1);
/// A member that is silent for this long is deleted.
const SILENCE: Duration = Duration::from_secs(3600);

/// A dead daemon without work is named for this long after its last renewal.
const NEWS: Duration = Duration::from_secs(600);

const ROWS: &str = "SELECT id, epoch, token, beat FROM osnl_partition";
const MEMBERS: &str = "SELECT token, number, name, program, sections, held FROM osnl_member ORDER BY name";
const REPORT: &str = "UPDATE osnl_member SET sections = $2, held = $3 WHERE token = $1";
const FORGET: &str = "DELETE FROM osnl_member m WHERE m.token = ANY($1) \
     AND NOT EXISTS (SELECT 1 FROM osnl_partition p WHERE p.token = m.token)";
/// Whether changes wait; those of claimed deliveries wait for the ends of the claims.
const CHANGES: &str = "SELECT EXISTS (SELECT 1 FROM osnl_change WHERE partition = ANY($1) \
       AND (verdict = 0 OR verdict = 1 AND NOT is_dry_run AND delivery <> ALL($2)))";
/// Answers without a reader: of withdrawn commands, and of deleted members.
const ANSWERED: &str = "DELETE FROM osnl_change c WHERE (c.verdict >= 2 OR c.is_dry_run) AND ( \
       c.asker = $1 AND c.command <> ALL($2) OR NOT EXISTS (SELECT 1 FROM osnl_member m WHERE m.token = c.asker))";
/// Readers of deleted members, for messages that an operator appended.
const OWN_READERS: &str = "DELETE FROM osnl_reader r WHERE r.listener = '' \
     AND NOT EXISTS (SELECT 1 FROM osnl_member m WHERE m.token = r.token)";
const PENDING: &str = "SELECT action, sum(count)::bigint FROM (SELECT action, count FROM osnl_tally WHERE state <= 2 \
     UNION ALL SELECT action, 1 FROM osnl_delivery WHERE state = -1) AS pending GROUP BY action";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chore {
    None,
    Pending,
    History,
    Orphans,
    Bounds,
}

impl Chore {
    fn next(self) -> Self {
        match self {
            Self::None | Self::Bounds => Self::None,
            Self::Pending => Self::History,
            Self::History => Self::Orphans,
            Self::Orphans => Self::Bounds,
        }
    }
}

impl PostgresWriter {
    pub(super) async fn check(&mut self) {
        self.keep_leases().await;
        let own = self.member.leases.partitions();
        if own.is_empty() {
            return;
        }
        let deferred: Vec<i64> = self.member.deferred.keys().map(|id| id.row()).collect();
        let Some(session) = &mut self.session else { return };
        let all: [(&str, StatementValues<'_>); 2] =
            [(ARRIVALS, &[&own, &AT_ONCE]), (CHANGES, &[&own, &deferred])];
        let found = session.queries(all).await.and_then(|[arrived, changes]| {
            let has_changes = changes.first().map_or(Ok(false), |row| row.try_get(0))?;
            Ok((ArrivedDelivery::all(&arrived)?, has_changes))
        });
        match found {
            Ok((arrived, has_changes)) => {
                self.member.arrived = self.refused.without_refused(arrived);
                self.more_arrived |= !self.member.arrived.is_empty();
                if has_changes {
                    self.make_changes().await;
                }
            }
            // The next transaction reports the failure and connects again.
            Err(_) => self.session = None,
        }
    }

    pub(super) async fn keep_leases(&mut self) {
        let now = self.options.clock.now();
        if now >= self.next_renewal || self.session.is_none() {
            self.next_renewal = now + self.options.renewal;
            match self.transact(&TransactionJob::Renew).await {
                Ok((JobResult::Renewed(written), Some(sent))) => self.renewed(written, sent),
                // The renewal was late, and is repeated at once.
                Ok(_) => self.next_renewal = now,
                Err(refusal) => {
                    self.next_renewal = now;
                    _ = self.bear(refusal).await;
                }
            }
        }
        if now >= self.next_watch {
            self.next_watch = now + WATCH.min(self.options.renewal);
            if let Err(error) = self.watch().await {
                self.session = None;
                self.failed(&words(&error));
            }
        }
    }

    async fn watch(&mut self) -> Result<(), tokio_postgres::Error> {
        let clock = self.options.clock.clone();
        let Some(session) = &mut self.session else { return Ok(()) };
        if let Some((sections, held)) = self.shared.report.take()
            && let Err(error) = session.execute(REPORT, &[&self.member.token, &sections, &held]).await
        {
            self.shared.report.forget();
            return Err(error);
        }
        let asked = clock.now();
        let growing = GROWING.as_slice();
        let sizes: [&(dyn ToSql + Sync); 1] = [&growing];
        let read: [(&str, StatementValues<'_>); 4] =
            [(TABLE_SIZES, &sizes), (ROWS, &[]), (MEMBERS, &[]), (PAUSED, &[])];
        let [sizes, lease_rows, member_rows, paused_rows] = session.queries(read).await?;
        let sizes = sizes.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        session.forget_outgrown_plans(sizes).await?;
        let mut rows = Vec::new();
        for row in lease_rows {
            let (partition, epoch) = (row.try_get(0)?, row.try_get(1)?);
            rows.push(LeaseRow { partition, epoch, token: row.try_get(2)?, beat: row.try_get(3)? });
        }
        let (mut members, mut named) = (Vec::new(), Vec::new());
        for row in member_rows {
            let token: LeaseToken = row.try_get(0)?;
            let sections: Option<String> = row.try_get(4)?;
            let sections = sections.and_then(|sections| serde_json::from_str(&sections).ok());
            named.push(MemberRow {
                token: token.clone(),
                name: row.try_get(2)?,
                version: row.try_get(3)?,
                sections,
                held: report::held(row.try_get(5)?),
            });
            members.push((token, row.try_get(1)?));
        }
        let mut paused = PausedActions::new();
        for row in paused_rows {
            paused.insert(row.try_get(0)?, from_millis(row.try_get(1)?));
        }
        let own = &self.member.token;
        let (lease, leases) = (self.options.lease, &mut self.member.leases);
        let alive = leases.count_members(members, own, asked, lease);
        let silent = leases.silent(own, asked, SILENCE);
        let seen = members_seen(named, &rows, own, |token| {
            Some(leases.silence(token, asked)).filter(|silence| *silence >= lease)
        });
        let worn = leases.worn();
        let worn: Vec<LeaseRow> =
            rows.iter().filter(|row| worn.contains(&(row.partition, row.epoch))).cloned().collect();
        let mut free = leases.watch(rows, (asked, clock.now()), lease);
        let share = usize::from(PARTITIONS).div_ceil(alive);
        self.shared.set_daemons(alive);
        if !silent.is_empty() {
            session.execute(FORGET, &[&silent]).await?;
            session.execute(OWN_READERS, &[]).await?;
        }
        free.truncate(share.saturating_sub(leases.held.len()));
        free.extend(worn);
        if !free.is_empty() {
            self.take(free).await;
        } else if self.member.leases.held.len() > share {
            self.give_back(share).await;
        }
        *self.shared.members.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        self.shared.set_paused(paused);
        if self.chore == Chore::None {
            self.chore = Chore::Pending;
        }
        let in_memory = self.shared.claimable.in_memory();
        self.member.places.retain(|id, _| in_memory.contains(id));
        Ok(())
    }

    /// A chore is short, and commands run between two of them, so that a delivery does not wait for all.
    pub(super) async fn do_chore(&mut self) {
        let done = match self.chore {
            Chore::None => return,
            Chore::Pending => self.count_pending().await,
            Chore::History => self.prune().await,
            Chore::Orphans => self.sweep().await,
            Chore::Bounds => self.keep_bounds().await,
        };
        self.chore = self.chore.next();
        match done {
            Err(error) if is_of_a_row(&error) => self.give_up_chore(REMOVAL, words(&error)),
            Err(error) => {
                self.session = None;
                self.failed(&words(&error));
            }
            Ok(()) => {}
        }
    }

    pub(super) async fn do_chores(&mut self) {
        while self.chore != Chore::None {
            self.do_chore().await;
        }
    }

    async fn take(&mut self, rows: Vec<LeaseRow>) {
        let (taken, sent) = match self.transact(&TransactionJob::Take(rows, self.shared.clock.now())).await {
            Ok((JobResult::Taken(taken), sent)) => (taken, sent),
            Ok(_) => return,
            Err(refusal) => {
                _ = self.bear(refusal).await;
                return;
            }
        };
        if taken.is_empty() {
            return;
        }
        let new =
            taken.iter().filter(|(partition, _)| !self.member.leases.held.contains_key(partition)).count();
        if new > 0 {
            tracing::info!(partitions = new, "partitions of the journal are taken over");
        }
        // After a late answer the lease counts as expired, and is renewed at once.
        let until = sent.map_or(Duration::ZERO, |sent| sent + self.options.lease);
        for (partition, epoch) in taken {
            if let Some(former) = self.member.leases.held.insert(partition, Lease::new(epoch, until)) {
                self.member.raise(partition, former.epoch, epoch);
            }
        }
        if sent.is_none() {
            self.next_renewal = Duration::ZERO;
        }
        self.more_arrived = true;
        self.publish_lease();
        // Memory lacks the deliveries of the new partitions, so claims must fetch again.
        self.shared.claimable.drop_all();
    }

    /// Gives back partitions without a claim beyond the member's share.
    async fn give_back(&mut self, share: usize) {
        let claimed: HashSet<DeliveryId> = self.shared.claimable.suspend();
        let busy: HashSet<PartitionNumber> =
            claimed.iter().filter_map(|id| Some(self.member.places.get(id)?.partition)).collect();
        let held = self.member.leases.partitions();
        let surplus = held.len().saturating_sub(share);
        let released: Vec<PartitionNumber> =
            held.into_iter().filter(|partition| !busy.contains(partition)).take(surplus).collect();
        if !released.is_empty() {
            self.lose(&released);
            self.shared.claimable.drop_all();
        }
        self.shared.claimable.resume();
        if !released.is_empty()
            && let Err(refusal) = self.transact(&TransactionJob::Release(released)).await
        {
            _ = self.bear(refusal).await;
        }
    }

    /// Drops the deliveries in memory of partitions that this member no longer owns.
    pub(super) fn lose(&mut self, partitions: &[PartitionNumber]) {
        for partition in partitions {
            self.member.leases.held.remove(partition);
        }
        for (id, place) in &self.member.places {
            if partitions.contains(&place.partition) && self.shared.claimable.withdraw(&place.action, *id) {
                self.shared.lose_claim(*id);
            }
        }
        self.publish_lease();
    }

    pub(super) fn renewed(&mut self, partitions: impl IntoIterator<Item = PartitionNumber>, sent: Duration) {
        self.member.leases.renewed(partitions, sent + self.options.lease);
        if self.publish_lease() {
            self.shared.claimable.changed.notify_waiters();
        }
    }

    /// Publishes the end of the lease; returns whether claims had to wait before.
    fn publish_lease(&self) -> bool {
        let now = self.options.clock.now();
        self.shared.set_lease_end(self.member.leases.first_end().unwrap_or_default(), now)
    }

    async fn count_pending(&mut self) -> Result<(), tokio_postgres::Error> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let mut found = BTreeMap::new();
        for row in session.query(PENDING, &[]).await? {
            found.insert(row.try_get::<_, String>(0)?, row.try_get::<_, i64>(1)?.unsigned_abs());
        }
        // The tables do not count queued deliveries yet, and the queue has no committed ones.
        self.shared.recount(&found);
        Ok(())
    }

    async fn prune(&mut self) -> Result<(), tokio_postgres::Error> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let before = wall().saturating_sub(whole_millis(self.options.bounds.retention));
        let own = self.member.leases.partitions();
        let (token, asked) = (&self.member.token, self.shared.commands_in_progress());
        session.execute(ANSWERED, &[token, &asked]).await?;
        if prune::is_due(session, before, &own).await? {
            let at_most = self.removed_at_once;
            _ = self.remove(&TransactionJob::Prune(before, at_most), at_most).await;
        }
        Ok(())
    }

    /// Removes a batch of messages without deliveries, and of old or excess objects.
    async fn sweep(&mut self) -> Result<(), tokio_postgres::Error> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let before = wall().saturating_sub(whole_millis(self.options.bounds.retention));
        self.swept = prune::sweep(session, before, self.swept).await?;
        if self.member.leases.partitions().contains(&OF_QUARANTINE) {
            prune::bound_objects(session).await?;
        }
        Ok(())
    }

    pub(super) async fn release(&mut self) {
        self.closing = true;
        let own = self.member.leases.partitions();
        self.lose(&own);
        let limit = self.options.patience;
        let releasing = async {
            _ = self.transact(&TransactionJob::Release(own)).await;
            if let Some(session) = &mut self.session {
                let sql = "DELETE FROM osnl_member WHERE token = $1";
                _ = session.execute(sql, &[&self.member.token]).await;
                _ = session.execute(OWN_READERS, &[]).await;
            }
        };
        if timeout(limit, releasing).await.is_err() {
            tracing::warn!(
                "the partitions of this daemon could not be given back: others take them after the lease"
            );
        }
        while let Ok(command) = self.commands.try_recv() {
            // The dropped sender reports that the message was not stored.
            drop::<PostgresCommand>(command);
        }
    }
}

struct MemberRow {
    token: LeaseToken,
    name: String,
    version: String,
    sections: Option<BTreeMap<String, String>>,
    held: Vec<HeldTarget>,
}

/// Leaves out dead daemons without work once another daemon runs on their machine, or after [`NEWS`].
fn with_news(mut members: Vec<SharedMember>) -> Vec<SharedMember> {
    let machine =
        |name: &str| name.rsplit_once(':').map_or_else(|| name.to_owned(), |(machine, _)| machine.to_owned());
    let running: HashSet<String> =
        members.iter().filter(|member| member.silent.is_none()).map(|member| machine(&member.name)).collect();
    members.retain(|SharedMember { silent, partitions, name, .. }| {
        silent.is_none_or(|silent| *partitions > 0 || silent < NEWS && !running.contains(&machine(name)))
    });
    members
}

fn members_seen(
    named: Vec<MemberRow>,
    rows: &[LeaseRow],
    own: &LeaseToken,
    silence: impl Fn(&LeaseToken) -> Option<Duration>,
) -> MembersSeen {
    let partitions =
        |token: &LeaseToken| rows.iter().filter(|row| row.token.as_ref() == Some(token)).count() as u64;
    let member = |MemberRow { token, name, version, sections, held }: MemberRow| {
        let is_own = token == *own;
        let silent = if is_own { None } else { silence(&token) };
        SharedMember { partitions: partitions(&token), silent, name, version, is_own, sections, held }
    };
    let members: Vec<SharedMember> = named.into_iter().map(member).collect();
    let members = with_news(members);
    let owned: u64 =
        members.iter().filter(|member| member.silent.is_none()).map(|member| member.partitions).sum();
    MembersSeen { members, unowned: (rows.len() as u64).saturating_sub(owned) }
}
