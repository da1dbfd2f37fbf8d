//! Reads secrets in files again while something is refused: brokers, their management APIs, targets, and clouds alike.
//! A journal in a database reads its own for each connection.
//!
//! A password is often changed first at the server and then in the file, or the other way round. So no file is read while
//! all is well, and none is read once only: each second in which something is refused, or was lately,
//! the files are compared with what is in force. A change is checked and put into force as a reload is
//! ([`ReloadScope::Secrets`](crate::daemon::ReloadScope)), without the rest of the configuration.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_config::Environment;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::daemon::{DaemonState, ServiceTask};
use crate::native::ChangedSecret;

/// The interval between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// The age of a failed attempt from which on another one has told more.
const LATELY: Duration = Duration::from_secs(15 * 60);

/// Returns the service that reads secrets again.
pub(super) fn watch(state: Arc<DaemonState>, environment: Environment) -> ServiceTask {
    Box::new(move |end| {
        Box::pin(async move {
            let mut look = interval(LOOK);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut tried = Vec::new();
            loop {
                tokio::select! {
                    biased;
                    () = end.cancelled() => return,
                    _ = look.tick() => {}
                }
                let conf = state.configuration().filter(|conf| conf.has_secret_files() && is_refused(&state));
                let Some(conf) = conf else { continue };
                let environment = environment.clone();
                let Ok(changed) = spawn_blocking(move || conf.changed_secrets(&environment)).await else {
                    continue;
                };
                // A content that was refused is not tried again; one that is as before ends the refusal.
                let is_new =
                    changed != tried && !(changed.is_empty() && state.reloads().borrow().failed.is_none());
                if is_new {
                    for ChangedSecret { section, option, file, .. } in &changed {
                        tracing::info!(
                            config.section = section,
                            config.option = option,
                            file.path = file,
                            "a secret in a file has changed: it is read again"
                        );
                    }
                    state.request_secrets();
                }
                tried = changed;
            }
        })
    })
}

/// Whether a listener is not connected, its management API does not answer, or a target or what it depends on failed lately.
fn is_refused(state: &DaemonState) -> bool {
    let lately = |at: SystemTime| at.elapsed().is_ok_and(|age| age < LATELY);
    state.listeners().iter().any(|listener| listener.trouble().is_some() || listener.lacks_facts())
        || state.targets().iter().any(|target| {
            target.status().borrow().outage.is_some()
                || !target.held().outages.is_empty()
                || target.last_failure().is_some_and(|failure| lately(failure.at))
        })
}
