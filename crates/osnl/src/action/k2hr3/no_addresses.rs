//! A deleted port that has no addresses: K2HR3 takes a request without addresses for *all* of the instance.

use osnl_transport::BoxFuture;

use super::HostParameters;
use crate::action::{Action, ActionError, Done, Event};

/// What a deleted port without addresses asks for. Deletions of instances are not affected: they never name
/// addresses, and mean all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAddresses {
    /// Nothing: the instance may have other ports.
    Skip,
    /// That every address of the instance is forgotten, as k2hr3_osnl does it. Each such event is warned of.
    All,
}

/// Puts the choice before an action.
pub struct ForNoAddresses<A> {
    action: A,
    choice: NoAddresses,
}

impl<A: Action> ForNoAddresses<A> {
    /// The action, with this choice for events that it sees.
    pub fn new(action: A, choice: NoAddresses) -> Self {
        Self { action, choice }
    }
}

impl<A: Action> Action for ForNoAddresses<A> {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Done, ActionError>>> {
        Box::pin(async move {
            let mut verdicts = Vec::with_capacity(events.len());
            for event in events {
                match (bare_port(event), self.choice) {
                    (Some(_), NoAddresses::Skip) => verdicts.push(Ok(Done::NothingToDo(
                        "the port has no addresses (no_addresses = skip)".to_owned(),
                    ))),
                    (bare, NoAddresses::Skip | NoAddresses::All) => {
                        if let Some(cuk) = bare {
                            tracing::warn!(
                                "the deleted port has no addresses: K2HR3 is asked to forget every address of \
                                 instance {cuk}"
                            );
                        }
                        verdicts.extend(self.action.run(std::slice::from_ref(event)).await);
                    }
                }
            }
            verdicts
        })
    }

    fn target(&self) -> String {
        self.action.target()
    }
}

/// The instance of a port that has no addresses.
fn bare_port(event: &Event) -> Option<String> {
    let payload = &event.notification.payload;
    let of_port = payload.get("port").is_some() || payload.get("device_id").is_some();
    let parameters = HostParameters::of(payload).ok().filter(|_| of_port)?;
    parameters.addresses.is_empty().then_some(parameters.cuk)
}
