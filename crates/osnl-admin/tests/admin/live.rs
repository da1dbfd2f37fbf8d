use std::sync::Arc;

use osnl::intake::{Intake as _, RuleEngine};
use osnl::journal::memory::{MemoryJournal, MemoryLimits};
use osnl::live::MOST_READERS;
use osnl::metrics::Counters;
use osnl::rule::Rule;
use osnl_model::{NotificationFilter, Pattern};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use crate::page::{Site, csrf, header, received};

const SECTION: &str = "listen = 127.0.0.1:0\ntoken = 0123456789abcdef-secret";

pub(crate) fn engine(site: &Site) -> RuleEngine {
    let counters = Arc::<Counters>::default();
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(1000), counters.clone()));
    let filter = NotificationFilter {
        event_type: Some(Pattern::new(r"^port\.").unwrap()),
        ..NotificationFilter::default()
    };
    let rule = Rule { name: "r<b>".into(), actions: vec!["a&b".into()], filter, ..Rule::default() };
    RuleEngine::new(vec![rule], journal, counters).with_onlooker(site.handler.live_events().clone())
}

async fn notify(engine: &RuleEngine, event_type: &str, payload: Value) {
    let body = json!({"message_id": "m1", "event_type": event_type, "publisher_id": "p", "payload": payload});
    engine.reserve(1).await;
    drop(engine.notify(received(body.to_string())));
}

struct Events {
    stream: BufReader<TcpStream>,
    head: String,
    text: String,
}

