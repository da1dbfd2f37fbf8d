use futures_util::FutureExt as _;
use osnl_testkit::fixture;
use osnl_transport::BoxFuture;
use serde_json::{Value, json};

use super::super::*;
use super::told;
use osnl_action::ActionError;

#[derive(Debug)]
struct RecordedServers;

impl Servers for RecordedServers {
    fn dependency(&self) -> std::sync::Arc<str> {
        "recorded".into()
    }

    fn server_of_port<'a>(&'a self, port: &'a str) -> BoxFuture<'a, Result<Option<String>, ActionError>> {
        let id = (port == "c5330e6d-3205-477b-8692-e791283a6bae")
            .then(|| "33333333-aaaa-4bbb-8ccc-000000000001".to_owned());
        std::future::ready(Ok(id)).boxed()
    }

    fn instance<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<KnownServer>, ActionError>> {
        let metadata = serde_json::from_str(r#"{"Owner": "alice", "ApplicationName": "shop"}"#).unwrap();
        let instance = KnownInstance {
            id: Some(id.to_owned()),
            display_name: Some("web 1".to_owned()),
            os: Some("Ubuntu".to_owned()),
            root_gb: Some(20),
            memory_mb: Some(2048),
            vcpus: Some(2),
            created_at: Some("2024-05-06T07:08:09Z".to_owned()),
            metadata: Some(metadata),
            ..KnownInstance::default()
        };
        let server = KnownServer { instance, nics: Vec::new() };
        std::future::ready(Ok(Some(server))).boxed()
    }

    fn os_of_image<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<String>, ActionError>> {
        std::future::ready(Ok(None)).boxed()
    }
}

fn form(commit: &str) -> NodeForm {
    let keys = match &commit[..7] {
        "b29e25e" => DetailKeys::Documented,
        "03cf388" => DetailKeys::Flattened,
        "c0d28a0" => DetailKeys::Metadata,
        other => panic!("{other}"),
    };
    NodeForm { keys, ..NodeForm::default() }
}

fn calls(body: &str, form: &NodeForm) -> Vec<(bool, String)> {
    let lists = Lists::default();
    let event_type = serde_json::from_str::<Value>(body).unwrap()["event_type"].clone();
    let event_type = event_type.as_str().unwrap_or_default();
    let happened = told(&mut Memory::default(), body, &lists);
    let happened = happened
        .into_iter()
        .map(|one| completed(one, &RecordedServers).now_or_never().unwrap().unwrap().happened);
    let told = happened.filter(|one| one.not.is_none());
    told.map(|one| {
        let text = BodyForm::Json.text(&form.node_detail(&one)).unwrap();
        (lists.created(event_type, one.what).unwrap(), text)
    })
    .collect()
}

/// The first version has the keys of the document, and these values instead of the document's.
fn as_documented(mut node: Value) -> Value {
    let gib = |ram: i64| if ram % 1024 == 0 { json!(ram / 1024) } else { json!(ram as f64 / 1024.0) };
    node["Ram"] = node["Ram"].as_i64().map_or(Value::Null, gib);
    node["CreationDate"] = node["CreationDate"].as_str().map_or(Value::Null, |date| date[..10].into());
    node["AdditionalUsers"] = node["AdditionalUsers"].as_str().map_or(json!([]), |name| json!([name]));
    node
}

/// Except for the values of the document, the node details equal the original's byte for byte. Where stock services made
/// the original fail, the reference is its output for patched services.
#[test]
fn every_recorded_input_gives_the_node_details_of_every_version() {
    let file = fixture::text("oss/original-behaviour.json");
    let recorded: Value = serde_json::from_str(&file).unwrap();
    let mut checked = 0;
    for (name, input) in recorded["inputs"].as_object().unwrap() {
        for (commit, result) in recorded["results"][name].as_object().unwrap() {
            let right = match name.as_str() {
                "floatingip.update.end associate, stock neutron" => {
                    "floatingip.update.end associate, patched neutron (top-level port_id)"
                }
                "legacy delete.end, stock nova (no fixed_ips)"
                | "floatingip.update.end disassociate, stock neutron" => {
                    let found = calls(&input.to_string(), &form(commit));
                    assert_eq!(found.len(), 1, "{name}");
                    assert!(!found[0].0, "{name}");
                    continue;
                }
                name => name,
            };
            let expected: Vec<(bool, Value)> = recorded["results"][right][commit]["plugin_calls"]
                .as_array()
                .unwrap()
                .iter()
                .map(|call| {
                    let node = call["node_detail"].clone();
                    let is_documented = form(commit).keys == DetailKeys::Documented;
                    let node = if is_documented { as_documented(node) } else { node };
                    (call["created"].as_bool().unwrap(), node)
                })
                .collect();
            let found = calls(&input.to_string(), &form(commit));
            let values: Vec<(bool, Value)> =
                found.iter().map(|(created, text)| (*created, serde_json::from_str(text).unwrap())).collect();
            assert_eq!(values, expected, "{name} {commit} {}", result["uncaught"]);
            checked += 1;
        }
    }
    assert_eq!(checked, 21);
}

#[test]
fn the_text_is_that_of_the_recorded_runs() {
    let body = r#"{"event_type": "compute.instance.create.end", "message_id": "1", "priority": "INFO", "publisher_id": "p",
        "timestamp": "2024-05-06 07:08:09.000000",
        "payload": {"instance_id": "i", "hostname": "web-1", "image_meta": {"os": "Ubuntü"}, "disk_gb": 25,
        "memory_mb": 2048, "vcpus": 2, "created_at": "2024-05-06 07:08:09+00:00", "fixed_ips": [{"address": "10.0.0.7"}],
        "metadata": {"Owner": "a&b", "IP": "no", "A": "<"}}}"#;
    let check = |keys: DetailKeys, body_as: BodyForm, expected: &str| {
        let happened = told(&mut Memory::default(), body, &Lists::default()).remove(0);
        let form = NodeForm { keys, ..NodeForm::default() };
        assert_eq!(body_as.text(&form.node_detail(&happened)).unwrap(), expected);
    };
    check(
        DetailKeys::Documented,
        BodyForm::Json,
        r#"{"FQDN": "web-1", "IP": "10.0.0.7", "IPType": "Public", "OS": "Ubunt\u00fc", "Storage": 25, "Ram": 2, "CPU": 2, "Datacenter": "KDC", "SecurityDomain": "DQT", "Owner": "a&b", "AdditionalUsers": [], "ApplicationName": null, "EnvironmentCI": null, "Description": null, "CreationDate": "2024-05-06"}"#,
    );
    let flat = r#"{"Hostname": "web-1", "IP": "10.0.0.7", "ID": "i", "IPType": "Public", "OS": "Ubunt\u00fc", "Storage": 25, "Ram": 2048, "CPU": 2, "Datacenter": "KDC", "SecurityDomain": "DQT", "CreationDate": "2024-05-06 07:08:09+00:00", "Owner": "a&b", "A": "<"}"#;
    check(DetailKeys::Flattened, BodyForm::Json, flat);
    check(
        DetailKeys::Metadata,
        BodyForm::Json,
        r#"{"Hostname": "web-1", "IP": "10.0.0.7", "ID": "i", "IPType": "Public", "OS": "Ubunt\u00fc", "Storage": 25, "Ram": 2048, "CPU": 2, "Datacenter": "KDC", "SecurityDomain": "DQT", "Metadata": {"Owner": "a&b", "IP": "no", "A": "<"}, "CreationDate": "2024-05-06 07:08:09+00:00"}"#,
    );
    let wrapped = |json: &str| {
        format!(
            "<execution-context  xmlns=\"http://www.vmware.com/vco\"><parameters><parameter name=\"nodeDetails\" \
             type=\"string\"><string>{json}</string></parameter></parameters></execution-context>"
        )
    };
    let escaped = flat.replace("a&b", "a&amp;b").replace('<', "&lt;");
    check(DetailKeys::Flattened, BodyForm::Xml, &wrapped(&escaped));
}

