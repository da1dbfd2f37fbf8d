use std::time::Duration;

use serde_json::{Value, json};

use super::printer::Tone;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DemoEnd {
    EverythingSettled,
    Interrupted,
    Stuck,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SummaryFigures {
    pub(super) published: u64,
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

#[derive(Clone, Copy, Debug)]
pub(super) struct Summary {
    pub(super) end: DemoEnd,
    pub(super) ok: bool,
    pub(super) seed: u64,
    pub(super) took: Duration,
    pub(super) figures: SummaryFigures,
    pub(super) waiting: u64,
    pub(super) before: (usize, usize),
    pub(super) registered: usize,
    pub(super) after: (usize, usize),
}

impl SummaryFigures {
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
        let ((hosts, addresses), (hosts_after, addresses_after)) = (self.before, self.after);
        let deleted = (hosts + self.registered).saturating_sub(hosts_after);
        vec![
            format!(
                "{} notifications published, {} received: {} matched no rule, {} matched, {} unreadable.",
                figures.published, figures.received, figures.unmatched, figures.matched, figures.unreadable
            ),
            format!(
                "{} attempts: {} delivered, {} failed; {} dead letters.",
                figures.attempts, figures.delivered, figures.failed, figures.dead
            ),
            format!(
                "{} acknowledged to the broker, {} still in its queues; took {:.1} s (seed {}).",
                figures.acknowledged,
                self.waiting,
                self.took.as_secs_f64(),
                self.seed
            ),
            format!(
                "Inventory: {hosts} instances ({addresses} addresses) at the start, {} added, {deleted} deleted, {hosts_after} ({addresses_after} addresses) at the end.",
                self.registered
            ),
        ]
    }

    pub(super) fn verdict(&self) -> (Tone, &'static str) {
        match self.end {
            DemoEnd::Interrupted => (Tone::Bad, "Interrupted. The broker has the unfinished messages again."),
            DemoEnd::EverythingSettled | DemoEnd::Stuck if self.ok => {
                (Tone::Good, "The inventory lists exactly the instances that exist. Nothing was lost.")
            }
            DemoEnd::EverythingSettled | DemoEnd::Stuck => {
                (Tone::Bad, "Not everything was delivered. Please report this output.")
            }
        }
    }

    pub(super) fn json(&self) -> Value {
        let figures = &self.figures;
        json!({
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
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.took.as_secs_f64().max(0.001)
    }
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
