use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use osnl_config::template::Names;
use osnl_core::misfit::Misfit;
use osnl_model::{Notification, Priority};
use osnl_net::http::{HeaderMap, Request};
use osnl_testkit::python;
use percent_encoding::percent_decode_str;
use proptest::collection::vec;
use proptest::prelude::*;
use ring::hmac;
use serde_json::{Value, json};

use super::super::message::RequestSubject;
use super::{ABOUT, conf};

fn text() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(vec![
        "\"", "'", "\\", "&", "<", ">", "]]>", "&#10;", "%", "%0d%0a", "\r\n", "\n", "\t", "\0", "\u{1}",
        "\u{7f}", "\u{85}", "\u{2028}", "\u{fffe}", "/", "..", ".", "//", "?", "#", "@", ":", ";", "=", "+",
        " ", "{{ 1 }}", "{%", "ü", "😀", "",
    ]);
    vec(prop_oneof![3 => nasty.prop_map(str::to_owned), 1 => any::<String>(), 1 => "[a-z]{1,5}"], 0..6)
        .prop_map(|pieces| pieces.concat())
}

fn event(value: &str) -> Notification {
    Notification {
        event_type: Some("port.delete.end".into()),
        message_id: Some("m-1".into()),
        payload: json!({"v": value}),
        ..Notification::default()
    }
}

fn made(lines: &str, event: Notification, seconds: u64) -> Result<Request, Misfit> {
    let at = UNIX_EPOCH + Duration::from_secs(seconds);
    conf(lines).0.message.request(&Names::from(event), &ABOUT, at)
}

fn sent(lines: &str, values: &[String]) -> Vec<Result<Request, Misfit>> {
    let conf = conf(lines);
    let request = |value: &String| conf.0.message.request(&Names::from(event(value)), &ABOUT, UNIX_EPOCH);
    values.iter().map(request).collect()
}

fn body(request: &Request) -> &str {
    std::str::from_utf8(&request.body).unwrap()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers[name].to_str().unwrap()
}

fn read(reads: &str, texts: &[&str]) -> Vec<Value> {
    let script =
        format!("import json, sys\n{reads}\nprint(json.dumps([read(t) for t in json.load(sys.stdin)]))");
    serde_json::from_str(&python(&script, &json!(texts).to_string())).unwrap()
}

