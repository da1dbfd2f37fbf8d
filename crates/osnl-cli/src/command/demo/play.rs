//! Publishes the events: at a rate, or each when the one before was looked at.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::broker::DemoBroker;
use super::cloud::{DemoCloud, HostEffect};
use super::parts::Routes;
use super::printer::Tone;
use super::story::Story;

/// A message that gets no verdict within this time, because its target is held, stops the next no longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// In step, this many events come after a message that waits for another attempt; then its turn is waited for.
/// They take some milliseconds, far less than its pause, so every run tells the same.
const AHEAD: usize = 4;

/// The speed of the events.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum DemoSpeed {
    /// Each when the one before was looked at.
    InStep,
    /// So many a second, whatever becomes of them.
    PerSecond(f64),
}

/// The cloud that plays, and its audience.
pub(super) struct Play<'a> {
    pub(super) cloud: DemoCloud,
    pub(super) broker: &'a DemoBroker,
    pub(super) routes: &'a Routes,
    pub(super) story: &'a Story,
    /// The ids of the servers that the target must list at the end.
    pub(super) expected: BTreeSet<String>,
}

impl Play<'_> {
    /// Publishes so many events.
    ///
    /// # Errors
    /// The broker does not take one.
    pub(super) async fn publish(&mut self, events: u32, pace: DemoSpeed) -> anyhow::Result<()> {
        let begin = Instant::now();
        for event in 0..events {
            match pace {
                DemoSpeed::InStep => {}
                DemoSpeed::PerSecond(rate) => {
                    sleep_until(begin + Duration::from_secs_f64(f64::from(event) / rate)).await;
                }
            }
            let (mut message, effect) = self.cloud.next()?;
            message.exchange = self.broker.name(&message.exchange);
            let number = self.story.publish(&message, self.routes.listener(&message));
            self.take_effect(effect);
            self.broker.publish(&message).await?;
            match pace {
                DemoSpeed::InStep => self.in_step(number).await,
                DemoSpeed::PerSecond(_) => {}
            }
        }
        Ok(())
    }

    async fn in_step(&self, number: usize) {
        if timeout(PATIENCE, self.story.looked_at(number)).await.is_err() {
            self.story.line(Some(number), "waits", Tone::Dim, "the next one does not");
        }
        if self.story.oldest_unsettled().is_some_and(|oldest| oldest + AHEAD <= number) {
            self.story.all_settled().await;
        }
    }

    fn take_effect(&mut self, effect: HostEffect) {
        match effect {
            HostEffect::None => {}
            HostEffect::Appears(id) => {
                self.expected.insert(id);
            }
            HostEffect::Goes(id) => {
                self.expected.remove(&id);
            }
        }
    }
}
