use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use osnl_config::{Level, LogFile};

use super::super::{Sources, load as load_files, load_texts};
use super::{WHOLE, load, load_layers, warnings};
use crate::actions::dump::DumpConf;

fn shown(loaded: &super::LoadedConf, heading: &str, option: &str) -> Option<(String, String)> {
    let document = loaded.document();
    let section = document.sections.into_iter().find(|section| section.heading == heading)?;
    let entry = section.entries.into_iter().find(|entry| entry.option == option)?;
    Some((entry.text, entry.from))
}

#[test]
fn later_files_win_the_environment_is_above_them_and_flags_above_all() {
    let second = "[action:roles]\ntimeout = 5s\n[listener:neutron]\nexchange = nova\n";
    let check = |variables: &[(&str, &str)], option: (&str, &str), expected: (&str, &str)| {
        let loaded = load_layers(&[WHOLE, second], variables).unwrap();
        let found = shown(&loaded, option.0, option.1).expect("shown");
        assert_eq!((found.0.as_str(), found.1.as_str()), expected, "{option:?}");
    };
    check(&[], ("listener:neutron", "exchange"), ("nova", "b.conf:4"));
    check(&[], ("listener:neutron", "pool"), ("osnl", "a.conf:4"));
    check(&[], ("action:roles", "timeout"), ("5s", "b.conf:2"));
    let variable = "OS_ACTION_ROLES__TIMEOUT";
    check(&[(variable, "7s")], ("action:roles", "timeout"), ("7s", &format!("environment {variable}")));
    let pattern = "OS_RULE_GONE__EVENT_TYPE";
    check(&[(pattern, "^x$")], ("rule:gone", "event_type"), ("^x$", &format!("environment {pattern}")));

    let sources = Sources {
        environment: [("OS_DEFAULT__LOG_FILE", "from-environment")].into_iter().collect(),
        flags: vec![("debug", "true".to_owned(), "--debug"), ("log_file", "x.log".to_owned(), "--log-file")],
        ..Sources::default()
    };
    let texts = [("a.conf".to_owned(), format!("[DEFAULT]\ndebug = no\nlog_level = error\n{WHOLE}"))];
    let loaded = load_texts(&texts, &sources).unwrap();
    assert_eq!(loaded.conf.log_level, Level::Debug);
    assert_eq!(loaded.conf.log_file, LogFile::Path("x.log".into()));
    assert_eq!(
        shown(&loaded, "DEFAULT", "log_file"),
        Some(("x.log".to_owned(), "command line --log-file".to_owned()))
    );
}

#[test]
fn the_environment_reaches_keyed_options_that_a_file_sets() {
    let text = format!("{WHOLE}[rule:gone]\npayload.state = ^a$\n");
    let loaded = load_layers(&[&text], &[("OS_RULE_GONE__PAYLOAD_STATE", "^b$")]).unwrap();
    assert_eq!(loaded.conf.rules[0].rule.filter.payload["state"].as_str(), "^b$");
}

#[test]
fn a_name_stands_for_an_option_of_the_section_or_of_default() {
    let check = |lines: &str, expected: &str| {
        let text = format!("[DEFAULT]\nlog_file = base\n{WHOLE}[action:record]\n{lines}\n");
        let loaded = load(&text).unwrap_or_else(|errors| panic!("{errors}"));
        let Some(dump) = loaded.conf.actions[1].driver.options::<DumpConf>() else {
            panic!("another driver")
        };
        assert_eq!(dump.path.as_deref(), Some(Path::new(expected)), "{lines}");
    };
    check("path = ${log_file}.jsonl", "base.jsonl");
    check("path = ${DEFAULT.log_file}-2", "base-2");
    check("path = ${driver}.jsonl", "dump.jsonl");
    check("path = ${journal.retention}", "7d");
    check("path = 5$$", "5$");
}

#[test]
fn values_of_ones_own_are_repeated_by_secrets_and_shown_by_no_output() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("brokers");
    fs::write(&file, "rabbit://osnl:hunter2@mq1:5671,osnl:hunter2@mq2:5671").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    let whole = |url: &str| WHOLE.replace("rabbit://u:hunter2@localhost/", url);
    let check = |values: &str, url: &str| {
        // The order of sections in the file says nothing.
        let loaded = load(&format!("{}[values]\n{values}\n", whole(url)));
        let loaded = loaded.unwrap_or_else(|errors| panic!("{errors}"));
        let url = &loaded.conf.listeners[0].transport_url;
        assert_eq!(url.virtual_host(), "nova", "{values}");
        let hosts: Vec<&str> = url.hosts().iter().map(|host| &*host.hostname).collect();
        assert_eq!(hosts, ["mq1", "mq2"], "{values}");
        let document = loaded.document();
        assert!(document.reads_back(), "{}", document.text(true));
        assert!(!document.text(false).contains("hunter2"), "{}", document.text(false));
    };
    let both = "rabbit://osnl:hunter2@mq1:5671,osnl:hunter2@mq2:5671";
    check(&format!("brokers = {both}"), "${values.brokers}/nova");
    check(&format!("brokers = file://{}", file.display()), "${values.brokers}/nova?ssl=1");
    check("one = osnl:hunter2@mq1\nother = hunter2", "rabbit://${values.one},osnl:${values.other}@mq2/nova");
}

