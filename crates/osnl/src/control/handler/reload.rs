//! Reloads of the configuration, and the origin of the configuration in force.

use std::collections::BTreeSet;
use std::time::SystemTime;

use osnl_core::rule::GuardName;
use osnl_transport::shell_quoted;

use super::super::answer::{ForgottenQueues, ReloadResult};
use super::super::refusal::{Code, RequestRefusal};
use super::super::status::{ConfigurationStatus, LeftQueue, NotReloaded};
use super::super::time;
use super::ControlHandler;
use crate::daemon::{ReloadOutcome, ReloadRefusalReason, ReloadScope, Reloads, SectionChange};
use crate::journal::query::HeldCause;
use crate::numbers::grouped;

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
            outcome @ (ReloadOutcome::Done(_) | ReloadOutcome::Refused(_)) => {
                let mut result = reload_result(outcome);
                self.add_held(&mut result.changes).await;
                Ok(result)
            }
        }
    }

    /// Adds to each changed guard the deliveries that it keeps back, which no change of it releases.
    async fn add_held(&self, changes: &mut [SectionChange]) {
        let is_guard = |change: &&mut SectionChange| change.options.iter().any(|option| option == "guard");
        let changed: Vec<&mut SectionChange> = changes.iter_mut().filter(is_guard).collect();
        if changed.is_empty() {
            return;
        }
        let Ok(kept) = self.kept_in_time().await else { return };
        for change in changed {
            change.effect.push_str(&held_by(&change.section, &kept.held).unwrap_or_default());
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

/// Returns the deliveries that wait for release by the guard of a section, such as `rule:deleted`, with the step that
/// releases them.
fn held_by(section: &str, held: &[HeldCause]) -> Option<String> {
    let guard = GuardName::from_section(section)?;
    let its: Vec<&HeldCause> = held.iter().filter(|of| of.guard.as_ref() == Some(&guard)).collect();
    let count: u64 = its.iter().map(|of| of.count).sum();
    let actions: BTreeSet<&str> = its.iter().map(|of| &*of.action).collect();
    let action = match actions.iter().collect::<Vec<_>>()[..] {
        [] => return None,
        [one] => *one,
        _ => "ACTION",
    };
    let stays = if count == 1 { "that waits for release stays" } else { "that wait for release stay" };
    Some(format!(
        "; {} {stays}: osnl deliveries release --action {action} --state waiting-for-release --text {}",
        grouped(count),
        shell_quoted(&format!("{guard}:"))
    ))
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

pub(super) fn configuration(
    reloads: &Reloads,
    by_present_clock: impl Fn(SystemTime) -> SystemTime,
) -> ConfigurationStatus {
    let loaded = by_present_clock(reloads.loaded);
    ConfigurationStatus {
        loaded: time::shown(loaded),
        loaded_seconds: time::age(loaded),
        not_reloaded: reloads.failed.as_ref().map(|(since, refused)| {
            let since = by_present_clock(*since);
            NotReloaded {
                since: time::shown(since),
                since_seconds: time::age(since),
                reason: refused.reason,
                errors: refused.errors.clone(),
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::query::HeldBy;

    #[test]
    fn a_changed_guard_names_what_still_waits_for_release() {
        let held = |action: &str, guard: &str, count| HeldCause {
            action: action.to_owned(),
            reason: None,
            count,
            by: HeldBy::Guard,
            guard: GuardName::from_section(guard),
            since: SystemTime::UNIX_EPOCH,
        };
        let all = [
            held("purge", "action:purge", 115),
            held("purge", "rule:deleted", 1),
            held("cmdb", "rule:deleted", 1400),
            held("cmdb", "rule:deleted-too", 3),
        ];
        let release = "osnl deliveries release --action";
        let check = |section: &str, expected: Option<String>| assert_eq!(held_by(section, &all), expected);
        check(
            "action:purge",
            Some(format!(
                "; 115 that wait for release stay: {release} purge --state waiting-for-release --text 'guard of action purge:'"
            )),
        );
        check(
            "rule:deleted",
            Some(format!(
                "; 1,401 that wait for release stay: {release} ACTION --state waiting-for-release --text 'guard of rule deleted:'"
            )),
        );
        check("rule:other", None);
    }
}
