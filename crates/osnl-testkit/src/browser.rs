//! A real browser: headless Chromium, driven through chromedriver.
//!
//! The module sends WebDriver's commands itself. The crate fantoccini 0.22.1 would add 18 crates and second versions
//! of 13, which `multiple-versions = "deny"` refuses, and lacks Chromium's own commands.
//!
//! chromedriver and Chromium share a process group, which ends with the [`Browser`] or with a killed test. Chromium
//! resolves no host and reaches loopback only.

mod driver;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::driver::ChromedriverSession;
use crate::program::RestartableProgram;
use crate::wait::reached;

pub const AXE_VARIABLE: &str = "OSNL_TEST_AXE";

pub const AXE_REQUIREMENTS: &str = include_str!("../python/axe-requirements.txt");

const SOON: Duration = Duration::from_secs(30);

const STALE: &str = "stale element reference";

pub const OTHER_NAME: &str = "other.test";

const ARGUMENTS: [&str; 13] = [
    "--headless",
    // Chromium has no sandbox for root, and it reads our own pages only.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--lang=en-US",
    "--host-resolver-rules=MAP other.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE 127.0.0.2",
];

#[derive(Debug)]
pub struct Browser {
    driver: ChromedriverSession,
    process: RestartableProgram,
    _folder: TempDir,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    Light,
    Dark,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrowserKey {
    Tab,
    Enter,
    Space,
}

impl Browser {
    #[must_use]
    pub fn start() -> Self {
        let there = Command::new("chromedriver").arg("--version").output();
        assert!(there.is_ok(), "there is no chromedriver; `cargo xtask setup` installs it with Chromium");
        let folder = tempfile::Builder::new().prefix("osnl-browser-").tempdir().unwrap();
        let mut command = Command::new("chromedriver");
        // Chromium writes below the user's home folder too, hence a home in the temporary folder.
        command.arg("--port=0").env("HOME", folder.path()).env_remove("XDG_CONFIG_HOME");
        let process = RestartableProgram::start(command);
        let port = port(&process);
        let profile = folder.path().join("profile");
        let arguments = ARGUMENTS.map(str::to_owned).into_iter();
        let arguments: Vec<String> =
            arguments.chain([format!("--user-data-dir={}", profile.display())]).collect();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let driver = ChromedriverSession::begin(port, &wanted)
            .unwrap_or_else(|error| panic!("Chromium does not start: {error}\n{}", process.output()));
        let browser = Self { driver, process, _folder: folder };
        // On a busy machine a click returns before the next page is there, so that each search for an element waits.
        browser.post("/timeouts", &json!({"implicit": SOON.as_millis()}));
        // The log must not contain the pages that Chromium opens by itself.
        browser.open("about:blank");
        browser.requests();
        browser
    }

    #[track_caller]
    pub fn open(&self, url: &str) {
        self.post("/url", &json!({"url": url}));
    }

    #[track_caller]
    #[must_use]
    pub fn address(&self) -> String {
        text(&self.ask("GET", "/url", &Value::Null))
    }

    #[track_caller]
    pub fn run(&self, script: &str, arguments: &Value) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": arguments}))
    }

    #[track_caller]
    #[must_use]
    pub fn text(&self, selector: &str) -> String {
        text(&self.run("return document.querySelector(arguments[0])?.innerText ?? ''", &json!([selector])))
    }

    #[track_caller]
    pub fn click(&self, selector: &str) {
        self.click_found(&json!({"using": "css selector", "value": selector}));
    }

    #[track_caller]
    pub fn click_text(&self, words: &str) {
        let path = format!("(//a|//button)[normalize-space()='{words}']");
        self.click_found(&json!({"using": "xpath", "value": path}));
    }

    #[track_caller]
    fn click_found(&self, using: &Value) {
        let is_clicked = reached(SOON, &mut || {
            let path = format!("/element/{}/click", id(&self.post("/element", using)));
            match self.driver.ask("POST", &path, &json!({})) {
                Ok(_) => true,
                Err(error) if error.starts_with(STALE) => false,
                Err(error) => panic!("POST {path} {}: {error}", shown(using)),
            }
        });
        assert!(is_clicked, "the page replaces {} again and again", shown(using));
    }

    #[track_caller]
    pub fn write(&self, selector: &str, words: &str) {
        let element = self.element(selector);
        self.post(&format!("/element/{element}/clear"), &json!({}));
        self.post(&format!("/element/{element}/value"), &json!({"text": words}));
    }

