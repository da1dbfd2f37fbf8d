use std::fmt::Debug;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use osnl_core::metrics::Counters;
use osnl_core::shutdown::Shutdown;
use osnl_journal::memory::STAY;
use osnl_model::{Priority, Target};
use osnl_transport::{MemoryBroker, Transport as _};
use tracing::field::{Field, Visit};
use tracing::subscriber::set_default;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::super::meaning::{EndpointPart, assemble};
use super::super::{Conf, NotificationEndpoint};
use super::*;

/// The lines of the endpoint's logger.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == ENDPOINT {
            event.record(&mut self.clone());
        }
    }
}

impl Visit for Lines {
    fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
        self.0.lock().unwrap().push(format!("{value:?}"));
    }
}

/// The payload names no host that osnl could read, so only the endpoint's own reader knows it.
#[tokio::test(start_paused = true)]
async fn a_message_that_returns_while_its_target_is_down_is_logged_with_the_host_of_an_own_reader() {
    const CUK: &str = "12345678-1234-5678-1234-567812345678";
    let lines = Lines::default();
    let _logged = set_default(tracing_subscriber::registry().with(lines.clone()));
    let text = "[oslo_messaging_notifications]\nallow_requeue = True\npool = osnl\n\
                [k2hr3]\napi_url = http://127.0.0.1:9/v1/role\nretry_interval_seconds = 60\n";
    let conf = Conf::from_text("a.conf", text).unwrap().conf;
    let endpoint = NotificationEndpoint::new(conf.clone())
        .unwrap()
        .with_payload_to_params(|_| ready(Ok(HostParameters { cuk: CUK.to_owned(), addresses: Vec::new() })));
    let broker = MemoryBroker::new();
    let listener = conf.listener();
    drop(broker.transport().listen(&listener.targets, &listener.options).await.unwrap());
    let body = r#"{"message_id": "m", "publisher_id": "network.n1", "event_type": "port.delete.end",
        "priority": "INFO", "payload": {}}"#;
    let on = &conf.oslo_messaging_notifications;
    assert_eq!(broker.publish(&Target::new(on.exchange(), &on.topic), &Priority::Info, body), 1);

    let counters = Arc::new(Counters::default());
    let part = EndpointPart { rule: conf.rule(), action: endpoint.action(), delivery: conf.delivery() };
    let journal = conf.open_journal(&counters).unwrap();
    let transport = Arc::new(broker.transport());
    let daemon = assemble(listener, vec![part], journal, transport, &counters);
    let shutdown = Shutdown::new();
    let until = STAY + Duration::from_secs(60);
    assert!(tokio::time::timeout(until, daemon.run(&shutdown, until)).await.is_err(), "it holds the message");
    let expected = ["ips is empty", "requeuing CUK", "NotificationResult.REQUEUE CUK"];
    assert_eq!(*lines.0.lock().unwrap(), expected.map(|line| line.replace("CUK", CUK)));
}
