//! The assertions about bytes that the daemon reads beside messages: templates, INI files, control requests, saved
//! events, rows of a journal, answers of SMTP and HTTP servers. The fuzz driver and `crates/osnl/tests/it/fuzz.rs`
//! include this file.

use std::cell::OnceCell;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use osnl::journal::sqlite::{SqliteJournal, SqliteOptions};
use osnl::journal::{ClaimLimits, Journal};
use osnl_config::Ini;
use osnl_config::template::{Expression, LONGEST_OUTPUT, Names, Template};
use osnl_model::{Notification, Scrubber};
use osnl_net::http::{Client, HttpOptions, Method, Request, Url, redirected};
use rusqlite::{Connection, params};

const PATIENCE: Duration = Duration::from_secs(20);

fn names() -> Names {
    let body = r#"{"event_type": "port.delete.end", "publisher_id": "network.vm", "message_id": "m",
        "payload": {"port": {"device_id": "d", "name": "n", "tags": ["a", "b"], "size": 3}}}"#;
    Names::from(Notification::decode(body.as_bytes()).expect("it is one"))
}

pub(crate) fn templates(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(template) = Template::new(&text)
        && let Ok(rendered) = template.render(&names())
    {
        assert!(rendered.len() <= LONGEST_OUTPUT + text.len(), "{} bytes of {text:?}", rendered.len());
    }
    if let Ok(expression) = Expression::new(&text) {
        let _ = (expression.holds(&names()), expression.value(&names()));
    }
}

pub(crate) fn ini(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (_, errors) = Ini::parse("a.conf", &text);
    for error in errors {
        assert!(!error.to_string().is_empty());
    }
}

pub(crate) fn control_requests(data: &[u8]) {
    if let Ok(written) = osnl::control::read_again(data) {
        assert_eq!(osnl::control::read_again(&written), Ok(written));
    }
}

pub(crate) fn saved_events(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for event in osnl::saved::read(&text).unwrap_or_default() {
        assert!(event.line >= 1);
        let _ = Notification::decode(&event.body);
    }
}

pub(crate) fn smtp_replies(data: &[u8]) {
    let heard = block_on(osnl::actions::mail::hear(data));
    let said = heard.unwrap_or_else(|error| error);
    // A server that knows the password may repeat it.
    assert!(!said.contains("S3CRET"), "{said}");
}

pub(crate) fn http_replies(data: &[u8]) {
    thread_local! { static SERVER: OnceCell<(u16, Sender<Vec<u8>>)> = const { OnceCell::new() }; }
    let port = SERVER.with(|server| {
        let (port, answers) = server.get_or_init(server_of_anything);
        answers.send(data.to_vec()).expect("it runs");
        *port
    });
    let url = Url::parse(&format!("http://127.0.0.1:{port}/a")).expect("it is one");
    let client = Client::to(&HttpOptions::from_environment([]), &url).expect("nothing is asked for");
    let request = Request::new(Method::GET, url);
    let answer = block_on(async { tokio::time::timeout(PATIENCE, client.send(request.clone())).await });
    if let Ok(answer) = answer.expect("it is read to its end") {
        let failure = answer.failure(&Scrubber::new(["S3CRET"]));
        assert!(!failure.reason.contains("S3CRET"), "{failure}");
        let _ = redirected(&request, &answer).is_ok();
    }
}

fn server_of_anything() -> (u16, Sender<Vec<u8>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (answers, next) = channel::<Vec<u8>>();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let Ok(bytes) = next.recv() else { return };
            let (mut stream, mut head) = (stream, [0; 4096]);
            let _ = stream.read(&mut head);
            let _ = stream.write_all(&bytes);
        }
    });
    (port, answers)
}

pub(crate) fn journal_rows(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("journal.db");
    {
        let journal = open(&file).expect("it is new");
        block_on(journal.close());
    }
    let connection = Connection::open(&file).expect("it is there");
    // A byte that is rare in texts separates the fields.
    let mut fields = data.split(|byte| *byte == 0x1f);
    let mut blob = || fields.next().unwrap_or_default().to_vec();
    let mut text = || String::from_utf8_lossy(&blob()).into_owned();
    let (body, head) = (blob_of(&mut text), text());
    let number = |text: &str| text.trim().parse::<i64>().unwrap_or(text.len() as i64);
    let (state, key, done, noted, found, row) = (text(), text(), text(), text(), text(), text());
    let _ = connection.execute(
        "INSERT INTO event (id, identity, received, redelivered, deliveries, listener, queue, exchange, routing_key, \
         content_type, content_encoding, compression, message_id, event_type, body, noted) \
         VALUES (1, ?1, ?1, 0, 1, ?2, ?2, ?2, ?2, ?3, ?3, ?3, ?2, ?2, ?4, ?5)",
        params![number(&head), head, text(), body, noted],
    );
    let _ = connection.execute(
        "INSERT INTO delivery (id, rule, action, key, state, attempts, reason, lane, resource, aged) \
         VALUES (65536, ?1, 'roles', ?1, ?2, ?2, ?3, ?4, ?4, ?4)",
        params![key, number(&state), done, number(&done)],
    );
    let _ = connection.execute("INSERT INTO enriched (delivery, found) VALUES (65536, ?1)", params![found]);
    let _ = connection
        .execute("INSERT INTO seen (name, at, row) VALUES (?1, ?2, ?1)", params![row, number(&row)]);
    let _ = connection
        .execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)", params![found, number(&row)]);
    drop(connection);
    if let Ok(journal) = open(&file) {
        block_on(async {
            let claim = tokio::time::timeout(
                Duration::from_millis(20),
                journal.claim("roles", ClaimLimits::in_order(16)),
            );
            for claimed in claim.await.unwrap_or_default() {
                let _ = claimed.event.received.decode();
            }
            journal.close().await;
        });
    }
}

fn blob_of(text: &mut impl FnMut() -> String) -> Vec<u8> {
    text().into_bytes()
}

fn open(file: &Path) -> Result<SqliteJournal, osnl::journal::sqlite::OpenError> {
    let options = SqliteOptions::new(file).bounded(|bounds| bounds.allow_volatile = true);
    SqliteJournal::open(options, Arc::default())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}
