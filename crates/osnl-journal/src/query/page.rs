use std::collections::BTreeMap;

use super::{DeliveryListRow, Filter, Phase, QueryContext, RowState};
use crate::DeliveryId;

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowOrder {
    #[default]
    Oldest,
    Newest,
}

/// A page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPage {
    pub order: RowOrder,
    /// The last delivery of the page before; `None` for the first page.
    pub after: Option<DeliveryId>,
    pub limit: u32,
}

impl Default for ListPage {
    fn default() -> Self {
        Self { order: RowOrder::Oldest, after: None, limit: 100 }
    }
}

impl ListPage {
    pub(crate) fn cut(&self, rows: &mut Vec<DeliveryListRow>) {
        rows.sort_by_key(|row| row.id);
        if self.order == RowOrder::Newest {
            rows.reverse();
        }
        if let Some(after) = self.after {
            rows.retain(|row| if self.order == RowOrder::Newest { row.id < after } else { row.id > after });
        }
        rows.truncate(self.limit as usize);
    }
}

/// The number of deliveries of one state and phase.
pub type PhaseCount = (RowState, Phase, u64);

/// Counts, and whether more deliveries match than were counted.
pub type BoundedCount = (Vec<PhaseCount>, bool);

pub(crate) fn count_rows(rows: &[DeliveryListRow], context: &QueryContext) -> Vec<PhaseCount> {
    let mut counts: BTreeMap<(RowState, Phase), u64> = BTreeMap::new();
    for row in rows {
        *counts.entry((row.state, row.phase(context))).or_default() += 1;
    }
    counted_phases(counts)
}

pub(crate) fn counted_phases(counts: BTreeMap<(RowState, Phase), u64>) -> Vec<PhaseCount> {
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    counts.map(|((state, phase), count)| (state, phase, count)).collect()
}

#[must_use]
pub fn page_of(
    mut rows: Vec<DeliveryListRow>,
    filter: &Filter,
    page: &ListPage,
) -> (Vec<DeliveryListRow>, Vec<PhaseCount>) {
    rows.retain(|row| filter.matches(row));
    let counts = count_rows(&rows, &filter.context);
    page.cut(&mut rows);
    (rows, counts)
}
