//! The result of the demo: counts and rates, as text and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::voice::Tone;

/// The end of the telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    EverythingSettled,
    Interrupted,
    /// Nothing moves any more and something is unsettled, or a listener failed.
    Stuck,
}

/// The counts, at any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
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
    pub(super) end: End,
    /// Everything ended as it must.
    pub(super) ok: bool,
    pub(super) seed: u64,
    /// From the first event to the last acknowledgement.
    pub(super) took: Duration,
    pub(super) figures: Figures,
    /// Messages still in a queue of ours.
    pub(super) waiting: u64,
    /// Hosts and their addresses in K2HR3, before and after; those that registered in between.
    pub(super) before: (usize, usize),
    pub(super) registered: usize,
    pub(super) after: (usize, usize),
}

impl Figures {
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
        let mut lines: Vec<String> = [
            (figures.published, "notifications published"),
            (figures.received, "received by osnl; the others reached no queue of ours"),
            (figures.unmatched, "matched no rule"),
            (figures.matched, "matched a rule"),
            (figures.unreadable, "unreadable, set aside"),
            (figures.attempts, "attempts"),
            (figures.failed, "of these failed"),
            (figures.delivered, "delivered to K2HR3"),
            (figures.nothing_to_do, "asked for nothing"),
            (figures.dead, "dead letters"),
            (figures.acknowledged, "acknowledged to the broker"),
            (self.waiting, "still in a queue"),
        ]
        .iter()
        .map(|(count, what)| format!("{count:>4}  {what}"))
        .collect();
        lines.push(format!(
            "In {:.1} s: {:.1} notifications and {:.1} attempts a second (seed {}).",
            self.took.as_secs_f64(),
            self.per_second(figures.published),
            self.per_second(figures.attempts),
            self.seed
        ));
        let ((hosts, addresses), (hosts_after, addresses_after)) = (self.before, self.after);
        lines.push(format!(
            "K2HR3 held {hosts} hosts with {addresses} addresses before, {} registered, {hosts_after} with {addresses_after} after.",
            self.registered
        ));
        lines
    }

    /// The last line.
    pub(super) fn verdict(&self) -> (Tone, &'static str) {
        match self.end {
            End::Interrupted => (Tone::Bad, "Interrupted; what was unfinished went back to the broker."),
            End::EverythingSettled | End::Stuck if self.ok => {
                (Tone::Good, "Everything ended as it must: every deletion reached K2HR3, nothing was lost.")
            }
            End::EverythingSettled | End::Stuck => {
                (Tone::Bad, "Not everything ended as it must; please report this output.")
            }
        }
    }

    pub(super) fn json(&self) -> Value {
        let figures = &self.figures;
        json!({
            "ok": self.ok,
            "ended": match self.end {
                End::EverythingSettled => "settled",
                End::Interrupted => "interrupted",
                End::Stuck => "stuck",
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
            "k2hr3": {
                "hosts_before": self.before.0,
                "addresses_before": self.before.1,
                "registered": self.registered,
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
