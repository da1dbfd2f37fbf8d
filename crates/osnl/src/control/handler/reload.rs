//! Reloads of the configuration, and the origin of the configuration in force.

use super::super::answer::{ForgottenQueues, ReloadResult};
use super::super::refusal::{Code, RequestRefusal};
use super::super::status::{ConfigurationStatus, LeftQueue, NotReloaded};
use super::super::time;
use super::ControlHandler;
use crate::daemon::{ReloadOutcome, ReloadRefusalReason, ReloadScope, Reloads};

impl ControlHandler {
    /// Reads the files, and answers as a reload would if no queue and no target refuses it.
    pub async fn preview_reload(&self) -> Result<ReloadResult, RequestRefusal> {
        self.reload(ReloadScope::Preview, "").await
    }

    pub(super) async fn reload(&self, scope: ReloadScope, by: &str) -> Result<ReloadResult, RequestRefusal> {
        let Some(live) = &self.live else {
            return Err(RequestRefusal::new(
                Code::Unavailable,
                "no daemon runs; the next one reads its configuration",
            ));
        };
        match live.daemon.reload(scope, by).await {
            ReloadOutcome::Refused(refused) if refused.reason == ReloadRefusalReason::Unsupported => {
                Err(RequestRefusal::new(Code::Unsupported, refused.errors.join("; ")))
            }
            outcome @ (ReloadOutcome::Done(_) | ReloadOutcome::Refused(_)) => Ok(reload_result(outcome)),
        }
    }

    pub(super) fn forget_queue(&self, queue: &str, vhost: Option<&str>, by: &str) -> ForgottenQueues {
        let is_it = |left: &LeftQueue| left.queue == queue && vhost.is_none_or(|vhost| left.vhost == vhost);
        let forgotten: Vec<LeftQueue> = self.left_queues().into_iter().filter(is_it).collect();
        self.bindings.iter().for_each(|bindings| bindings.forget(queue, vhost));
        if !forgotten.is_empty() {
            tracing::info!(queue.name = queue, by, "a queue that no listener reads any more is forgotten");
        }
        ForgottenQueues { forgotten }
    }

    pub(super) fn left_queues(&self) -> Vec<LeftQueue> {
        let left = self.bindings.iter().flat_map(|bindings| bindings.left());
        let shown = |left: crate::listener::UnreadQueue| LeftQueue {
            delete: left.delete_command(),
            unbind: left.queue.unbind_command(&left.bindings),
            broker: left.queue.broker(),
            vhost: left.queue.vhost,
            queue: left.queue.queue,
            messages: left.seen.map(|(seen, _)| seen.messages.into()),
            consumers: left.seen.map(|(seen, _)| seen.consumers.into()),
            seen_seconds: left.seen.map(|(_, at)| time::age(at)),
        };
        left.map(shown).collect()
    }
}

pub(super) fn reload_result(outcome: ReloadOutcome) -> ReloadResult {
    match outcome {
        ReloadOutcome::Done(told) => ReloadResult {
            reloaded: true,
            changes: told.changes,
            warnings: told.warnings,
            reason: None,
            errors: Vec::new(),
        },
        ReloadOutcome::Refused(refused) => ReloadResult {
            reloaded: false,
            changes: Vec::new(),
            warnings: Vec::new(),
            reason: Some(refused.reason),
            errors: refused.errors,
        },
    }
}

pub(super) fn configuration(reloads: &Reloads) -> ConfigurationStatus {
    ConfigurationStatus {
        loaded: time::shown(reloads.loaded),
        loaded_seconds: time::age(reloads.loaded),
        not_reloaded: reloads.failed.as_ref().map(|(since, refused)| NotReloaded {
            since: time::shown(*since),
            since_seconds: time::age(*since),
            reason: refused.reason,
            errors: refused.errors.clone(),
        }),
    }
}
