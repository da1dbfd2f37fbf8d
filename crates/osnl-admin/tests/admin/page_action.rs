use tokio::time::{Duration, timeout};

use crate::page::{HOSTILE, Site, TOKEN, is_harmless, log_in};
use crate::running_daemon::RunningDaemon;

#[tokio::test]
async fn an_incident_has_links_and_buttons_for_what_to_do() {
    let site = Site::start(&format!("listen = 127.0.0.1:0\ntoken = {TOKEN}\nallow_changes = yes")).await;
    let session = site.log_in().await;
    // A page leaves out the numbers of its head if the status takes half a second, and a later page has the numbers.
    let shown = async {
        loop {
            let page = site.read("/", &session).await;
            if page.contains("<title>2 warnings: ") {
                break page;
            }
        }
    };
    let page = timeout(Duration::from_secs(60), shown).await.unwrap();
    is_harmless("/", &page);
    for words in [
        "<title>2 warnings: Overview | osnl</title>",
        "<p class=\"verdict warn\">",
        "a&#38;b: 1 dead letter</h3>",
        "<span class=\"why\">answered &#60;i&#62;404&#60;/i&#62;</span></summary>",
        "href=\"/deliveries?action=a%26b&#38;state=dead\">Show 1 dead letter</a>",
        "<code>osnl deliveries list --action a&#38;b --state dead</code> <button type=\"button\" id=\"copy-1\" class=\"quiet copy\">",
        "</button> then add [action:a&#38;b] to the configuration again and retry them, or osnl deliveries discard",
        "<span class=\"why\">not &#60;b&#62;JSON",
        "href=\"/deliveries/change?change=discard&#38;action=a%26b&#38;state=dead\">Discard all</a>",
        "href=\"/actions/a%26b\">Open a&#38;b</a>",
        "href=\"/quarantine\">Show the messages</a>",
        "<a href=\"/quarantine\">Quarantine <span class=\"count\">1</span></a>",
        "<a href=\"/\" aria-current=\"page\">Overview</a>",
    ] {
        assert!(page.contains(words), "{words} in {page}");
    }
    site.running.end().await;
}

#[tokio::test]
async fn the_gaps_of_a_listener_are_in_its_row_and_in_the_metrics() {
    let gap = |id: u64, is_certain: bool| {
        format!(
            r#"{{"id": {id}, "listener": "l", "exchanges": [], "topics": [], "from": {id}00, "until": {id}30,
                "cause": "stopped", "is_certain": {is_certain}, "detail": null, "verified": []}}"#
        )
    };
    let gaps = [gap(1, true), gap(2, true), gap(3, false)].join(",");
    let gaps = format!(r#"{{"format": 1, "next": 3, "heard": {{}}, "gaps": [{gaps}]}}"#);
    let site = RunningDaemon::with_gaps("", "", &gaps).await;
    let session = log_in(&site.running).await;
    let page = site.read("/", &session).await;
    for words in [
        "<br><span class=\"badge warn\">3 gaps</span></td>",
        "l: 3 gaps of up to 30 s, in which notifications did not arrive</h3>",
        "<code>osnl gaps dismiss 1</code>",
    ] {
        assert!(page.contains(words), "{words} in {page}");
    }
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let metrics = site.running.ask("GET", "/metrics", &bearer, "").await.1;
    for (certainty, count) in [("possible", 1), ("certain", 2)] {
        let line = format!("osnl_gaps{{listener=\"l\",certainty=\"{certainty}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    site.end().await;
}

#[tokio::test]
async fn an_action_has_its_state_failures_and_rules() {
    let site = RunningDaemon::start("allow_changes = yes").await;
    let session = log_in(&site.running).await;
    let name = HOSTILE.repeat(3);
    for n in 0..2 {
        let event = format!(
            r#"{{"message_id": "m{n}", "event_type": "port.delete.end", "payload": {{"port_id": "{name}"}}}}"#
        );
        site.keep(event, "gone").await;
    }
    let page = site.read("/actions/first", &session).await;
    for words in [
        "<h1>Action first</h1>",
        "<span class=\"badge good\">ok</span>",
        "href=\"/actions/change?action=first&#38;change=pause\">Pause</a>",
        "href=\"/actions/change?action=first&#38;change=probe\">Probe now</a>",
        "<a href=\"/deliveries?action=first&amp;rule=r\">r</a>",
        "No delivery is dead or is tried again.",
    ] {
        assert!(page.contains(words), "{words} in {page}");
    }
    assert!(site.read("/actions/second", &session).await.contains("No rule names this action."));
    let page = site.read("/actions/gone", &session).await;
    for words in
        ["not configured</span>", "gone: 2 deliveries are orphaned", "state=orphaned\">Show 2 orphans</a>"]
    {
        assert!(page.contains(words), "{words} in {page}");
    }
    assert!(!page.contains("/actions/change"), "{page}");
    site.keep("{}".to_owned(), "change").await;
    let list = site.read("/deliveries?action=change", &session).await;
    let (_, row) = list.split_once("href=\"/deliveries/").unwrap();
    let one = site.read(&format!("/deliveries/{}", row.split('"').next().unwrap()), &session).await;
    assert!(one.contains("href=\"/actions/%63hange\">change</a>"), "{one}");
    assert!(site.read("/actions/%63hange", &session).await.contains("<h1>Action change</h1>"));
    let (status, page) = site.running.ask("GET", "/actions/%3Cb%3E", &session, "").await;
    assert!(status == 404 && page.contains("there is no action &#34;&#60;b&#62;&#34;"), "{page}");
    site.end().await;
}

#[tokio::test]
async fn without_allow_changes_no_button_changes_anything() {
    let site = Site::start(&format!("listen = 127.0.0.1:0\ntoken = {TOKEN}")).await;
    let session = site.log_in().await;
    for path in ["/", "/actions/a%26b"] {
        let page = site.read(path, &session).await;
        assert!(page.contains("Show 1 dead letter") && !page.contains("change="), "{path}: {page}");
    }
    site.running.end().await;
}
