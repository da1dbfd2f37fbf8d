use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};

use super::Violation;

pub(super) const FILE: &str = "xtask/budget.txt";
pub(super) const COLUMNS: [&str; 2] = ["cycles", "upward"];

pub(super) type BudgetRow = [usize; COLUMNS.len()];

#[derive(Debug, Default)]
pub(super) struct TidyBudget(BTreeMap<String, (usize, BudgetRow)>);

impl TidyBudget {
    pub(super) fn parse(text: &str) -> Result<TidyBudget> {
        let mut rows = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(place) = words.next() else { continue };
            let numbers: Vec<usize> = words
                .map(str::parse)
                .collect::<Result<_, _>>()
                .with_context(|| format!("{FILE}:{}: numbers follow the folder", at + 1))?;
            let row = numbers.try_into().ok();
            let row =
                row.with_context(|| format!("{FILE}:{}: a row has {} numbers", at + 1, COLUMNS.len()))?;
            ensure!(
                rows.insert(place.to_owned(), (at + 1, row)).is_none(),
                "{FILE}:{}: {place} has two rows",
                at + 1
            );
        }
        Ok(TidyBudget(rows))
    }

    /// Compares the measured rows with the budget; a crate without a row may have no violation. Fewer violations than
    /// the budget pass, so that two changes that remove imports can land one after the other.
    pub(super) fn check(&self, measured: &BTreeMap<String, BudgetRow>) -> Vec<Violation> {
        let mut violations = Vec::new();
        let mut add = |line: usize, text: String| {
            violations.push(Violation { path: FILE.to_owned(), line, text });
        };
        for (place, row) in measured {
            let (line, budget) = self.0.get(place).copied().unwrap_or_default();
            for ((column, &is), allowed) in COLUMNS.iter().zip(row).zip(budget) {
                if is > allowed {
                    add(line, format!("{place}: {column} {is}, at most {allowed}: {}", remedy(column)));
                }
            }
        }
        for (place, (line, _)) in self.0.iter().filter(|(place, _)| !measured.contains_key(*place)) {
            add(*line, format!("{place}: nothing is there: remove the row"));
        }
        violations
    }
}

fn remedy(column: &str) -> &'static str {
    match column {
        "cycles" => {
            "modules import each other in a circle; `cargo xtask tidy --graph` shows the names to move"
        }
        _ => "modules import higher ones of the crate's order; `cargo xtask tidy --graph` shows the names",
    }
}

pub(super) fn table(measured: &BTreeMap<String, BudgetRow>) -> String {
    let mut text = format!("{:<24}", "# folder");
    for column in COLUMNS {
        let _ = write!(text, " {column:>11}");
    }
    let mut totals = BudgetRow::default();
    for row in measured.values() {
        totals.iter_mut().zip(row).for_each(|(total, number)| *total += number);
    }
    let rows = measured.iter().map(|(place, row)| (place.as_str(), row)).chain([("# all", &totals)]);
    for (place, row) in rows.filter(|(_, row)| row.iter().any(|&number| number > 0)) {
        let _ = write!(text, "\n{place:<24}");
        for number in row {
            let _ = write!(text, " {number:>11}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_budget_is_refused() {
        let budget = TidyBudget::parse("# x\ncrates/a 3 2\ngone 1 0 # why\n").unwrap();
        let check = |place: &str, row: BudgetRow, expected: &[&str]| {
            let measured = BTreeMap::from([(place.to_owned(), row), ("gone".to_owned(), [1, 0])]);
            let found: Vec<String> =
                budget.check(&measured).iter().map(|violation| violation.text.clone()).collect();
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.starts_with(expected), "{found}");
            }
        };
        check("crates/a", [3, 2], &[]);
        check("crates/a", [3, 1], &[]);
        check("crates/a", [4, 2], &["crates/a: cycles 4, at most 3"]);
        check("crates/b", [0, 1], &["crates/b: upward 1, at most 0", "crates/a: nothing is there"]);
        assert!(TidyBudget::parse("crates/a 1").is_err());
        assert!(TidyBudget::parse("crates/a 1 x").is_err());
    }
}
