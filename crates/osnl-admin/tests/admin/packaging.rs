use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use osnl::control::{Incident, IncidentKind, IncidentSeverity, Measurements};
use osnl::dead_letters::DeadLetterQueueState;
use osnl_admin::metrics::{FAMILIES, MetricKind, MetricsFormat, render, table};
use regex::Regex;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::promtool::measurements;

/// The page of runbooks, which one rule of the file names.
const RUNBOOKS: &str = r#"'{{ range query "osnl:runbooks" }}{{ .Labels.url }}{{ end }}"#;
const STANDBY: &str = "OsnlStandbyMissing";

fn root(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn rules() -> [String; 2] {
    let installed = read("packaging/prometheus/osnl.rules.yml");
    let (before, rest) = installed.split_once("of the lines below.\n").unwrap();
    let (block, after) = rest.split_once("      - alert: OsnlAttentionCritical").unwrap();
    let all = format!(
        "{before}\n{}      - alert: OsnlAttentionCritical{after}",
        block.replace("      #", "      ")
    );
    [installed, all]
}

fn samples() -> Vec<(String, Vec<&'static str>)> {
    let mut all = vec![("up".to_owned(), vec!["job"])];
    // The series that the rules record of osnl_attention.
    let of_incident = ["job", "instance", "kind", "cause", "severity", "subject", "broker", "reason"];
    all.push(("osnl:incident".to_owned(), of_incident.to_vec()));
    for family in FAMILIES {
        match family.kind {
            MetricKind::Histogram => {
                for ending in ["_bucket", "_sum", "_count"] {
                    let labels = family.labels.iter().copied().chain(["le"]).collect();
                    all.push((format!("{}{ending}", family.name), labels));
                }
            }
            MetricKind::Counter | MetricKind::Gauge | MetricKind::Info => {
                all.push((family.sample(), family.labels.to_vec()))
            }
        }
    }
    all
}

fn words() -> BTreeMap<&'static str, BTreeSet<String>> {
    let text = render(&measurements(2, 1), None, MetricsFormat::Prometheus);
    let label = Regex::new(r#"\b(state|result|outcome|kind)="([^"]*)""#).unwrap();
    let mut words: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for found in label.captures_iter(&text) {
        let (_, [name, value]) = found.extract();
        let known = ["state", "result", "outcome", "kind"].into_iter().find(|known| *known == name).unwrap();
        words.entry(known).or_default().insert(value.to_owned());
    }
    words
}

fn is_word<T: DeserializeOwned>(text: &str) -> bool {
    serde_json::from_value::<T>(Value::from(text)).is_ok()
}

fn check_query(place: &str, query: &str) {
    let known = samples();
    let metric = Regex::new(r"\b((?:osnl|process)_[a-z_]+|osnl:incident|up)\b(\{[^}]*\})?").unwrap();
    let label = Regex::new(r"([a-z_]+)\s*(?:=~|!~|!=|=)").unwrap();
    let value = Regex::new(r#"([a-z_]+)\s*(?:=~|!~|!=|=)\s*"([^"]*)""#).unwrap();
    let words = words();
    // The labels of a scraped daemon, in Kubernetes too.
    let mut named = BTreeSet::from(["instance", "job", "pod"]);
    let mut metrics = 0;
    for found in metric.captures_iter(query) {
        let name = &found[1];
        let Some((_, labels)) = known.iter().find(|(known, _)| known == name) else {
            panic!("{place}: there is no metric {name}")
        };
        metrics += 1;
        named.extend(labels);
        for selected in found.get(2).iter().flat_map(|selector| label.captures_iter(selector.as_str())) {
            let selected = selected.get(1).unwrap().as_str();
            assert!(
                labels.contains(&selected) || ["instance", "job"].contains(&selected),
                "{place}: {name} has no label {selected}"
            );
        }
        let selector = found.get(2).map_or("", |selector| selector.as_str());
        for (_, [label, values]) in value.captures_iter(selector).map(|found| found.extract()) {
            for chosen in values.split('|') {
                let is_known = match (name, label) {
                    ("osnl_attention" | "osnl:incident", "kind") => is_word::<IncidentKind>(chosen),
                    ("osnl_attention" | "osnl:incident", "severity") => is_word::<IncidentSeverity>(chosen),
                    (_, label) => words.get(label).is_none_or(|words| words.contains(chosen)),
                };
                assert!(is_known, "{place}: no {label} of {name} is {chosen:?}");
            }
        }
    }
    assert!(metrics > 0, "{place}: {query} names no metric of osnl");
    for grouped in Regex::new(r"\b(?:by|without) \(([^)]*)\)").unwrap().captures_iter(query) {
        for name in grouped[1].split(',').map(str::trim) {
            assert!(named.contains(name), "{place}: {query} groups by {name}");
        }
    }
}

#[test]
fn alert_rules_name_metrics_that_exist_and_have_a_runbook() {
    let ([installed, rules], book) = (rules(), read("docs/monitoring.md"));
    let alert = Regex::new(r"- alert: (\w+)\n\s+expr: (.*)\n").unwrap();
    let recorded = Regex::new(r"- record: osnl:incident\n\s+expr: (.*)\n").unwrap();
    let recorded = recorded.captures(&rules).unwrap();
    check_query("osnl:incident", &recorded[1]);
    let mut alerts = BTreeSet::new();
    for found in alert.captures_iter(&rules) {
        let name = &found[1];
        check_query(name, &found[2]);
        assert!(book.contains(&format!("\n### {name}\n")), "docs/monitoring.md has no runbook of {name}");
        let link = format!("{RUNBOOKS}#{}'\n", name.to_lowercase());
        let behind = &rules[found.get(0).unwrap().end()..];
        let own = behind.split("- alert: ").next().unwrap();
        assert!(own.contains(&link), "{name} links elsewhere");
        alerts.insert(name.to_owned());
    }
    assert_eq!(alerts.len(), rules.matches("- alert:").count());
    let on = installed.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: "));
    let off: Vec<_> = alerts.iter().filter(|name| !on.clone().any(|on| on == *name)).collect();
    assert_eq!(off, [STANDBY]);
    let runbooks: BTreeSet<String> = book
        .lines()
        .filter_map(|line| line.strip_prefix("### Osnl"))
        .map(|name| format!("Osnl{name}"))
        .collect();
    assert_eq!(runbooks, alerts, "runbooks and alerts");
    let tests = read("packaging/prometheus/osnl.rules.test.yml");
    for name in &alerts {
        assert!(tests.contains(&format!("- name: {name} fires")), "{name} is not tested");
        assert!(tests.contains(&format!("{{alertname: {name}, eval_time: 1h, exp_alerts: []}}")), "{name}");
    }
}

fn promtool(folder: &Path, args: &[&str]) {
    let output = Command::new("promtool").args(args).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("promtool: {error}; cargo xtask setup installs it"));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("SUCCESS"), "{said}");
}

