use std::task::{Context, Poll, Waker};

use osnl_model::Notification;

use super::*;

fn received(body: String) -> ReceivedMessage {
    ReceivedMessage::sample(body, false)
}

fn body(event_type: &str, payload: &str) -> String {
    format!(
        r#"{{"event_type": "{event_type}", "publisher_id": "p", "message_id": "m", "payload": {payload}}}"#
    )
}

fn show(live: &LiveEvents, event_type: &str, is_matched: bool) {
    show_payload(
        live,
        event_type,
        r#"{"port": {"id": "7b2f", "name": "web"}, "password": "hunter2"}"#,
        is_matched,
    );
}

fn show_payload(live: &LiveEvents, event_type: &str, payload: &str, is_matched: bool) {
    let received = received(body(event_type, payload));
    let notification: Notification = received.decode().unwrap();
    let delivery = || NewDelivery::new("r", "a", None);
    let deliveries: Vec<_> = is_matched.then(delivery).into_iter().collect();
    live.event(&received, &notification, &deliveries);
}

fn taken(reader: &mut LiveReader) -> Vec<Arc<LiveEvent>> {
    let mut all = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(event)) = reader.poll_next(&mut context) {
        all.push(event);
    }
    all
}

fn types(events: &[Arc<LiveEvent>]) -> Vec<&str> {
    events.iter().map(|event| event.event_type.as_deref().unwrap_or_default()).collect()
}

fn filter(set: impl FnOnce(&mut LiveFilter)) -> LiveFilter {
    let mut filter = LiveFilter::default();
    set(&mut filter);
    filter
}

