//! The cost of an object that is known already: the answer of the cache, and keeping it with the delivery.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::join_all;
use osnl::action::Event;
use osnl::delivery::Prepare as _;
use osnl::enrich::{EnrichError, Enricher, Enrichments, Kind, Limits, Lookup, LookupAnswer};
use osnl::journal::sqlite::{SqliteJournal, SqliteOptions};
use osnl::journal::{ClaimLimits, Entry, Journal, NewDelivery};
use osnl::metrics::Counters;
use osnl::received::{Origin, ReceivedMessage};
use osnl_transport::BoxFuture;
use serde_json::{Value, json};

/// Events between two looks at the clock.
const BATCH: u32 = 1000;
/// Deliveries that are kept with what was found.
const KEPT: u32 = 20_000;

/// Knows one server, as nova describes it in about 1.2 kB.
struct OneServer(Arc<Value>);

impl Lookup for OneServer {
    fn fetch<'a>(&'a self, _: Kind, _: &'a str) -> BoxFuture<'a, Result<LookupAnswer, EnrichError>> {
        Box::pin(std::future::ready(Ok(LookupAnswer::There(self.0.clone()))))
    }

    fn target(&self) -> String {
        "nobody".to_owned()
    }
}

/// Prints `HIT KEPT`: nanoseconds for an event whose server is remembered, of `rounds` the fastest; nanoseconds of CPU for
/// keeping that with a delivery in a journal in `file`, which must not be there.
#[expect(clippy::print_stdout, reason = "a command line tool: its output is its purpose")]
pub(crate) async fn run(file: &str, rounds: u64) -> Result<()> {
    let options = SqliteOptions { allow_volatile: true, ..SqliteOptions::new(file) };
    let journal = Arc::new(SqliteJournal::open(options, Arc::new(Counters::default()))?);
    let enricher = Enricher::new(Arc::new(OneServer(Arc::new(server()))), Limits::default());
    let enrichments = Enrichments::of(&[("server", Kind::Server, enricher)], journal.clone());
    let event = event(0)?;
    let found = enrichments.prepare(&event).await?.context("nothing was found")?;
    let mut hit = Duration::MAX;
    for _ in 0..rounds {
        let began = Instant::now();
        for _ in 0..BATCH {
            let found = enrichments.prepare(&event).await?.context("nothing was found")?;
            ensure!(found.learnt.objects.is_empty(), "it was not remembered");
        }
        hit = hit.min(began.elapsed() / BATCH);
    }
    let mut permit = journal.reserve(&["a".into()], KEPT as usize).await;
    let mut receipts = Vec::new();
    for n in 1..=KEPT {
        let event = self::event(n)?;
        if permit.places() == 0 {
            permit.merge(journal.reserve(&["a".into()], KEPT as usize).await);
        }
        let deliveries = vec![NewDelivery::new("r", "a", None)];
        let (received, notification) = (event.received, event.notification);
        receipts.push(journal.append(&mut permit, Entry { received, notification, deliveries }));
    }
    join_all(receipts).await;
    let mut claimed = Vec::new();
    while claimed.len() < KEPT as usize {
        claimed.extend(journal.claim("a", ClaimLimits::in_order(KEPT as usize)).await);
    }
    let before = cpu()?;
    join_all(claimed.iter().map(|one| journal.enriched(one.id, &found.enriched, Default::default()))).await;
    let kept = (cpu()? - before) / KEPT;
    println!("{} {}", hit.as_nanos(), kept.as_nanos());
    journal.close().await;
    Ok(())
}

/// User and system time of this process, in hundredths of a second as Linux counts it.
fn cpu() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().context("no stat")?.split_whitespace().collect();
    let ticks = |n: usize| -> Result<u64> { Ok(fields.get(n).context("no field")?.parse()?) };
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
}

fn event(n: u32) -> Result<Event> {
    let body = json!({
        "event_type": "port.create.end", "message_id": format!("m{n}"), "publisher_id": "network.host1",
        "payload": {"port": {"id": format!("port-{n}"), "device_id": "5ac1d5a5-1cbc-4f5d-8f4f-6bd3a7c6a001"}},
    });
    let origin = Origin {
        listener: "l".into(),
        queue: "q".into(),
        exchange: "neutron".to_owned(),
        routing_key: "notifications.info".to_owned(),
        redelivered: false,
        received: SystemTime::now(),
    };
    let received = ReceivedMessage {
        body: body.to_string().into(),
        properties: Default::default(),
        origin,
        noted: Default::default(),
    };
    let notification = received.decode()?;
    Ok(Event::new(received, notification, "r", "a"))
}

/// In the form that nova's API reference documents.
fn server() -> Value {
    json!({
        "id": "5ac1d5a5-1cbc-4f5d-8f4f-6bd3a7c6a001", "name": "web 1", "status": "ACTIVE",
        "tenant_id": "16f266df259941c7bedf4e5d8802eaf4", "user_id": "6f99ed1c21e64e00a4ce1a8fe9c192fd",
        "metadata": {"Owner": "ops", "ApplicationName": "shop", "EnvironmentCI": "production"},
        "hostId": "2091634baaccdc4c5a1d57069c833e402921df696b7f970791b12ec6",
        "image": {"id": "441d58b5-3117-4991-8b83-7ecabc196179", "links": [{"rel": "bookmark",
            "href": "http://nova.example.com:8774/images/441d58b5-3117-4991-8b83-7ecabc196179"}]},
        "flavor": {"id": "1", "links": [{"rel": "bookmark", "href": "http://nova.example.com:8774/flavors/1"}]},
        "created": "2024-05-06T07:08:09Z", "updated": "2024-05-06T07:08:39Z",
        "addresses": {"private": [{"addr": "10.0.0.5", "version": 4, "OS-EXT-IPS:type": "fixed",
            "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:4c:2c:30"}]},
        "accessIPv4": "", "accessIPv6": "", "OS-DCF:diskConfig": "AUTO", "OS-EXT-AZ:availability_zone": "nova",
        "OS-EXT-STS:power_state": 1, "OS-EXT-STS:task_state": null, "OS-EXT-STS:vm_state": "active",
        "config_drive": "", "key_name": null, "progress": 0, "security_groups": [{"name": "default"}]
    })
}
