use std::time::{Duration, Instant};

use osnl_model::{Priority, Target, TransportUrl};
use osnl_testkit::{Broker, FaultyProxy, FullBacklog, NetworkFault, Vhost};
use osnl_transport::{Batch, Consumer, Declare, ListenOptions, QueueKind, Transport, TransportError};

use crate::session::transport;

fn through(port: u16, vhost: &Vhost, query: &str) -> Box<dyn Transport> {
    let direct = format!(":{}/", Broker::shared().port());
    let url = vhost.url().replace(&direct, &format!(":{port}/"));
    transport(&TransportUrl::parse(&format!("{url}{query}")).unwrap()).unwrap()
}

async fn listen(transport: &dyn Transport) -> Result<Box<dyn Consumer>, TransportError> {
    let to = [(Target::new("neutron", "notifications"), Priority::Info)];
    let options = ListenOptions::new(Some("p"), 10, Declare::Create, QueueKind::OSLO);
    transport.listen(&to, &options).await
}

#[tokio::test]
async fn a_connection_over_which_nothing_comes_any_more_is_given_up() {
    let vhost = Broker::shared().vhost("half-open");
    let proxy = FaultyProxy::before(Broker::shared().port());
    let transport = through(proxy.port(), &vhost, "?heartbeat_timeout_threshold=2");
    let mut consumer = listen(&*transport).await.unwrap();
    // Heartbeats keep a quiet connection open for longer than the silence limit.
    let mut batch = Batch::with_limit(1);
    let poll = consumer.poll(&mut batch);
    assert!(tokio::time::timeout(Duration::from_secs(5), poll).await.is_err(), "heartbeats pass");
    proxy.set(NetworkFault::Stall);
    let stalled = Instant::now();
    let poll = tokio::time::timeout(Duration::from_secs(60), consumer.poll(&mut batch));
    let error = poll.await.expect("the silence is noticed").expect_err("nothing came");
    assert!(error.is_recoverable() && !error.is_refused_access(), "{error}");
    assert!(stalled.elapsed() < Duration::from_secs(30), "{:?}", stalled.elapsed());
}

#[tokio::test]
async fn a_connection_cut_at_any_byte_of_its_opening_is_a_recoverable_failure() {
    let vhost = Broker::shared().vhost("cut");
    let proxy = FaultyProxy::before(Broker::shared().port());
    let transport = through(proxy.port(), &vhost, "");
    // The start alone is some 500 bytes; the whole opening less than 1000.
    for bytes in [0, 1, 7, 8, 300, 520, 560, 600, 640, 700] {
        proxy.set(NetworkFault::CutAfter(bytes));
        if let Err(error) = listen(&*transport).await {
            assert!(error.is_recoverable() && !error.is_refused_access(), "{bytes}: {error}");
        }
    }
    assert!(proxy.cuts() >= 5, "{}", proxy.cuts());
    proxy.set(NetworkFault::Refuse);
    let error = listen(&*transport).await.err().expect("refused");
    assert!(
        matches!(&error, TransportError::Connect { reason, .. } if reason.contains("refused")),
        "{error}"
    );
    proxy.set(NetworkFault::Delay(Duration::from_millis(1)));
    listen(&*transport).await.unwrap().close().await;
}

/// A firewall that drops packets must not keep the next host from being tried. The paused clock advances only when the
/// time-out is all that is left to wait for.
#[tokio::test(start_paused = true)]
async fn a_host_that_neither_accepts_nor_refuses_costs_a_time_out_and_no_more() {
    let vhost = Broker::shared().vhost("backlog");
    let silent = FullBacklog::start();
    let transport = through(silent.port(), &vhost, "");
    let started = tokio::time::Instant::now();
    let error = listen(&*transport).await.err().expect("no answer");
    assert!(
        matches!(&error, TransportError::Connect { reason, .. } if reason.contains("no answer within")),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(15));
}
