use std::time::SystemTime;

use osnl::control::ControlHandler;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{EACH, SharedHistory};

/// Adds samples until stopped. A sample reads the same values as a scrape of the metrics, and waits at most
/// three seconds for a disk that hangs.
pub(crate) async fn sample(handler: &ControlHandler, history: &SharedHistory, stop: &CancellationToken) {
    let mut ticks = interval(EACH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let each = async {
        loop {
            ticks.tick().await;
            if let Some(measured) = handler.measurements().await {
                history.lock().add(Instant::now(), SystemTime::now(), &measured);
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = each => {}
    }
}
