use super::PostgresWriter;
use crate::change::{AT_ONCE, ChangePass, ChangePassResult};
use crate::job::{CommitRefusal, TransactionJob};
use crate::results::JobResult;

impl PostgresWriter {
    /// Makes the requested changes. No claim is made meanwhile, so that the transaction sees every claim.
    pub(super) async fn make_changes(&mut self) {
        let claimed = self.shared.claimable.suspend();
        let at_most = self.changes_at_once;
        let mut pass = ChangePass { claimed, at_most, refusal: None };
        loop {
            match self.transact(&TransactionJob::Change(pass.clone())).await {
                Ok((JobResult::Changed(result), _)) => {
                    self.changes_at_once = (pass.at_most * 2).min(AT_ONCE);
                    self.answer_changed(*result).await;
                }
                Ok(_) => {}
                // The next check makes fewer changes, after the leases are renewed.
                Err(CommitRefusal::TooLong(_)) if pass.at_most > 1 => self.changes_at_once = pass.at_most / 2,
                Err(CommitRefusal::Unstorable(_)) if pass.at_most > 1 => {
                    pass.at_most /= 2;
                    continue;
                }
                Err(CommitRefusal::Unstorable(reason) | CommitRefusal::TooLong(reason)) => {
                    if pass.refusal.is_none() {
                        pass.refusal = Some(format!("PostgreSQL refuses the change: {reason}"));
                        continue;
                    }
                    self.give_up_chore("the answer to an operator's change", reason);
                }
                Err(refusal) => _ = self.bear(refusal).await,
            }
            break;
        }
        self.shared.claimable.resume();
    }

    async fn answer_changed(&mut self, result: ChangePassResult) {
        let ChangePassResult { changed, under_way, promoted } = result;
        for changed in &changed {
            // The next claim reads the changed delivery.
            self.shared.claimable.withdraw(&changed.action, changed.id);
            self.member.places.remove(&changed.id);
            self.member.deferred.remove(&changed.id);
            self.count_pending_change(changed);
        }
        for (row, action) in under_way {
            self.shared.claimable.withdraw(&action, row.delivery);
            self.member.deferred.insert(row.delivery, row);
        }
        self.bring(promoted, Vec::new()).await;
    }
}
