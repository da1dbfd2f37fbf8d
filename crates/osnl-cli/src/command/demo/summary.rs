//! The result of the demo: counts and rates, as text and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::scenario::Scenario;
use super::voice::Tone;

/// The end of the telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DemoEnd {
    EverythingSettled,
    Interrupted,
    /// Nothing moves any more and something is unsettled, or a listener failed.
    Stuck,
}

/// The counts, at any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SummaryFigures {
    pub(super) published: u64,
    /// The ones among these that no queue of ours took.
    pub(super) elsewhere: u64,
    pub(super) received: u64,
    pub(super) unmatched: u64,
    pub(super) matched: u64,
    pub(super) unreadable: u64,
    pub(super) attempts: u64,
    pub(super) failed: u64,
    pub(super) delivered: u64,
    pub(super) nothing_to_do: u64,
    pub(super) dead: u64,
    pub(super) acknowledged: u64,
}

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub(super) struct Summary {
    pub(super) scenario: Scenario,
    pub(super) end: DemoEnd,
    /// The demo finished as expected.
    pub(super) ok: bool,
    pub(super) seed: u64,
    /// From the first event to the last acknowledgement.
    pub(super) took: Duration,
    pub(super) figures: SummaryFigures,
    /// Messages still in the queue of the broker.
    pub(super) waiting: u64,
    /// Hosts and their addresses at the target, before and after; those that were added in between.
    pub(super) before: (usize, usize),
    pub(super) registered: usize,
    pub(super) after: (usize, usize),
}

impl SummaryFigures {
    /// Everything that matched has found its end, and nothing else happened.
    pub(super) fn add_up(&self) -> bool {
        self.dead == 0
            && self.received == self.published - self.elsewhere
            && self.acknowledged == self.received
            && self.received == self.unmatched + self.matched + self.unreadable
            && self.matched == self.delivered + self.nothing_to_do
    }
}

impl Summary {
    pub(super) fn lines(&self) -> Vec<String> {
        let figures = &self.figures;
        let target = self.scenario.target();
        let mut lines: Vec<String> = [
            (figures.published, "notifications published".to_owned()),
            (figures.received, "received by osnl; no queue of osnl is bound to the others".to_owned()),
            (figures.unmatched, "matched no rule".to_owned()),
            (figures.matched, "matched a rule".to_owned()),
            (figures.unreadable, "unreadable: quarantined".to_owned()),
            (figures.delivered, format!("delivered to {target}")),
            (figures.nothing_to_do, "needed no action".to_owned()),
            (figures.dead, "dead letters".to_owned()),
            (figures.attempts, "attempts".to_owned()),
            (figures.failed, self.failures()),
            (figures.acknowledged, "acknowledged to the broker".to_owned()),
            (self.waiting, "still in the queue of the broker".to_owned()),
        ]
        .iter()
        .map(|(count, what)| format!("{count:>4}  {what}"))
        .collect();
        lines.push(format!(
            "Took {:.1} s: {:.1} notifications/s, {:.1} attempts/s (seed {}).",
            self.took.as_secs_f64(),
            self.per_second(figures.published),
            self.per_second(figures.attempts),
            self.seed
        ));
        let ((hosts, addresses), (hosts_after, addresses_after)) = (self.before, self.after);
        let deleted = (hosts + self.registered).saturating_sub(hosts_after);
        lines.push(format!(
            "{target}: {hosts} instances ({addresses} addresses) at the start, {} added, {deleted} deleted, {hosts_after} instances ({addresses_after} addresses) at the end.",
            self.registered
        ));
        lines
    }

    /// Describes the attempts that failed.
    fn failures(&self) -> String {
        match self.figures.dead {
            0 if self.ok && self.figures.failed > 0 => {
                "attempts failed, all retried and delivered".to_owned()
            }
            _ => "attempts failed".to_owned(),
        }
    }

    /// The last line.
    pub(super) fn verdict(&self) -> (Tone, &'static str) {
        match self.end {
            DemoEnd::Interrupted => (Tone::Bad, "Interrupted. The broker has the unfinished messages again."),
            DemoEnd::EverythingSettled | DemoEnd::Stuck if self.ok => (Tone::Good, self.scenario.success()),
            DemoEnd::EverythingSettled | DemoEnd::Stuck => {
                (Tone::Bad, "Not everything was delivered. Please report this output.")
            }
        }
    }

    pub(super) fn json(&self) -> Value {
        let figures = &self.figures;
        let mut summary = json!({
            "ok": self.ok,
            "ended": match self.end {
                DemoEnd::EverythingSettled => "settled",
                DemoEnd::Interrupted => "interrupted",
                DemoEnd::Stuck => "stuck",
            },
            "seed": self.seed,
            "seconds": rounded(self.took.as_secs_f64()),
            "published": figures.published,
            "received": figures.received,
            "unmatched": figures.unmatched,
            "matched": figures.matched,
            "unreadable": figures.unreadable,
            "attempts": figures.attempts,
            "failed": figures.failed,
            "delivered": figures.delivered,
            "nothing_to_do": figures.nothing_to_do,
            "dead": figures.dead,
            "acknowledged": figures.acknowledged,
            "waiting": self.waiting,
            "per_second": {
                "published": rounded(self.per_second(figures.published)),
                "attempts": rounded(self.per_second(figures.attempts)),
            },
            "target": {
                "hosts_before": self.before.0,
                "addresses_before": self.before.1,
                "added": self.registered,
                "hosts_after": self.after.0,
                "addresses_after": self.after.1,
            },
        });
        if self.scenario == Scenario::K2hr3 {
            // The names before 0.1.0, kept until 1.0.
            summary["k2hr3"] = summary["target"].clone();
            summary["k2hr3"]["registered"] = self.registered.into();
        }
        summary
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.took.as_secs_f64().max(0.001)
    }
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
