use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use osnl_testkit::{OTHER_NAME, Reply, Sink, wait_until};
use serde_json::{Value, json};

use crate::stage::{Stage, TOKEN};

/// Returns parts of the status that a change would change. During the attack the journal may answer
/// late.
fn state(stage: &Stage) -> Value {
    let mut status = Value::Null;
    wait_until(Duration::from_secs(120), "the journal's numbers", || {
        status = stage.rig.status();
        status["journal"]["quarantined"].is_number()
    });
    let targets = status["targets"].as_array().unwrap().iter();
    let targets: Vec<Value> = targets
        .map(|target| json!([target["paused_since"], target["dead"], target["for_release"]]))
        .collect();
    json!([targets, status["journal"]["quarantined"], status["configuration"]["loaded_at"]])
}

/// A page that sends each form into its own frame, and tries every way to read. The page even knows
/// the number that the session's own forms have.
fn attack(base: &str, id: &str, stolen: &str) -> String {
    let mut forms = String::new();
    let posts = [
        ("/actions/change", "action=inventory&change=pause"),
        ("/deliveries/change", "query=change%3Ddiscard%26state%3Ddead"),
        ("/quarantine/change", "query=change%3Ddiscard%26queue%3D"),
        ("/configuration/reload", "a=b"),
        ("/logout", ""),
        ("/login", "token=another&next=/"),
    ];
    let mut count = 0;
    for (path, fields) in posts {
        let zeros = format!("csrf={}&", "0".repeat(64));
        for csrf in ["", "csrf=&", &zeros, &format!("csrf={stolen}&")] {
            let kinds = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];
            // Another kind of form gets no further with a wrong number than with the right one.
            let most = if csrf.contains(stolen) { kinds.len() } else { 1 };
            for kind in &kinds[..most] {
                let fields = format!("{csrf}{fields}");
                let inputs: String = fields
                    .split('&')
                    .filter_map(|pair| pair.split_once('='))
                    .map(|(name, value)| {
                        format!(
                            "<input name='{name}' value='{}'>",
                            value.replace("%3D", "=").replace("%26", "&amp;")
                        )
                    })
                    .collect();
                forms.push_str(&format!(
                    "<iframe name=f{count}></iframe><form method=post target=f{count} action='{base}{path}' enctype='{kind}'>{inputs}</form>"
                ));
                count += 1;
            }
        }
    }
    format!(
        "<!doctype html><title>a</title>{forms}<iframe id=shown src='{base}/'></iframe>
         <img src='{base}/deliveries/change?change=discard&amp;id={id}'>
         <script src='{base}/api/v1/status'></script>
         <a href='{base}/deliveries/change?change=discard&amp;id={id}'>look</a>
         <script>
         window.read = [];
         const tries = [];
         for (const path of ['/', '/api/v1/status', '/deliveries', '/metrics'])
             for (const mode of ['cors', 'no-cors'])
                 tries.push(fetch('{base}' + path, {{mode, credentials: 'include'}}).then(r => r.text()).then(t => read.push(t), () => 0));
         for (const path of ['/actions/change', '/api/v1/actions/inventory/pause', '/api/v1/deliveries/discard', '/api/v1/reload'])
             for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded'])
                 tries.push(fetch('{base}' + path, {{method: 'POST', mode: type.includes('json') ? 'cors' : 'no-cors', credentials: 'include',
                     headers: {{'Content-Type': type}}, body: '{{\"filter\": {{}}}}'}}).then(r => r.text()).then(t => read.push(t), () => 0));
         const loads = [...document.forms].map(form => new Promise(done => {{
             frames[form.target]; document.getElementsByName(form.target)[0].onload = done; form.submit(); }}));
         Promise.all([...tries, ...loads]).then(() => window.isDone = true);
         </script>"
    )
}

#[test]
fn a_page_of_another_site_or_port_changes_nothing_and_reads_nothing() {
    let stage = Stage::start("browser-foreign");
    let browser = &stage.browser;
    stage.log_in("/");
    let dead = stage.dead("dns")[0].clone();
    stage.open("/");
    let stolen = browser.run("return document.querySelector('input[name=csrf]').value", &json!([]));
    let stolen = stolen.as_str().filter(|number| number.len() == 64).unwrap();
    let before = state(&stage);
    // Another address is another site, which gets no cookie. Another port is the same site and gets
    // the cookie.
    for address in [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::LOCALHOST] {
        let other = Sink::start_at(IpAddr::V4(address));
        other.reply_with(Reply::StatusWith {
            status: 200,
            headers: vec![("Content-Type".to_owned(), "text/html".to_owned())],
            body: attack(&stage.base, &dead, stolen).into_bytes(),
        });
        browser.open(&other.url("/"));
        browser.wait("the attack to end", "return window.isDone === true");
        let read = browser.run("return window.read.filter(text => text !== '')", &json!([]));
        assert_eq!(read, json!([]), "{address}");
        assert_eq!(state(&stage), before, "{address}");
        browser.click_text("look");
        browser.wait("the preview", "return document.body.innerText.includes('would be discarded')");
        assert_eq!(state(&stage), before, "{address}");
    }
    stage.open("/");
    assert_eq!(stage.path(), "/");
    let log = stage.rig.log();
    assert!(!log.contains("paused") && !log.contains("reload"), "{log}");
}

#[test]
fn a_name_of_another_site_for_the_same_address_is_refused() {
    let stage = Stage::with("browser-rebinding", "allow_changes = yes\n");
    stage.log_in("/");
    let port = stage.base.rsplit(':').next().unwrap();
    for path in ["/", "/login", "/api/v1/status"] {
        stage.browser.open(&format!("http://{OTHER_NAME}:{port}{path}"));
        let text = stage.browser.text("body");
        assert!(!text.contains("Overview") && !text.contains("token of"), "{path}: {text}");
        let status = stage
            .browser
            .run("return performance.getEntriesByType('navigation')[0].responseStatus", &json!([]));
        assert_eq!(status, 421, "{path}: {text}");
        assert!(!text.contains(TOKEN));
    }
}
