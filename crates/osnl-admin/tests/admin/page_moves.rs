use osnl::journal::{Begin, NewDelivery};
use osnl_core::rule::{GuardHold, GuardKind, GuardName};
use osnl_testkit::{Reply, Sink, until};
use serde_json::json;

use crate::control_socket::SOON;
use crate::page::{HOSTILE, confirmed, csrf, log_in};
use crate::running_daemon::RunningDaemon;

fn port(id: &str) -> String {
    json!({"message_id": id, "event_type": "port.delete.end", "payload": {"port_id": id, "password": "hunter2"}})
        .to_string()
}

/// Each of them took another time, and the newest one's says nothing of the others.
#[tokio::test]
async fn a_group_of_deliveries_has_the_answer_and_no_duration() {
    let sink = Sink::start();
    sink.reply_with(Reply::Status(404));
    let action = format!("[action:third]\ndriver = http\nurl = {}\nmax_attempts = 1\n", sink.url("/x"));
    let site = RunningDaemon::with("", &action).await;
    let session = log_in(&site.running).await;
    for id in ["p1", "p2"] {
        site.keep(port(id), "third").await;
    }
    let dead = "/deliveries?action=third&state=dead";
    until(SOON, "both are dead", async || site.read(dead, &session).await.contains(">2 ×</summary>")).await;
    let list = site.read(dead, &session).await;
    let result = |class: &str| {
        let (_, row) = list.split_once(&format!("<tr class=\"{class}\">")).unwrap();
        let (_, result) = row.split_once("data-label=\"Result\">").unwrap();
        result.split_once("</td>").unwrap().0.to_owned()
    };
    let (group, one) = (result("group"), result("of-group"));
    assert!(group.contains("404") && !group.contains(','), "{group}");
    assert!(one.contains("404") && one.contains(','), "{one}");
    site.end().await;
}

#[tokio::test]
async fn deliveries_move_after_a_preview() {
    let site = RunningDaemon::start("allow_changes = yes").await;
    let session = log_in(&site.running).await;
    let own = csrf(&site.read("/", &session).await);
    let post = async |path: &str, body: &str| {
        let (status, page) = site.running.ask("POST", path, &session, &format!("csrf={own}&{body}")).await;
        (status, page)
    };
    for action in ["first", "second"] {
        let change = format!("action={action}&change=pause");
        let preview = site.read(&format!("/actions/change?{change}"), &session).await;
        assert!(
            preview.contains("0 deliveries wait now")
                && preview.contains(&format!("Pause {action}</button>")),
            "{preview}"
        );
        assert!(preview.contains("name=\"reason\""), "{preview}");
        let (status, done) = post("/actions/change", &format!("{change}&reason=its+target+moves")).await;
        assert!(status == 200 && done.contains(&format!("{action} is paused: no attempt starts")), "{done}");
        let shown = site.read(&format!("/actions/{action}"), &session).await;
        assert!(shown.contains("its target moves (paused since "), "{shown}");
    }
    site.keep(port("p1"), "first").await;
    site.keep(port("p2"), "first").await;
    let list = site.read("/deliveries?action=first", &session).await;
    // Both wait for the same: one row, which opens to them.
    assert!(
        list.contains(">2 ×</summary>")
            && list.matches("<tr class=\"of-group\"><td class=\"pick\">").count() == 2,
        "{list}"
    );
    let all = "/deliveries?action=first&order=newest&state=pending";
    assert!(list.contains(&all.replace('&', "&#38;")), "{list}");
    let each = site.read(all, &session).await;
    let is_chosen = each.contains("<option value=\"pending\" selected>");
    assert!(each.contains("2</span> in all") && is_chosen, "{each}");
    assert!(list.contains("Discard all 2</button>") && !list.contains("Retry all"), "{list}");
    assert!(list.contains("<option value=\"second\">second</option>"), "{list}");
    assert!(list.contains("<input type=\"hidden\" name=\"action\" value=\"first\">"), "{list}");
    let (_, row) = list.split_once("href=\"/deliveries/").unwrap();
    let id = row.split('"').next().unwrap();
    let one = site.read(&format!("/deliveries/{id}"), &session).await;
    assert!(!one.contains("<option value=\"first\">") && one.contains("<option value=\"second\">"), "{one}");

    let change = format!("change=move&id={id}&to=second");
    let preview = site.read(&format!("/deliveries/change?{change}"), &session).await;
    // The loop of the paused action has claimed both.
    assert!(preview.contains("would be moved to second."), "{preview}");
    assert!(preview.contains("Move 1 delivery to second</button>"), "{preview}");
    assert!(site.read("/deliveries?action=first", &session).await.contains("2</span> in all"));
    let query = change.replace('=', "%3D").replace('&', "%26");
    let (status, done) =
        site.running.ask("POST", "/deliveries/change", &session, &format!("query={query}")).await;
    assert!(status == 403, "{done}");
    let (status, done) = post("/deliveries/change", &format!("query={query}&count=1")).await;
    assert!(status == 200 && done.contains("1 delivery moved to second."), "{done}");
    for action in ["first", "second"] {
        let path = format!("/deliveries?action={action}");
        until(SOON, &path, async || site.read(&path, &session).await.contains("1</span> in all")).await;
    }

    for (query, expected, words) in [
        ("change=move&action=first", 400, "choose the action"),
        ("change=move&action=first&to=", 400, "choose the action"),
        ("selected=1&action=first&change=retry", 400, "no delivery is selected"),
        ("change=forget&action=first", 400, "or move to an action"),
        ("change=move&action=first&to=%3Cb%3E", 404, "&#60;b&#62;"),
    ] {
        let (status, page) =
            site.running.ask("GET", &format!("/deliveries/change?{query}"), &session, "").await;
        assert!(status == expected && page.contains(words), "{query}: {status} {page}");
    }
    site.end().await;
}

