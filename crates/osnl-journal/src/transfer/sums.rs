//! Counts and digests over the rows of a journal, by which a copy is compared with its source.

use std::collections::BTreeMap;

use osnl_model::{BodyDigest, BodyHasher};

use super::table::{Table, Value};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Sums {
    tables: BTreeMap<Table, (u64, BodyHasher)>,
    deliveries: BTreeMap<(String, String, i64), u64>,
    replaced: u64,
}

impl Sums {
    /// Adds the next row of a table.
    pub(super) fn add(&mut self, table: Table, row: &[Value]) {
        let (rows, hasher) = self.tables.entry(table).or_default();
        *rows += 1;
        for value in row {
            add_value(hasher, value);
        }
        if table == Table::Deliveries {
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

    pub(super) fn rows(&self) -> BTreeMap<Table, u64> {
        let rows = |table| self.tables.get(&table).map_or(0, |(rows, _)| *rows);
        Table::ALL.into_iter().map(|table| (table, rows(table))).collect()
    }

    /// Returns the digest over all rows of all tables, for operators.
    pub(super) fn digest(&self) -> String {
        let all: Vec<u8> = Table::ALL.into_iter().flat_map(|table| *self.of(table).as_bytes()).collect();
        BodyDigest::of(&all).to_string()
    }

    pub(super) fn into_deliveries(self) -> BTreeMap<(String, String, i64), u64> {
        self.deliveries
    }

    /// Returns the first difference of a copy.
    pub(super) fn difference(&self, copy: &Self) -> Option<String> {
        let (rows, copied) = (self.rows(), copy.rows());
        for table in Table::ALL {
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
        let differs = |table: &Table| self.of(*table) != copy.of(*table);
        let table = Table::ALL.into_iter().find(differs)?;
        Some(format!("the digest of {} is {} instead of {}", table.name(), copy.of(table), self.of(table)))
    }

    fn of(&self, table: Table) -> BodyDigest {
        self.tables.get(&table).map(|(_, hasher)| hasher.clone()).unwrap_or_default().finish()
    }
}

/// Adds a value, with its kind and length: values cannot run into each other.
fn add_value(hasher: &mut BodyHasher, value: &Value) {
    let (kind, bytes): (u8, &[u8]) = match value {
        Value::Null => (0, &[]),
        Value::Number(number) => (1, &number.to_be_bytes()),
        Value::Text(text) => (2, text.as_bytes()),
        Value::Bytes(bytes) => (3, bytes),
    };
    hasher.add(&[kind]);
    hasher.add(&(bytes.len() as u64).to_be_bytes());
    hasher.add(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(action: &str, operator: &str) -> Vec<Value> {
        vec![Value::Text(action.into()), Value::Number(1), Value::Text(operator.into())]
    }

    fn delivery(action: &str, state: i64) -> Vec<Value> {
        let value = |name: &str| match name {
            "action" => Value::Text(action.into()),
            "state" => Value::Number(state),
            _ => Value::Null,
        };
        Table::Deliveries.columns().iter().map(|(name, _)| value(name)).collect()
    }

    fn sums(rows: &[(Table, Vec<Value>)]) -> Sums {
        let mut sums = Sums::default();
        rows.iter().for_each(|(table, row)| sums.add(*table, row));
        sums
    }

    #[test]
    fn a_copy_differs_in_counts_states_or_any_byte() {
        let check = |one: &[(Table, Vec<Value>)], other: &[(Table, Vec<Value>)], expected: Option<&str>| {
            let difference = sums(one).difference(&sums(other));
            assert_eq!(difference.is_some(), expected.is_some(), "{difference:?}");
            assert!(difference.unwrap_or_default().starts_with(expected.unwrap_or_default()));
        };
        let (pauses, deliveries) = (Table::Pauses, Table::Deliveries);
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
