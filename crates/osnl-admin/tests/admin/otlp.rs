//! The export of spans to a collector that is away, busy, or refuses.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl::action::http::{HttpOptions, Url};
use osnl::metrics::Counters;
use osnl::native::{OtlpConf, Sources, load_texts};
use osnl_admin::Exporter;
use osnl_core::trace::{Span, SpanId, SpanKind, TraceContext};
use osnl_testkit::{Reply, Sink, wait_until};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "0123456789abcdef-secret";
const SOON: Duration = Duration::from_secs(20);

fn conf(lines: &str) -> OtlpConf {
    let text = format!(
        "[listener:l]\ntransport_url = rabbit://u:p@h/\nexchange = x\npool = p\n[rule:r]\nactions = a\n[action:a]\ndriver = dump\n\
         [journal]\nconnection = memory://\n[otlp]\n{lines}"
    );
    let loaded = load_texts(&[("f".to_owned(), text)], &Sources::default());
    loaded.unwrap_or_else(|errors| panic!("{errors}")).conf.otlp.unwrap()
}

fn span(name: &str) -> Span {
    let now = SystemTime::now();
    Span {
        context: TraceContext { trace: "ab".repeat(16), parent: None, flags: "01".to_owned() },
        id: SpanId::of_attempt(name, now),
        parent: Some(SpanId::of_attempt("parent", now)),
        name: name.to_owned(),
        kind: SpanKind::Client,
        begin: now,
        end: now + Duration::from_millis(3),
        attributes: vec![("action.name", "roles".into())],
        error: Some("refused".to_owned()),
    }
}

struct RunningExport {
    counters: Arc<Counters>,
    stop: CancellationToken,
    task: JoinSet<()>,
}

impl RunningExport {
    fn start(collector: &Sink) -> Self {
        let counters = Arc::<Counters>::default();
        let conf = conf(&format!(
            "traces_endpoint = {}\nauthorization = Bearer {TOKEN}",
            collector.url("/v1/traces")
        ));
        assert!(!format!("{conf:?}").contains(TOKEN));
        let exporter = Exporter::new(&conf, &HttpOptions::default(), &counters).unwrap().unwrap();
        let (stop, mut task) = (CancellationToken::new(), JoinSet::new());
        task.spawn(exporter.run(stop.clone()));
        Self { counters, stop, task }
    }

    async fn end(mut self) -> Arc<Counters> {
        self.stop.cancel();
        while let Some(ended) = self.task.join_next().await {
            ended.unwrap();
        }
        self.counters
    }
}

/// The names of the spans of a request.
fn names(body: &[u8]) -> Vec<String> {
    let body: Value = serde_json::from_slice(body).unwrap();
    let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    spans.iter().map(|span| span["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_span_is_an_object_of_otlp_and_the_last_ones_go_out_at_the_end() {
    let collector = Sink::start();
    collector.reply_with(Reply::Status(200));
    let running = RunningExport::start(&collector);
    running.counters.series.traces.record(|| span("one"));
    running.counters.series.traces.record(|| span("two"));
    let counters = running.end().await;
    let requests = collector.requests();
    let request = &requests[0];
    assert_eq!((requests.len(), request.target.as_str()), (1, "/v1/traces"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("authorization"), Some(&*format!("Bearer {TOKEN}")));
    assert_eq!(names(&request.body), ["one", "two"]);
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let resource = body["resourceSpans"][0]["resource"]["attributes"].to_string();
    assert!(resource.contains(r#"{"key":"service.name","value":{"stringValue":"osnl"}}"#), "{resource}");
    let written = &body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    let is_hex = |value: &Value, length: usize| {
        value.as_str().is_some_and(|id| id.len() == length && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    assert!(is_hex(&written["traceId"], 32) && is_hex(&written["spanId"], 16), "{written}");
    assert!(is_hex(&written["parentSpanId"], 16) && written["kind"] == 3, "{written}");
    let nanoseconds = |name: &str| written[name].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(nanoseconds("endTimeUnixNano") - nanoseconds("startTimeUnixNano"), 3_000_000);
    assert_eq!(written["status"], serde_json::json!({"code": 2, "message": "refused"}));
    assert_eq!((counters.series.traces.exported.get(), counters.series.traces.dropped.get()), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_gets_the_batch_again_and_one_that_refuses_does_not() {
    let collector = Sink::start();
    collector.script(vec![Reply::Status(503), Reply::Reset]);
    collector.reply_with(Reply::Status(200));
    let running = RunningExport::start(&collector);
    running.counters.series.traces.record(|| span("kept"));
    let requests = collector.wait_for(3, SOON);
    assert!(requests.iter().all(|request| names(&request.body) == ["kept"]));
    collector.reply_with(Reply::Status(400));
    running.counters.series.traces.record(|| span("refused"));
    collector.wait_for(4, SOON);
    wait_until(SOON, "the refusal is heard", || running.counters.series.traces.dropped.get() == 1);
    collector.reply_with(Reply::StatusWith {
        status: 200,
        headers: Vec::new(),
        body: br#"{"partialSuccess": {"rejectedSpans": "1"}}"#.to_vec(),
    });
    running.counters.series.traces.record(|| span("old"));
    running.counters.series.traces.record(|| span("new"));
    let counters = running.end().await;
    let requests = collector.requests();
    let last: Vec<_> = requests[3..].iter().flat_map(|request| names(&request.body)).collect();
    assert_eq!(last, ["refused", "old", "new"]);
    assert_eq!((counters.series.traces.exported.get(), counters.series.traces.dropped.get()), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_collector_is_away_spans_without_room_are_dropped_and_the_end_does_not_wait_for_it() {
    let collector = Sink::start();
    collector.reply_with(Reply::Hang);
    let running = RunningExport::start(&collector);
    for n in 0..20_000 {
        running.counters.series.traces.record(|| span(&n.to_string()));
    }
    assert!(running.counters.series.traces.dropped.get() > 10_000);
    let begun = std::time::Instant::now();
    running.end().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn an_endpoint_is_kept_as_it_is_written() {
    let conf = conf("traces_endpoint = https://collector.example.com/otlp/v1/traces");
    assert_eq!(conf.traces_endpoint, Url::parse("https://collector.example.com/otlp/v1/traces").unwrap());
}
