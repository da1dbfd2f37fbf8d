use std::fmt;
use std::future::ready;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::SystemTime;

use osnl::actions::k2hr3::{HostParameters, K2hr3, Unusable, shown};
use osnl::notification_listener::NotificationResult;
use osnl_core::attempt::{Action, ActionError, Completion, ErrorClass};
use osnl_core::event::Event;
use osnl_core::received::{Origin, ReceivedMessage};
use osnl_delivery::Decision;
use osnl_model::{Notification, Priority};
use serde_json::{Map, Value};
use tokio::time::{sleep, timeout};

use super::Conf;
use super::wire_log::log_failed_call;

#[derive(Debug, thiserror::Error)]
#[error("no endpoint for {api_url}: {reason}")]
pub struct NotificationEndpointError {
    pub api_url: String,
    pub reason: String,
}

/// The caller of K2HR3 for one configuration: for a listener, and for calls that a program makes by
/// hand.
#[derive(Clone)]
pub struct NotificationEndpoint {
    conf: Conf,
    action: Arc<K2hr3>,
}

impl NotificationEndpoint {
    pub fn new(conf: Conf) -> Result<Self, NotificationEndpointError> {
        let action = conf.action(&conf.http_options(std::env::vars_os())).map_err(|error| {
            NotificationEndpointError { api_url: shown(&conf.k2hr3.api_url), reason: error.to_string() }
        })?;
        Ok(Self { conf, action: Arc::new(action) })
    }

    /// Replaces [`HostParameters::from_payload`]: the counterpart of overriding `_payload_to_params` in
    /// Python. Its time is part of an attempt's, and other messages are handled meanwhile.
    #[must_use]
    pub fn with_payload_to_params<F>(
        mut self,
        payload_to_params: impl Fn(&Value) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<HostParameters, Unusable>> + Send + 'static,
    {
        self.action = Arc::new((*self.action).clone().with_parameters(payload_to_params));
        self
    }

    pub(super) fn conf(&self) -> &Conf {
        &self.conf
    }

    pub(super) fn action(&self) -> K2hr3 {
        (*self.action).clone()
    }

    /// Deletes a host from K2HR3.
    ///
    /// Unlike the daemon, which holds an unreachable target without end, a call makes at most 1 +
    /// `max_retries` attempts, with growing pauses (1 s up to `retry_interval_seconds`). A final
    /// failure is logged and gives [`NotificationResult::Requeue`] with `requeue_on_error`, else
    /// [`NotificationResult::Handled`]. A host without an identifier is handled without a call.
    pub async fn delete(
        &self,
        host: HostParameters,
        publisher_id: &str,
        event_type: &str,
    ) -> NotificationResult {
        self.attempts(host, publisher_id, event_type, false).await
    }

    /// Deletes a host as [`delete`](Self::delete) does, for a listener: it holds an unreachable target as the daemon does.
    pub async fn delete_or_hold(
        &self,
        host: HostParameters,
        publisher_id: &str,
        event_type: &str,
    ) -> NotificationResult {
        self.attempts(host, publisher_id, event_type, true).await
    }

    async fn attempts(
        &self,
        host: HostParameters,
        publisher_id: &str,
        event_type: &str,
        holds: bool,
    ) -> NotificationResult {
        let cuk = host.cuk.clone();
        let action = (*self.action).clone().with_parameters(move |_| ready(Ok(host.clone())));
        let event = event(Notification {
            event_type: Some(event_type.to_owned()),
            publisher_id: Some(publisher_id.to_owned()),
            priority: Some(Priority::Info),
            message_id: None,
            timestamp: None,
            unique_id: None,
            context: Map::new(),
            payload: Value::Null,
        });
        let settings = self.conf.delivery();
        // Every failed attempt lengthens the pauses, but a held one does not count towards `max_retries`.
        let (mut number, mut counted) = (NonZeroU32::MIN, NonZeroU32::MIN);
        loop {
            let error = match timeout(settings.timeout, attempt(&action, &event)).await {
                Ok(Ok(Completion::Delivered(what))) => {
                    tracing::info!("delivered {what}");
                    return NotificationResult::Handled;
                }
                Ok(Ok(Completion::NothingToDo(why))) => {
                    tracing::info!("nothing to do: {why}");
                    return NotificationResult::Handled;
                }
                Ok(Err(error)) => error,
                Err(_) => ActionError::new(ErrorClass::Timeout, format!("waited {:?}", settings.timeout)),
            };
            let decision = settings.policy.decide(counted, &error);
            let is_held = holds && decision == Decision::Hold;
            let pause = match decision {
                Decision::GiveUp => None,
                Decision::Hold if !is_held && number >= settings.policy.max_attempts => None,
                Decision::Hold => {
                    Some(settings.policy.pause(number.get()).max(error.retry_after.unwrap_or_default()))
                }
                Decision::RetryAfter(pause) => Some(pause),
            };
            let Some(pause) = pause else {
                let requeue = self.conf.k2hr3.requeue_on_error && !error.class.is_final();
                log_failed_call(&cuk, &error, requeue);
                return if requeue { NotificationResult::Requeue } else { NotificationResult::Handled };
            };
            tracing::warn!("{cuk}: {error}; next attempt in {:.1} s", pause.as_secs_f64());
            sleep(pause).await;
            number = number.saturating_add(1);
            counted = counted.saturating_add(u32::from(!is_held));
        }
    }
}

async fn attempt(action: &K2hr3, event: &Event) -> Result<Completion, ActionError> {
    let verdict = action.run(std::slice::from_ref(event)).await.pop();
    verdict.unwrap_or_else(|| Err(ActionError::new(ErrorClass::Reset, "the action gave no verdict")))
}

impl fmt::Debug for NotificationEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotificationEndpoint").field("conf", &self.conf).finish_non_exhaustive()
    }
}

fn event(notification: Notification) -> Event {
    let origin = Origin {
        listener: "-".into(),
        queue: "-".into(),
        exchange: String::new(),
        routing_key: String::new(),
        redelivered: false,
        received: SystemTime::now(),
    };
    let received = ReceivedMessage {
        body: bytes::Bytes::new(),
        properties: Default::default(),
        origin,
        noted: Default::default(),
    };
    Event::new(received, notification, "info", super::meaning::NAME)
}
