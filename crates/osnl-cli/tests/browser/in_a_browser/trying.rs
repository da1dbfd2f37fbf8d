use serde_json::json;

use crate::stage::{HOSTILE, Stage};

const EVENT: &str =
    r#"{"event_type": "port.delete.end", "payload": {"port": {"id": "p", "admin_password": "hunter2"}}}"#;

#[test]
fn an_event_is_pasted_or_chosen_and_nothing_is_called() {
    let mut stage = Stage::with("browser-trying", "");
    stage.publish_one("port.update.end", HOSTILE);
    stage.wait(|status| [("unmatched", status["counters"]["unmatched"] == 1)]);
    stage.log_in("/explain");
    let browser = &stage.browser;
    for are_on in [true, false] {
        browser.set_scripts(are_on);
        stage.open("/explain");
        browser.write("#event", EVENT);
        browser.click_text("Try");
        stage.shows("port-deleted");
        let effect = browser.text("main pre");
        assert!(effect.contains("/v1/role/inventory") && !effect.contains("hunter2"), "{effect}");

        browser.run("document.getElementById('sample').value = 'port.delete.end'", &json!([]));
        browser.click_text("Try it");
        stage.shows("rule port-deleted matches");
        browser.wait("its text", "return document.getElementById('event').value.includes('port.delete.end')");

        browser.write("#event", "{");
        browser.click_text("Try");
        stage.shows("Not an event");

        stage.open("/unmatched");
        browser.click("main a[href^='/explain?unmatched=']");
        stage.shows("port-created");
        assert!(stage.path().starts_with("/explain?unmatched="), "{}", stage.path());
    }
    assert!(stage.rig.sink.requests().is_empty());
}
