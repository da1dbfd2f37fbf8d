use crate::stage::{HOSTILE, Stage};

#[test]
fn events_appear_as_they_come_until_the_reader_pauses() {
    let mut stage = Stage::with("browser-live", "");
    stage.log_in("/live");
    let has = |stage: &Stage, what: &str, id: &str, words: &str| {
        stage
            .browser
            .wait(what, &format!("return document.getElementById('{id}').textContent.includes('{words}')"));
    };
    let has_rows = |stage: &Stage, rows: usize| {
        let is_so = format!("return document.getElementById('live-rows').rows.length === {rows}");
        stage.browser.wait("rows", &is_so);
    };
    let _ = stage.browser.faults();
    has(&stage, "the stream", "live-status", "Connected");
    has_rows(&stage, 0);

    stage.publish_one("port.delete.end", "web-1");
    has_rows(&stage, 1);
    has(&stage, "the rule", "live-rows", "port-deleted → inventory");
    stage.publish_one("port.update.end", HOSTILE);
    has_rows(&stage, 2);

    stage.browser.click_text("Pause");
    stage.publish_one("port.update.end", "web-2");
    has(&stage, "the count", "live-count", "1 held back");
    has_rows(&stage, 2);
    stage.browser.click_text("Resume");
    has_rows(&stage, 3);

    let is_harmless = "return window.hacked === undefined && !document.body.innerHTML.includes('hunter2')";
    stage.browser.wait("harmless names, masked secrets", is_harmless);
    assert_eq!(stage.browser.faults(), Vec::<String>::new());
    assert_eq!(stage.browser.violations(), Vec::<String>::new());
}
