use std::sync::Arc;
use std::time::Duration;

use osnl::control::{ControlHandler, Store};
use osnl::daemon::Daemon;
use osnl::journal::sqlite::{SqliteJournal, SqliteOptions};
use osnl::journal::{Entry, Journal as _, NewDelivery};
use osnl::metrics::Counters;
use osnl::native::{ConfInForce, KeepUnmatched, Sources, load_texts};
use osnl::rule::{Guards, GuardsInForce, RuleSet};
use osnl::unmatched::Ring;
use osnl_model::Notification;
use serde_json::json;
use tempfile::TempDir;

use crate::client::{RunningEndpoint, conf};
use crate::page::{HOSTILE, TOKEN, csrf, is_harmless, log_in, received, rows};

const RULES: &str = "[listener:l]\ntransport_url = rabbit://u:S3CRET@h/\nexchange = neutron\npool = osnl\n\
     [rule:ports]\nactions = dump\nevent_type = ^port\\.\nstop = true\n\
     [rule:again]\nactions = dump\nevent_type = ^port\\.delete\\.end$\n\
     [rule:nets]\nactions = dump\nwhen = payload.network.admin_pass == \"S3CRET\"\nmode = shadow\n\
     [rule:off]\nactions = dump\nenabled = false\n\
     [action:dump]\ndriver = dump\n[journal]\nconnection = memory://\n";

pub(crate) struct ConfiguredSite {
    pub(crate) running: RunningEndpoint,
    pub(crate) daemon: Daemon,
    journal: Arc<SqliteJournal>,
    ring: Arc<Ring>,
    rules: Arc<RuleSet>,
    _folder: TempDir,
}

impl ConfiguredSite {
    pub(crate) async fn start(text: &str, sources: &Sources, keep: KeepUnmatched, lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let options = SqliteOptions::new(&path).bounded(|bounds| bounds.allow_volatile = true);
        let journal = Arc::new(SqliteJournal::open(options, Arc::default()).unwrap());
        let daemon = Daemon::new(Vec::new(), Vec::new(), journal.clone());
        let loaded = load_texts(&[("/etc/osnl/<b>\u{202e}.conf".to_owned(), text.to_owned())], sources);
        let loaded = loaded.unwrap_or_else(|errors| panic!("{errors}"));
        let (ring, counters) = (Arc::new(Ring::new(keep)), Arc::<Counters>::default());
        let rules = loaded.conf.rules.iter().filter(|rule| rule.enabled).map(|rule| rule.rule.clone());
        let rules = Arc::new(RuleSet::new(rules.collect(), counters.clone()));
        ring.watch(&"l".into(), &rules);
        let in_force = Arc::<ConfInForce>::default();
        in_force.set(Arc::new(loaded));
        let guards = Arc::new(GuardsInForce::new(Arc::new(Guards::new([], []))));
        let handler =
            ControlHandler::for_daemon(Store::for_sqlite(journal.clone()), daemon.state(), counters)
                .with_rules(ring.clone(), guards)
                .with_configuration(in_force);
        let admin = format!("listen = 127.0.0.1:0\ntoken = {TOKEN}\n{lines}");
        let running = RunningEndpoint::with(&conf(&admin), Arc::new(handler)).await.unwrap();
        Self { running, daemon, journal, ring, rules, _folder: folder }
    }

    async fn with_rules(keep: KeepUnmatched) -> Self {
        Self::start(RULES, &Sources::default(), keep, "").await
    }

    pub(crate) async fn read(&self, path: &str, session: &str) -> String {
        let (status, page) = self.running.ask("GET", path, session, "").await;
        assert_eq!(status, 200, "{path}: {page}");
        is_harmless(path, &page);
        page
    }

    fn comes(&self, event: &str) {
        let message = received(event.to_owned());
        let notification = message.decode().unwrap();
        let _ = self.rules.wants(&notification.head());
        let decisions = self.rules.decide(&notification.clone().into());
        if decisions.decided.is_empty() {
            self.ring.event(&message, &notification, &decisions.failed);
        }
    }

    async fn kept(&self, event: &str) -> String {
        let message = received(event.to_owned());
        let notification: Arc<Notification> = Arc::new(message.decode().unwrap());
        let mut permit = self.journal.reserve(&["dump".into()], 1).await;
        let deliveries = vec![NewDelivery::new("ports", "dump", None)];
        self.journal.append(&mut permit, Entry { received: message.into(), notification, deliveries }).await;
        let claimed = self.journal.claim("dump", osnl::journal::ClaimLimits::in_order(1)).await;
        claimed[0].id.to_string()
    }
}

fn port(event_type: &str) -> String {
    json!({"message_id": "m", "event_type": event_type, "priority": "INFO", "publisher_id": "network.h",
           "payload": {"port": {"id": "p-1", "name": "web"}, "password": "hunter2"}})
    .to_string()
}

const WHY: &str = "rule nets does not match: when is false: the event has no payload.network.admin_pass";

