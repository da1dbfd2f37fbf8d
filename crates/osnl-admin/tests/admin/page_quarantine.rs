use osnl_testkit::until;

use crate::control_socket::SOON;
use crate::page::{HOSTILE, confirmed, csrf, log_in};
use crate::running_daemon::RunningDaemon;

const READABLE: &str = r#"{"message_id": "m1", "event_type": "port.delete.end", "payload": {"port_id": "p1", "password": "hunter2"}}"#;
const UNMATCHED: &str = r#"{"message_id": "m2", "event_type": "volume.create.end", "payload": {}}"#;

#[tokio::test]
async fn messages_that_can_be_read_by_now_are_retried_after_a_preview() {
    let site = RunningDaemon::start("allow_changes = yes").await;
    let session = log_in(&site.running).await;
    let own = csrf(&site.read("/", &session).await);
    site.set_aside(READABLE, "more than max_body").await;
    site.set_aside(UNMATCHED, "more than max_body").await;
    site.set_aside(&format!("{{\"event_type\": \"{HOSTILE}"), "no JSON").await;
    let list = site.read("/quarantine?reason=max", &session).await;
    assert!(list.contains("/quarantine/change?change=retry&#38;reason=max\""), "{list}");
    assert!(
        site.read("/quarantine/1", &session).await.contains("/quarantine/change?change=retry&amp;id=1\"")
    );

    let preview = site.read("/quarantine/change?change=retry", &session).await;
    assert!(preview.contains("1 message would go through the rules again."), "{preview}");
    for refused in [
        "2: it matches no rule; discard it if that is right",
        "3: it still cannot be read: the body is not readable JSON",
    ] {
        assert!(preview.contains(refused), "{refused}: {preview}");
    }
    assert!(preview.contains("Retry 1 message</button>"), "{preview}");
    assert!(site.read("/quarantine", &session).await.contains("3 messages could not be read."));

    let body = format!("query={}", confirmed(&preview));
    let (status, refused) = site.running.ask("POST", "/quarantine/change", &session, &body).await;
    assert!(status == 403, "{refused}");
    let body = format!("csrf={own}&{body}");
    let (status, done) = site.running.ask("POST", "/quarantine/change", &session, &body).await;
    assert!(status == 200 && done.contains("1 message left the quarantine"), "{done}");
    assert!(site.read("/quarantine", &session).await.contains("2 messages could not be read."));
    let path = "/deliveries?about=m1&state=delivered";
    until(SOON, path, async || site.read(path, &session).await.contains("1</span> delivered")).await;
    let (status, none) = site.running.ask("GET", "/quarantine/change?change=retry&id=1", &session, "").await;
    assert!(status == 200 && none.contains("1: there is no message with this number"), "{none}");

    for (query, words) in [
        ("", "a change of messages is retry or discard"),
        ("change=move&id=1", "a change of messages is retry or discard"),
        ("change=retry&id=x", "id"),
    ] {
        let (status, page) =
            site.running.ask("GET", &format!("/quarantine/change?{query}"), &session, "").await;
        assert!(status == 400 && page.contains(words), "{query}: {page}");
    }
    for _ in 0..199 {
        site.set_aside("{", "no JSON").await;
    }
    let (status, many) = site.running.ask("GET", "/quarantine/change?change=retry", &session, "").await;
    assert!(status == 400 && many.contains("201 messages match; allowed are 200 at a time"), "{many}");
    site.end().await;
}
