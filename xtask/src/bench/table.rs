#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    pub(super) messages: u64,
    pub(super) rate: f64,
    pub(super) cpu: f64,
    pub(super) memory: f64,
}

#[derive(Debug)]
pub(super) struct Figures {
    pub(super) messages: u64,
    pub(super) rate: Vec<f64>,
    pub(super) cpu: Vec<f64>,
    pub(super) memory: Vec<f64>,
}

impl Figures {
    pub(super) fn new(first: Figure) -> Self {
        let Figure { messages, rate, cpu, memory } = first;
        Self { messages, rate: vec![rate], cpu: vec![cpu], memory: vec![memory] }
    }

    pub(super) fn add(&mut self, figure: Figure) {
        self.rate.push(figure.rate);
        self.cpu.push(figure.cpu);
        self.memory.push(figure.memory);
    }
}

pub(super) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// Returns the value that `share` of the values do not exceed: the nearest rank, no interpolation.
pub(super) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

pub(super) struct Table {
    lines: Vec<String>,
}

impl Table {
    pub(super) fn new(title: &str, columns: &[&str]) -> Self {
        let mut table = Self { lines: vec![format!("### {title}\n")] };
        table.row(&columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>());
        table.row(&vec!["---".to_owned(); columns.len()]);
        table
    }

    pub(super) fn row(&mut self, cells: &[String]) {
        self.lines.push(format!("| {} |", cells.join(" | ")));
    }

    pub(super) fn print(&self) {
        println!("{}\n", self.lines.join("\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let check = |values: &[f64], share: f64, expected: f64| {
            assert_eq!(quantile(values, share), expected, "{share} of {values:?}");
        };
        check(&[3.0], 0.99, 3.0);
        check(&[5.0, 1.0, 3.0], 0.0, 1.0);
        check(&[5.0, 1.0, 3.0], 0.5, 3.0);
        check(&[5.0, 1.0, 3.0], 1.0, 5.0);
        check(&[4.0, 1.0, 2.0, 3.0], 0.5, 2.0);
        let hundred: Vec<f64> = (1..=100).map(f64::from).rev().collect();
        check(&hundred, 0.99, 99.0);
        check(&hundred, 0.5, 50.0);
    }
}
