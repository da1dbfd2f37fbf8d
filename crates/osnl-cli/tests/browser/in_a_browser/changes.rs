use osnl_testkit::{RawMessage, wait_until};
use serde_json::json;

use crate::reloading::SOON;
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
        browser.click("main table a[href='/actions/inventory']");
        browser.click_text("Pause");
        stage.shows("No attempt starts until somebody resumes it.");
        assert!(stage.target("inventory")["paused_since"].is_null());
        browser.click_text("Pause inventory");
        stage.shows("inventory is paused");
        assert!(stage.target("inventory")["paused_since"].is_string());
        stage.open("/");
        stage.shows("inventory: paused by the admin endpoint");
        browser.click("details[data-key='action-paused action inventory'] > summary");
        browser.click_text("Resume");
        browser.click_text("Resume inventory");
        stage.shows("inventory is resumed");
        assert!(stage.target("inventory")["paused_since"].is_null());
        stage.open("/actions/roles");
        browser.click_text("Probe now");
        stage.shows("The last answer:");
        browser.click_text("Probe roles");
        stage.shows("still cannot connect");
        // What osnl tries again by itself has no retry: its page leads to the probe.
        let trying = stage.deliveries("roles", "retrying");
        stage.open(&format!("/deliveries/{}", trying[0]));
        assert!(!browser.text("main form").contains("Retry"), "{}", browser.text("main"));
        browser.click_text("Try now");
        stage.shows("Probe roles");
    }
    let log = stage.rig.log();
    assert!(log.matches("by=\"the admin endpoint for 127.0.0.1").count() >= 4, "{log}");
}

#[test]
fn a_page_that_stays_open_renews_its_counters_and_its_time() {
    let mut stage = Stage::start("browser-open");
    stage.log_in("/");
    let shown = |stage: &Stage, part: &str| stage.browser.text(part).replace('\n', " ");
    // Several incidents are closed, and one stays as it was left.
    let open = || {
        stage.browser.run("return document.querySelectorAll('.incident details[open]').length", &json!([]))
    };
    assert_eq!(open(), 0);
    stage.browser.click(".incident summary");
    assert_eq!(open(), 1);
    let (menu, footer) = (shown(&stage, "nav.pages"), shown(&stage, "footer"));
    let unreadable = RawMessage { body: b"{".to_vec(), ..RawMessage::default() };
    stage.rig.publisher.raw(&unreadable);
    wait_until(SOON, "both are newer", || {
        shown(&stage, "nav.pages") != menu && shown(&stage, "footer") != footer
    });
    assert_eq!(open(), 1);
    stage.browser.click("nav.pages a[href='/quarantine']");
    stage.arrive("/quarantine");
}

#[test]
fn deliveries_are_retried_released_and_discarded_after_a_look_at_what_would_happen() {
    let stage = Stage::start("browser-deliveries");
    let browser = &stage.browser;
    stage.log_in("/");

    browser.click("li.incident:has(button.copy) summary");
    browser.click("button.copy");
    // Without a permission for the clipboard the command is selected.
    let is_taken = "const button = document.querySelector('button.copy'); \
                    return button.textContent === 'Copied' || !getSelection().isCollapsed";
    wait_until(SOON, "the command is taken", || browser.run(is_taken, &json!([])) == true);

    // The retried delivery fails again, so it is dead once more.
    let newest = stage.dead("dns")[0].clone();
    let before = stage.rig.sink.requests().len();
    stage.open("/deliveries");
    // The four fail alike: one row, which opens to them.
    let opener = "summary[aria-label='Show 4 deliveries of dns']";
    assert!(browser.text(opener).contains("4 ×"), "{}", browser.text("main"));
    let is_shown =
        format!("return document.querySelector(\"a[href='/deliveries/{newest}']\").checkVisibility()");
    assert_eq!(browser.run(&is_shown, &json!([])), false);
    browser.click(opener);
    assert_eq!(browser.run(&is_shown, &json!([])), true);
    browser.click("a.chip.bad[href*='state=dead']");
    stage.shows("Retry all 4");
    assert_eq!(browser.text("a.chip[aria-current]").replace('\n', " "), "4 dead");
    browser.click(opener);
    browser.click(&format!("input[aria-label='Select {newest}']"));
    browser.click_text("Retry");
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
    let held = "a[href*='action=inventory'][href*='state=waiting-for-release']";
    browser.click(&format!("li.incident:has({held}) summary"));
    browser.click(held);
    browser.click_text("Release all 2");
    stage.shows("2 deliveries would be released.");
    browser.click_text("Back");
    browser.click_text("Release all 2");
    browser.click_text("Release 2 deliveries");
    stage.shows("2 deliveries released.");
    assert_eq!(stage.target("inventory")["for_release"], 0);

    stage.open("/deliveries?state=dead");
    browser.click_text("Discard all 4");
    stage.shows("4 deliveries would be discarded.");
    stage.shows("This cannot be undone.");
    assert!(browser.text("main table").contains("web-1"), "{}", browser.text("main table"));
    assert_eq!(stage.dead("dns").len(), 4);
    browser.click_text("Discard 4 deliveries");
    stage.shows("4 deliveries discarded.");
    assert!(stage.dead("dns").is_empty());
    stage.open("/deliveries/change?change=discard&state=dead");
    stage.shows("0 deliveries would be discarded.");
    assert_eq!(browser.text("main button"), "");
}

#[test]
fn a_reload_is_made_or_refused_and_its_result_is_shown() {
    let stage = Stage::with("browser-reload", "allow_changes = yes\n");
    stage.log_in("/configuration");
    stage.browser.click_text("Reload now");
    stage.shows("The files are valid and unchanged");
    stage.browser.click_text("Reload");
    stage.shows("The configuration was unchanged.");
    stage.browser.set_scripts(false);
    stage.open("/configuration/reload");
    stage.configure("nonsense = 1\n");
    stage.browser.click_text("Reload");
    stage.shows("Refused: nothing was changed.");
    stage.open("/configuration/reload");
    stage.shows("A reload would be refused");
    stage.shows("nonsense");
}