#[test]
fn the_values_of_the_document_are_gib_a_day_and_a_list() {
    let form = NodeForm::default();
    let check = |memory_mb: Option<i64>, created_at: &str, users: Value, expected: Value| {
        let metadata = std::iter::once(("AdditionalUsers".to_owned(), users)).collect();
        let instance = KnownInstance {
            memory_mb,
            created_at: Some(created_at.to_owned()),
            metadata: Some(metadata),
            ..KnownInstance::default()
        };
        for what in [What::Instance, What::Allocated] {
            let instance = instance.clone();
            let happened = Occurrence { what, ip: None, port: None, instance, part: None, not: None };
            let node = serde_json::to_value(form.node_detail(&happened)).unwrap();
            let found = json!([node["Ram"], node["CreationDate"], node["AdditionalUsers"]]);
            assert_eq!(found, expected);
        }
    };
    check(Some(8192), "2015-03-19 18:44:01+00:00", Value::Null, json!([8, "2015-03-19", []]));
    check(Some(512), "2015-03-19T18:44:01Z", json!(""), json!([0.5, "2015-03-19", []]));
    check(None, "2015-03-19T18:44:01.123456", json!("ops, dev"), json!([null, "2015-03-19", ["ops", "dev"]]));
    check(Some(1024), "yesterday", json!("[\"ops\"]"), json!([1, "yesterday", ["ops"]]));
    let odd = json!([{"$serde_json::private::RawValue": "[1]"}]);
    check(None, "yesterday", odd.to_string().into(), json!([null, "yesterday", odd]));
}
