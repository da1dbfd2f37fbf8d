//! `listen`: uses the daemon's engine for the module's own endpoints, and calls Python for others.
//!
//! | endpoints | engine | store |
//! | --- | --- | --- |
//! | of the module, or with a `_payload_to_params` of their own | [`osnl_legacy::k2hr3::listen_until`] | `[journal]` |
//! | with methods of their own | [`NotificationListener`], each call in a thread of its own | none: the broker keeps unhandled messages |
//!
//! A call of Python may raise, never return, end its thread, or fork. None of these acknowledges a
//! message: only a method that returns does. After ten failed attempts a message returns to the
//! broker and is delivered again.

use std::sync::Arc;

use osnl::notification_listener::{
    BoxFuture, BuildError, Endpoint as Listening, NotificationFilter, NotificationListener,
    NotificationResult, Pattern, Priority, ReceivedNotification, Shutdown,
};
use osnl_brokers::transport_with;
use osnl_legacy::k2hr3::{HostParameters, NotificationEndpoint, Unusable, explained, listen_until};
use osnl_transport::Transport;
use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::{Py, PyAny, PyRef, PyResult, Python, pyfunction};
use serde_json::{Value, json};

use crate::calls::{Caller, Calls};
use crate::conf::Conf;
use crate::endpoint::K2hr3Caller;
use crate::wait::{self, WaitOutcome};

type Plain = (Py<K2hr3Caller>, Option<Py<PyAny>>);

type Own = (Py<PyAny>, Vec<String>, Option<String>);

/// Listens by the engine until Ctrl-C; 0 after that, 1 when the listener could not go on.
#[pyfunction]
pub(crate) fn listen(py: Python<'_>, calls: PyRef<'_, Calls>, endpoints: Vec<Plain>) -> PyResult<i32> {
    let endpoints: Vec<NotificationEndpoint> = endpoints
        .into_iter()
        .map(|(endpoint, reader)| {
            let endpoint = endpoint.get().endpoint.clone();
            match reader {
                Some(reader) => {
                    let (caller, reader) = (calls.caller(), Arc::new(reader));
                    endpoint.with_payload_to_params(move |payload| {
                        read(caller.clone(), reader.clone(), payload.to_string())
                    })
                }
                None => endpoint,
            }
        })
        .collect();
    let result = wait::run(py, |shutdown| async move { listen_until(endpoints, &shutdown).await });
    calls.close(py);
    ended(result?)
}

/// Listens for endpoints with methods of their own, with the queue and the broker of `conf`.
#[pyfunction]
pub(crate) fn listen_to(
    py: Python<'_>,
    calls: PyRef<'_, Calls>,
    conf: PyRef<'_, Conf>,
    endpoints: Vec<Own>,
) -> PyResult<i32> {
    let conf = conf.loaded.conf.clone();
    let endpoints = endpoints
        .into_iter()
        .map(|own| PythonEndpoint::new(calls.caller(), own))
        .collect::<PyResult<Vec<_>>>()?;
    let result = wait::run(py, |shutdown| async move { run(&conf, endpoints, &shutdown).await });
    calls.close(py);
    ended(result?)
}

/// Ctrl-C is the usual end; an exception of another handler propagates.
fn ended(ended: WaitOutcome<i32>) -> PyResult<i32> {
    match ended.raised {
        Some(error) if !Python::attach(|py| error.is_instance_of::<PyKeyboardInterrupt>(py)) => Err(error),
        Some(_) | None => Ok(ended.done),
    }
}

