//! No section names this driver: `native/canary.rs` of `osnl` makes the action.

use std::sync::Arc;

use osnl_action::driver::{
    BuildContext, CallRequest, DriverConf, DriverError, DriverTable, Preview, Probe, ProbeContext,
    ReadDriver, SectionReader, SentLogin, Traits,
};
use osnl_action::{Action, ActionError, Completion, Event};
use osnl_transport::BoxFuture;
use tokio::time::Instant;

use osnl_core::metrics::Counters;

#[derive(Clone, Debug)]
pub struct CanaryDriver;

struct CanaryAction(Arc<Counters>);

impl ReadDriver for CanaryDriver {
    const TABLE: DriverTable = DriverTable::new("canary", &[]);

    fn read(_: &mut SectionReader<'_>) -> Option<Self> {
        Some(Self)
    }
}

impl DriverConf for CanaryDriver {
    fn action(&self, context: &BuildContext<'_>) -> Result<Arc<dyn Action>, DriverError> {
        Ok(Arc::new(CanaryAction(context.counters.clone())))
    }

    fn does(&self) -> String {
        "notes that the canary has come back".to_owned()
    }

    fn logins(&self) -> Vec<SentLogin> {
        Vec::new()
    }

    fn traits(&self) -> Traits<'_> {
        Traits { refuser: None, takes_enrichments: false, ..Traits::default() }
    }

    fn preview(&self, wanted: &CallRequest<'_>) -> Preview {
        Preview::line(self.does(), wanted)
    }

    fn probe<'a>(&'a self, context: ProbeContext<'a>) -> BoxFuture<'a, Vec<Probe>> {
        let probe = Probe::new(context.section, "the canary").fine("is always there");
        Box::pin(std::future::ready(vec![probe]))
    }
}

impl Action for CanaryAction {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        let note = |event: &Event| {
            let id = event.notification.message_id.as_deref().unwrap_or_default();
            Ok(match self.0.series.canary.comes_back(id, Instant::now()) {
                Some(took) => {
                    Completion::Delivered(format!("the canary is back after {:.3} s", took.as_secs_f64()))
                }
                None => {
                    Completion::NothingToDo("a canary of another daemon, or of an earlier run".to_owned())
                }
            })
        };
        Box::pin(std::future::ready(events.iter().map(note).collect()))
    }

    fn target(&self) -> String {
        "the canary's cage".to_owned()
    }
}