#[tokio::test(start_paused = true)]
async fn a_reader_gets_what_its_filter_lets_through() {
    let live = Arc::<LiveEvents>::default();
    show(&live, "before.any.reader", true);
    let check = |filter: LiveFilter, expected: &[&str]| {
        let mut reader = live.read(filter.clone(), None);
        show(&live, "port.create.end", true);
        show_payload(&live, "image.delete", r#"{"id": "9c"}"#, false);
        assert_eq!(types(&taken(&mut reader)), expected, "{filter:?}");
    };
    check(LiveFilter::default(), &["port.create.end", "image.delete"]);
    check(filter(|f| f.event_type = "port.*end".to_owned()), &["port.create.end"]);
    check(filter(|f| f.publisher_id = "q".to_owned()), &[]);
    check(filter(|f| f.resource = "web".to_owned()), &["port.create.end"]);
    check(filter(|f| f.resource = "9c".to_owned()), &["image.delete"]);
    check(filter(|f| f.listener = "other".to_owned()), &[]);
    check(filter(|f| f.is_matched = Some(true)), &["port.create.end"]);
    check(filter(|f| f.is_matched = Some(false)), &["image.delete"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_is_masked_and_cut() {
    let live = Arc::<LiveEvents>::default();
    let mut reader = live.read(LiveFilter::default(), None);
    show(&live, "port.create.end", true);
    let long = "x".repeat(1 << 20);
    show_payload(&live, &long, &format!(r#"{{"port": {{"id": "{long}"}}, "password": "hunter2"}}"#), true);
    show_payload(&live, "a", &format!(r#"{{"password": "hunter2", "n": "{}"}}"#, &long[..30_000]), true);
    let events = taken(&mut reader);
    let payload = |n: usize| events[n].payload.as_deref();
    assert_eq!(payload(0), Some(r#"{"password":"***","port":{"id":"7b2f","name":"web"}}"#));
    assert_eq!(events[0].resource.as_deref(), Some("port web (7b2f)"));
    assert_eq!(&*events[0].fired[0].0, "r");
    assert_eq!(payload(1), None);
    assert!(events[1].event_type.as_ref().unwrap().len() < 300);
    assert!(events[1].bytes > 1 << 21);
    assert!(payload(2).unwrap().len() < 2100, "{:?}", payload(2));
    assert!(!format!("{events:?}").contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_loses_events_and_learns_how_many_and_others_lose_none() {
    let live = Arc::<LiveEvents>::default();
    let mut slow = live.read(LiveFilter::default(), None);
    let mut quick = live.read(LiveFilter::default(), None);
    let mut seen = 0;
    for second in 0..4 {
        for _ in 0..MOST_A_SECOND {
            show_payload(&live, "a", "{}", false);
        }
        // Beyond the limit, no event is shown until the next second.
        show_payload(&live, "too-many", "{}", false);
        tokio::time::advance(Duration::from_secs(1)).await;
        let events = taken(&mut quick);
        assert!(!types(&events).contains(&"too-many"), "second {second}");
        seen += events.len() as u64;
    }
    let all = u64::from(MOST_A_SECOND + 1) * 4;
    // The runtime limits how many events a task takes at a time.
    tokio::task::yield_now().await;
    assert_eq!(seen + quick.take_missed(), all);
    assert_eq!(taken(&mut slow).len(), ROOM);
    assert_eq!(slow.take_missed(), all - ROOM as u64);
    assert_eq!(slow.take_missed(), 0);
}

#[tokio::test(start_paused = true)]
async fn readers_are_bounded_and_one_that_comes_back_gets_what_it_missed() {
    let live = Arc::<LiveEvents>::default();
    let mut readers: Vec<_> = (0..MOST_READERS).map(|_| live.read(LiveFilter::default(), None)).collect();
    for event_type in ["a", "b", "c"] {
        show(&live, event_type, false);
    }
    let events = taken(&mut readers[0]);
    let numbers: Vec<u64> = events.iter().map(|event| event.id).collect();
    assert_eq!(numbers, [1, 2, 3]);
    // A further reader ends the oldest, after its waiting events.
    let one_more = live.read(LiveFilter::default(), None);
    let mut context = Context::from_waker(Waker::noop());
    let ended: Vec<bool> = readers
        .iter_mut()
        .map(|reader| matches!(reader.poll_next(&mut context), Poll::Ready(None)))
        .collect();
    assert_eq!(ended.iter().position(|ended| *ended), Some(0));
    assert_eq!(ended.iter().filter(|ended| **ended).count(), 1);
    drop((readers, one_more));
    show(&live, "d", false);
    let again = |after: u64| types(&taken(&mut live.read(LiveFilter::default(), Some(after)))).join("");
    assert_eq!(again(2), "cd");
    assert_eq!(again(4), "");
    assert_eq!(again(1 << 40), "abcd");
    // Without a reader for a while, nothing is kept.
    tokio::time::advance(KEPT).await;
    assert!(live.is_watched.load(Ordering::Relaxed));
    show(&live, "e", false);
    assert!(!live.is_watched.load(Ordering::Relaxed));
    assert_eq!(again(0), "");
}

#[tokio::test(start_paused = true)]
async fn a_look_keeps_the_latest_events_for_a_while() {
    let live = Arc::<LiveEvents>::default();
    show(&live, "before", false);
    let ports = filter(|f| f.event_type = "port".to_owned());
    assert!(live.latest(&ports).is_empty());
    for n in 0..RECENT + 5 {
        show_payload(&live, &format!("port.{n}"), "{}", false);
        show_payload(&live, "image", "{}", false);
        tokio::time::advance(Duration::from_millis(20)).await;
    }
    let events = live.latest(&ports);
    assert_eq!((events.len(), types(&events)[0]), (RECENT, "port.104"));
    for n in 0..100 {
        live.latest(&filter(|f| f.event_type = n.to_string()));
    }
    assert_eq!(live.lock().watchers.len(), MOST_READERS);
}

#[tokio::test(start_paused = true)]
async fn a_second_that_is_used_up_costs_intake_nothing_more() {
    let live = Arc::<LiveEvents>::default();
    let mut reader = live.read(LiveFilter::default(), None);
    live.lock().second = Second { begun: Some(Instant::now()), shown: 0, spent: MOST_TIME };
    show(&live, "a", true);
    assert_eq!((taken(&mut reader).len(), reader.take_missed()), (0, 1));
    tokio::time::advance(Duration::from_secs(1)).await;
    show(&live, "b", true);
    assert_eq!(types(&taken(&mut reader)), ["b"]);
}
