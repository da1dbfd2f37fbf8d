use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{MissedTickBehavior, interval};

use crate::daemon::ServiceTask;
use crate::metrics::{Counters, StreamKind, StreamState};

/// The interval between two looks, since expectations are of seconds and more.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn watch(counters: Arc<Counters>) -> ServiceTask {
    Box::new(|end| {
        Box::pin(async move {
            let mut timer = interval(CHECK_INTERVAL);
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut silent = Silent::default();
            loop {
                tokio::select! {
                    biased;
                    () = end.cancelled() => return,
                    at = timer.tick() => {
                        counters.series.rates.note(at, counters.received.get(), counters.delivered.get());
                        counters.series.note_backlogs(at);
                        silent.update(counters.series.streams.states(SystemTime::now()));
                    }
                }
            }
        })
    })
}

#[derive(Default)]
struct Silent(BTreeSet<(StreamKind, Arc<str>)>);

impl Silent {
    fn update(&mut self, states: Vec<StreamState>) {
        for StreamState { kind, name, expect, is_silent, .. } in states {
            let stream = kind.name();
            let key = (kind, name.clone());
            if is_silent && self.0.insert(key.clone()) {
                tracing::warn!(
                    stream,
                    name = &*name,
                    %expect,
                    "a stream is silent: fewer messages than expected; look whether the service sends notifications"
                );
            } else if !is_silent && self.0.remove(&key) {
                tracing::info!(stream, name = &*name, "a silent stream has messages again");
            }
        }
    }
}
