use std::collections::BTreeMap;

use super::{DeliveryListRow, Filter, Moment, Phase, RowState};
use crate::DeliveryId;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowOrder {
    #[default]
    Oldest,
    Newest,
    /// Deliveries that need attention or fail, then all others, newest first.
    Attention,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPage {
    pub order: RowOrder,
    pub after: Option<Cursor>,
    pub limit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub id: DeliveryId,
    /// Whether the delivery is among those that need attention; used only by [`RowOrder::Attention`].
    pub is_attention: bool,
}

impl Default for ListPage {
    fn default() -> Self {
        Self { order: RowOrder::Oldest, after: None, limit: 100 }
    }
}

impl ListPage {
    #[must_use]
    pub fn cursor(&self, row: &DeliveryListRow, moment: &Moment) -> Cursor {
        let is_attention = match self.order {
            RowOrder::Attention => moment.needs_attention(row),
            RowOrder::Oldest | RowOrder::Newest => false,
        };
        Cursor { id: row.id, is_attention }
    }

    pub(crate) fn cut(&self, rows: &mut Vec<DeliveryListRow>, moment: &Moment) {
        let place = |id: DeliveryId, is_attention: bool| match self.order {
            RowOrder::Oldest => (false, i128::from(id.0)),
            RowOrder::Newest | RowOrder::Attention => (!is_attention, -i128::from(id.0)),
        };
        let of_row = |row: &DeliveryListRow| place(row.id, self.cursor(row, moment).is_attention);
        rows.sort_by_key(of_row);
        if let Some(after) = self.after {
            let is_attention = after.is_attention && self.order == RowOrder::Attention;
            rows.retain(|row| of_row(row) > place(after.id, is_attention));
        }
        rows.truncate(self.limit as usize);
    }
}

impl Cursor {
    /// Parses the [`Display`](std::fmt::Display) form: `17.0`, or `attention:17.0` for a delivery that needs
    /// attention.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.strip_prefix("attention:");
        Some(Self { id: DeliveryId::parse(plain.unwrap_or(text))?, is_attention: plain.is_some() })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let attention = if self.is_attention { "attention:" } else { "" };
        write!(f, "{attention}{}", self.id)
    }
}

pub type PhaseCount = (RowState, Phase, u64);

/// Counts, and whether more deliveries match than were counted.
pub type BoundedCount = (Vec<PhaseCount>, bool);

pub(crate) fn count_rows(rows: &[DeliveryListRow], moment: &Moment) -> Vec<PhaseCount> {
    let mut counts: BTreeMap<(RowState, Phase), u64> = BTreeMap::new();
    for row in rows {
        *counts.entry((row.state, Phase::of_row(row, moment))).or_default() += 1;
    }
    counted_phases(counts)
}

pub(crate) fn counted_phases(counts: BTreeMap<(RowState, Phase), u64>) -> Vec<PhaseCount> {
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    counts.map(|((state, phase), count)| (state, phase, count)).collect()
}

/// Returns a page of rows that are all in memory, and the counts of all that match.
#[must_use]
pub fn page_of(
    mut rows: Vec<DeliveryListRow>,
    filter: &Filter,
    page: &ListPage,
) -> (Vec<DeliveryListRow>, Vec<PhaseCount>) {
    rows.retain(|row| filter.matches(row));
    let counts = count_rows(&rows, &filter.moment);
    page.cut(&mut rows, &filter.moment);
    (rows, counts)
}