impl Events {
    async fn open(site: &Site, path: &str, head: &str) -> Self {
        let mut stream = TcpStream::connect(site.running.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut own = Self { stream: BufReader::new(stream), head: String::new(), text: String::new() };
        while !own.head.ends_with("\r\n\r\n") {
            assert!(own.stream.read_line(&mut own.head).await.unwrap() > 0, "{}", own.head);
        }
        own
    }

    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(event);
            }
            let mut length = String::new();
            self.stream.read_line(&mut length).await.unwrap();
            let length = usize::from_str_radix(length.trim(), 16).unwrap();
            let mut piece = vec![0; length + 2];
            self.stream.read_exact(&mut piece).await.unwrap();
            if length == 0 {
                return None;
            }
            self.text.push_str(std::str::from_utf8(&piece[..length]).unwrap());
        }
    }

    async fn data(&mut self) -> Value {
        loop {
            let event = self.next().await.unwrap();
            if let Some((_, data)) = event.split_once("\ndata: ").filter(|_| event.starts_with("id: ")) {
                return serde_json::from_str(data).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_publisher_cannot_end_an_event_or_begin_another() {
    let site = Site::start(SECTION).await;
    let session = site.log_in().await;
    let engine = engine(&site);
    let mut events = Events::open(&site, "/live/events", &session).await;
    for line in ["HTTP/1.1 200 OK", "content-type: text/event-stream", "cache-control: no-store", "nosniff"] {
        assert!(events.head.contains(line), "{}", events.head);
    }
    assert_eq!(events.next().await.as_deref(), Some("retry: 2000"));
    let evil = "\n\nevent: ended\rdata: x\r\n\r\nid: 99\u{2028}\u{202e}\u{1b}[2J<script>\u{feff}";
    let long = "x".repeat(1 << 20);
    notify(
        &engine,
        &format!("port.{evil}"),
        json!({"port": {"id": evil, "name": evil}, "password": "hunter2"}),
    )
    .await;
    notify(&engine, &long, json!({"id": long})).await;
    notify(&engine, "port.delete.end", json!({"port_id": "7b2f", "secret": "hunter2"})).await;
    let mut data = Vec::new();
    while data.len() < 3 {
        let event = events.next().await.unwrap();
        let lines: Vec<&str> = event.split(['\n', '\r']).collect();
        if event.starts_with(':') {
            continue;
        }
        assert!(lines.len() == 2 && lines[1].starts_with("data: {"), "{event}");
        assert_eq!(lines[0], format!("id: {}", data.len() + 1));
        assert!(event.len() < 16_000, "{} bytes", event.len());
        for bad in ["\u{2028}", "\u{202e}", "\u{1b}", "\u{feff}", "hunter2"] {
            assert!(!event.contains(bad), "{bad:?} in {event}");
        }
        data.push(serde_json::from_str::<Value>(&lines[1][6..]).unwrap());
    }
    let evil = data[0]["event_type"].as_str().unwrap();
    assert!(evil.starts_with("port.\\n\\nevent: ended\\rdata: x\\r\\n"), "{evil}");
    assert_eq!(data[0]["outcome"], "r<b> → a&b");
    assert_eq!(data[1]["outcome"], "no rule matched");
    assert_eq!(data[2]["payload"], r#"{"port_id":"7b2f","secret":"***"}"#);
    site.running.end().await;
}

#[tokio::test]
async fn a_stream_is_filtered_goes_on_and_ends_with_its_session_and_with_the_daemon() {
    let site = Site::start(SECTION).await;
    let (session, other) = (site.log_in().await, site.log_in().await);
    let engine = engine(&site);
    let mut ports = Events::open(&site, "/live/events?event_type=port.*.end&outcome=matched", &session).await;
    let mut all = Events::open(&site, "/live/events", &other).await;
    for event_type in ["image.delete", "port.create.end", "port.create.start"] {
        notify(&engine, event_type, json!({})).await;
    }
    assert_eq!(ports.data().await["event_type"], "port.create.end");
    assert_eq!(all.data().await["event_type"], "image.delete");
    // A browser that reconnects sends the number of its last event.
    let again = format!("{other}Last-Event-ID: 1\r\n");
    let mut again = Events::open(&site, "/live/events?after=3", &again).await;
    assert_eq!(again.data().await["event_type"], "port.create.end");

    let own = csrf(&site.read("/", &session).await);
    let (status, _) = site.running.ask("POST", "/logout", &session, &format!("csrf={own}")).await;
    assert_eq!(status, 303);
    notify(&engine, "port.update.end", json!({})).await;
    loop {
        match ports.next().await.unwrap() {
            event if event.starts_with("event: ended") => break,
            event => assert!(event.starts_with("id: "), "{event}"),
        }
    }
    assert_eq!(ports.next().await, None);
    let read = async {
        let mut last = String::new();
        while let Some(event) = all.next().await {
            last = event;
        }
        last
    };
    let (last, ()) = tokio::join!(read, site.running.end());
    assert!(last.contains("port.update.end"), "{last}");
}

#[tokio::test]
async fn readers_are_bounded_and_need_a_session() {
    let site = Site::start(SECTION).await;
    let session = site.log_in().await;
    let (status, _) = site.running.get("/live/events").await;
    assert_eq!(status, 401);
    let (status, _) = site.running.ask("POST", "/live/events", &session, "").await;
    assert_eq!(status, 405);
    let (status, answer) = site.running.ask("GET", "/live/events?outcome=maybe", &session, "").await;
    assert!(status == 400 && answer.contains("any, matched, or unmatched"), "{answer}");
    let mut streams = Vec::new();
    for _ in 0..MOST_READERS {
        streams.push(Events::open(&site, "/live/events", &session).await);
    }
    // A further stream replaces the oldest, which receives the reason. Other requests are answered as usual.
    streams.push(Events::open(&site, "/live/events", &session).await);
    site.read("/", &session).await;
    let mut oldest = streams.remove(0);
    while let Some(event) = oldest.next().await {
        assert!(["retry: 2000", "event: ended\ndata: readers"].contains(&&*event), "{event}");
    }
    assert!(streams.iter().all(|stream| stream.head.contains(" 200 ")));
    site.running.end().await;
}

#[tokio::test]
async fn without_script_the_page_shows_the_latest_events() {
    let site = Site::start(SECTION).await;
    let session = site.log_in().await;
    let engine = engine(&site);
    let page = site.read("/live", &session).await;
    let policy = header(&page, "content-security-policy");
    assert!(
        policy.contains("script-src 'self'; connect-src 'self'") && !policy.contains("unsafe"),
        "{policy}"
    );
    notify(&engine, "port.<b>\u{202e}", json!({"port": {"id": "<i>"}, "password": "hunter2"})).await;
    for n in 0..60 {
        notify(&engine, &format!("image.{n}"), json!({})).await;
    }
    // The engine judges an event before the page lists it.
    let listed = async {
        loop {
            let page = site.read("/live", &session).await;
            if page.contains(">image.59</td>") {
                break page;
            }
        }
    };
    let page = timeout(Duration::from_secs(60), listed).await.unwrap();
    assert_eq!(page.matches("<tr><td").count(), 50, "{page}");
    assert!(!page.contains(">image.9</td>"), "{page}");
    assert!(page.contains("data-stream=\"/live/events?\" data-after=\"61\""), "{page}");
    let page = site.read("/live?event_type=port&resource=%3Ci%3E&outcome=matched", &session).await;
    for words in ["port.&#60;b&#62;\\u{202e}", "port &#60;i&#62;", "r&#60;b&#62; → a&#38;b", "***"] {
        assert!(page.contains(words), "{words} in {page}");
    }
    let stream = "/live/events?event_type=port&#38;resource=%3Ci%3E&#38;outcome=matched";
    assert!(page.contains(&format!("data-stream=\"{stream}\"")), "{page}");
    let (_, html) = page.split_once("\r\n\r\n").unwrap();
    let script = "<script src=\"/page.js\" defer></script>";
    for bad in ["<script", "<b>", "<i>", "\u{202e}", "hunter2", "style=", " onclick"] {
        assert!(!html.replace(script, "").contains(bad), "{bad} in {html}");
    }
    let (status, page) =
        site.running.ask("GET", &format!("/live?resource={}", "x".repeat(201)), &session, "").await;
    assert!(status == 400 && page.contains("longer than 200 bytes"), "{page}");
    let script = site.read("/page.js", "").await;
    assert!(header(&script, "content-type").contains("text/javascript"), "{script}");
    for bad in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("] {
        assert!(!script.contains(bad), "{bad}");
    }
    site.running.end().await;
}