#[test]
fn promtool_plays_every_alert() {
    let folder = tempfile::tempdir().unwrap();
    let [installed, all] = rules();
    let play = |args: &[&str], rules: &str| {
        fs::write(folder.path().join("osnl.rules.yml"), rules).unwrap();
        promtool(folder.path(), args);
    };
    play(&["check", "rules", "osnl.rules.yml"], &installed);
    let tests = read("packaging/prometheus/osnl.rules.test.yml");
    fs::write(folder.path().join("osnl.rules.test.yml"), &tests).unwrap();
    play(&["test", "rules", "osnl.rules.test.yml"], &all);
    let page = ["file:///usr/share/doc/osnl/monitoring.md", "https://book.example.com/monitoring.html"];
    fs::write(folder.path().join("osnl.rules.test.yml"), tests.replace(page[0], page[1])).unwrap();
    play(&["test", "rules", "osnl.rules.test.yml"], &all.replacen(page[0], page[1], 1));
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("{name} of {value}"))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} of {value}"))
}

#[test]
fn every_query_of_the_dashboard_names_metrics_that_exist_and_follows_the_variables() {
    let source = read("packaging/grafana/osnl.json");
    let dashboard: Value = serde_json::from_str(&source).unwrap();
    let variables = list(&dashboard["templating"], "list");
    let defined: BTreeSet<&str> = variables.iter().map(|variable| text(variable, "name")).collect();
    let used = Regex::new(r"\$\{?([a-z]\w*)").unwrap();
    let used: BTreeSet<&str> =
        used.captures_iter(&source).map(|found| found.get(1).unwrap().as_str()).collect();
    assert_eq!(used, defined, "variables that are used, and defined");
    let queries = variables.iter().filter(|variable| variable["type"] == "query");
    for (name, query) in queries.map(|variable| (text(variable, "name"), text(variable, "query"))) {
        match name {
            "runbooks" => {
                let [installed, _] = rules();
                assert!(
                    query == "label_values(osnl:runbooks, url)"
                        && installed.contains("record: osnl:runbooks")
                );
            }
            name => check_query(name, query),
        }
    }
    let selector = Regex::new(r"\b((?:osnl|process)_[a-z_]+)\{([^}]*)\}").unwrap();
    let known = samples();
    let mut queries = 0;
    for panel in list(&dashboard, "panels") {
        let title = text(panel, "title");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = text(target, "expr");
            check_query(title, query);
            for (_, [name, selected]) in selector.captures_iter(query).map(|found| found.extract()) {
                let (_, labels) = known.iter().find(|(known, _)| known == name).unwrap();
                let followed = ["listener", "action"].into_iter().filter(|label| labels.contains(label));
                for label in followed.chain(["instance"]) {
                    assert!(
                        selected.contains(&format!("{label}=~\"${label}\"")),
                        "{title}: {query}: {label}"
                    );
                }
            }
            queries += 1;
        }
    }
    assert!(queries > 20, "{queries} queries");
}

