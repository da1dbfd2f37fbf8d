use std::sync::Arc;
use std::time::SystemTime;

use osnl::control::{ControlHandler, Store};
use osnl::daemon::Daemon;
use osnl::journal::sqlite::{SqliteJournal, SqliteOptions};
use osnl::journal::{ClaimLimits, Entry, Journal as _, NewDelivery, Outcome};
use osnl::received::{Origin, ReceivedMessage};
use osnl_transport::Properties;
use tempfile::TempDir;

use crate::client::RunningEndpoint;

pub(crate) const TOKEN: &str = "0123456789abcdef-secret";
pub(crate) const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
/// A resource whose name is markup, reverses the text, clears a terminal, and is long.
pub(crate) const HOSTILE: &str = "<script>alert(1)</script>\\u202e\\u001b[2J\\\" onload=x ";

pub(crate) struct Site {
    pub(crate) running: RunningEndpoint,
    pub(crate) handler: Arc<ControlHandler>,
    _folder: TempDir,
    journal: Arc<SqliteJournal>,
    dead: String,
}

impl Site {
    pub(crate) async fn start(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let options = SqliteOptions::new(&path).bounded(|bounds| bounds.allow_volatile = true);
        let journal = Arc::new(SqliteJournal::open(options, Arc::default()).unwrap());
        let daemon = Daemon::new(Vec::new(), Vec::new(), journal.clone());
        let name = HOSTILE.repeat(1000);
        let body = format!(
            r#"{{"message_id": "m1", "event_type": "port.delete.end", "publisher_id": "{HOSTILE}",
                "payload": {{"port_id": "{name}", "password": "hunter2"}}}}"#
        );
        let message = received(body);
        let notification = Arc::new(message.decode().unwrap());
        let key = notification.payload["port_id"].as_str().map(str::to_owned);
        let deliveries = vec![NewDelivery::new("r<b>", "a&b", key)];
        let mut permit = journal.reserve(&["a&b".into()], 1).await;
        let entry = Entry { received: message.into(), notification, deliveries };
        journal.append(&mut permit, entry).await;
        let claimed = journal.claim("a&b", ClaimLimits::in_order(1)).await;
        journal.end(claimed[0].id, Outcome::Dead("answered <i>404</i>".into()).into());
        journal.set_aside(received("<script>{".to_owned()), "not <b>JSON</b>".to_owned()).await;
        let store = Store::for_sqlite(journal.clone());
        let handler = ControlHandler::for_daemon(store, daemon.state(), Arc::default());
        let conf = crate::client::conf(lines);
        let handler = Arc::new(handler);
        let running = RunningEndpoint::with(&conf, handler.clone()).await.unwrap();
        Self { running, handler, _folder: folder, journal, dead: claimed[0].id.to_string() }
    }

    pub(crate) async fn log_in(&self) -> String {
        log_in(&self.running).await
    }

    pub(crate) async fn read(&self, path: &str, head: &str) -> String {
        let (status, answer) = self.running.ask("GET", path, head, "").await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }
}

pub(crate) async fn log_in(running: &RunningEndpoint) -> String {
    let body = format!("next=%2F&token={TOKEN}");
    let (status, answer) = running.ask("POST", "/login", FORM, &body).await;
    assert_eq!(status, 303, "{answer}");
    let cookie = header(&answer, "set-cookie");
    for word in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    format!("Cookie: other=1; {}\r\n{FORM}", cookie.split(';').next().unwrap())
}

pub(crate) fn confirmed(page: &str) -> String {
    let value = |name: &str| {
        let (_, value) = page.split_once(&format!("name=\"{name}\" value=\""))?;
        value.split('"').next()
    };
    let query = value("query").unwrap_or_else(|| panic!("{page}"));
    let query = query.replace('%', "%25").replace("&#38;", "%26").replace('=', "%3D");
    value("count").map_or(query.clone(), |count| format!("{query}&count={count}"))
}

pub(crate) fn is_harmless(path: &str, page: &str) {
    assert!(header(page, "content-security-policy").contains("default-src 'none'"), "{page}");
    assert_eq!(header(page, "x-frame-options"), "DENY");
    assert_eq!(header(page, "cache-control"), "no-store");
    let (_, html) = page.split_once("\r\n\r\n").unwrap();
    // The name of SVG in the icon is no address, and the request of an attempt is text.
    let html = html.replace("http://www.w3.org/2000/svg", "").replace("\"Request\">POST http://", "");
    let html = html.replacen("<script src=\"/page.js\" defer></script>", "", 1);
    let acts =
        ["<script", "<i>404", "<b>", "<b ", " onload=x\"", "\u{202e}", "\u{1b}", "http://", "style=\""];
    for bad in acts.into_iter().chain(["hunter2", "S3CRET"]) {
        assert!(!html.contains(bad), "{path}: {bad} in {html}");
    }
    assert!(html.len() < 200_000, "{path}: {} bytes", html.len());
}