const BODIES: KeepUnmatched = KeepUnmatched { heads: 1000, bodies: true };

#[tokio::test]
async fn rules_show_their_conditions_how_often_they_matched_and_why_not() {
    let site = ConfiguredSite::with_rules(BODIES).await;
    let session = log_in(&site.running).await;
    let before = site.read("/rules", &session).await;
    assert!(before.contains("not enabled") && before.contains("stop: no later rule is tested"), "{before}");
    for _ in 0..3 {
        site.comes(&port("port.delete.end"));
    }
    site.comes(&port("subnet.create.end"));
    let page = site.read("/rules", &session).await;
    let check = |name: &str, expected: [&str; 5]| {
        let mut found = rows(&page, &format!("<summary>{name}</summary>"));
        let cells = found.iter_mut().flatten();
        cells.filter(|cell| cell.ends_with(" ago</time>")).for_each(|cell| *cell = "now");
        assert_eq!(found, [[&["l", "dump"][..], &expected].concat()], "{name}");
    };
    let three = "<a href=\"/deliveries?rule=ports&amp;order=newest\">3</a>";
    let never = "<span class=\"badge warn\">never</span>";
    check("ports", ["4", three, "now", "0", "event_type: 1 (25 %)"]);
    check("again", ["4", never, "-", "3", "event_type: 1 (25 %)"]);
    // The rule is evaluated for the fourth event alone: a rule with stop matched the others.
    check("nets", ["4", never, "-", "3", "when: 1 (25 %)"]);
    check("off", ["0", "0", "-", "0", ""]);
    assert!(page.contains("<dt>event_type</dt><dd><code>^port\\.delete\\.end$</code></dd>"), "{page}");
    assert!(page.contains("in shadow: recorded"), "{page}");
    site.running.end().await;
}

#[tokio::test]
async fn many_rules_are_read_in_pages() {
    let mut text = RULES.to_owned();
    for n in 0..250 {
        text.push_str(&format!("[rule:more{n}]\nactions = dump\nevent_type = ^e{n}$\n"));
    }
    let site = ConfiguredSite::start(&text, &Sources::default(), BODIES, "").await;
    let session = log_in(&site.running).await;
    let first = site.read("/rules", &session).await;
    assert!(first.contains("more195<") && !first.contains("more196<"), "{first}");
    assert!(first.contains("href=\"/rules?after=more195\""), "{first}");
    let second = site.read("/rules?after=more195", &session).await;
    assert!(second.contains("more196<") && second.contains("more249<"), "{second}");
    assert!(!second.contains("more195<") && !second.contains("Next page"), "{second}");
    let first = site.read("/configuration", &session).await;
    let sections = first.matches("<h3 id=\"section-").count();
    assert_eq!(sections, 100);
    assert!(
        first.contains("[rule:more80]")
            && !first.contains("[rule:more100]")
            && first.contains("/configuration?after=rule%3Amore"),
        "{first}"
    );
    site.running.end().await;
}

#[tokio::test]
async fn unmatched_messages_are_grouped_with_the_reason_and_can_be_tried() {
    let site = ConfiguredSite::with_rules(BODIES).await;
    let session = log_in(&site.running).await;
    let none = site.read("/unmatched", &session).await;
    assert!(none.contains("Every message since the start matched a rule."), "{none}");
    for n in 0..120 {
        site.comes(&port(&format!("subnet.create.{}", n % 60)));
    }
    for _ in 0..9 {
        site.comes(&port("subnet.create.7"));
    }
    let name = HOSTILE.repeat(20_000);
    let hostile = format!(
        r#"{{"event_type": "{name}", "publisher_id": "{HOSTILE}", "payload": {{"network": {{"admin_pass": "hunter2"}}}}}}"#
    );
    for _ in 0..3 {
        site.comes(&hostile);
    }
    let page = site.read("/unmatched", &session).await;
    assert!(page.contains("&#60;script&#62;alert") && page.contains("bytes in all)"), "{page}");
    assert!(page.contains("web (p-1)") && page.contains("And 11 more event types."), "{page}");
    // The most frequent type is first, with its number, the reason, and the newest messages.
    let found = rows(&page, "scope=\"row\">subnet.<wbr>create.<wbr>7");
    assert_eq!(found[0][..2], ["11", WHY], "{page}");
    assert!(
        found[0][2].contains("href=\"/explain?unmatched=128\"") && !found[0][2].contains("unmatched=123"),
        "{page}"
    );
    assert!(page.find("create.<wbr>7<") < page.find("&#60;script&#62;alert"), "{page}");

    let why = site.read("/explain?unmatched=3", &session).await;
    assert!(why.contains("Rules that match: 0 of 4."), "{why}");
    assert!(why.contains("rule ports does not match: event_type is &#34;subnet.create.3&#34;"), "{why}");
    assert!(why.contains("rule off does not match: it is not enabled"), "{why}");
    let hostile = site.read("/explain?unmatched=130", &session).await;
    assert!(hostile.contains("rule nets does not match: when is false"), "{hostile}");
    for (path, expected) in [("/explain?unmatched=500", 404), ("/explain?unmatched=x", 400)] {
        let (status, page) = site.running.ask("GET", path, &session, "").await;
        assert_eq!(status, expected, "{path}: {page}");
    }
    site.running.end().await;
    let site = ConfiguredSite::with_rules(KeepUnmatched { heads: 0, bodies: false }).await;
    let session = log_in(&site.running).await;
    assert!(site.read("/unmatched", &session).await.contains("keep_unmatched = 1000"));
    site.running.end().await;
}