/// The samples of a metric that Prometheus has of a daemon in Kubernetes.
fn scraped(measured: &Measurements, instance: &str, metric: &str) -> Vec<String> {
    let text = render(measured, None, MetricsFormat::Prometheus);
    let start = format!("{metric}{{");
    let samples = text.lines().filter_map(|line| line.strip_prefix(start.as_str()));
    samples.map(|rest| format!("{start}instance=\"{instance}\",pod=\"osnl-{instance}\",{rest}")).collect()
}

/// `expected`: what the panel shows by legend, with nothing selected.
fn check_panel(title: &str, samples: &[String], expected: &[(&str, u64)]) {
    let dashboard: Value = serde_json::from_str(&read("packaging/grafana/osnl.json")).unwrap();
    let panel = list(&dashboard, "panels").iter().find(|panel| text(panel, "title") == title).unwrap();
    let variable = Regex::new(r"\$[a-z]+").unwrap();
    let query = |(legend, value): &(&str, u64)| {
        let target = list(panel, "targets").iter().find(|target| text(target, "legendFormat") == *legend);
        let target = target.unwrap_or_else(|| panic!("{title} has no {legend}"));
        let query = variable.replace_all(text(target, "expr"), ".*");
        json!({"expr": query, "eval_time": "0m", "exp_samples": [{"labels": "{}", "value": value}]})
    };
    let series = |sample: &String| {
        let (series, value) = sample.rsplit_once(' ').unwrap();
        json!({"series": series, "values": value})
    };
    let queries: Vec<Value> = expected.iter().map(query).collect();
    let series: Vec<Value> = samples.iter().map(series).collect();
    let test = json!({"tests": [{"interval": "1m", "input_series": series, "promql_expr_test": queries}]});
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("panel.test.yml"), test.to_string()).unwrap();
    promtool(folder.path(), &["test", "rules", "panel.test.yml"]);
}

#[test]
fn the_dashboard_counts_the_letters_of_a_queue_that_two_daemons_share_once() {
    let mut measured = measurements(1, 1);
    // Two brokers have queues of one name.
    for count in [3, 1] {
        let queue = "nova.dead".to_owned();
        measured.journal.dead_letters.push(DeadLetterQueueState { queue, count: Some(count), trouble: None });
    }
    let daemons = ["a", "b"].map(|instance| scraped(&measured, instance, "osnl_dead_letter_queue_messages"));
    check_panel("Need a decision", &daemons.concat(), &[("in dead letter queues", 6)]);
}

