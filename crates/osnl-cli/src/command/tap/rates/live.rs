//! Events per second by type, for a live table: the last 1, 10, and 60 seconds, and the total.
//! Without I/O: the caller passes the time.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use osnl_model::cut;

const MOST_TYPES: usize = 10_000;
const LONGEST: usize = 60;
const SLOTS: usize = LONGEST + 1;

#[derive(Debug)]
pub(in crate::command::tap) struct Live {
    types: BTreeMap<String, RateCounter>,
    now: i64,
    began: i64,
}

#[derive(Clone, Debug)]
struct RateCounter {
    seconds: [u32; SLOTS],
    total: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::command::tap) struct RateRow {
    pub(in crate::command::tap) name: String,
    /// Events per second over the last complete 1, 10 and 60 seconds, or as many as have passed.
    pub(in crate::command::tap) rates: [f64; 3],
    pub(in crate::command::tap) total: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command::tap) enum RateOrder {
    Name,
    Second,
    Ten,
    Sixty,
    Total,
}

const SPANS: [usize; 3] = [1, 10, LONGEST];

impl Live {
    pub(in crate::command::tap) fn new(second: i64) -> Self {
        Self { types: BTreeMap::new(), now: second, began: second }
    }

    pub(in crate::command::tap) fn count(&mut self, name: &str) {
        let name = cut(name, super::LONGEST_TYPE);
        let full = self.types.len() >= MOST_TYPES && !self.types.contains_key(name);
        let name = if full { "(others)" } else { name };
        let slot = self.slot(self.now);
        let counter = match self.types.get_mut(name) {
            Some(counter) => counter,
            None => {
                self.types.entry(name.to_owned()).or_insert(RateCounter { seconds: [0; SLOTS], total: 0 })
            }
        };
        counter.seconds[slot] = counter.seconds[slot].saturating_add(1);
        counter.total += 1;
    }

    /// Moves to this second. After a clock is set back, counts are added to the latest second.
    pub(in crate::command::tap) fn advance(&mut self, second: i64) {
        let passed = second.saturating_sub(self.now).clamp(0, SLOTS as i64);
        if passed == 0 {
            return;
        }
        for over in (second - passed + 1)..=second {
            let slot = self.slot(over);
            self.types.values_mut().for_each(|counter| counter.seconds[slot] = 0);
        }
        self.now = second;
    }

    pub(in crate::command::tap) fn rows(&self) -> (Vec<RateRow>, RateRow) {
        let mut sum = RateRow { name: "all".to_owned(), rates: [0.0; 3], total: 0 };
        let mut rows: Vec<RateRow> = Vec::with_capacity(self.types.len());
        for (name, counter) in &self.types {
            let rates = SPANS.map(|span| self.rate(counter, span));
            sum.rates.iter_mut().zip(rates).for_each(|(sum, rate)| *sum += rate);
            sum.total += counter.total;
            rows.push(RateRow { name: name.clone(), rates, total: counter.total });
        }
        (rows, sum)
    }

    pub(in crate::command::tap) fn spans(&self) -> [usize; 3] {
        SPANS.map(|span| span.min(self.complete()).max(1))
    }

    fn complete(&self) -> usize {
        usize::try_from(self.now - self.began).unwrap_or(0)
    }

    fn rate(&self, counter: &RateCounter, span: usize) -> f64 {
        let span = span.min(self.complete());
        let events: u64 =
            (1..=span).map(|back| u64::from(counter.seconds[self.slot(self.now - back as i64)])).sum();
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown with one digit")]
        let rate = events as f64 / span.max(1) as f64;
        rate
    }

    fn slot(&self, second: i64) -> usize {
        usize::try_from(second.rem_euclid(SLOTS as i64)).unwrap_or(0)
    }
}

pub(in crate::command::tap) fn sort(rows: &mut [RateRow], order: RateOrder, reversed: bool) {
    rows.sort_by(|a, b| {
        let largest_first = |of: fn(&RateRow) -> f64| of(b).total_cmp(&of(a));
        let ordering = match order {
            RateOrder::Name => Ordering::Equal,
            RateOrder::Second => largest_first(|row| row.rates[0]),
            RateOrder::Ten => largest_first(|row| row.rates[1]),
            RateOrder::Sixty => largest_first(|row| row.rates[2]),
            RateOrder::Total => b.total.cmp(&a.total),
        };
        ordering.then_with(|| a.name.cmp(&b.name))
    });
    if reversed {
        rows.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(live: &Live, name: &str, expected: [f64; 3], total: u64) {
        let (rows, _) = live.rows();
        let row = rows.iter().find(|row| row.name == name).unwrap();
        assert_eq!((row.rates, row.total), (expected, total), "{name} at {}", live.now);
    }

    #[test]
    fn rates_are_over_complete_seconds() {
        let mut live = Live::new(100);
        (0..4).for_each(|_| live.count("a"));
        check(&live, "a", [0.0; 3], 4);
        live.advance(101);
        check(&live, "a", [4.0; 3], 4);
        live.advance(103);
        check(&live, "a", [0.0, 4.0 / 3.0, 4.0 / 3.0], 4);
        live.advance(110);
        live.count("a");
        live.advance(111);
        check(&live, "a", [1.0, 0.1, 5.0 / 11.0], 5);
        assert_eq!(live.spans(), [1, 10, 11]);
        live.advance(50);
        check(&live, "a", [1.0, 0.1, 5.0 / 11.0], 5);
        live.advance(160);
        check(&live, "a", [0.0, 0.0, 5.0 / 60.0], 5);
        live.advance(161);
        check(&live, "a", [0.0, 0.0, 1.0 / 60.0], 5);
        assert_eq!(live.spans(), [1, 10, 60]);
        live.advance(100_000);
        check(&live, "a", [0.0; 3], 5);
    }

    #[test]
    fn the_table_is_sorted_as_asked_for() {
        let mut live = Live::new(0);
        for (name, count) in [("b", 3), ("a", 1), ("c", 2)] {
            (0..count).for_each(|_| live.count(name));
        }
        live.advance(1);
        live.count("a");
        live.count("a");
        live.count("a");
        live.advance(2);
        for (order, reversed, expected) in [
            (RateOrder::Name, false, "abc"),
            (RateOrder::Name, true, "cba"),
            (RateOrder::Second, false, "abc"),
            (RateOrder::Ten, false, "abc"),
            (RateOrder::Total, false, "abc"),
            (RateOrder::Total, true, "cba"),
        ] {
            let (mut rows, sum) = live.rows();
            sort(&mut rows, order, reversed);
            let names: String = rows.iter().map(|row| row.name.as_str()).collect();
            assert_eq!(names, expected, "{order:?} {reversed}");
            assert_eq!((sum.rates, sum.total), ([3.0, 4.5, 4.5], 9));
        }
    }

    #[test]
    fn the_number_of_types_is_bounded() {
        let mut live = Live::new(0);
        (0..MOST_TYPES + 5).for_each(|n| live.count(&n.to_string()));
        let (mut rows, sum) = live.rows();
        sort(&mut rows, RateOrder::Total, false);
        assert_eq!((rows.len(), rows[0].total, sum.total), (MOST_TYPES + 1, 5, MOST_TYPES as u64 + 5));
        assert_eq!(rows[0].name, "(others)");
    }
}
