//! The daemon's fuzz targets with a bound: random mutations of the seeds.

#[path = "../../../../fuzz/daemon.rs"]
mod daemon;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const TEMPLATES: &[&str] = &[
    "{{ payload.port.device_id|default('-') }} of {{ publisher_id.split('.')[0] }}",
    "event_type == \"port.delete.end\" and payload.port.size > 2",
    "{% for tag in payload.port.tags %}{{ loop.index }}{{ tag|upper }}{% endfor %}",
];
const FILES: &[&str] = &[
    "[DEFAULT]\ndebug = true\n# a comment\n[rule:a]\nwhen = payload.x == 1 and\n    payload.y\n",
    "[listener:n]\ntransport_url = rabbit://a:S3CRET@h/\ntopics = a,b\ntopics = c\npool = osnl\n",
];
const REQUESTS: &[&str] = &[
    "GET /api/v1/deliveries?id=17.0&state=dead&limit=5&about=a%20b\n",
    "GET /api/v1/quarantine/4?raw=true\n",
    "POST /api/v1/deliveries/retry\n{\"filter\": {\"ids\": [\"17.0\"], \"states\": [\"dead\"]}, \"dry_run\": true, \"by\": \"root\"}",
    "POST /api/v1/replay\n{\"events\": [{\"message\": {\"body_base64\": \"e30=\"}, \"deliveries\": []}], \"by\": \"x\"}",
];
const EVENTS: &[&str] = &[
    r#"{"body_text": "{\"event_type\": \"x\"}", "properties": {"content_type": "application/json"}}"#,
    r#"[{"oslo.version": "2.0", "oslo.message": "{}"}, {"body_base64": "e30=", "received": "2026-11-20T06:00:00Z"}]"#,
];
const MAIL: &[&str] = &[
    "220 m ESMTP\r\n250-m\r\n250-AUTH PLAIN\r\n250 8BITMIME\r\n235 ok\r\n354 go on\r\n250 taken\r\n",
    "220 m\r\n250-m\r\n250 AUTH=LOGIN\r\n334 a\r\n334 b\r\n535 no\r\n",
];
const HTTP: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/1.1 429 Busy\r\nRetry-After: 120\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 307 Elsewhere\r\nLocation: //b:1/../c?d#e\r\n\r\n",
];
const ROWS: &[&str] = &[
    "{\"event_type\": \"x\"}\x1f17\x1f1\x1fport\x1fdone\x1f{\"n\": 1}\x1f{\"server\": {\"id\": 1}}\x1fserver:1",
    "\x1f\x1f3\x1fk\x1fguard of x\x1f[]\x1fpaused roles\x1f12\x1f\x1fapplication/x-gzip",
];
const PIECES: &[&str] = &[
    "\0",
    "\"",
    "\\",
    "{{",
    "}}",
    "{%",
    "[",
    "]",
    "(",
    "\r\n",
    "\n",
    " ",
    "-",
    "=",
    "999999999999",
    "-1",
    "1e999",
    "null",
    "\u{202e}",
    "\x1b[2J",
    "é",
    "\x1f",
];

fn mutated(seeds: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<Index>(), 0..3_u8, any::<Index>(), any::<u8>());
    (prop::sample::select(seeds), vec(change, 0..5)).prop_map(|(seed, changes)| {
        let mut bytes = seed.as_bytes().to_vec();
        for (at, kind, piece, byte) in changes {
            let at = at.index(bytes.len() + 1);
            match kind {
                0 => bytes.truncate(at),
                1 if at < bytes.len() => bytes[at] = byte,
                _ => drop(bytes.splice(at..at, PIECES[piece.index(PIECES.len())].bytes())),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn mutated_texts(
        template in mutated(TEMPLATES),
        file in mutated(FILES),
        request in mutated(REQUESTS),
        events in mutated(EVENTS),
        mail in mutated(MAIL),
    ) {
        daemon::templates(&template);
        daemon::ini(&file);
        daemon::control_requests(&request);
        daemon::saved_events(&events);
        daemon::smtp_replies(&mail);
    }

    #[test]
    fn mutated_answers_of_http(answer in mutated(HTTP)) {
        daemon::http_replies(&answer);
    }
}

#[test]
fn mechanisms_of_a_mail_server_do_not_show_the_password() {
    for mechanisms in ["=LOGIS3CR\0\0ETN", " S3CRET", " X s3cret", " S3\0CRET"] {
        daemon::smtp_replies(format!("220 b\r\n250-mail\r\n250 AUTH{mechanisms}\r\n").as_bytes());
    }
}

proptest! {
    // Few cases, because each makes a file.
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn mutated_rows_of_a_journal(rows in mutated(ROWS)) {
        daemon::journal_rows(&rows);
    }
}