async fn run(conf: &osnl_legacy::k2hr3::Conf, endpoints: Vec<PythonEndpoint>, shutdown: &Shutdown) -> i32 {
    let on = &conf.oslo_messaging_notifications;
    let meant = conf.listener();
    let listening = meant.options;
    let transport: Arc<dyn Transport> = match transport_with(&on.transport_url, conf.rabbit()) {
        Ok(transport) => transport.into(),
        Err(error) => {
            tracing::error!("found an invalid endpoint, {error}");
            return 1;
        }
    };
    let mut builder = NotificationListener::on(transport.clone())
        .name("k2hr3_osnl")
        .queue(listening.queue)
        .declare(listening.declare)
        .prefetch(listening.prefetch)
        .allow_requeue(on.allow_requeue)
        .requeue_endlessly()
        .shutdown(shutdown);
    for (target, _) in meant.targets {
        builder = builder.target(target);
    }
    if let Some(pool) = listening.pool {
        builder = builder.pool(pool);
    }
    for endpoint in endpoints {
        builder = builder.endpoint(endpoint);
    }
    let listener = match builder.build() {
        Ok(listener) => listener,
        Err(BuildError::NoRequeue { .. }) => {
            tracing::error!("allow_requeue is not supported by driver");
            return 1;
        }
        Err(error) => {
            tracing::error!("found an invalid endpoint, {error}");
            return 1;
        }
    };
    tracing::info!("Starting");
    let running = listener.run();
    tokio::pin!(running);
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = shutdown.drain.cancelled() => {
            tracing::info!("Stopping");
            running.await
        }
    };
    match ended {
        Ok(_) => 0,
        Err(error) => {
            let words = explained(&error.into(), &conf.listener(), &*transport);
            tracing::error!("listener error, {words}");
            1
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum HostAnswer {
    Host { cuk: String, ips: Vec<String> },
    Unusable { error: String },
}

/// Asks Python for the host of a payload.
async fn read(caller: Caller, reader: Arc<Py<PyAny>>, payload: String) -> Result<HostParameters, Unusable> {
    let read = caller.call(reader, vec![Some(payload)]).await;
    match read.as_deref().map(serde_json::from_str) {
        Some(Ok(HostAnswer::Host { cuk, ips })) => Ok(HostParameters { cuk, addresses: ips }),
        Some(Ok(HostAnswer::Unusable { error })) => Err(Unusable::Unreadable(error)),
        Some(Err(error)) => Err(Unusable::Unreadable(error.to_string())),
        None => Err(Unusable::Unreadable("_payload_to_params has not returned".to_owned())),
    }
}

struct PythonEndpoint {
    caller: Caller,
    function: Arc<Py<PyAny>>,
    priorities: Vec<Priority>,
    filter: Option<NotificationFilter>,
}

impl PythonEndpoint {
    fn new(caller: Caller, (function, priorities, filter): Own) -> PyResult<Self> {
        let priorities = Priority::ALL.into_iter().filter(|one| priorities.contains(&one.to_string()));
        let filter = filter.map(|filter| filter_of(&filter)).transpose()?;
        Ok(Self { caller, function: Arc::new(function), priorities: priorities.collect(), filter })
    }
}

impl Listening for PythonEndpoint {
    fn priorities(&self) -> &[Priority] {
        &self.priorities
    }

    fn filter(&self) -> Option<&NotificationFilter> {
        self.filter.as_ref()
    }

    fn notify<'a>(&'a self, received: &'a ReceivedNotification) -> BoxFuture<'a, NotificationResult> {
        let notification = received.notification();
        let priority = notification.priority.as_ref().unwrap_or(&Priority::Info).to_string();
        let context = Value::Object(notification.context.clone()).to_string();
        let metadata =
            json!({"message_id": notification.message_id, "timestamp": notification.timestamp}).to_string();
        let texts = vec![
            Some(priority),
            Some(context),
            notification.publisher_id.clone(),
            notification.event_type.clone(),
            Some(notification.payload.to_string()),
            Some(metadata),
        ];
        Box::pin(async move {
            let handled = NotificationResult::Handled.to_string();
            match self.caller.call(self.function.clone(), texts).await {
                Some(result) if result == handled => NotificationResult::Handled,
                Some(_) | None => NotificationResult::Requeue,
            }
        })
    }
}

/// Reads a filter as JSON: two patterns by name, and three maps of patterns.
fn filter_of(text: &str) -> PyResult<NotificationFilter> {
    let wrong = |error: &dyn std::fmt::Display| PyValueError::new_err(format!("filter_rule: {error}"));
    let filter: Value = serde_json::from_str(text).map_err(|error| wrong(&error))?;
    let pattern = |value: &Value| {
        value.as_str().map(|text| Pattern::new(text).map_err(|error| wrong(&error))).transpose()
    };
    let by_key = |value: &Value| {
        let entries = value.as_object().into_iter().flatten();
        entries
            .filter_map(|(key, value)| Some((key.clone(), pattern(value).transpose()?)))
            .map(|(key, pattern)| Ok((key, pattern?)))
            .collect::<PyResult<_>>()
    };
    Ok(NotificationFilter {
        publisher_id: pattern(&filter["publisher_id"])?,
        event_type: pattern(&filter["event_type"])?,
        context: by_key(&filter["context"])?,
        metadata: by_key(&filter["metadata"])?,
        payload: by_key(&filter["payload"])?,
    })
}
