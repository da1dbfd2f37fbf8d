use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use osnl::control::{IncidentKind, IncidentSeverity};
use osnl_admin::metrics::{FAMILIES, MetricKind, MetricsFormat, render, table};
use regex::Regex;
use serde::de::DeserializeOwned;
use serde_json::Value;

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

/// Returns the rules as installed, and with the alert that is off turned on.
fn rules() -> [String; 2] {
    let installed = read("packaging/prometheus/osnl.rules.yml");
    let (before, rest) = installed.split_once("of the lines below.\n").unwrap();
    let (block, after) = rest.split_once("      - alert: OsnlBacklogOld").unwrap();
    let all = format!("{before}\n{}      - alert: OsnlBacklogOld{after}", block.replace("      #", "      "));
    [installed, all]
}

fn samples() -> Vec<(String, Vec<&'static str>)> {
    let mut all = vec![("up".to_owned(), vec!["job"])];
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
    let metric = Regex::new(r"\b((?:osnl|process)_[a-z_]+|up)\b(\{[^}]*\})?").unwrap();
    let label = Regex::new(r"([a-z_]+)\s*(?:=~|!~|!=|=)").unwrap();
    let value = Regex::new(r#"([a-z_]+)\s*(?:=~|!~|!=|=)\s*"([^"]*)""#).unwrap();
    let words = words();
    let mut named = BTreeSet::from(["instance", "job"]);
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
                    ("osnl_attention", "kind") => is_word::<IncidentKind>(chosen),
                    ("osnl_attention", "severity") => is_word::<IncidentSeverity>(chosen),
                    (_, label) => words.get(label).is_none_or(|words| words.contains(chosen)),
                };
                assert!(is_known, "{place}: no {label} of {name} is {chosen:?}");
            }
        }
    }
    assert!(metrics > 0, "{place}: {query} names no metric of osnl");
    for grouped in Regex::new(r"\bby \(([^)]*)\)").unwrap().captures_iter(query) {
        for name in grouped[1].split(',').map(str::trim) {
            assert!(named.contains(name), "{place}: {query} groups by {name}");
        }
    }
}

#[test]
fn alert_rules_name_metrics_that_exist_and_have_a_runbook() {
    let ([installed, rules], book) = (rules(), read("docs/monitoring.md"));
    let alert = Regex::new(r"- alert: (\w+)\n\s+expr: (.*)\n").unwrap();
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

#[test]
fn promtool_plays_every_alert() {
    let folder = tempfile::tempdir().unwrap();
    let [installed, all] = rules();
    let promtool = |args: &[&str], rules: &str, expected: &str| {
        fs::write(folder.path().join("osnl.rules.yml"), rules).unwrap();
        let output = Command::new("promtool").args(args).current_dir(folder.path()).output();
        let output =
            output.unwrap_or_else(|error| panic!("promtool: {error}; cargo xtask setup installs it"));
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && said.contains(expected), "{said}");
    };
    promtool(&["check", "rules", "osnl.rules.yml"], &installed, "SUCCESS");
    let tests = read("packaging/prometheus/osnl.rules.test.yml");
    fs::write(folder.path().join("osnl.rules.test.yml"), &tests).unwrap();
    promtool(&["test", "rules", "osnl.rules.test.yml"], &all, "SUCCESS");
    let page = ["file:///usr/share/doc/osnl/monitoring.md", "https://book.example.com/monitoring.html"];
    fs::write(folder.path().join("osnl.rules.test.yml"), tests.replace(page[0], page[1])).unwrap();
    promtool(&["test", "rules", "osnl.rules.test.yml"], &all.replacen(page[0], page[1], 1), "SUCCESS");
}

#[test]
fn every_query_of_the_dashboard_names_metrics_that_exist() {
    let dashboard: Value = serde_json::from_str(&read("packaging/grafana/osnl.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut queries = 0;
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            check_query(title, target["expr"].as_str().unwrap());
            queries += 1;
        }
        let place = &panel["gridPos"];
        let (x, w) = (place["x"].as_u64().unwrap(), place["w"].as_u64().unwrap());
        assert!(x + w <= 24, "{title} does not fit");
    }
    assert!(queries > 20, "{queries} queries");
    check_query("instance", dashboard["templating"]["list"][1]["query"].as_str().unwrap());
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
