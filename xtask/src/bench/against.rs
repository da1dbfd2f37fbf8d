use super::table::{Table, median, quantile};

const ALLOWED: f64 = 0.03;

#[derive(Debug, PartialEq)]
pub(super) struct Line {
    what: String,
    ours: f64,
    other: f64,
    worse: f64,
    spread: f64,
}

impl Line {
    pub(super) fn new(what: &str, ours: &[f64], other: &[f64], more: bool) -> Self {
        let (own, base) = (median(ours), median(other));
        let worse = if more { base / own - 1.0 } else { own / base - 1.0 };
        let spread = (quantile(other, 1.0) - quantile(other, 0.0)) / base;
        Self { what: what.to_owned(), ours: own, other: base, worse, spread }
    }

    fn verdict(&self) -> &'static str {
        if self.worse <= ALLOWED {
            "yes"
        } else if self.worse <= self.spread {
            "within the spread"
        } else {
            "NO"
        }
    }
}

pub(super) fn print(lines: &[Line]) {
    let columns = [
        "",
        "this build",
        "the other",
        "slower by",
        "the other's own spread",
        "not slower by 3 % or the spread",
    ];
    let mut table = Table::new("this build against the other, same rounds", &columns);
    for line in lines {
        table.row(&[
            line.what.clone(),
            format!("{:.2}", line.ours),
            format!("{:.2}", line.other),
            format!("{:+.1} %", line.worse * 100.0),
            format!("{:.1} %", line.spread * 100.0),
            line.verdict().to_owned(),
        ]);
    }
    table.print();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slower_is_told_from_the_spread_of_the_rounds() {
        let check = |ours: &[f64], other: &[f64], more: bool, expected: &str| {
            let line = Line::new("x", ours, other, more);
            assert_eq!(line.verdict(), expected, "{line:?}");
        };
        check(&[100.0; 3], &[100.0; 3], true, "yes");
        check(&[98.0; 3], &[100.0; 3], true, "yes");
        check(&[90.0; 3], &[100.0; 3], true, "NO");
        check(&[90.0; 3], &[90.0, 100.0, 110.0], true, "within the spread");
        check(&[120.0; 3], &[100.0; 3], true, "yes");
        check(&[120.0; 3], &[100.0; 3], false, "NO");
        check(&[2.0, 3.0, 9.0], &[3.0, 3.0, 3.0], false, "yes");
    }
}