fn leads_elsewhere(value: &str) -> bool {
    value.split(['/', '\\']).any(|step| matches!(step, "" | "." | ".."))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_value_is_one_segment_of_the_path_or_refused(value in text()) {
        for (url, root) in [("https://h:1/a/{{ payload.v }}/b?c=d", "https://h:1"), ("catalog:dns/a/{{ payload.v }}/b?c=d", "")] {
            let login = if root.is_empty() { "auth = keystone\nauth_url = http://k/\nusername = u\npassword = p" } else { "" };
            let Ok(request) = made(&format!("url = {url}\n{login}"), event(&value), 0) else {
                prop_assert!(leads_elsewhere(&value), "{:?}", value);
                continue;
            };
            prop_assert!(!leads_elsewhere(&value), "{:?}", value);
            let url = request.url;
            if !root.is_empty() {
                prop_assert_eq!(format!("{}://{}", url.scheme(), url.authority()), root);
            }
            let (path, query) = url.path_and_query().split_once('?').unwrap();
            let segments: Vec<&str> = path.split('/').collect();
            prop_assert_eq!(segments.len(), 4);
            prop_assert_eq!((segments[1], segments[3], query), ("a", "b", "c=d"));
            prop_assert_eq!(percent_decode_str(segments[2]).decode_utf8().unwrap(), value.as_str());
        }
    }

    #[test]
    fn a_value_is_one_text_of_the_json_or_the_whole_value(value in text()) {
        let body_of = |line: &str| made(&format!("url = http://h/\nbody = {line}"), event(&value), 0).unwrap();
        let inside: Value = serde_json::from_slice(&body_of(r#"{"a": "<{{ payload.v }}>"}"#).body).unwrap();
        prop_assert_eq!(inside, json!({"a": format!("<{value}>")}));
        let whole: Value = serde_json::from_slice(&body_of(r#"{"a": {{ payload|tojson }}}"#).body).unwrap();
        prop_assert_eq!(whole, json!({"a": {"v": &value}}));
    }

    #[test]
    fn a_header_has_one_line_or_the_event_is_refused(value in text()) {
        let request = made("url = http://h/\nheader.X-A = a{{ payload.v }}b", event(&value), 0);
        let control = |c: char| (c.is_ascii_control() && c != '\t') || c == '\u{7f}';
        match request {
            Ok(request) => {
                let bytes = request.headers["x-a"].as_bytes();
                let expected = format!("a{value}b");
                prop_assert_eq!(bytes, expected.as_bytes());
                prop_assert!(!value.contains(control));
            }
            Err(_) => prop_assert!(value.contains(control), "{:?}", value),
        }
    }

    /// The unit tests of `cloud_event` check RFC 3986 and RFC 3339; this test compares both forms,
    /// and the characters of binary mode.
    #[test]
    fn both_forms_of_a_cloud_event_are_the_same_event(
        id in text(), publisher in text(), kind in text(), subject in text(), priority in text(),
    ) {
        let event = Notification {
            event_type: Some(kind.clone()),
            publisher_id: Some(publisher.clone()),
            message_id: Some(id.clone()),
            priority: Some(Priority::parse(&priority)),
            timestamp: Some("2026-11-20 06:36:22.662155".into()),
            payload: json!({"v": subject}),
            ..Notification::default()
        };
        let lines = "url = http://h/\ncloudevents_subject = {{ payload.v }}\ncloudevents = ";
        let binary = made(&format!("{lines}binary"), event.clone(), 0);
        let structured = made(&format!("{lines}structured"), event, 0);
        let (Ok(binary), Ok(structured)) = (&binary, &structured) else {
            prop_assert_eq!(binary.err(), structured.err());
            return Ok(());
        };
        let all: Value = serde_json::from_slice(&structured.body).unwrap();
        let all = all.as_object().unwrap();
        let mut attributes = 0;
        for (name, value) in &binary.headers {
            let Some(name) = name.as_str().strip_prefix("ce-") else { continue };
            attributes += 1;
            let value = value.to_str().unwrap();
            prop_assert!(value.bytes().all(|b| (0x21..=0x7e).contains(&b) && b != b'"'), "{}", value);
            let decoded = percent_decode_str(value).decode_utf8().unwrap();
            prop_assert_eq!(all[name].as_str().unwrap(), &*decoded);
            prop_assert!(decoded.chars().all(|c| !c.is_control()));
        }
        prop_assert_eq!(all["data"].clone(), serde_json::from_slice::<Value>(&binary.body).unwrap());
        prop_assert_eq!(all["datacontenttype"].as_str(), Some(header(&binary.headers, "content-type")));
        prop_assert_eq!(attributes + 2, all.len());
        prop_assert_eq!(&all["specversion"], "1.0");
        prop_assert!(!all["id"].as_str().unwrap().is_empty());
        let source = all["source"].as_str().unwrap();
        prop_assert!(source.is_ascii() && !source.contains([' ', '"', '<', '>', '\\', '^', '`', '{', '|', '}']), "{}", source);
        prop_assert_eq!(all.get("subject").and_then(Value::as_str).unwrap_or_default(), subject);
        prop_assert_eq!(&all["time"], "2026-11-20T06:36:22.662155Z");
    }

    #[test]
    fn a_signature_is_verified_by_each_secret_and_says_the_time_of_its_attempt(
        keys in vec(vec(any::<u8>(), 24..=64), 1..4), value in text(), key in "[a-z.0-9]{1,20}/hook", seconds in 0..4_000_000_000_u64,
    ) {
        let secrets: Vec<String> = keys.iter().map(|key| format!("whsec_{}", STANDARD.encode(key))).collect();
        let conf = conf(&format!("url = http://h/\nsigning_secret = {}", secrets.join(" ")));
        let request = |seconds: u64| {
            let about = RequestSubject { key: &key, ..ABOUT };
            let at = UNIX_EPOCH + Duration::from_secs(seconds);
            conf.0.message.request(&Names::from(event(&value)), &about, at).unwrap()
        };
        let (first, again) = (request(seconds), request(seconds + 5));
        let id = header(&first.headers, "webhook-id");
        prop_assert!(!id.contains('.'));
        prop_assert_eq!(percent_decode_str(id).decode_utf8().unwrap(), key.as_str());
        prop_assert_eq!(id, header(&again.headers, "webhook-id"));
        for (request, seconds) in [(&first, seconds), (&again, seconds + 5)] {
            let time = header(&request.headers, "webhook-timestamp");
            prop_assert_eq!(time, seconds.to_string());
            let signed = format!("{id}.{time}.{}", body(request));
            let signatures: Vec<&str> = header(&request.headers, "webhook-signature").split(' ').collect();
            prop_assert_eq!(signatures.len(), keys.len());
            for (key, signature) in keys.iter().zip(signatures) {
                let tag = STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
                let key = hmac::Key::new(hmac::HMAC_SHA256, key);
                prop_assert!(hmac::verify(&key, signed.as_bytes(), &tag).is_ok());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn xml_is_read_as_what_was_meant(values in vec(text(), 100)) {
        let lines = "url = http://h/\nformat = xml\nbody = <a b=\"{{ payload.v }}\" c='{{ payload.v }}'>{{ payload.v }}</a>";
        let sent: Vec<Request> = sent(lines, &values).into_iter().map(Result::unwrap).collect();
        let texts: Vec<&str> = sent.iter().map(body).collect();
        let reads = "import xml.etree.ElementTree as E\n\
            def read(t):\n e = E.fromstring(t)\n return [e.get('b'), e.get('c'), e.text or '', len(e), len(e.attrib)]";
        let held = |c: char| match c {
            '\t' | '\n' | '\r' => c,
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
            c => c,
        };
        for (value, found) in values.iter().zip(read(reads, &texts)) {
            let value: String = value.chars().map(held).collect();
            prop_assert_eq!(found, json!([value, value, value, 0, 2]));
        }
    }

    #[test]
    fn forms_and_queries_are_read_as_what_was_meant(values in vec(text(), 100)) {
        let lines = "url = http://h/?first=1\nformat = form\nfield.a b = {{ payload.v }}\nfield.c = x{{ payload.v }}\n\
            query.a b = {{ payload.v }}\nquery.c = x{{ payload.v }}";
        let sent: Vec<Request> = sent(lines, &values).into_iter().map(Result::unwrap).collect();
        let reads = "import urllib.parse as P\n\
            def read(t):\n return P.parse_qsl(t, keep_blank_values=True, strict_parsing=True)";
        let bodies: Vec<&str> = sent.iter().map(body).collect();
        let queries: Vec<&str> =
            sent.iter().map(|request| request.url.path_and_query().split_once('?').unwrap().1).collect();
        let (bodies, queries) = (read(reads, &bodies), read(reads, &queries));
        for ((value, body), query) in values.iter().zip(bodies).zip(queries) {
            let pairs = json!([["a b", value], ["c", format!("x{value}")]]);
            prop_assert_eq!(&body, &pairs);
            let all: Vec<Value> =
                [json!(["first", "1"])].into_iter().chain(pairs.as_array().unwrap().clone()).collect();
            prop_assert_eq!(query, Value::from(all));
        }
    }
}
