//! Counts and digests over the rows of a journal, by which a copy is compared with its source.

use std::collections::BTreeMap;

use osnl_model::{BodyDigest, BodyHasher};

use super::table::{CellValue, JournalTable};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct TransferSums {
    tables: BTreeMap<JournalTable, (u64, BodyHasher)>,
    deliveries: BTreeMap<(String, String, i64), u64>,
    replaced: u64,
}

impl TransferSums {
    /// Adds the next row of a table.
    pub(super) fn add(&mut self, table: JournalTable, row: &[CellValue]) {
        let (rows, hasher) = self.tables.entry(table).or_default();
        *rows += 1;
        for value in row {
            add_value(hasher, value);
        }
        if table == JournalTable::Deliveries {
            let row = table.named(row);
            let text = |name| row.text(name).unwrap_or_default().to_owned();
            *self.deliveries.entry((text("rule"), text("action"), row.number("state"))).or_default() += 1;
        }
    }

    /// Adds values that the destination cannot hold as they are.
    pub(super) fn add_replaced(&mut self, values: u64) {
        self.replaced += values;
    }

    pub(super) fn replaced(&self) -> u64 {
        self.replaced
    }

    pub(super) fn rows(&self) -> BTreeMap<JournalTable, u64> {
        let rows = |table| self.tables.get(&table).map_or(0, |(rows, _)| *rows);
        JournalTable::ALL.into_iter().map(|table| (table, rows(table))).collect()
    }

    /// Returns the digest over all rows of all tables, for operators.
    pub(super) fn digest(&self) -> String {
        let all: Vec<u8> =
            JournalTable::ALL.into_iter().flat_map(|table| *self.of(table).as_bytes()).collect();
        BodyDigest::of(&all).to_string()
    }

    pub(super) fn into_deliveries(self) -> BTreeMap<(String, String, i64), u64> {
        self.deliveries
    }

    /// Returns the first difference of a copy.
    pub(super) fn difference(&self, copy: &Self) -> Option<String> {
        let (rows, copied) = (self.rows(), copy.rows());
        for table in JournalTable::ALL {
            let (there, here) = (rows.get(&table), copied.get(&table));
            if there != here {
                let count = |count: Option<&u64>| count.copied().unwrap_or_default();
                return Some(format!("{} {} instead of {}", count(here), table.name(), count(there)));
            }
        }
        let keys = self.deliveries.keys().chain(copy.deliveries.keys());
        for key @ (rule, action, state) in keys {
            let count = |sums: &Self| sums.deliveries.get(key).copied().unwrap_or_default();
            let (there, here) = (count(self), count(copy));
            if there != here {
                return Some(format!(
                    "{here} deliveries in state {state} of rule {rule} and action {action} instead of {there}"
                ));
            }
        }
        let differs = |table: &JournalTable| self.of(*table) != copy.of(*table);
        let table = JournalTable::ALL.into_iter().find(differs)?;
        Some(format!("the digest of {} is {} instead of {}", table.name(), copy.of(table), self.of(table)))
    }

    fn of(&self, table: JournalTable) -> BodyDigest {
        self.tables.get(&table).map(|(_, hasher)| hasher.clone()).unwrap_or_default().finish()
    }
}

/// Adds a value, with its kind and length: values cannot run into each other.
fn add_value(hasher: &mut BodyHasher, value: &CellValue) {
    let (kind, bytes): (u8, &[u8]) = match value {
        CellValue::Null => (0, &[]),
        CellValue::Number(number) => (1, &number.to_be_bytes()),
        CellValue::Text(text) => (2, text.as_bytes()),
        CellValue::Bytes(bytes) => (3, bytes),
    };
    hasher.add(&[kind]);
    hasher.add(&(bytes.len() as u64).to_be_bytes());
    hasher.add(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(action: &str, operator: &str) -> Vec<CellValue> {
        vec![CellValue::Text(action.into()), CellValue::Number(1), CellValue::Text(operator.into())]
    }

    fn delivery(action: &str, state: i64) -> Vec<CellValue> {
        let value = |name: &str| match name {
            "action" => CellValue::Text(action.into()),
            "state" => CellValue::Number(state),
            _ => CellValue::Null,
        };
        JournalTable::Deliveries.columns().iter().map(|(name, _)| value(name)).collect()
    }

    fn sums(rows: &[(JournalTable, Vec<CellValue>)]) -> TransferSums {
        let mut sums = TransferSums::default();
        rows.iter().for_each(|(table, row)| sums.add(*table, row));
        sums
    }

    #[test]
    fn a_copy_differs_in_counts_states_or_any_byte() {
        let check = |one: &[(JournalTable, Vec<CellValue>)],
                     other: &[(JournalTable, Vec<CellValue>)],
                     expected: Option<&str>| {
            let difference = sums(one).difference(&sums(other));
            assert_eq!(difference.is_some(), expected.is_some(), "{difference:?}");
            assert!(difference.unwrap_or_default().starts_with(expected.unwrap_or_default()));
        };
        let (pauses, deliveries) = (JournalTable::Pauses, JournalTable::Deliveries);
        let same = [(pauses, pause("a", "b")), (deliveries, delivery("x", 1))];
        check(&same, &same, None);
        check(&same, &same[..1], Some("0 deliveries instead of 1"));
        check(
            &same,
            &[same[0].clone(), (deliveries, delivery("x", 2))],
            Some("0 deliveries in state 1 of rule  and action x instead of 1"),
        );
        check(
            &[(pauses, pause("a", "bc"))],
            &[(pauses, pause("ab", "c"))],
            Some("the digest of paused actions is "),
        );
        let swapped = |first: &str, second: &str| [(pauses, pause(first, "x")), (pauses, pause(second, "x"))];
        check(&swapped("a", "b"), &swapped("b", "a"), Some("the digest of paused actions is "));
    }
}
