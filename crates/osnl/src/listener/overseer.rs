//! Asks the management API about a subscription's queues, repeatedly.
//!
//! The broker gathers a queue's statistics only seconds after its creation, so missing answers are soon requested
//! again, then less often. Each risk and each reason is logged once.

use std::time::{Duration, SystemTime};

use osnl_transport::{Declare, Subscription};
use tokio::time::sleep;

use super::Listener;
use super::gauges::Overseen;
use crate::management::client::ApiQuestion;
use crate::management::risk::risks;
use crate::management::{ManagementConf, UnknownFact};

/// The interval between two looks, since a policy may be set at any time.
const AGAIN: Duration = Duration::from_secs(5 * 60);
/// The first pause after a missing answer; each further pause is half as long again.
const SOON: Duration = Duration::from_secs(2);

pub(super) struct Overseer {
    pub(super) api: Option<ManagementConf>,
    pub(super) vhost: String,
}

impl Overseer {
    pub(super) fn unasked(&self, listener: &str) -> Overseen {
        let unknown = match &self.api {
            None => UnknownFact::not_asked(listener),
            Some(_) => {
                UnknownFact::new("the management API has not been asked yet", "it is asked after the connect")
            }
        };
        Overseen { unknown: Some(unknown), ..Overseen::default() }
    }
}

impl Listener {
    pub(super) async fn oversee(&self, found: &Subscription) {
        let Some(Overseer { api: Some(api), vhost }) = &self.overseer else { return };
        let queues: Vec<String> = found.queues().iter().map(ToString::to_string).collect();
        let subject = ApiQuestion { vhost, queues: &queues, cluster: found.cluster.as_deref() };
        let mut pause = SOON;
        loop {
            let before = self.gauges.overseen().unwrap_or_default();
            let seen = match api.ask(&subject).await {
                Ok(facts) => {
                    let options = &self.config.options;
                    let declares = options.declare != Declare::Nothing;
                    let risks = risks(&facts, vhost, &options.queue, declares);
                    let unknown = facts.unknown().cloned();
                    Overseen { facts: Some((facts, SystemTime::now())), risks, unknown }
                }
                Err(unknown) => Overseen { unknown: Some(unknown), ..before.clone() },
            };
            self.say_overseen(&before, &seen);
            pause = if seen.unknown.is_some() { pause.mul_f64(1.5).min(AGAIN) } else { AGAIN };
            self.gauges.oversaw(seen);
            sleep(pause).await;
        }
    }

    fn say_overseen(&self, before: &Overseen, seen: &Overseen) {
        let listener = &*self.config.name;
        for risk in seen.risks.iter().filter(|risk| !before.risks.contains(risk)) {
            tracing::warn!(
                listener.name = listener,
                reason = risk.message,
                remedy = risk.remedy,
                "the broker may lose messages of the queue"
            );
        }
        if let Some(UnknownFact { reason, remedy }) = &seen.unknown
            && seen.unknown != before.unknown
        {
            tracing::info!(
                listener.name = listener,
                reason,
                remedy,
                "policies, delivery limit, and other consumers of the queue are not known"
            );
        }
    }
}