#[test]
fn the_dashboard_counts_an_incident_once_however_many_listeners_actions_and_daemons_it_concerns() {
    use IncidentKind::{DeadLetters, ListenerConnecting, PublishersBlocked};
    use IncidentSeverity::{Critical, Warning};
    let incident = |kind: IncidentKind, severity: IncidentSeverity, why: &str| {
        let mut one = measurements(0, 0).incidents.remove(0);
        (one.kind, one.severity, one.why) = (kind, severity, Some(why.to_owned()));
        one.listeners = (0..10).map(|n| format!("listener-{n}")).collect();
        one.actions = vec!["hook".to_owned(), "mail".to_owned()];
        one
    };
    let daemon = |instance: &str, broker: &str, incidents: Vec<Incident>| {
        let measured = Measurements { incidents, ..measurements(0, 0) };
        let samples = scraped(&measured, instance, "osnl_attention");
        let seen_at = format!("broker=\"{broker}\"");
        samples.iter().map(|sample| sample.replace("broker=\"\"", &seen_at)).collect::<Vec<_>>()
    };
    let letters = || incident(DeadLetters, Warning, "status 409");
    let connecting = |why| incident(ListenerConnecting, Critical, why);
    let all = [
        // One alarm of a broker, in the words that each daemon has of it.
        daemon("a", "mq:5672", vec![incident(PublishersBlocked, Critical, "services wait")]),
        daemon("b", "mq:5672", vec![incident(PublishersBlocked, Critical, "all services wait")]),
        // osnl status lists two reasons of one broker as two incidents.
        daemon("a", "", vec![connecting("Connection refused"), connecting("login refused"), letters()]),
        daemon("b", "", vec![letters()]),
    ];
    check_panel("Incidents now", &all.concat(), &[("critical", 3), ("warning", 2)]);
    check_panel("Incidents now", &[], &[("critical", 0), ("warning", 0)]);
}

#[test]
fn panels_of_the_dashboard_have_places_thresholds_and_runbooks_that_exist() {
    let dashboard: Value = serde_json::from_str(&read("packaging/grafana/osnl.json")).unwrap();
    let book = read("docs/monitoring.md");
    let anchor = |link: &Value| text(link, "url").strip_prefix("${runbooks:raw}#").unwrap().to_owned();
    assert!(list(&dashboard, "links").iter().all(|link| {
        book.lines().any(|line| line.to_lowercase().replace(' ', "-") == format!("##-{}", anchor(link)))
    }));
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in list(&dashboard, "panels") {
        let title = text(panel, "title");
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is another panel's");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().unwrap());
        assert!(x + w <= 24, "{title} does not fit");
        let mut cells = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
        assert!(cells.all(|cell| taken.insert(cell)), "{title} covers another panel");
        let kind = text(panel, "type");
        if kind == "row" {
            continue;
        }
        assert!(["stat", "timeseries"].contains(&kind), "{title}: {kind}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        let names: BTreeSet<&str> =
            list(panel, "targets").iter().map(|target| text(target, "refId")).collect();
        assert!(!names.is_empty() && names.len() == list(panel, "targets").len(), "{title}: {names:?}");
        let legends: Vec<&str> =
            list(panel, "targets").iter().map(|target| text(target, "legendFormat")).collect();
        let config = &panel["fieldConfig"];
        let defaults = &config["defaults"]["thresholds"];
        assert!(kind != "stat" || defaults.is_object(), "{title} has no thresholds");
        let mut thresholds = vec![defaults];
        for other in list(config, "overrides") {
            assert!(legends.contains(&text(&other["matcher"], "options")), "{title}: {other}");
            thresholds.extend(list(other, "properties").iter().map(|property| &property["value"]));
        }
        for steps in thresholds.into_iter().filter(|one| one.is_object()).map(|one| list(one, "steps")) {
            let values: Vec<Option<u64>> = steps.iter().map(|step| step["value"].as_u64()).collect();
            assert!(values.len() > 1 && values[0].is_none() && values.is_sorted(), "{title}: {values:?}");
        }
        for link in panel["links"].as_array().into_iter().flatten() {
            let alert = text(link, "title");
            assert_eq!(anchor(link), alert.to_lowercase(), "{title}");
            assert!(book.contains(&format!("\n### {alert}\n")), "{title}: {alert}");
        }
        assert!(kind != "stat" || !list(panel, "links").is_empty(), "{title} links to no runbook");
    }
}

#[test]
fn the_book_has_the_table_of_metrics() {
    let book = read("docs/reference/metrics.md");
    let (begin, end) = ("<!-- metrics: written from the code; a test compares -->\n", "<!-- end -->");
    let (before, rest) = book.split_once(begin).unwrap();
    let (found, after) = rest.split_once(end).unwrap();
    if std::env::var_os("OSNL_UPDATE_SNAPSHOTS").is_some() {
        fs::write(root("docs/reference/metrics.md"), format!("{before}{begin}{}{end}{after}", table()))
            .unwrap();
        return;
    }
    assert!(found == table(), "the table is not current; run this test with OSNL_UPDATE_SNAPSHOTS=1");
}
