use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl::control::{
    Incident, LagStatus, MeasuredAction, MeasuredJournal, MeasuredListener, Measurements, PartitionLag,
};
use osnl::dead_letters::DeadLetterQueueState;
use osnl::journal::query::RowState;
use osnl::metrics::Counters;
use osnl_admin::metrics::{FAMILIES, MetricKind, MetricsFormat, ProcessNumbers, render};
use osnl_core::attempt::{Completion, ErrorClass};
use osnl_core::metrics::{StreamKind, StreamState};
use osnl_model::Notification;
use osnl_transport::QueueSeen;

pub(crate) fn measurements(actions: usize, rules: usize) -> Measurements {
    let counters = Arc::<Counters>::default();
    let timestamp = Some("2026-11-20 06:36:22.662155".to_owned());
    let notification = Notification { timestamp, ..Notification::default() };
    let now = SystemTime::now();
    let listener = counters.series.listener("neutron");
    listener.arrived(&notification, now);
    listener.appended(&notification);
    listener.types.count(Some("port.\"create\".end"));
    counters.series.commits.observe(Duration::from_millis(3));
    counters.series.canary.begin(Duration::from_secs(60), tokio::time::Instant::now());
    let action = |n: usize| {
        let name: Arc<str> = format!("action-{n:03}").into();
        let series = counters.series.action(&name);
        series.attempted(Some(ErrorClass::Timeout));
        series.attempted(Some(ErrorClass::Status(503)));
        series.attempted(None);
        series.done(&Completion::Delivered("x".to_owned()), &notification, 17);
        MeasuredAction {
            name,
            state: Some("down"),
            series,
            under_way: 1,
            restarts: (n == 0).then_some(0),
            certificate_ends: (n == 0).then_some(1_900_000_000),
            deliveries: [(RowState::Ready, 4), (RowState::Dead, 1)].into(),
            oldest_pending: Some(now),
        }
    };
    Measurements {
        started: now,
        listeners: vec![MeasuredListener {
            name: "neutron".into(),
            state: "listening",
            is_stalled: false,
            series: listener,
            last_message: Some(now),
            waiting: vec![("osnl".into(), QueueSeen { messages: 3, consumers: 2 })],
            lag: Some(LagStatus {
                group: "osnl".to_owned(),
                messages: None,
                partitions: (0..3)
                    .map(|n: i32| PartitionLag {
                        topic: "notifications.info".to_owned(),
                        partition: n,
                        lag: (n > 0).then_some(7),
                        ..PartitionLag::default()
                    })
                    .collect(),
            }),
            certificate_ends: Some(1_900_000_000),
            gaps: [0, 1],
        }],
        actions: (0..actions).map(action).collect(),
        rules: (0..rules).map(|n| (format!("rule-{n:04}").into(), n as u64)).collect(),
        guards: vec![("rule", "r\"\\".into(), true)],
        streams: vec![StreamState {
            kind: StreamKind::Rule,
            name: "r".into(),
            expect: osnl_config::Rate { keys: 1, within: Duration::from_secs(60) },
            last: None,
            is_silent: true,
        }],
        journal: MeasuredJournal {
            state: "ok",
            is_readable: true,
            bytes: Some(1 << 20),
            max_bytes: Some(1 << 30),
            free_bytes: Some(1 << 33),
            quarantined: Some(1),
            dead_letters: vec![DeadLetterQueueState {
                queue: "osnl.dead".to_owned(),
                count: Some(2),
                trouble: None,
            }],
        },
        loaded: now,
        is_reloaded: true,
        incidents: vec![incident()],
        counters,
    }
}

fn incident() -> Incident {
    serde_json::from_value(serde_json::json!({
        "kind": "exchange-missing", "severity": "warning", "subject": "listener neutron", "actions": [],
        "listeners": ["neutron"], "what": "", "why": null, "since": null, "since_seconds": null, "waiting": 0,
        "oldest_seconds": null, "for_release": 0, "must_act": "operator", "to_do": null, "by_itself": null,
        "symptoms": [],
    }))
    .unwrap()
}

#[test]
fn promtool_finds_nothing_wrong_with_any_metric() {
    let process = ProcessNumbers::read().unwrap();
    let text = render(&measurements(2, 2), Some(&process), MetricsFormat::Prometheus);
    for family in FAMILIES {
        let sample = match family.kind {
            MetricKind::Histogram => format!("\n{}_bucket{{", family.name),
            MetricKind::Counter | MetricKind::Gauge | MetricKind::Info => format!("\n{}", family.sample()),
        };
        assert!(text.contains(&sample), "no sample of {}", family.name);
    }
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("promtool: {error}; cargo xtask setup installs it"));
    tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}

#[test]
fn an_incident_is_one_sample_with_its_subject_and_a_reason_of_bounded_length() {
    let mut measured = measurements(1, 1);
    let why = format!("status 500: \"{}\"", "é".repeat(1000));
    let one = &mut measured.incidents[0];
    (one.why, one.what) = (Some(why.clone()), "since 4 s".to_owned());
    let sample = |measured: &Measurements| {
        let text = render(measured, None, MetricsFormat::Prometheus);
        let all: Vec<String> =
            text.lines().filter(|line| line.starts_with("osnl_attention{")).map(str::to_owned).collect();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    };
    let reason: String = why.chars().take(200).collect();
    let expected = format!("reason=\"{}\"}} 1", reason.replace('"', "\\\""));
    let found = sample(&measured);
    assert!(found.ends_with(&expected) && found.contains("subject=\"listener neutron\""), "{found}");
    // The words of a broken part have numbers.
    measured.incidents[0].why = None;
    assert!(sample(&measured).ends_with("reason=\"\"} 1"));
}

#[test]
fn a_thousand_rules_and_a_hundred_actions_take_less_than_300_kib() {
    let measured = measurements(100, 1000);
    let text = render(&measured, None, MetricsFormat::OpenMetrics);
    assert!(text.len() < 300 * 1024, "{} bytes", text.len());
}
