//! AMQP 1.0 of the real RabbitMQ: a plugin of release 3, and a part of release 4 (`cargo xtask test --broker 4`).
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::time::Duration;

use osnl_amqp1::{Amqp1Options, Amqp1Transport};
use osnl_model::{Priority, Target, TransportUrl};
use osnl_testkit::conformance::{BrokerRig, Rabbit, SampleMessage, UnsettledMessages};
use osnl_testkit::{Authority, Broker, FaultyProxy, ServerIdentity, wait_until};
use osnl_transport::{
    Batch, Declare, ListenOptions, OutgoingMessage, QueueKind, RabbitTransport, Transport, TransportError,
    Window,
};

osnl_testkit::conformance!(RabbitAddresses);

const ADDRESS: &str = "unicast.neutron.notifications.info";

/// Queues under the names of addresses, which RabbitMQ 3 creates at the attach. The suite names queues by its pool, which
/// has no effect.
struct RabbitAddresses {
    rabbit: Rabbit,
    proxy: FaultyProxy,
}

impl BrokerRig for RabbitAddresses {
    async fn start() -> Self {
        let rabbit = Rabbit::start().await;
        tokio::task::block_in_place(|| rabbit.0.offer_amqp1());
        Self { rabbit, proxy: FaultyProxy::before(Broker::shared().port()) }
    }

    /// The plugin marks no message as delivered before, and passes on no header.
    fn lacks() -> &'static [&'static str] {
        &[
            "what_is_unsettled_at_the_close_comes_again_in_order_and_marked",
            "bytes_and_properties_arrive_as_they_were_sent",
            "after_each_of_many_lost_connections_every_unsettled_message_comes_again",
        ]
    }

    fn transport(&self) -> Box<dyn Transport> {
        let (port, name) = (self.proxy.port(), self.rabbit.0.name());
        transport_for(&format!(
            "amqp://guest:guest@127.0.0.1:{port}/vhost%3A{name}?pseudo_vhost=false&addressing_mode=legacy"
        ))
    }

    async fn make_exchange(&mut self, _: &str) {}

    async fn publish(&mut self, mut samples: Vec<SampleMessage>) {
        for sample in &mut samples {
            let exchange = std::mem::take(&mut sample.exchange);
            sample.routing_key = format!("unicast.{exchange}.{}", sample.routing_key);
        }
        self.rabbit.publish(samples).await;
    }

    fn depth(&self, _: &str) -> UnsettledMessages {
        self.rabbit.depth(ADDRESS)
    }

    fn close_connections(&self) {
        self.proxy.cut();
    }

    fn delete_queue(&self, _: &str) {
        self.rabbit.delete_queue(ADDRESS);
    }

    /// RabbitMQ 3 ends the connection of a deleted queue, and names none.
    fn queue(_: &str) -> &str {
        ""
    }
}

fn transport_for(url: &str) -> Box<dyn Transport> {
    let url = TransportUrl::parse(url).unwrap();
    Box::new(Amqp1Transport::new(&url, Amqp1Options::from_query(&url).unwrap()).unwrap())
}

fn neutron() -> [(Target, Priority); 1] {
    [(Target::new("neutron", "notifications"), Priority::Info)]
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it takes too long")
}

