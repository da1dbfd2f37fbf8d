//! Small plots of what a status says, over the last minutes. Bounded: the oldest points leave.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use osnl::control::{Status, span};

/// Points that are kept, one a look.
const KEPT: usize = 60;
/// From nothing to the largest.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The looks of the last minutes.
pub(super) struct PlotHistory {
    interval: Duration,
    points: VecDeque<Option<Point>>,
    /// Messages received until the latest look, and when that was.
    received: Option<(Instant, u64)>,
}

/// The figures of one look.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    /// Messages received a second, since the look before; none of the first.
    rate: Option<f64>,
    /// Messages that wait in queues, and pending deliveries.
    backlog: u64,
    /// Seconds since the message of the oldest pending delivery arrived.
    age: u64,
}

impl PlotHistory {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, points: VecDeque::with_capacity(KEPT), received: None }
    }

    /// A look; without a status, the daemon has not answered.
    pub(super) fn add(&mut self, at: Instant, status: Option<&Status>) {
        let point = status.map(|status| {
            let received = status.listeners.iter().map(|listener| listener.messages).sum();
            let before = self.received.replace((at, received));
            // A smaller number is that of another process.
            let rate = before.filter(|(_, before)| *before <= received).map(|(then, before)| {
                (received - before) as f64 / at.saturating_duration_since(then).as_secs_f64().max(0.001)
            });
            let waiting: u64 = status.listeners.iter().filter_map(|listener| listener.queue_messages).sum();
            let pending: u64 = status.targets.iter().map(|target| target.pending).sum();
            let age = status.targets.iter().filter_map(|target| target.oldest_pending_seconds).max();
            Point { rate, backlog: waiting + pending, age: age.unwrap_or(0) }
        });
        if self.points.len() == KEPT {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }

    /// Three lines: rate, backlog, age.
    pub(super) fn plots(&self) -> String {
        let rate = |point: &Point| point.rate;
        let backlog = |point: &Point| Some(point.backlog as f64);
        let age = |point: &Point| Some(point.age as f64);
        let minutes = span((self.interval * KEPT as u32).as_secs());
        let mut text = format!("the last {minutes}\n");
        text.push_str(&self.plot("received", rate, &|value| format!("{value:.1}/s")));
        text.push_str(&self.plot("backlog", backlog, &|value| format!("{value:.0}")));
        text.push_str(&self.plot("oldest", age, &|value| span(value as u64)));
        text
    }

    fn plot(&self, name: &str, of: fn(&Point) -> Option<f64>, shown: &dyn Fn(f64) -> String) -> String {
        let values: Vec<Option<f64>> = self.points.iter().map(|point| point.as_ref().and_then(of)).collect();
        let most = values.iter().flatten().copied().fold(0.0, f64::max);
        let bars: String = values.iter().map(|value| bar(*value, most)).collect();
        let now = values.last().copied().flatten().map_or("-".to_owned(), shown);
        format!("  {name:<8}  {bars:>KEPT$}  {now}, most {}\n", shown(most))
    }
}

fn bar(value: Option<f64>, most: f64) -> char {
    match value {
        None => ' ',
        Some(value) if most > 0.0 => {
            let step = (value / most * (BARS.len() - 1) as f64).ceil() as usize;
            BARS[step.min(BARS.len() - 1)]
        }
        Some(_) => BARS[0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_scaled_gaps_are_blank_and_the_oldest_leave() {
        let mut history = PlotHistory::new(Duration::from_secs(2));
        let point = |rate, backlog, age| Some(Point { rate, backlog, age });
        history.points.extend([point(None, 0, 0), point(Some(2.0), 7, 0), None, point(Some(1.0), 14, 130)]);
        let blank = " ".repeat(KEPT - 4);
        assert_eq!(
            history.plots(),
            format!(
                "the last 2 min\n  received  {blank} █ ▅  1.0/s, most 2.0/s\n  backlog   {blank}▁▅ █  14, most 14\n  \
                 oldest    {blank}▁▁ █  2 min, most 2 min\n"
            )
        );
        (0..200).for_each(|_| history.add(Instant::now(), None));
        assert_eq!(history.points.len(), KEPT);
    }
}
