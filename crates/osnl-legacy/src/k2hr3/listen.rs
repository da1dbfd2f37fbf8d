use std::sync::Arc;
use std::time::Duration;

use osnl_brokers::transport_with;
use osnl_core::metrics::Counters;
use osnl_core::shutdown::Shutdown;
use osnl_transport::Transport;

use super::NotificationEndpoint;
use super::meaning::{EndpointPart, assemble, explained};

const DRAIN_DEADLINE: Duration = Duration::from_secs(30);

/// Listens until `shutdown` and passes each message to every endpoint whose filter matches.
///
/// As in Python, broker, topic, exchange, pool and journal are those of the *last* endpoint. Each
/// endpoint keeps its own filter, target and retry options. The log has the reason for a result of
/// 1.
///
/// | result | condition |
/// | --- | --- |
/// | 0 | ended by `shutdown` |
/// | 1 | no endpoint at all; the last one's `transport_url` or journal cannot be used; `allow_requeue` with a transport that cannot requeue; the listener failed (a refused login, say) |
pub async fn listen_until(endpoints: Vec<NotificationEndpoint>, shutdown: &Shutdown) -> i32 {
    let Some(last) = endpoints.last() else {
        tracing::error!("invalid endpoints, none given");
        return 1;
    };
    let on = &last.conf().oslo_messaging_notifications;
    let transport: Arc<dyn Transport> = match transport_with(&on.transport_url, last.conf().rabbit()) {
        Ok(transport) => transport.into(),
        Err(error) => {
            tracing::error!("found an invalid endpoint, {error}");
            return 1;
        }
    };
    if on.allow_requeue && !transport.features().requeue {
        tracing::error!("allow_requeue is not supported by driver");
        return 1;
    }
    let listener = last.conf().listener();
    let parts = endpoints.iter().map(|endpoint| EndpointPart {
        rule: endpoint.conf().rule(),
        action: endpoint.action(),
        delivery: endpoint.conf().delivery(),
    });
    let counters = Arc::new(Counters::default());
    let journal = match last.conf().open_journal(&counters) {
        Ok(journal) => journal,
        Err(error) => {
            tracing::error!("found an invalid endpoint, {error}");
            return 1;
        }
    };
    let daemon = assemble(listener, parts.collect(), journal, transport.clone(), &counters);
    // A failure drains the daemon too, and is no wish of the caller.
    let own = shutdown.child();
    let daemon = daemon.run(&own, DRAIN_DEADLINE);
    tokio::pin!(daemon);
    tracing::info!("Starting");
    let ended = tokio::select! {
        biased;
        // First, so that the line is there also if the drain takes no time.
        () = shutdown.drain.cancelled() => {
            tracing::info!("Stopping");
            daemon.await
        }
        ended = &mut daemon => ended,
    };
    match ended {
        Ok(_) => 0,
        Err(error) => {
            tracing::error!("listener error, {}", explained(&error, &last.conf().listener(), &*transport));
            1
        }
    }
}
