//! The first corpus of each target: recorded messages, the configurations of tests and examples, answers by hand.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use osnl_model::parse_python_json;
use osnl_testkit::fixture;
use serde_json::Value;

use crate::step;

/// The largest seed; larger seeds would only be slower.
const LARGEST: usize = 20_000;

const URLS: &[&str] = &[
    "rabbit://guest:guest@127.0.0.1:5672/",
    "kombu+amqp://a:S3CRET%40x@[::1]:5671,b:c@host/v%2Fhost?ssl=1&ssl_ca_file=%2Fetc%2Fca#x",
    "amqp:///",
];

const TEMPLATES: &[&str] = &[
    "{{ payload.port.device_id|default('-') }} of {{ publisher_id.split('.')[0] }}",
    "event_type == \"port.delete.end\" and publisher_id.startswith(\"network\") and payload.port.size > 2",
    "{% for tag in payload.port.tags if tag != 'a' %}{{ loop.index }}{{ tag|upper }}{% else %}none{% endfor %}",
    "payload.port.name is match(\"^n(o|e)*$\") or payload.port.tags|length * 3 in [1, 2, 6]",
    "{{ payload|tojson }}{% set x = payload.port.size ** 2 %}{{ x ~ 'y' }}",
];

const REQUESTS: &[&str] = &[
    "GET /api/v1/status\n",
    "GET /api/v1/deliveries?state=dead&state=waiting-for-release&since=2026-11-20T06%3A00%3A00Z&limit=10&after=17.0\n",
    "GET /api/v1/deliveries/17.0?raw=true\n",
    "GET /api/v1/quarantine?id=4&reason=a+b\n",
    r#"POST /api/v1/deliveries/retry
{"filter": {"ids": ["17.0"], "action": "roles"}, "out_of_order": true, "dry_run": true, "by": "root"}"#,
    r#"POST /api/v1/deliveries/move
{"filter": {"event": 17}, "to": "audit"}"#,
    r#"POST /api/v1/replay
{"events": [{"event": 3, "deliveries": [{"rule": "r", "action": "a", "resource": "x", "of_bulk": 1, "shadow": false}]}], "keep_ids": true}"#,
    r#"POST /api/v1/replay
{"events": [{"message": {"body_base64": "e30=", "content_type": "application/json"}, "deliveries": []}]}"#,
    "POST /api/v1/actions/r%20s/pause\n",
];

const SMTP: &[&str] = &[
    "220 mail ESMTP\r\n250-mail\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n235 ok\r\n354 go on\r\n250 2.0.0 taken\r\n",
    "220-a\r\n220 b\r\n250-mail\r\n250 AUTH=LOGIN\r\n334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n535 no S3CRET\r\n",
    "421 busy\r\n",
];

const HTTP: &[&str] = &[
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"error\": {}}",
    "HTTP/1.1 429 Too Many\r\nRetry-After: 120\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "HTTP/1.1 503 Busy\r\nRetry-After: Fri, 20 Nov 2026 06:00:00 GMT\r\nConnection: close\r\n\r\n",
    "HTTP/1.1 307 Elsewhere\r\nLocation: //b:1/../c?d#e\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 Not Found\r\n\r\n<html>\x1b[2J</html>",
];

const ROWS: &[&str] = &[
    "{\"event_type\": \"x\"}\x1f17\x1f1\x1fport\x1fdone\x1f{\"n\": 1}\x1f{\"server\": {\"id\": 1}}\x1fserver:1\x1fapplication/json",
    "\x1f\x1f3\x1fk\x1fguard of x\x1f[]\x1fpaused roles\x1f12\x1f\x1fapplication/x-gzip",
];

const LITERALS: &[&str] = &[
    "{'a': ['b', u'c', 1.5, None, True, (1,), {'d'}], 'e': b'\\xff', 3: ValueError('x')}",
    "{\"NaN\": NaN, \"i\": -Infinity, \"big\": 99999999999999999999}",
];

const SECRETS: &[&str] = &[
    "password=S3CRET token: gAAAAABabc 'adminPass': 'x' --os-password y",
    "mysql://root:S3CRET@db/x Authorization: Bearer abc.def.ghi",
    "{\"auth\": {\"password\": \"S3CRET\", \"x\": \"{\\\"secret\\\": \\\"y\\\"}\"}}",
    "#cloud-config\nchpasswd:\n  list: |\n    root:S3CRET\n-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----",
];

pub(super) fn write(target: &str, corpus: &Path) -> Result<()> {
    fs::create_dir_all(corpus)?;
    for (n, seed) in for_target(target)?.iter().enumerate() {
        fs::write(corpus.join(format!("seed-{n}")), seed)?;
    }
    Ok(())
}

pub(super) fn for_target(target: &str) -> Result<Vec<Vec<u8>>> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    Ok(match target {
        "transport_url" => texts(URLS),
        "envelope" | "compressed" | "saved_events" => bodies()?,
        "versioned" => payloads()?,
        "readers" | "services" => notifications()?,
        "budgets" => [bodies()?, notifications()?].concat(),
        "python_literals" => [texts(LITERALS), bodies()?].concat(),
        "masking" => [texts(SECRETS), texts(LITERALS)].concat(),
        "templates" => texts(TEMPLATES),
        "ini" => configurations()?,
        "control_requests" => texts(REQUESTS),
        "smtp_replies" => texts(SMTP),
        "http_replies" => texts(HTTP),
        "journal_rows" => texts(ROWS),
        "amqp_frames" => vec![fixture::bytes("amqp/consumer.hex")],
        _ => Vec::new(),
    })
}

fn bodies() -> Result<Vec<Vec<u8>>> {
    let mut bodies = Vec::new();
    for recording in recordings("fixtures/wire")? {
        bodies.extend(recording["body_text"].as_str().map(|body| body.as_bytes().to_vec()));
    }
    bodies.retain(|body| body.len() < LARGEST);
    Ok(bodies)
}

fn notifications() -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for folder in ["fixtures/emission/captures", "fixtures/emission/captures2"] {
        for recording in recordings(folder)? {
            let cases = recording["cases"].as_object().into_iter().flatten();
            found.extend(
                cases.step_by(4).map(|(_, case)| fixture::notification(&case[0]).to_string().into_bytes()),
            );
        }
    }
    found.retain(|message| message.len() < LARGEST);
    Ok(found)
}

fn payloads() -> Result<Vec<Vec<u8>>> {
    let recording = read("fixtures/emission/captures2/ironic.json".as_ref())?;
    let cases = recording["cases"].as_object().into_iter().flatten();
    Ok(cases
        .step_by(4)
        .map(|(_, case)| fixture::notification(&case[0])["payload"].to_string().into_bytes())
        .collect())
}

fn configurations() -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for folder in ["examples", "fixtures/config", "fixtures/oss", "fixtures/k2hr3"] {
        let Ok(entries) = fs::read_dir(step::root().join(folder)) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "conf") {
                found.push(fs::read(path)?);
            }
        }
    }
    Ok(found)
}

fn recordings(folder: &str) -> Result<Vec<Value>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(step::root().join(folder)).with_context(|| folder.to_owned())? {
        paths.push(entry?.path());
    }
    paths.sort();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Value> {
    let path = step::root().join(path);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    parse_python_json(&text).with_context(|| path.display().to_string())
}