#[tokio::test]
async fn an_event_is_tried_as_explain_does() {
    let site = ConfiguredSite::with_rules(BODIES).await;
    let session = log_in(&site.running).await;
    let own = csrf(&site.read("/explain", &session).await);
    let encoded = |text: &str| {
        let bytes = text.bytes().map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        });
        bytes.collect::<String>()
    };
    let ask = async |event: &str, csrf: &str| {
        let body = format!("csrf={csrf}&event={}", encoded(event));
        site.running.ask("POST", "/explain", &session, &body).await
    };
    let (status, page) = ask(&port("port.delete.end"), &own).await;
    assert_eq!(status, 200, "{page}");
    is_harmless("/explain", &page);
    for words in [
        "line 1: port.delete.end from network.h, info",
        "Rules that match: 1 of 4.",
        "<p class=\"good\">rule ports matches</p>",
        "rule again does not match: rule ports matched before it, with stop = true",
        "dump for p-1 would be called: write a line to stdout",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let sample = site.read("/explain?sample=port.delete.end", &session).await;
    assert!(
        sample.contains("rule ports matches")
            && sample.contains("&#34;event_type&#34;: &#34;port.delete.end&#34;"),
        "{sample}"
    );
    assert!(sample.contains("<optgroup label=\"nova\">"), "{sample}");
    let (status, page) = site.running.ask("GET", "/explain?sample=made.up", &session, "").await;
    assert!(status == 400 && page.contains("no sample of made.up"), "{page}");
    let envelope = json!({"oslo.version": "2.0", "oslo.message": port("port.update.end")}).to_string();
    let (_, page) = ask(&envelope, &own).await;
    assert!(page.contains("port.update.end from network.h"), "{page}");
    let large =
        format!(r#"{{"event_type": "port.{HOSTILE}", "payload": {{"x": "{}"}}}}"#, "x".repeat(900_000));
    let (status, page) = ask(&large, &own).await;
    assert_eq!(status, 200, "{page}");
    is_harmless("/explain", &page);
    for (event, expected, words) in [
        ("", 400, "there is no event in it"),
        ("{", 400, "not JSON: it ends in the middle of a document"),
        ("<script>alert(1)</script>", 400, "not JSON: unexpected character at column 1"),
        ("[1]", 400, "an event is a JSON object"),
        (&"{}".repeat(21), 400, "allowed are 20 at a time"),
        (&"[".repeat(100_000), 400, "not JSON"),
    ] {
        let (status, page) = ask(event, &own).await;
        assert!(status == expected && page.contains(words), "{event:.20}: {status} {page}");
        is_harmless("/explain", &page);
    }
    let (status, page) = ask("{}", "0").await;
    assert!(status == 403 && page.contains("another page or session"), "{page}");
    let (status, page) = ask(&"x".repeat(1 << 20), &own).await;
    assert!(status == 413 && page.contains("text/html"), "{status} {page}");
    // Without a session the bound of a form is small.
    let body = format!("csrf={own}&event={}", "x".repeat(100_000));
    let (status, page) = site.running.ask("POST", "/explain", crate::page::FORM, &body).await;
    assert_eq!(status, 413, "{page}");

    let id = site.kept(&port("port.delete.end")).await;
    let page = site.read(&format!("/deliveries/{id}"), &session).await;
    assert!(page.contains(&format!("/explain?delivery={id}")), "{page}");
    let page = site.read(&format!("/explain?delivery={id}"), &session).await;
    assert!(page.contains("rule ports matches") && page.contains("with stop = true"), "{page}");
    let (status, _) = site.running.ask("GET", "/explain?delivery=99.0", &session, "").await;
    assert_eq!(status, 404);
    site.running.end().await;
    drop(site.daemon);
    tokio::time::timeout(Duration::from_secs(10), site.journal.close()).await.ok();
}

#[tokio::test]
async fn without_a_configuration_the_pages_say_so() {
    let running = RunningEndpoint::start(&format!("listen = 127.0.0.1:0\ntoken = {TOKEN}")).await;
    let session = log_in(&running).await;
    for path in ["/rules", "/unmatched", "/configuration", "/explain?unmatched=0"] {
        let (status, page) = running.ask("GET", path, &session, "").await;
        assert!(status == 501 && page.contains("runs here"), "{path}: {status} {page}");
    }
    let (status, page) = running.ask("GET", "/explain", &session, "").await;
    assert!(status == 200 && page.contains("<textarea"), "{page}");
    running.end().await;
}
