//! `shards = N` of the action `publish` on a real broker.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use osnl_action::driver::{Probe, ProbeContext, ProbeVerdict};
use osnl_actions::broker::shards_probe;
use osnl_model::{Notification, TransportUrl, resource_key, shard_of};
use osnl_net::http::HttpOptions;
use osnl_testkit::{Broker, Vhost, wait_until};
use osnl_transport::{MemoryBroker, RabbitTransport, Shards, Transport as _};

use super::publish::KeyReader;
use super::{native, publish_ports, start};
use crate::harness::{instance, port_deleted, publish};

fn action(vhost: &Vhost, shards: u32) -> String {
    format!("driver = publish\ntransport_url = {}\nshards = {shards}\nformat = raw", vhost.url())
}

/// Makes the queue of a shard as its daemon does, and leaves it.
fn made(vhost: &Vhost, shard: u32) {
    drop(reading(vhost, shard));
}

fn reading(vhost: &Vhost, shard: u32) -> KeyReader {
    let all = Shards::new(Shards::EXCHANGE, NonZeroU32::MIN);
    KeyReader::from_queue(vhost, &all.queue(shard), (Shards::EXCHANGE, Shards::TOPIC, &shard.to_string()))
}

/// Returns the number of messages in the queue of a shard without a reader.
fn depth(vhost: &Vhost, shard: u32) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let transport =
        RabbitTransport::new(TransportUrl::parse(&vhost.url()).unwrap(), Default::default()).unwrap();
    let name = format!("osnl-shard-{shard}");
    let depth = runtime.block_on(async { transport.queue_access().unwrap().depth(&name).await });
    depth.unwrap().unwrap().into()
}

/// Asks as `osnl check --connect` does whether this number of shards may begin.
fn number_of_shards(vhost: &Vhost, shards: u32) -> Probe {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = TransportUrl::parse(&vhost.url()).unwrap();
    let shards = Shards::new(Shards::EXCHANGE, NonZeroU32::new(shards).unwrap());
    let http = HttpOptions::default();
    let context = ProbeContext { section: "action:shards", http: &http, deadline: Duration::from_secs(30) };
    let probes = runtime.block_on(shards_probe(context, &url, &Default::default(), &shards));
    probes.into_iter().find(|probe| probe.what.starts_with("number of shards")).unwrap()
}

#[test]
fn each_resource_has_one_shard_and_its_order() {
    let vhost = Broker::shared().vhost("publish-shards");
    (0..4).for_each(|shard| made(&vhost, shard));
    let folder = tempfile::tempdir().unwrap();
    let broker = MemoryBroker::new();
    let daemon = start(&native(folder.path(), &action(&vhost, 4)), &broker);
    for round in 0..5 {
        for n in 0..12 {
            publish(&broker, &port_deleted(&instance(n), &format!("10.0.{n}.{round}")));
        }
    }
    // A request for two ports is one notification for each, as two shards may need it.
    let port = |n: usize| port_deleted(&instance(n), &format!("10.0.{n}.5"))["port"].clone();
    publish(&broker, &serde_json::json!({"ports": [port(0), port(1)]}));
    daemon.wait_until("all are confirmed", |c| c.delivered.get() == 62);
    daemon.stop().unwrap();
    let mut rounds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut ids = std::collections::BTreeSet::new();
    for shard in 0..4 {
        let depth = depth(&vhost, shard);
        let mut reader = reading(&vhost, shard);
        for _ in 0..depth {
            let message = reader.next();
            assert_eq!(message.routing_key, format!("shard.{shard}"));
            let event = Notification::decode(&message.body).unwrap();
            let key = resource_key(&event).unwrap();
            assert_eq!(shard_of(&key, NonZeroU32::new(4).unwrap()), shard, "{key}");
            let address = event.payload["port"]["fixed_ips"][0]["ip_address"].as_str().unwrap().to_owned();
            assert!(ids.insert(event.unique_id.unwrap()), "two messages with one id");
            rounds.entry(key).or_default().push(address);
        }
    }
    assert_eq!((rounds.len(), ids.len()), (12, 62));
    for (key, addresses) in rounds {
        let mut ordered = addresses.clone();
        ordered.sort();
        assert_eq!(addresses, ordered, "{key}");
    }
}

