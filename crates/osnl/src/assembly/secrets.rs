//! Reads secrets in files again while access is refused.
//!
//! A password may change first at the server or first in the file, so files are compared each second while access is
//! refused, or was lately.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_config::Environment;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::daemon::{DaemonState, ListenerHandle, ServiceTask};
use crate::native::{ChangedSecret, ConfInForce};
use crate::overseer::Overseer;

const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const LATELY: Duration = Duration::from_secs(15 * 60);

pub(super) fn watch(
    state: Arc<DaemonState>,
    conf: Arc<ConfInForce>,
    environment: Environment,
) -> ServiceTask {
    Box::new(move |end| {
        Box::pin(async move {
            let mut timer = interval(CHECK_INTERVAL);
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut tried = Vec::new();
            loop {
                tokio::select! {
                    biased;
                    () = end.cancelled() => return,
                    _ = timer.tick() => {}
                }
                let conf = conf.get().filter(|conf| conf.has_secret_files() && is_refused(&state));
                let Some(conf) = conf else { continue };
                let environment = environment.clone();
                // A file system may never answer.
                let read = tokio::select! {
                    biased;
                    () = end.cancelled() => return,
                    read = spawn_blocking(move || conf.changed_secrets(&environment)) => read,
                };
                let Ok(changed) = read else { continue };
                // A refused content is not tried again; the former content ends the refusal.
                let is_new =
                    changed != tried && !(changed.is_empty() && state.reloads().borrow().failed.is_none());
                if is_new {
                    if changed.iter().any(|secret| secret.is_system) {
                        tracing::info!(
                            "the system's CA certificates have changed: sections with TLS and without ca_file read them again"
                        );
                    }
                    let of_section = changed.iter().filter(|secret| !secret.is_system);
                    for ChangedSecret { section, option, file, .. } in of_section {
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

fn is_refused(state: &DaemonState) -> bool {
    let lately = |at: SystemTime| at.elapsed().is_ok_and(|age| age < LATELY);
    let lacks_facts =
        |listener: &ListenerHandle| Overseer::from_handle(listener).is_some_and(Overseer::lacks_facts);
    state.listeners().iter().any(|listener| listener.trouble().is_some() || lacks_facts(listener))
        || state.targets().iter().any(|target| {
            target.status().borrow().outage.is_some()
                || !target.held().outages.is_empty()
                || target.last_failure().is_some_and(|failure| lately(failure.at))
                || target.question_failed_at().is_some_and(lately)
        })
}
