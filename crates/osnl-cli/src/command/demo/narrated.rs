use std::sync::Arc;

use osnl::intake::{Intake, RuleEngine};
use osnl::journal::{Obstacle, Receipt, Settle};
use osnl::received::ReceivedMessage;
use osnl::rule::Rule;
use osnl_config::template::Names;
use osnl_model::{Head, Notification};
use osnl_transport::BoxFuture;
use tokio_util::task::TaskTracker;

use super::printer::Tone;
use super::story::Story;

pub(super) struct NarratingIntake {
    engine: RuleEngine,
    rule: Rule,
    story: Arc<Story>,
    tasks: TaskTracker,
}

impl NarratingIntake {
    pub(super) fn new(engine: RuleEngine, rule: Rule, story: Arc<Story>, tasks: TaskTracker) -> Self {
        Self { engine, rule, story, tasks }
    }

    fn follow(&self, number: Option<usize>, receipt: Receipt) -> Receipt {
        let Some(number) = number else { return receipt };
        let (complete, passed_on) = Receipt::open();
        let story = self.story.clone();
        self.tasks.spawn(async move {
            let settle = receipt.await;
            match settle {
                Settle::Acknowledge => story.acknowledge(number),
                Settle::Requeue => {
                    story.line(Some(number), "settled", Tone::Bad, "given back: the broker delivers it again")
                }
                Settle::Leave => story.line(
                    Some(number),
                    "unsettled",
                    Tone::Bad,
                    "it goes back to the broker with the connection",
                ),
            }
            // Fails if the listener has ended; the broker then requeues the message by itself.
            let _ = complete.send(settle);
        });
        passed_on
    }
}

impl Intake for NarratingIntake {
    fn reserve(&self, at_most: usize) -> BoxFuture<'_, usize> {
        self.engine.reserve(at_most)
    }

    fn keep(&self, at_most: usize) {
        self.engine.keep(at_most);
    }

    fn obstacle(&self) -> Option<Obstacle> {
        self.engine.obstacle()
    }

    fn is_paced(&self) -> bool {
        self.engine.is_paced()
    }

    fn wants(&self, head: &Head<'_>) -> bool {
        let wants = self.engine.wants(head);
        let number = self.story.arrived(&self.rule.name);
        if !wants
            && let Some(number) = number
            && let Err(mismatch) = self.rule.fires(&Names::from(only_head(head)))
        {
            self.story.unmatched(number, &format!("rule {}: {mismatch}", self.rule.name));
        }
        wants
    }

    fn notify(&self, received: ReceivedMessage) -> Receipt {
        let number = self.story.taken(&received);
        if received.decode().is_ok_and(|notification| self.rule.fires(&Names::from(notification)).is_ok()) {
            self.story.line(number, "match", Tone::Good, &format!("rule {}", self.rule.name));
        }
        self.follow(number, self.engine.notify(received))
    }

    fn unreadable(&self, received: ReceivedMessage, reason: String) -> Receipt {
        let number = self.story.taken(&received);
        self.follow(number, self.engine.unreadable(received, reason))
    }
}

/// Returns a notification with only the head, since an unwanted head fails on the head's fields.
fn only_head(head: &Head<'_>) -> Notification {
    Notification {
        event_type: head.event_type.as_deref().map(str::to_owned),
        publisher_id: head.publisher_id.as_deref().map(str::to_owned),
        priority: head.priority.clone(),
        ..Notification::default()
    }
}
