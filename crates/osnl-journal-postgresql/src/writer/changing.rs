//! The operator's changes in this member's partitions.

use super::PostgresWriter;
use crate::change::ChangePassResult;
use crate::job::TransactionJob;
use crate::results::JobResult;

impl PostgresWriter {
    /// Makes the changes that were asked for. Nothing is claimed meanwhile, so that what the transaction takes for claimed is all
    /// that is.
    pub(super) async fn make_changes(&mut self) {
        let claimed = self.shared.claimable.freeze();
        let changed = self.transact(&TransactionJob::Change(claimed)).await;
        match changed {
            Ok((JobResult::Changed(result), _)) => self.tell_changed(*result).await,
            Ok(_) => {}
            // It is tried again at the next look.
            Err(refusal) => _ = self.bear(refusal).await,
        }
        self.shared.claimable.thaw();
    }

    /// Memory follows the tables.
    async fn tell_changed(&mut self, result: ChangePassResult) {
        let ChangePassResult { changed, under_way, promoted } = result;
        for changed in &changed {
            // The next claim reads it as it is now.
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