#[test]
fn folders_come_after_files_and_are_sorted() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("d")).unwrap();
    fs::write(at("main.conf"), WHOLE).unwrap();
    fs::write(at("d/10.conf"), "[listener:neutron]\npool = ten\n").unwrap();
    fs::write(at("d/9.conf"), "[listener:neutron]\npool = nine\n").unwrap();
    let sources = Sources { files: vec![at("main.conf")], folders: vec![at("d")], ..Sources::default() };
    assert_eq!(load_files(&sources).unwrap().conf.listeners[0].pool.as_deref(), Some("nine"));
}

#[test]
fn what_is_shown_reads_back_as_the_same() {
    let text = format!("[DEFAULT]\nlog_file = 'a $$b'\n{WHOLE}[rule:gone]\npayload.x = ^$$(a|b)$\n");
    let loaded = load(&text).unwrap();
    let document = loaded.document();
    assert!(document.reads_back(), "{}", document.text(true));
    let again = load(&document.text(true)).unwrap();
    assert_eq!(format!("{:?}", again.conf), format!("{:?}", loaded.conf));
    assert!(document.text(true).contains("hunter2"));
    let hidden = document.text(false);
    assert!(!hidden.contains("hunter2"), "{hidden}");
    let again = load(&hidden).unwrap();
    assert_eq!(
        warnings(&again),
        ["a.conf:49: [listener:neutron] transport_url: the password is ***, as osnl config show hides it; \
             write the password, or use --show-secrets"]
    );
    // A value that no file can hold.
    let odd = load_layers(&[WHOLE], &[("OS_ACTION_RECORD__PATH", "a\n\nb")]).unwrap();
    assert!(!odd.document().reads_back());
}

#[test]
fn the_examples_load_without_a_warning() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut count = 0;
    // `oss.conf` is no native file, and `plugins.conf` has a driver of another crate; osnl-legacy loads both.
    let files = osnl_config::files_of(&folder).unwrap().into_iter();
    for file in files.filter(|file| !["oss.conf", "plugins.conf"].iter().any(|other| file.ends_with(other))) {
        let sources = Sources { files: vec![file.clone()], ..Sources::default() };
        let loaded = load_files(&sources).unwrap_or_else(|errors| panic!("{errors}"));
        // The examples' passwords are no secrets, and a checkout is readable by everyone.
        let mut said = warnings(&loaded);
        said.extend(loaded.never_sent().iter().map(ToString::to_string));
        let said: Vec<_> = said.iter().filter(|said| !said.contains("can read this secret")).collect();
        assert_eq!(said, [""; 0], "{}", file.display());
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn a_character_that_reads_as_another_one_is_told_and_a_secret_is_not() {
    let text = |event_type: &str, name: &str, password: &str| {
        format!(
            "[listener:l]\ntransport_url = rabbit://u:p@one/\nexchange = neutron\npool = osnl\n\
             [rule:r]\nactions = {name}\nevent_type = {event_type}\n\
             [action:{name}]\ndriver = http\nurl = https://h/\nauth = basic\nusername = u\npassword = {password}\n"
        )
    };
    let check = |event_type: &str, name: &str, expected: &[&str]| {
        let loaded = load(&text(event_type, name, "s\u{435}cret\u{200b}")).unwrap();
        let warnings = loaded.warnings.iter().map(ToString::to_string);
        let warnings: Vec<String> = warnings.filter(|warning| warning.contains("type it anew")).collect();
        assert_eq!(warnings, expected);
    };
    check("^port\\.delete", "roles", &[]);
    let rule =
        "a.conf:7: [rule:r] event_type: has U+0435, which reads as e; type it anew, unless it is meant";
    check("^port\\.d\u{435}lete", "roles", &[rule]);
    let hidden = "a.conf:7: [rule:r] event_type: has U+200B, which is not visible or a blank of another kind; \
                  type it anew, unless it is meant";
    check("^port\\.delete\u{200b}\\.end", "roles", &[hidden]);
    check(
        "^port\\.delete",
        "r\u{43e}les",
        &[
            "a.conf:6: [rule:r] actions: has U+043E, which reads as o; type it anew, unless it is meant",
            "a.conf:8: [action:r\\u{43e}les]: its name has U+043E, which reads as o; type it anew, unless it is meant",
        ],
    );
}