#[tokio::test]
async fn a_retry_that_is_refused_for_its_order_is_offered_out_of_order() {
    let site = RunningDaemon::start("allow_changes = yes").await;
    let session = log_in(&site.running).await;
    let own = csrf(&site.read("/", &session).await);
    let of_key = |begin| NewDelivery { begin, ..NewDelivery::new("r", "first", Some("k".to_owned())) };
    site.keep_all(port("p1"), vec![of_key(Begin::Dead("no room".to_owned()))]).await;
    site.keep_all(port("p2"), vec![of_key(Begin::Live)]).await;
    let done = "/deliveries?action=first&state=delivered";
    until(SOON, done, async || site.read(done, &session).await.contains("1</span> delivered")).await;

    let preview = site.read("/deliveries/change?change=retry&action=first", &session).await;
    assert!(preview.contains("0 deliveries would be retried. 1 cannot be retried."), "{preview}");
    let (before, _) = preview.split_once("\">Retry out of order</a>").unwrap_or_else(|| panic!("{preview}"));
    let path = before.rsplit_once("href=\"").unwrap().1.replace("&#38;", "&");
    let preview = site.read(&path, &session).await;
    for words in [
        "1 delivery would be retried out of order.",
        "whose effect that may undo",
        "<button class=\"danger\">Retry 1 delivery out of order</button>",
    ] {
        assert!(preview.contains(words), "{words} in {preview}");
    }
    assert!(!preview.contains(">Retry out of order</a>"), "{preview}");
    let body = format!("csrf={own}&query={}", confirmed(&preview));
    let (status, done) = site.running.ask("POST", "/deliveries/change", &session, &body).await;
    assert!(status == 200 && done.contains("1 delivery retried out of order."), "{done}");
    site.end().await;
}

