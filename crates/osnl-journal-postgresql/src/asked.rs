use osnl_journal::DeliveryId;
use osnl_journal::query::Change;

use crate::partition::PartitionNumber;

/// The numbers are stored in the tables and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Retry = 0,
    Discard = 1,
    Release = 2,
    Move = 3,
    Hold = 4,
}

impl ChangeKind {
    pub(crate) fn of(change: &Change) -> Option<(Self, String)> {
        Some(match change {
            Change::Retry { .. } => (Self::Retry, String::new()),
            Change::Discard { by, .. } => (Self::Discard, by.clone()),
            Change::Hold { why, .. } => (Self::Hold, why.clone()),
            Change::Release { .. } => (Self::Release, String::new()),
            Change::Move { to, .. } => (Self::Move, to.clone()),
            Change::Pause { .. } | Change::Resume { .. } => return None,
        })
    }

    pub(crate) fn of_number(number: i16) -> Option<Self> {
        let all = [Self::Retry, Self::Discard, Self::Release, Self::Move, Self::Hold];
        all.into_iter().find(|kind| *kind as i16 == number)
    }
}

/// The numbers are stored in the tables and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowAnswer {
    Asked = 0,
    /// The change follows the end of the claim. Also the answer of a dry run.
    UnderWay = 1,
    Changed = 2,
    Refused = 3,
    /// The delivery is gone, or in a state that the change does not apply to.
    Left = 4,
}

impl RowAnswer {
    pub(crate) fn of_number(number: i16) -> Option<Self> {
        let all = [Self::Asked, Self::UnderWay, Self::Changed, Self::Refused, Self::Left];
        all.into_iter().find(|verdict| *verdict as i16 == number)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct ChangeRow {
    pub(crate) command: Vec<u8>,
    pub(crate) delivery: DeliveryId,
    pub(crate) partition: PartitionNumber,
    pub(crate) kind: ChangeKind,
    pub(crate) text: String,
    pub(crate) action: Option<String>,
    pub(crate) out_of_order: bool,
    pub(crate) is_dry_run: bool,
}
