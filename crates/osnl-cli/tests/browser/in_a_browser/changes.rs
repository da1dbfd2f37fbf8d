use serde_json::json;

use crate::stage::Stage;

#[test]
fn an_action_is_paused_resumed_and_probed() {
    let stage = Stage::start("browser-actions");
    let browser = &stage.browser;
    for are_on in [true, false] {
        browser.set_scripts(are_on);
        if are_on {
            stage.log_in("/");
        }
        stage.open("/");
        browser.click("button[aria-label='Pause inventory']");
        stage.shows("paused by the admin endpoint");
        assert!(stage.target("inventory")["paused_since"].is_string());
        browser.click("button[aria-label='Resume inventory']");
        browser.wait("the end of the pause", "return !document.body.innerText.includes('paused by')");
        assert!(stage.target("inventory")["paused_since"].is_null());
        browser.click("button[aria-label='Probe roles now']");
        assert_eq!(stage.path(), "/");
        let status = stage.target("roles")["state"].clone();
        assert!(status == "held" || status == "probing", "{status}");
    }
    let log = stage.rig.log();
    assert!(log.matches("by=\"the admin endpoint for 127.0.0.1").count() >= 4, "{log}");
}

#[test]
fn deliveries_are_retried_released_and_discarded_after_a_look_at_what_would_happen() {
    let stage = Stage::start("browser-deliveries");
    let browser = &stage.browser;
    stage.log_in("/");

    // The retried delivery fails again, so it is dead once more.
    let newest = stage.dead("dns")[0].clone();
    let before = stage.rig.sink.requests().len();
    stage.open("/deliveries");
    browser.write("#action", "dns");
    browser.run("document.getElementById('state').value = 'dead'", &json!([]));
    browser.click_text("Search");
    browser.click_text(&newest);
    stage.arrive(&format!("/deliveries/{newest}"));
    browser.click_text("retry");
    stage.shows("1 delivery would be retried.");
    assert_eq!(stage.dead("dns").len(), 4);
    browser.click_text("Retry 1 delivery");
    stage.shows("1 delivery retried.");
    stage.wait(|status| [("dead once more", status["journal"]["dead"] == 4)]);
    let asked =
        stage.rig.sink.requests().into_iter().skip(before).filter(|request| request.target == "/v1/role/dns");
    assert_eq!(asked.count(), 1);

    browser.set_scripts(false);
    stage.open("/");
    browser.click("a[href*='action=inventory'][href*='state=held']");
    browser.click_text("release");
    stage.shows("2 deliveries would be released.");
    browser.click_text("Back");
    browser.click_text("release");
    browser.click_text("Release 2 deliveries");
    stage.shows("2 deliveries released.");
    assert_eq!(stage.target("inventory")["held"], 0);

    stage.open("/deliveries?state=dead");
    browser.click_text("discard");
    stage.shows("4 deliveries would be discarded.");
    assert_eq!(stage.dead("dns").len(), 4);
    browser.click_text("Discard 4 deliveries");
    stage.shows("4 deliveries discarded.");
    assert!(stage.dead("dns").is_empty());
    stage.open("/deliveries/change?change=discard&state=dead");
    stage.shows("0 deliveries would be discarded.");
    assert_eq!(browser.text("main button"), "");
}

#[test]
fn one_delivery_is_released_discarded_and_moved() {
    let stage = Stage::start("browser-one");
    let browser = &stage.browser;
    stage.log_in("/");
    let held = stage.deliveries("inventory", "held-by-guard");
    let [first, second] = &held[..] else { panic!("{held:?}") };
    let failing = stage.deliveries("billing", "retrying")[0].clone();
    let changes =
        "return [...document.querySelectorAll('main .changes a')].map(link => link.innerText).join()";

    stage.open(&format!("/deliveries/{first}"));
    assert_eq!(browser.run(changes, &json!([])), "release,discard");
    browser.click_text("release");
    stage.shows("1 delivery would be released.");
    browser.click_text("Release 1 delivery");
    stage.shows("1 delivery released.");

    browser.set_scripts(false);
    stage.open(&format!("/deliveries/{second}"));
    browser.click_text("discard");
    stage.shows("1 delivery would be discarded.");
    assert_eq!(stage.deliveries("inventory", "held-by-guard"), std::slice::from_ref(second));
    browser.click_text("Discard 1 delivery");
    stage.shows("1 delivery discarded.");
    stage.wait(|status| [("delivered", status["targets"].to_string().contains("\"done\":6"))]);
    assert_eq!(stage.deliveries("inventory", "discarded"), std::slice::from_ref(second));

    stage.open(&format!("/deliveries/{failing}"));
    assert_eq!(browser.run(changes, &json!([])), "discard");
    browser.run("document.getElementById('to').value = 'inventory'", &json!([]));
    browser.click_text("Show what would be moved");
    stage.shows("would be moved to inventory.");
    browser.click_text("Move 1 delivery to inventory");
    stage.shows("moved to inventory.");
    stage.wait(|status| [("moved and delivered", status["targets"].to_string().contains("\"done\":7"))]);
}

#[test]
fn messages_of_the_quarantine_are_retried_and_discarded() {
    let mut stage = Stage::with("browser-quarantine", "allow_changes = yes\n");
    stage.configure("max_body = 4KiB\n");
    stage.rig.reload(0);
    for _ in 0..3 {
        stage.publish_one("port.delete.end", &"a long name ".repeat(1000));
    }
    stage.wait(|status| [("quarantined", status["journal"]["quarantined"] == 3)]);
    stage.log_in("/quarantine");
    for are_on in [true, false] {
        stage.browser.set_scripts(are_on);
        stage.open("/quarantine");
        stage.browser.click_text("retry");
        stage.shows("0 messages would go through the rules again.");
        stage.shows("the limit is 4096 (option max_body)");
        assert_eq!(stage.browser.text("main button"), "");
    }

    stage.configure("");
    stage.open("/configuration");
    stage.browser.click_text("Reload now");
    stage.shows("by the admin endpoint");
    stage.shows("the configuration is in force");
    stage.open("/quarantine/1");
    stage.browser.click_text("discard");
    stage.shows("1 message would be discarded");
    stage.browser.click_text("Discard 1 message");
    stage.shows("1 message discarded.");
    stage.browser.set_scripts(true);
    stage.open("/quarantine/2");
    stage.browser.click_text("retry");
    stage.shows("1 message would go through the rules again.");
    assert_eq!(stage.target("inventory")["done"], 0);
    stage.browser.click_text("Retry 1 message");
    stage.shows("1 message left the quarantine; the deliveries are in the journal.");
    stage.wait(|status| {
        let done = status["targets"].to_string().contains("\"done\":1");
        [("delivered", done), ("one is left", status["journal"]["quarantined"] == 1)]
    });
    stage.open("/quarantine");
    stage.browser.click_text("discard");
    stage.browser.click_text("Discard 1 message");
    stage.shows("1 message discarded.");
    stage.open("/quarantine");
    stage.shows("No message is in quarantine.");
}

#[test]
fn a_reload_is_made_or_refused_and_its_result_is_shown() {
    let stage = Stage::with("browser-reload", "allow_changes = yes\n");
    stage.log_in("/configuration");
    stage.browser.click_text("Reload now");
    stage.shows("the configuration was unchanged");
    stage.browser.set_scripts(false);
    stage.configure("nonsense = 1\n");
    stage.browser.click_text("Reload now");
    stage.shows("refused, nothing was changed");
    stage.shows("nonsense");
}