#[tokio::test]
async fn a_release_or_retry_names_what_it_calls_and_is_red_for_a_deletion() {
    let http = |name: &str, method: &str| {
        format!("[action:{name}]\ndriver = http\nurl = https://127.0.0.1:1/{name}\nmethod = {method}\n")
    };
    let template = "{{ 'DELETE' if event_type == 'port.delete.end' else 'PUT' }}";
    let sections = [http("purge", "DELETE"), http("tell", "POST"), http("both", template)].concat();
    let site = RunningDaemon::with("allow_changes = yes", &sections).await;
    let session = log_in(&site.running).await;
    assert!(!site.read("/", &session).await.contains("For release"), "the column is left out without any");
    for (n, action) in ["purge", "purge", "tell", "both"].into_iter().enumerate() {
        let guard = GuardName::new(GuardKind::Action, action);
        let begin = Begin::Held(GuardHold::new(guard, "more than 1 per 1m"));
        let held = NewDelivery { begin, ..NewDelivery::new("r", action, None) };
        site.keep_all(port(&format!("p{n}")), vec![held]).await;
    }
    let overview = site.read("/", &session).await;
    let held = "<a href=\"/deliveries?action=purge&amp;state=waiting-for-release\">2</a>";
    assert!(overview.contains(">For release</th>") && overview.contains(held), "{overview}");
    for (filter, calls, style) in [
        ("action=purge", "It calls 2 × DELETE https://127.0.0.1:1/purge (action purge).", "danger"),
        ("action=tell", "It calls 1 × POST https://127.0.0.1:1/tell (action tell).", "primary"),
        ("action=both", "(action both).", "danger"),
        ("rule=r", "It calls 2 × DELETE https://127.0.0.1:1/purge (action purge).", "danger"),
        ("action=purge&about=p0", "It calls 1 × DELETE ", "danger"),
        ("action=purge&held_by=guard", "It calls 2 × DELETE ", "danger"),
    ] {
        let path = format!("/deliveries/change?change=release&{filter}");
        let preview = site.read(&path, &session).await;
        assert!(preview.contains(calls), "{calls} in {preview}");
        assert!(preview.contains(&format!("<button class=\"{style}\">Release ")), "{path}: {preview}");
        let list = site.read(&format!("/deliveries?{filter}&state=waiting-for-release"), &session).await;
        let is_red = list.contains("<button name=\"all\" value=\"release\" class=\"every danger\">");
        assert_eq!(is_red, style == "danger", "{filter}: {list}");
    }
    let dead =
        NewDelivery { begin: Begin::Dead("no room".to_owned()), ..NewDelivery::new("r", "purge", None) };
    site.keep_all(port("p8"), vec![dead]).await;
    let preview = site.read("/deliveries/change?change=retry&rule=r&state=dead", &session).await;
    for words in [
        "It calls 1 × DELETE https://127.0.0.1:1/purge (action purge).",
        "<button class=\"danger\">Retry 1 delivery</button>",
    ] {
        assert!(preview.contains(words), "{words} in {preview}");
    }
    site.keep(port("p9"), "tell").await;
    for (to, style) in [("purge", "danger"), ("second", "primary")] {
        let path = format!("/deliveries/change?change=move&to={to}&action=tell&state=pending");
        let preview = site.read(&path, &session).await;
        let button = format!("<button class=\"{style}\">Move 1 delivery to {to}</button>");
        assert!(preview.contains(&button), "{button} in {preview}");
    }
    site.end().await;
}

#[tokio::test]
async fn a_count_that_stopped_at_its_bound_says_so_and_no_row_is_lost() {
    let site = RunningDaemon::start("").await;
    let session = log_in(&site.running).await;
    let mut deliveries = vec![NewDelivery::new("r", "gone", None); 1001];
    deliveries.extend(vec![NewDelivery::new("r", "other", None); 2]);
    site.keep_all(port("p1"), deliveries).await;
    for query in ["action=gone", "rule=r"] {
        let list = site.read(&format!("/deliveries?{query}"), &session).await;
        assert!(
            list.contains(">1,000+ ×</summary>") && list.contains("Show all 1,000+ deliveries of gone"),
            "{list}"
        );
        assert_eq!(list.contains(">2 ×</summary>"), query == "rule=r", "{list}");
    }
    // A page has at most a hundred rows, and the next one begins behind them.
    let list = site.read("/deliveries?rule=r&order=oldest&limit=1000", &session).await;
    let last =
        list.split("<tr class=\"single\">").nth(100).unwrap().split("href=\"/deliveries/").nth(1).unwrap();
    let last = format!("order=oldest&#38;after={}", last.split('"').next().unwrap());
    assert!(list.contains(&last) && list.matches("<tr class=\"single\">").count() == 100, "{last} in {list}");
    let each = (0..101).map(|n| NewDelivery::new("s", &*format!("gone{n}"), None));
    site.keep_all(port("p2"), each.collect()).await;
    let list = site.read("/deliveries?rule=s", &session).await;
    assert!(list.contains("1 more row is not shown: narrow the search."), "{list}");
    site.end().await;
}

