use std::time::Instant;

use osnl_testkit::BrowserKey;
use serde_json::{Value, json};

use crate::reloading::SOON;
use crate::stage::Stage;

const FOCUS: &str = "
    const element = document.activeElement;
    if (element === document.body) return null;
    const box = element.getBoundingClientRect(), style = getComputedStyle(element);
    const all = [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]')]
        .filter(element => element.checkVisibility());
    return {
        name: element.getAttribute('aria-label') || element.innerText.trim() || element.id, place: all.indexOf(element), all: all.length,
        isVisible: box.width > 0 && box.height > 0 && box.right > 0 && box.bottom > 0 && box.left < innerWidth && box.top < innerHeight,
        isMarked: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
    }";

#[test]
fn every_control_is_reached_in_order_and_seen() {
    let stage = Stage::start("browser-keyboard");
    let browser = &stage.browser;
    stage.log_in("/");
    let dead = format!("/deliveries/{}", stage.dead("dns")[0]);
    for width in [320, 1280] {
        browser.set_width(width);
        for path in ["/", "/deliveries", &dead, "/quarantine", "/plots"] {
            stage.open(path);
            for place in 0.. {
                browser.press(BrowserKey::Tab);
                let focus = browser.run(FOCUS, &json!([]));
                if focus.is_null() {
                    assert!(place > 3, "{path}: only {place} controls");
                    break;
                }
                assert_eq!(focus["place"], place, "{path} at {width} px: {focus}");
                assert!(
                    focus["isVisible"] == true && focus["isMarked"] == true,
                    "{path} at {width} px: {focus}"
                );
                if place + 1 == focus["all"].as_u64().unwrap() {
                    break;
                }
            }
        }
    }
    stage.open("/");
    browser.press(BrowserKey::Tab);
    assert_eq!(browser.run(FOCUS, &json!([]))["name"], "Skip to the content");
    browser.press(BrowserKey::Enter);
    browser.press(BrowserKey::Tab);
    let is_inside = browser.run("return document.activeElement.closest('main') !== null", &json!([]));
    assert_eq!(is_inside, true);
}

#[test]
fn changes_are_made_with_enter_and_space() {
    let stage = Stage::start("browser-keys");
    let browser = &stage.browser;
    stage.log_in("/");
    let focus = |name: &str| {
        let end = Instant::now() + SOON;
        loop {
            browser.press(BrowserKey::Tab);
            let found: Value = browser.run(FOCUS, &json!([]));
            if found["name"] == *name {
                return;
            }
            assert!(Instant::now() < end, "{name} is not reached: {found}");
        }
    };
    stage.open("/actions/billing");
    focus("Pause");
    browser.press(BrowserKey::Enter);
    stage.shows("No attempt starts");
    focus("Pause billing");
    browser.press(BrowserKey::Space);
    stage.shows("billing is paused");
    assert!(stage.target("billing")["paused_since"].is_string());

    stage.open("/deliveries?state=dead");
    focus("Discard all 4");
    browser.press(BrowserKey::Enter);
    browser.wait("the preview", "return document.body.innerText.includes('would be discarded')");
    focus("Discard 4 deliveries");
    browser.press(BrowserKey::Space);
    browser.wait("the change", "return document.body.innerText.includes('4 deliveries discarded.')");
    focus("Log out");
    browser.press(BrowserKey::Enter);
    browser.wait("the form", "return document.getElementById('token') !== null");
    stage.arrive("/login");
}