#[test]
fn a_shard_without_a_queue_waits_and_the_others_go_on() {
    let vhost = Broker::shared().vhost("publish-unbound-shard");
    made(&vhost, 0);
    let folder = tempfile::tempdir().unwrap();
    let broker = MemoryBroker::new();
    let more = format!("{}\nmax_attempts = 1\nretry_interval = 100ms", action(&vhost, 2));
    let daemon = start(&native(folder.path(), &more), &broker);
    publish_ports(&broker, 0..100);
    daemon.wait_for_log("no queue is bound to exchange osnl-shards with key shard.1");
    let first = |n: &usize| {
        let payload = port_deleted(&instance(*n), "10.0.0.1");
        let event =
            Notification { event_type: Some("port.delete.end".into()), payload, ..Default::default() };
        shard_of(&resource_key(&event).unwrap(), NonZeroU32::new(2).unwrap()) == 0
    };
    let of_first = (0..100).filter(first).count() as u64;
    assert!(of_first > 20 && of_first < 80, "{of_first}");
    daemon.wait_until("the other shard has its events", |c| c.delivered.get() == of_first);
    made(&vhost, 1);
    daemon.wait_until("the rest is delivered", |c| c.delivered.get() == 100);
    assert_eq!(
        (daemon.counters.dead.get(), depth(&vhost, 0), depth(&vhost, 1)),
        (0, of_first, 100 - of_first)
    );
    daemon.stop().unwrap();
}

#[test]
fn another_number_waits_until_the_former_shards_are_empty_and_unread() {
    let vhost = Broker::shared().vhost("publish-other-shards");
    (0..3).for_each(|shard| made(&vhost, shard));
    let started = |shards: u32, broker: &MemoryBroker| {
        let folder = tempfile::tempdir().unwrap();
        let more = format!("{}\nretry_interval = 100ms", action(&vhost, shards));
        (start(&native(folder.path(), &more), broker), folder)
    };
    let broker = MemoryBroker::new();
    let (daemon, _folder) = started(2, &broker);
    publish_ports(&broker, 0..20);
    daemon.wait_until("all are published", |c| c.delivered.get() == 20);
    // The number is kept on, also when its queue is deleted.
    let count = Shards::new(Shards::EXCHANGE, NonZeroU32::new(2).unwrap()).count_queue();
    vhost.delete_queue(&count);
    // The broker may tell of the deletion behind a message that is published meanwhile.
    let mut published = 20;
    wait_until(Duration::from_secs(30), "the number is kept anew", || {
        publish_ports(&broker, published..published + 1);
        published += 1;
        daemon.wait_until("one more is published", |c| c.delivered.get() == published as u64);
        vhost.queue_depth(&count).is_some()
    });
    let other = MemoryBroker::new();
    let (waiting, _other_folder) = started(3, &other);
    publish_ports(&other, 0..20);
    waiting.wait_for_log("a publisher with shards = 2 is connected");
    daemon.stop().unwrap();
    let reader = reading(&vhost, 0);
    waiting.wait_for_log("consumers: 1");
    assert_eq!(waiting.counters.delivered.get(), 0);
    for shard in 0..2 {
        vhost.purge_queue(&format!("osnl-shard-{shard}"));
    }
    // What a reader holds unacknowledged is in no count of ready messages.
    waiting.wait_for_log("messages: 0, consumers: 1");
    assert_eq!(waiting.counters.delivered.get(), 0);
    drop(reader);
    // What waits for its release in a dead letter queue has the order of the former shards too.
    let letters = "osnl-shard-1.dead";
    let letters_reader = KeyReader::from_queue(&vhost, letters, (Shards::EXCHANGE, Shards::TOPIC, "nothing"));
    let held = format!("{letters} has messages: 0, consumers: 1");
    waiting.wait_for_log(&held);
    let found = number_of_shards(&vhost, 3);
    assert!(found.verdict == ProbeVerdict::Failed && found.found.contains(&held), "{found:?}");
    drop(letters_reader);
    wait_until(Duration::from_secs(30), "its messages are back", || depth(&vhost, 0) > 0);
    vhost.purge_queue("osnl-shard-0");
    waiting.wait_until("the new number is taken up", |c| c.delivered.get() == 20);
    assert_eq!((0..3).map(|shard| depth(&vhost, shard)).sum::<u64>(), 20);
    waiting.stop().unwrap();
}