/// Reads messages, and acknowledges each; the first with `released` comes again. Returns the bodies.
async fn read(
    transport: &dyn Transport,
    options: &ListenOptions,
    count: usize,
    mut released: Option<&str>,
) -> Vec<String> {
    let to = neutron();
    let mut consumer = within(transport.listen(&to, options)).await.unwrap();
    let mut window = Window::new(consumer.subscription().epoch);
    let (mut bodies, mut batch) = (Vec::new(), Batch::with_limit(200));
    while bodies.len() < count {
        within(consumer.poll(&mut batch)).await.unwrap();
        window.admit(&batch);
        for message in batch.drain() {
            bodies.push(String::from_utf8(message.body.to_vec()).unwrap());
            match released.take_if(|body| bodies.last().is_some_and(|last| last == body)) {
                Some(_) => window.requeue(message).unwrap(),
                None => window.acknowledge(message).unwrap(),
            }
        }
        within(consumer.flush(&mut window)).await.unwrap();
    }
    consumer.close().await;
    bodies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_compete_and_a_released_message_comes_again() {
    let mut rig = RabbitAddresses::start().await;
    let (transport, to) = (rig.transport(), neutron());
    let mut readers = Vec::new();
    for pool in [Some("p"), None] {
        let options = ListenOptions::new(pool, 10, Declare::Passive, QueueKind::OSLO);
        readers.push(within(transport.listen(&to, &options)).await.unwrap());
    }
    assert!(!transport.features().counts && within(readers[0].waiting()).await.unwrap().is_empty());
    let remarks = readers[0].subscription().remarks.join("\n");
    assert!(remarks.contains("pool \"p\" has no effect") && remarks.contains("to one reader"), "{remarks}");
    rig.publish(vec![SampleMessage::new("0"), SampleMessage::new("1")]).await;
    let mut batches = [Batch::with_limit(10), Batch::with_limit(10)];
    for (reader, batch) in readers.iter_mut().zip(&mut batches) {
        within(reader.poll(batch)).await.unwrap();
        assert_eq!(batch.len(), 1, "each has a share");
    }
    let mut window = Window::new(readers[0].subscription().epoch);
    window.admit(&batches[0]);
    for message in batches[0].drain() {
        assert_eq!((&*message.queue, message.exchange.as_str()), (ADDRESS, "neutron"));
        window.requeue(message).unwrap();
    }
    within(readers[0].quiesce()).await.unwrap();
    within(readers[0].flush(&mut window)).await.unwrap();
    within(readers[1].poll(&mut batches[1])).await.unwrap();
    assert_eq!(batches[1].len(), 2);
}

/// RabbitMQ 4 accepts `amqp://` at the port of `rabbit://`, and no service publishes there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_addresses_of_services_are_refused_on_rabbitmq() {
    let rig = RabbitAddresses::start().await;
    let (port, to) = (rig.proxy.port(), neutron());
    let transport = transport_for(&format!(
        "amqp://guest:guest@127.0.0.1:{port}/vhost%3A{}?pseudo_vhost=false",
        rig.rabbit.0.name()
    ));
    let options = ListenOptions::new(None, 10, Declare::Passive, QueueKind::OSLO);
    let error = within(transport.listen(&to, &options)).await.err().expect("no listener");
    assert!(error.is_recoverable() && error.to_string().contains("the broker is RabbitMQ"), "{error:?}");
    let remedy = transport.remedy(&error, &to, &options);
    assert!(remedy.is_some_and(|remedy| remedy.contains("write rabbit://")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_rabbitmq_is_read_by_tls_and_plain_and_again_after_a_restart() {
    let broker = tokio::task::block_in_place(Broker::start_refusing_plain_addresses);
    let prefix = tokio::task::block_in_place(|| broker.root().offer_amqp1());
    let authority = Authority::new();
    let port =
        tokio::task::block_in_place(|| broker.tls_port(&authority.issue(&ServerIdentity::LOOPBACK), None));
    let ca = authority.file();
    let encrypted = |user: &str| format!("amqps://{user}@localhost:{port}/?ssl_ca_file={}", ca.display());
    let plain = format!("amqp://guest:guest@127.0.0.1:{}/", broker.port());
    let rabbit = RabbitTransport::from_url(&TransportUrl::parse(&broker.url()).unwrap()).unwrap();
    let of_queue = ListenOptions::new(
        Some("osnl1"),
        200,
        Declare::Create,
        QueueKind { durable: true, ..QueueKind::OSLO },
    );
    let address = |name: &str| {
        ListenOptions::new(Some(&format!("{prefix}{name}")), 200, Declare::Nothing, QueueKind::OSLO)
    };
    read(&rabbit, &of_queue, 0, None).await;
    let target = Target::new("neutron", "notifications");
    let send = async |numbers: std::ops::Range<u32>| {
        for number in numbers {
            let message = OutgoingMessage::json(number.to_string().into_bytes());
            within(rabbit.send(&target, &Priority::Info, message)).await.unwrap();
        }
    };
    let becomes_empty = || {
        tokio::task::block_in_place(|| {
            wait_until(Duration::from_secs(60), "all are accepted", || {
                broker.root().queue_depth("osnl1") == Some((0, 0))
            });
        });
    };

    let refused = async |url: &str, queue: &str| {
        let to = neutron();
        within(transport_for(url).listen(&to, &address(queue))).await.err().expect("no listener")
    };
    let error = refused(&encrypted("guest:wrong"), "osnl1").await;
    assert!(matches!(error, TransportError::LoginRefused { .. }), "{error:?}");
    let remedy = transport_for(&plain).remedy(&error, &[], &address("osnl1"));
    assert!(remedy.is_some_and(|remedy| remedy.contains("sasl_mechanisms")), "{error}");
    let error = refused(&encrypted("guest:guest"), "missing").await;
    assert!(
        error.is_missing() && error.is_recoverable() && error.to_string().contains("missing"),
        "{error:?}"
    );

    if prefix == "/queues/" {
        let (plain, plain_address) = (
            transport_for(&plain),
            ListenOptions::new(Some("osnl1"), 200, Declare::Nothing, QueueKind::OSLO),
        );
        let to = neutron();
        let error = within(plain.listen(&to, &plain_address)).await.err().expect("no listener");
        let remedy = plain.remedy(&error, &to, &plain_address);
        assert!(remedy.is_some_and(|remedy| remedy.contains("queue = /queues/NAME")), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }

    send(0..3).await;
    let mut bodies = read(&*transport_for(&encrypted("guest:guest")), &address("osnl1"), 4, Some("1")).await;
    bodies.sort();
    assert_eq!(bodies, ["0", "1", "1", "2"]);
    becomes_empty();

    let to = neutron();
    let amqp1 = transport_for(&plain);
    let mut consumer = within(amqp1.listen(&to, &address("osnl1"))).await.unwrap();
    tokio::task::block_in_place(|| broker.stop_app());
    let end = within(consumer.ended()).await;
    assert!(end.is_recoverable() && !end.is_refused_access(), "{end:?}");
    tokio::task::block_in_place(|| {
        broker.start_again();
        broker.root().offer_amqp1();
    });
    // The restart has removed the exchange of the service, and the binding with it.
    read(&rabbit, &of_queue, 0, None).await;
    // More than the 2048 messages of a session's window.
    send(0..2500).await;
    let bodies = read(&*amqp1, &address("osnl1"), 2500, None).await;
    assert!(bodies.into_iter().eq((0..2500).map(|number| number.to_string())));
    becomes_empty();
}
