//! Dead letter queues on three nodes, of which the one of a reader is lost.

use std::time::{Duration, Instant};

use osnl_model::TransportUrl;
use osnl_testkit::RabbitCluster;
use osnl_transport::{QueuedMessage, Transport};

use crate::session::transport;

const QUEUE: &str = "q.dead";

/// RabbitMQ 4.3 keeps a consumer that is gone with its node for 20 s, as the queue asks. A node does not come back meanwhile.
const SOON: Duration = Duration::from_secs(40);

/// Returns a transport that connects to one node alone.
fn at(cluster: &RabbitCluster, node: usize) -> Box<dyn Transport> {
    let url = format!("rabbit://guest:guest@127.0.0.1:{}/", cluster.ports()[node]);
    transport(&TransportUrl::parse(&url).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_letters_of_a_reader_that_is_gone_with_its_node_are_read_on_another() {
    let cluster = RabbitCluster::start(3);
    let (there, here) = (at(&cluster, 0), at(&cluster, 1));
    let (there, here) = (there.queue_access().unwrap(), here.queue_access().unwrap());
    here.put(QUEUE, true, &vec![QueuedMessage::default(); 3]).await.unwrap();
    let reader = there.take(QUEUE, &|_| true).await.unwrap().unwrap();
    assert_eq!(reader.messages().len(), 3);
    cluster.kill9(0);
    let began = Instant::now();
    let again = loop {
        match here.take(QUEUE, &|_| true).await {
            Ok(again) => break again.unwrap(),
            Err(error) => assert!(began.elapsed() < SOON, "{error}"),
        }
    };
    assert_eq!(again.messages().len(), 3);
}
