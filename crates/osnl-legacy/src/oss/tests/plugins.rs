use osnl_model::Notification;
use serde_json::json;

use super::native::{WHOLE, load};
use osnl::native::{CallRequest, Preview};
use osnl_actions::exec::{ExecConf, ExecMode};
use osnl_delivery::DeliverySettings;

fn all_findings(text: &str) -> String {
    match load(text) {
        Ok(loaded) => loaded.warnings.iter().map(ToString::to_string).collect(),
        Err(errors) => errors.to_string(),
    }
}

fn with(action: &str) -> String {
    WHOLE.replace("driver = dump\n", action)
}

fn exec(action: &str) -> ExecConf {
    let loaded = load(&with(action)).unwrap();
    loaded.conf.actions[1].driver.options::<ExecConf>().expect("its driver").clone()
}

#[test]
fn a_command_is_a_list_and_never_a_shell_s_line() {
    for (command, expected) in [
        ("/bin/x", &["/bin/x"][..]),
        ("x, --flag, a b, $$HOME", &["x", "--flag", "a b", "$HOME"]),
        (r#"["/bin/x", "a, b", "; rm -r /"]"#, &["/bin/x", "a, b", "; rm -r /"]),
    ] {
        assert_eq!(exec(&format!("driver = exec\ncommand = {command}\n")).program.command, expected);
    }
    let conf = exec(
        "driver = exec\ncommand = x\nmode = once\nenvironment = A=1, B=two words\nworking_dir = /srv\n\
         reply_limit = 1MiB\nstop_timeout = 500ms\nmask_secrets = yes\n",
    );
    assert_eq!((conf.options.mode, conf.options.reply_limit), (ExecMode::Once, 1 << 20));
    assert!(conf.options.mask_secrets && conf.options.stop_timeout.as_millis() == 500);
    assert_eq!(conf.program.working_dir.to_str(), Some("/srv"));
    let environment: Vec<(&str, &str)> =
        conf.program.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(environment, [("A", "1"), ("B", "two words")]);
}

#[test]
fn one_event_is_in_a_program_s_hands_unless_it_is_said_to_take_more() {
    let delivery =
        |action: &str| -> DeliverySettings { load(&with(action)).unwrap().conf.actions[1].delivery() };
    for (action, concurrency) in [
        ("driver = exec\ncommand = x\n", 1),
        ("driver = exec\ncommand = x\nconcurrency = 32\n", 32),
        ("driver = python\nplugin = a.B\n", 1),
    ] {
        let settings = delivery(action);
        assert_eq!((settings.concurrency, settings.timeout.as_secs()), (concurrency, 30), "{action}");
    }
}

#[test]
fn nothing_shows_what_is_in_the_environment() {
    let loaded = load(&with("driver = exec\ncommand = x, --flag\nenvironment = TOKEN=S3CRET\n")).unwrap();
    let shown = loaded.document().text(false);
    assert!(shown.contains("command = x, --flag") && !shown.contains("S3CRET"), "{shown}");
    assert!(!format!("{loaded:?}").contains("S3CRET"));
    assert!(!loaded.conf.explain().contains("S3CRET"));
}

#[test]
fn what_would_be_done_is_said_without_doing_it() {
    let notification = |event_type: &str| Notification {
        event_type: Some(event_type.to_owned()),
        payload: json!({"port": {"id": "p1"}}),
        ..Notification::default()
    };
    let preview = |action: &str, event_type: &str| {
        let loaded = load(&with(action)).unwrap();
        let n = notification(event_type);
        loaded.conf.actions[1].preview(&CallRequest {
            notification: &n,
            rule: "r",
            resource: None,
            asks: &[],
        })
    };
    let about = || vec![("event", "port.create.end".to_owned()), ("resource", "port p1".to_owned())];
    let does = "runs /bin/x for each event".to_owned();
    let seen = preview("driver = exec\ncommand = /bin/x, secret\nmode = once\n", "port.create.end");
    assert_eq!(seen, Preview::Effect { does, with: about() });
    let python = "driver = python\nplugin = a.B\n";
    let does = "calls the plug-in a.B in a Python of its own".to_owned();
    let with = [about(), vec![("created", "true".to_owned())]].concat();
    assert_eq!(preview(python, "port.create.end"), Preview::Effect { does, with });
    let why = "port.update.end is neither a creation nor a deletion".to_owned();
    assert_eq!(preview(python, "port.update.end"), Preview::Nothing { why });
}

#[test]
fn the_examples_load_without_a_warning() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let read = |name: &str| std::fs::read_to_string(format!("{root}/{name}")).unwrap();
    assert_eq!(all_findings(&read("examples/plugins.conf")), "");
    let frame =
        "[listener:neutron]\ntransport_url = rabbit://u:p@localhost/\nexchange = neutron\npool = osnl\n";
    let pages = [read("docs/exec.md"), read("docs/writing-a-plugin.md")].concat();
    let blocks: Vec<&str> =
        pages.split("```ini\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        let name = block.strip_prefix("[action:").and_then(|rest| rest.split(']').next()).unwrap();
        let used = format!("{frame}[rule:all]\nactions = {name}\n{block}");
        assert_eq!(all_findings(&used), "", "{block}");
    }
}