pub(crate) fn received(body: String) -> ReceivedMessage {
    let origin = Origin {
        listener: "neutron".into(),
        queue: "osnl".into(),
        exchange: "neutron".into(),
        routing_key: "notifications.info".into(),
        redelivered: false,
        received: SystemTime::now(),
    };
    ReceivedMessage {
        body: body.into(),
        properties: Properties::default(),
        origin,
        noted: Default::default(),
    }
}

pub(crate) fn header(answer: &str, name: &str) -> String {
    let line = answer.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name} in {answer}")).to_owned()
}

pub(crate) fn rows<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let cells = |row: &'a str| Some(row.split_once(heading)?.1.split_once("</th>")?.1);
    let cell = |cell: &'a str| cell.split_once('>')?.1.split_once("</td>").map(|(content, _)| content);
    let rows = page.split("<tr").filter_map(cells);
    rows.map(|cells| cells.split("<td").skip(1).filter_map(cell).collect()).collect()
}

pub(crate) fn csrf(page: &str) -> String {
    let (_, behind) =
        page.split_once("name=\"csrf\" value=\"").unwrap_or_else(|| panic!("no form in {page}"));
    behind.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn without_a_token_the_page_says_what_it_needs() {
    let site = Site::start("listen = 127.0.0.1:0").await;
    for path in ["/", "/deliveries", "/live", "/plots", "/quarantine", "/login"] {
        let (status, answer) = site.running.get(path).await;
        assert!(status == 403 && answer.contains("set [admin] token"), "{answer}");
        assert!(answer.contains("text/html"), "{answer}");
    }
    site.running.end().await;
}

#[tokio::test]
async fn each_page_names_its_environment() {
    let lines = format!("listen = 127.0.0.1:0\ntoken = {TOKEN}\nenvironment = production, <b>north</b>");
    let site = Site::start(&lines).await;
    let session = site.log_in().await;
    for path in ["/", "/deliveries"] {
        let page = site.read(path, &session).await;
        is_harmless(path, &page);
        let name = "production, &#60;b&#62;north&#60;/b&#62;";
        assert!(page.contains(&format!(" | {name} | osnl</title>")), "{page}");
        assert!(page.contains(&format!("<strong class=\"host\">{name}</strong>")), "{page}");
    }
    site.running.end().await;
}

#[tokio::test]
async fn the_token_is_given_once_in_a_form() {
    let site = Site::start(&format!("listen = 127.0.0.1:0\ntoken = {TOKEN}")).await;
    let (status, answer) = site.running.get("/deliveries?state=dead").await;
    assert_eq!((status, &*header(&answer, "location")), (303, "/login?next=%2Fdeliveries%3Fstate%3Ddead"));
    let (status, answer) = site.running.get("/login?next=%2Fdeliveries").await;
    assert!(status == 200 && answer.contains("value=\"/deliveries\""), "{answer}");
    for (body, head, expected) in [
        ("token=wrong&next=%2F".to_owned(), FORM.to_owned(), 403),
        ("next=%2F".to_owned(), FORM.to_owned(), 403),
        (format!("token={TOKEN}"), format!("{FORM}Sec-Fetch-Site: cross-site\r\n"), 403),
        (format!("token={TOKEN}"), format!("{FORM}Origin: http://evil.com\r\n"), 403),
        (format!("token={TOKEN}"), "Content-Type: text/plain\r\n".to_owned(), 415),
        (format!("token={TOKEN}&next=%2F%2Fevil.example.com"), FORM.to_owned(), 303),
    ] {
        let (status, answer) = site.running.ask("POST", "/login", &head, &body).await;
        assert_eq!(status, expected, "{body}: {answer}");
        assert!(!answer.contains(TOKEN) && !answer.contains("evil"), "{answer}");
    }
    let session = site.log_in().await;
    let page = site.read("/", &session).await;
    assert!(page.contains("<h1>Overview</h1>") && page.contains("Nothing can be changed here"), "{page}");
    // A link from another site carries no cookie; the next request, from this page, does.
    let (status, answer) = site.running.ask("GET", "/deliveries", "Sec-Fetch-Site: cross-site\r\n", "").await;
    assert!(status == 200 && answer.contains("content=\"0; url=/deliveries\""), "{answer}");
    let head = "Sec-Fetch-Site: cross-site\r\nAccept: text/html\r\n";
    let (status, answer) = site.running.ask("GET", "//evil.example/x", head, "").await;
    assert!(status == 200 && answer.contains("content=\"0; url=/\"") && !answer.contains("evil"), "{answer}");
    // The API requires the token and no session.
    let (status, _) = site.running.ask("GET", "/api/v1/status", &session, "").await;
    assert_eq!(status, 401);
    let (status, _) = site.running.ask("POST", "/logout", &session, "csrf=0").await;
    assert_eq!(status, 403);
    let (status, _) = site.running.ask("POST", "/logout", &session, &format!("csrf={}", csrf(&page))).await;
    assert_eq!(status, 303);
    let (status, answer) = site.running.ask("GET", "/", &session, "").await;
    assert!(status == 303 && header(&answer, "location").starts_with("/login"), "{answer}");
    site.running.end().await;
}

#[tokio::test]
async fn foreign_texts_are_shown_and_do_not_act() {
    let site = Site::start(&format!("listen = 127.0.0.1:0\ntoken = {TOKEN}\nallow_changes = yes")).await;
    let session = site.log_in().await;
    let change = format!("/deliveries/change?change=discard&id={}", site.dead);
    for (path, words) in [
        ("/".to_owned(), "<span class=\"badge warn\">Warning</span>"),
        ("/actions/a%26b".to_owned(), "<h1>Action a&#38;b</h1>"),
        ("/deliveries".to_owned(), "<span class=\"count\">1</span> dead</a>"),
        ("/deliveries?about=&action=a%26b&state=dead&order=newest".to_owned(), "answered &#60;i&#62;404"),
        ("/deliveries?text=%3Cscript%3E&state=dead".to_owned(), "No delivery matches."),
        ("/deliveries?order=newest&limit=10".to_owned(), "<span class=\"count\">1</span> in all</a>"),
        ("/quarantine?limit=10".to_owned(), "not &#60;b&#62;JSON"),
        (format!("/deliveries/{}", site.dead), "r&#60;b&#62;"),
        ("/plots".to_owned(), "Each action"),
        ("/quarantine".to_owned(), "not &#60;b&#62;JSON"),
        ("/quarantine/1".to_owned(), "3c 73 63 72"),
        (change, "1 delivery would be discarded."),
    ] {
        let page = site.read(&path, &session).await;
        assert!(page.contains(words), "{path}: {page}");
        is_harmless(&path, &page);
    }
    for (path, expected, words) in [
        ("/deliveries/99.0", 404, "99.0"),
        ("/deliveries/x%3Cscript%3E", 400, "&#60;script&#62;"),
        ("/deliveries?state=dedd", 400, "dedd"),
        ("/deliveries?nothing=1", 400, "allowed: "),
        ("/deliveries?limit=10&limit=11", 400, "limit is given twice"),
        ("/deliveries?limit=99999999999", 400, "limit: allowed are 1 to 1000"),
        ("/quarantine/abc", 400, "allowed: a whole number"),
        ("/quarantine/99", 404, "99"),
        ("/deliveries/change?change=forget", 400, "retry, release, discard, or move"),
    ] {
        let (status, page) = site.running.ask("GET", path, &session, "").await;
        assert!(status == expected && page.contains(words) && !page.contains("<script>"), "{path}: {page}");
    }
    // A wrong address is a page for a browser, and JSON for a program.
    let browser = format!("{session}Accept: text/html,*/*;q=0.8\r\n");
    let (status, page) = site.running.ask("GET", "/nope%3Cb%3E", &browser, "").await;
    assert!(status == 404 && page.contains("There is no page /nope") && page.contains("text/html"), "{page}");
    is_harmless("/nope", &page);
    let (status, answer) = site.running.ask("GET", "/api/v1/nope", &browser, "").await;
    assert!(status == 401 && answer.contains("application/json"), "{answer}");
    let (status, page) =
        site.running.ask("GET", "/", &format!("{browser}Host: other.example.com\r\n"), "").await;
    assert!(status == 421 && page.contains("text/html") && page.contains("[admin] host_names"), "{page}");
    site.running.end().await;
}

#[tokio::test]
async fn a_change_is_shown_before_it_is_made_and_needs_the_form_of_this_session() {
    let site = Site::start(&format!("listen = 127.0.0.1:0\ntoken = {TOKEN}\nallow_changes = yes")).await;
    let session = site.log_in().await;
    let page = site.read("/deliveries/change?change=discard&state=dead", &session).await;
    assert!(page.contains("Discard 1 delivery</button>"), "{page}");
    let own = csrf(&page);
    let query = "query=change%3Ddiscard%26state%3Ddead";
    let other = site.log_in().await;
    for word in ["Sec-Fetch-Site: same-site", "Origin: http://evil.com", "Origin: null"] {
        let (head, body) = (format!("{session}{word}\r\n"), format!("csrf={own}&{query}"));
        let (status, answer) = site.running.ask("POST", "/deliveries/change", &head, &body).await;
        assert!(status == 403 && answer.contains("from a page of another site"), "{word}: {answer}");
    }
    for (head, body) in [
        (&session, query.to_owned()),
        (&session, format!("csrf=&{query}")),
        (&other, format!("csrf={own}&{query}")),
    ] {
        let (status, answer) = site.running.ask("POST", "/deliveries/change", head, &body).await;
        assert!(status == 403 && answer.contains("another page or session"), "{answer}");
    }
    assert!(site.read("/deliveries?state=dead", &session).await.contains("1</span> dead"));
    let body = format!("csrf={own}&{query}&count=1");
    let (status, answer) = site.running.ask("POST", "/deliveries/change", &session, &body).await;
    assert!(status == 200 && answer.contains("1 delivery discarded."), "{answer}");
    assert!(site.read("/deliveries?state=discarded", &session).await.contains("1</span> discarded"));
    let (status, answer) = site
        .running
        .ask("POST", "/actions/change", &session, &format!("csrf={own}&action=x&change=pause"))
        .await;
    assert!(status == 404 && answer.contains("text/html"), "{answer}");
    site.running.end().await;
}

#[tokio::test]
async fn messages_leave_the_quarantine_after_a_preview() {
    let site = Site::start(&format!("listen = 127.0.0.1:0\ntoken = {TOKEN}\nallow_changes = yes")).await;
    let session = site.log_in().await;
    let list = site.read("/quarantine?queue=osnl&reason=", &session).await;
    assert!(list.contains("/quarantine/change?change=discard&#38;queue=osnl\""), "{list}");
    assert!(
        site.read("/quarantine/1", &session).await.contains("/quarantine/change?change=discard&amp;id=1\"")
    );
    let other = "/quarantine/change?change=discard&queue=other";
    let (status, none) = site.running.ask("GET", other, &session, "").await;
    assert!(status == 404 && none.contains("there is no queue other; there are osnl"), "{none}");
    let page = site.read("/quarantine/change?change=discard&queue=osnl", &session).await;
    assert!(page.contains("Discard 1 message</button>"), "{page}");
    let query = confirmed(&page);
    site.journal.set_aside(received("later".to_owned()), "later".to_owned()).await;
    let own = csrf(&page);
    for (csrf, expected) in [("0", 403), (&*own, 200)] {
        let body = format!("csrf={csrf}&query={query}");
        let (status, answer) = site.running.ask("POST", "/quarantine/change", &session, &body).await;
        assert_eq!(status, expected, "{answer}");
        assert_eq!(status == 200, answer.contains("1 message discarded."), "{answer}");
    }
    let list = site.read("/quarantine", &session).await;
    assert!(list.contains("1 message could not be read.") && list.contains("later"), "{list}");
    let (status, page) =
        site.running.ask("GET", "/quarantine/change?change=discard&id=99", &session, "").await;
    assert!(status == 200 && page.contains("99: there is no message"), "{page}");
    site.running.end().await;
}

#[tokio::test]
async fn a_page_that_changes_nothing_says_so() {
    let site = Site::start(&format!("listen = 127.0.0.1:0\ntoken = {TOKEN}")).await;
    let session = site.log_in().await;
    let own = csrf(&site.read("/", &session).await);
    for (path, body) in [
        ("/deliveries/change", format!("csrf={own}&query=change%3Ddiscard")),
        ("/actions/change", format!("csrf={own}&action=a&change=pause")),
        ("/configuration/reload", format!("csrf={own}")),
        ("/quarantine/change", format!("csrf={own}&query=change%3Ddiscard%26queue%3Dosnl")),
    ] {
        let (status, answer) = site.running.ask("POST", path, &session, &body).await;
        assert!(status == 403 && answer.contains("allow_changes"), "{answer}");
    }
    let (status, _) = site.running.ask("DELETE", "/deliveries", &session, "").await;
    assert_eq!(status, 405);
    site.running.end().await;
}
