//! Bodies in hand are bounded in bytes, whatever the prefetch: RabbitMQ keeps the rest.

use std::time::Duration;

use osnl_model::{Priority, Target};
use osnl_testkit::Broker;
use osnl_transport::{Batch, Declare, Outgoing, QueueKind, Window};

use crate::session::{options, rabbit, targets, within};

const MIB: usize = 1 << 20;

/// 100 messages of a MiB are there and a prefetch of 200, but only as many as are in 64 MiB come, and what one read of the client library brings. What is settled
/// lets others in, and nothing is lost or comes twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_is_not_read_while_too_much_is_unsettled() {
    let vhost = tokio::task::block_in_place(|| Broker::shared().vhost("in-hand"));
    let transport = rabbit(&vhost);
    let to = targets(&["neutron"], &[Priority::Info]);
    let options = options(Some("pool"), 200, Declare::Create, QueueKind::OSLO);
    let mut consumer = within(transport.listen(&to, &options)).await.unwrap();
    let target = Target::new("neutron", "notifications");
    for n in 0..100_u32 {
        let mut body = n.to_be_bytes().to_vec();
        body.resize(MIB, b' ');
        within(transport.send(&target, &Priority::Info, Outgoing::json(body))).await.unwrap();
    }

    let mut window = Window::new(consumer.subscription().epoch);
    let (mut seen, mut unsettled) = (Vec::new(), Vec::new());
    // Until nothing comes for a while, though all has been sent.
    let mut batch = Batch::with_limit(200);
    while let Ok(polled) = tokio::time::timeout(Duration::from_secs(1), consumer.poll(&mut batch)).await {
        polled.unwrap();
        window.admit(&batch);
        unsettled.extend(batch.drain());
    }
    assert!((65..=70).contains(&unsettled.len()), "{}", unsettled.len());

    loop {
        for message in unsettled.drain(..) {
            seen.push(u32::from_be_bytes(*message.body.first_chunk().unwrap()));
            window.acknowledge(message).unwrap();
        }
        within(consumer.flush(&mut window)).await.unwrap();
        if seen.len() == 100 {
            break;
        }
        within(consumer.poll(&mut batch)).await.unwrap();
        window.admit(&batch);
        unsettled.extend(batch.drain());
    }
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    within(consumer.close()).await;
    transport.close().await;
}
