use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::broker::DemoBroker;
use super::cloud::{DemoCloud, HostEffect};
use super::parts::Routes;
use super::printer::Tone;
use super::story::Story;

const PATIENCE: Duration = Duration::from_secs(5);
/// In step, the number of events after a message that waits for its retry, before the demo waits
/// for that retry. These events take milliseconds, far less than the pause, so every run prints the
/// same.
const AHEAD: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum DemoSpeed {
    InStep,
    PerSecond(f64),
}

pub(super) struct Play<'a> {
    pub(super) cloud: DemoCloud,
    pub(super) broker: &'a DemoBroker,
    pub(super) routes: &'a Routes,
    pub(super) story: &'a Story,
    pub(super) expected: BTreeSet<String>,
}

impl Play<'_> {
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
        if timeout(PATIENCE, self.story.evaluated(number)).await.is_err() {
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
