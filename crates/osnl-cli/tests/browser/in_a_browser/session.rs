use std::time::{Duration, SystemTime};

use osnl_testkit::BrowserKey;

use crate::stage::{Stage, TOKEN};

fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

#[test]
fn a_session_begins_with_the_token_and_ends_with_a_button_or_the_daemon() {
    for are_on in [true, false] {
        let mut stage = Stage::with("browser-session", "");
        let browser = &stage.browser;
        browser.set_scripts(are_on);
        stage.open("/deliveries?state=dead");
        assert_eq!(stage.path(), "/login?next=%2Fdeliveries%3Fstate%3Ddead");
        let is_there =
            "return document.activeElement.id == 'token' && document.activeElement.type == 'password'";
        browser.wait("the cursor to be in the field", is_there);
        browser.write("#token", "not-the-token");
        browser.press(BrowserKey::Enter);
        browser.wait(
            "the refusal",
            "return document.querySelector('main').innerText.includes('This is not a token of [admin].')",
        );
        assert!(browser.cookies().is_empty());
        browser.write("#token", TOKEN);
        browser.press(BrowserKey::Enter);
        stage.arrive("/deliveries?state=dead");
        let cookies = browser.cookies();
        assert_eq!(cookies.len(), 1);
        let cookie = &cookies[0];
        assert!(
            cookie["httpOnly"] == true && cookie["sameSite"] == "Strict" && cookie["path"] == "/",
            "{cookie}"
        );
        let rest = Duration::from_secs(cookie["expiry"].as_u64().unwrap()).saturating_sub(since_1970());
        let life = Duration::from_hours(12);
        assert!(rest <= life && rest > life - Duration::from_mins(5), "{cookie}");
        assert!(!cookie.to_string().contains(TOKEN) && !browser.text("html").contains(TOKEN));
        assert!(browser.text("footer").contains("Nothing can be changed here"));

        // Chromium keeps the page after a login, even without its cookie. Any other page is dropped
        // with the session.
        browser.click_text("Quarantine");
        stage.arrive("/quarantine");
        browser.click_text("Log out");
        stage.arrive("/login");
        assert!(browser.cookies().is_empty());
        browser.run("history.back()", &serde_json::json!([]));
        browser.wait("the form", "return document.getElementById('token') !== null");

        stage.log_in("/");
        stage.rig.signal("TERM");
        stage.rig.daemon.as_mut().unwrap().wait().unwrap();
        stage.again();
        stage.open("/");
        assert_eq!(stage.path(), "/login?next=%2F");
    }
}

#[test]
fn an_old_session_ends_when_too_many_others_begin() {
    let stage = Stage::with("browser-sessions", "");
    stage.log_in("/");
    let first = stage.browser.cookies();
    // Without a cookie, as other browsers do. Sixty-four visits to the form would take a minute of CPU.
    let begin = |sessions: u32| {
        let script = format!(
            "window.begun = 0;
             const form = {{method: 'POST', credentials: 'omit', redirect: 'manual', body: 'token={TOKEN}&next=/',
                            headers: {{'Content-Type': 'application/x-www-form-urlencoded'}}}};
             (async () => {{
                 for (let n = 0; n < {sessions}; n++)
                     if ((await fetch('/login', form)).type === 'opaqueredirect') window.begun += 1;
             }})();"
        );
        stage.browser.run(&script, &serde_json::json!([]));
        stage.browser.wait("the sessions", &format!("return window.begun === {sessions}"));
        assert_eq!(stage.browser.cookies(), first);
        stage.open("/quarantine");
    };
    begin(63);
    assert_eq!(stage.path(), "/quarantine");
    begin(1);
    assert_eq!(stage.path(), "/login?next=%2Fquarantine");
}