#[tokio::test]
async fn deliveries_that_come_after_the_preview_are_not_changed() {
    let site = RunningDaemon::start("allow_changes = yes").await;
    let session = log_in(&site.running).await;
    let own = csrf(&site.read("/", &session).await);
    let post = async |path: &str, body: &str| {
        site.running.ask("POST", path, &session, &format!("csrf={own}&{body}")).await
    };
    assert_eq!(post("/actions/change", "action=first&change=pause").await.0, 200);
    site.keep(port("p1"), "first").await;
    let seen = std::time::SystemTime::now();
    // Times have a resolution of one millisecond.
    until(SOON, "a later time", async || seen.elapsed().unwrap().as_millis() >= 2).await;
    let preview = site.read("/deliveries/change?change=discard&action=first", &session).await;
    assert!(preview.contains("Discard 1 delivery</button>"), "{preview}");
    assert!(preview.contains("href=\"/deliveries?action=first\""), "{preview}");
    site.keep(port("p2"), "first").await;
    let (status, done) = post("/deliveries/change", &format!("query={}", confirmed(&preview))).await;
    assert!(status == 200 && !done.contains("2 deliveries"), "{done}");
    let first = "/deliveries?about=p1&state=discarded";
    until(SOON, first, async || site.read(first, &session).await.contains("1</span> discarded")).await;
    let later = site.read("/deliveries?about=p2&state=discarded", &session).await;
    assert!(later.contains("No delivery matches."), "{later}");
    site.end().await;
}

#[tokio::test]
async fn a_delivery_that_waits_for_a_target_that_is_down_is_tried_first_and_discarded_last() {
    let sink = Sink::start();
    let headers = vec![("Retry-After".to_owned(), "600".to_owned())];
    sink.reply_with(Reply::StatusWith { status: 429, headers, body: Vec::new() });
    let action = format!("[action:third]\ndriver = http\nurl = {}\n", sink.url("/x"));
    let site = RunningDaemon::with("allow_changes = yes", &action).await;
    let session = log_in(&site.running).await;
    // The second delivery is not attempted: no probe begins for ten minutes.
    for id in ["p1", "p2"] {
        site.keep(port(id), "third").await;
        let found = format!("/deliveries?about={id}");
        until(SOON, "it waits", async || site.read(&found, &session).await.contains("waiting: target down"))
            .await;
    }
    let page_of = async |id: &str| {
        let list = site.read(&format!("/deliveries?about={id}"), &session).await;
        let (_, row) = list.split_once("href=\"/deliveries/").unwrap();
        format!("/deliveries/{}", row.split('"').next().unwrap())
    };
    let (failed, waiting) = (page_of("p1").await, page_of("p2").await);
    for path in [&failed, &waiting] {
        let one = site.read(path, &session).await;
        let at = [">Try now</a>", ">Move</button>", ">Discard</a>"].map(|button| one.find(button));
        assert!(at[0].is_some() && at.is_sorted(), "{at:?} {one}");
        // The target has asked to wait.
        assert!(one.contains("<a class=\"button\" href=\"/actions/change?action=third"), "{one}");
    }
    let own = csrf(&site.read("/", &session).await);
    let pause = format!("csrf={own}&action=third&change=pause");
    assert_eq!(site.running.ask("POST", "/actions/change", &session, &pause).await.0, 200);
    let is_offered = async || site.read(&failed, &session).await.contains(">Try now</a>");
    until(SOON, "a paused action is not probed", async || !is_offered().await).await;
    site.end().await;
}

#[tokio::test]
async fn the_attempt_that_succeeded_is_shown_and_no_form_is_left() {
    let site = RunningDaemon::start("allow_changes = yes").await;
    let session = log_in(&site.running).await;
    site.keep(format!(r#"{{"message_id": "m", "event_type": "{HOSTILE}", "payload": {{}}}}"#), "first").await;
    let done = "/deliveries?state=delivered";
    let mut list = String::new();
    until(SOON, done, async || {
        list = site.read(done, &session).await;
        list.contains("href=\"/deliveries/")
    })
    .await;
    let (_, row) = list.split_once("href=\"/deliveries/").unwrap();
    let one = site.read(&format!("/deliveries/{}", row.split('"').next().unwrap()), &session).await;
    let (_, attempts) = one.split_once("<h2 id=\"attempts\">Attempts</h2>").unwrap();
    assert!(
        attempts.contains("<ol class=\"attempts\" start=\"1\">") && attempts.contains(", after "),
        "{one}"
    );
    assert!(!one.contains("name=\"to\"") && !one.contains("change=retry"), "{one}");
    site.end().await;
}
