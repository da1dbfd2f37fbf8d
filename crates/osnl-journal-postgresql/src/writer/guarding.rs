//! Deliveries that guards hold, and the states of guards.

use std::sync::PoisonError;
use std::time::Duration;

use osnl_core::rule::say_guard_holds;
use osnl_journal::begin::HeldByGuard;
use tokio::time::Instant;
use tokio_postgres::Error;

use super::PostgresWriter;
use crate::guards;
use crate::held::HeldDelivery;

/// The log repeats that a guard holds so seldom.
const REMIND: Duration = Duration::from_secs(60);

impl PostgresWriter {
    /// Counts and logs what guards hold from now on.
    pub(super) fn tell_held(&mut self, held: &[HeldDelivery]) {
        let now = Instant::now();
        for one in held {
            for guard in &one.guards {
                let of = (guard.kind, guard.name.clone());
                if self.guards_said.get(&of).is_none_or(|said| now.duration_since(*said) >= REMIND) {
                    say_guard_holds(guard.kind, &guard.name, guard.rate);
                    self.guards_said.insert(of, now);
                }
            }
            let held = HeldByGuard {
                id: Some(one.id),
                rule: &one.rule,
                action: &one.action,
                key: one.key.as_deref().unwrap_or("-"),
                message: one.message.as_deref().unwrap_or("-"),
                reason: &one.reason,
            };
            held.announce(&self.shared.counters);
        }
    }

    /// Looks at the states of all guards.
    pub(super) async fn look_at_guards(&mut self) -> Result<(), Error> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let states = guards::states(session, &self.member.limits.guards).await?;
        *self.shared.guards.lock().unwrap_or_else(PoisonError::into_inner) = states;
        Ok(())
    }
}