    #[track_caller]
    pub fn press(&self, key: BrowserKey) {
        let value = match key {
            BrowserKey::Tab => "\u{e004}",
            BrowserKey::Enter => "\u{e007}",
            BrowserKey::Space => " ",
        };
        let actions = json!([{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]);
        self.post("/actions", &json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}));
    }

    #[track_caller]
    pub fn wait(&self, description: &str, script: &str) {
        let is_so = reached(SOON, &mut || self.run(script, &json!([])) == true);
        assert!(is_so, "waited for {description} at {}:\n{}", self.address(), self.text("body"));
    }

    #[track_caller]
    pub fn command(&self, name: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({"cmd": name, "params": parameters}))
    }

    #[track_caller]
    pub fn set_scripts(&self, are_on: bool) {
        self.command("Emulation.setScriptExecutionDisabled", &json!({"value": !are_on}));
    }

    #[track_caller]
    pub fn set_width(&self, width: u32) {
        let parameters = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.command("Emulation.setDeviceMetricsOverride", &parameters);
    }

    #[track_caller]
    pub fn set_theme(&self, theme: Theme) {
        let value = match theme {
            Theme::Light => "light",
            Theme::Dark => "dark",
        };
        let features = json!([{"name": "prefers-color-scheme", "value": value}]);
        self.command("Emulation.setEmulatedMedia", &json!({"features": features}));
    }

    #[track_caller]
    pub fn forget_cookies(&self) {
        self.command("Network.clearBrowserCookies", &json!({}));
    }

    #[track_caller]
    #[must_use]
    pub fn cookies(&self) -> Vec<Value> {
        self.ask("GET", "/cookie", &Value::Null).as_array().cloned().unwrap_or_default()
    }

    #[track_caller]
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        self.log("browser").iter().map(|entry| text(&entry["message"])).collect()
    }

    #[track_caller]
    pub fn requests(&self) -> Vec<String> {
        let entries = self.log("performance").into_iter();
        let messages = entries.filter_map(|entry| serde_json::from_str(entry["message"].as_str()?).ok());
        let addresses = messages.filter_map(|entry: Value| {
            let message = &entry["message"];
            let address = match message["method"].as_str()? {
                "Network.requestWillBeSent" => &message["params"]["request"]["url"],
                "Network.webSocketCreated" => &message["params"]["url"],
                _ => return None,
            };
            address.as_str().map(str::to_owned)
        });
        addresses.collect()
    }

    #[track_caller]
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        // A page that has been judged before has it.
        if self.run("return typeof axe", &json!([])) != "object" {
            let file = std::env::var_os(AXE_VARIABLE).unwrap_or_else(|| {
                panic!("{AXE_VARIABLE} is not set: this test needs axe-core; run it with `cargo xtask test`")
            });
            let axe =
                std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            self.run(&axe, &json!([]));
        }
        let script = "const done = arguments[0];
            const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
            axe.run({runOnly: tags}).then(
                found => done(found.violations.map(violation => violation.id + ': ' + violation.help + ': '
                    + violation.nodes.map(node => node.html + ' ' + node.failureSummary).join('; '))),
                error => done(['axe-core: ' + error]))";
        let found = self.post("/execute/async", &json!({"script": script, "args": []}));
        found.as_array().expect("axe-core answers a list").iter().map(text).collect()
    }

    #[track_caller]
    pub fn picture(&self, path: &Path, height: u32) {
        let size = "const root = document.documentElement; return [root.clientWidth, root.scrollHeight]";
        let size = self.run(size, &json!([]));
        let side = |at: usize| size[at].as_u64().and_then(|side| u32::try_from(side).ok()).unwrap_or(900);
        let clip = json!({"x": 0, "y": 0, "width": side(0), "height": side(1).min(height), "scale": 1});
        let parameters = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let picture = self.command("Page.captureScreenshot", &parameters);
        std::fs::write(path, STANDARD.decode(text(&picture["data"])).unwrap()).unwrap();
    }

    #[track_caller]
    fn element(&self, selector: &str) -> String {
        id(&self.post("/element", &json!({"using": "css selector", "value": selector})))
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        self.post("/se/log", &json!({"type": kind})).as_array().cloned().unwrap_or_default()
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", path, body)
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        match self.driver.ask(method, path, body) {
            Ok(value) => value,
            Err(error) => panic!("{method} {path} {}: {error}", shown(body)),
        }
    }

    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }
}

fn port(process: &RestartableProgram) -> u16 {
    let words = "started successfully on port ";
    process.wait_for(words, 1, SOON);
    let output = process.output();
    let (_, behind) = output.split_once(words).unwrap();
    let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

fn id(element: &Value) -> String {
    let members = element.as_object().and_then(|members| members.values().next());
    members.map(text).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn shown(body: &Value) -> String {
    body.to_string().chars().take(300).collect()
}
