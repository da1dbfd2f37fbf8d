use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use osnl_config::Kind;

use super::super::*;
use super::{load, warnings, with};

#[test]
fn errors_of_the_form_are_told_from_those_of_values() {
    let error = load("timeout = 1\n[k2hr3]\ntimeout_seconds = soon\n").expect_err("two errors");
    assert!(matches!(error, ConfError::Syntax(_)));
}

#[test]
fn retries_is_another_name_of_max_retries() {
    let check = |lines: &str, expected: u32| {
        let loaded = load(&with("k2hr3", lines)).expect(lines);
        assert_eq!(loaded.conf.k2hr3.max_retries, expected, "{lines}");
    };
    check("", 5);
    check("retries = 3", 3);
    check("max_retries = 2", 2);
    check("max_retries = 2\nretries = 3", 2);
    check("retries = 3\nmax_retries = 2", 2);
    check("retries = -1", 0);
    check("max_retries = -1\nretries = 3", 0);
}

#[test]
fn a_login_in_clear_has_a_remedy_that_this_form_has() {
    let check = |query: &str, more: &str, remedy: Option<&str>| {
        let lines = format!("transport_url = rabbit://u:hunter2@mq1:5671/{query}\n{more}");
        let said = warnings(&load(&with("oslo_messaging_notifications", &lines)).unwrap());
        assert_eq!(said.len(), usize::from(remedy.is_some()), "{said:?}");
        assert!(said.iter().zip(remedy).all(|(said, remedy)| said.contains(remedy)), "{said:?}");
    };
    check("", "", Some("set tls = verify, or write ?ssl=1&ssl_ca_file=FILE into transport_url, and use"));
    check("", "tls = verify", None);
    check("?ssl=1&ssl_ca_file=/ca.pem", "", None);
    let verify = Some("set tls = verify, and write ssl_ca_file=FILE into transport_url's query unless");
    check("?ssl=1", "", verify);
    check("", "tls = unverified", verify);
    check("?ssl_ca_file=/ca.pem", "tls = verify", None);
}

#[test]
fn every_word_of_a_choice_loads() {
    let options =
        schema::SCHEMA.sections.iter().flat_map(|def| def.options.iter().map(|row| (def.kind, row)));
    for (group, option) in options {
        let Kind::Choice(words) = option.kind else { continue };
        for word in words {
            let text = with(group, &format!("{} = {word}", option.name));
            assert!(load(&text).is_ok(), "{} = {word}", option.name);
        }
    }
}

#[test]
fn words_of_the_command_line() {
    let check = |word: &str, expected: Option<Level>| assert_eq!(Level::from_flag(word), expected, "{word}");
    check("debug", Some(Level::Debug));
    check("info", Some(Level::Info));
    check("warn", Some(Level::Warn));
    check("error", Some(Level::Error));
    check("critical", Some(Level::Warn));
    check("warning", None);
    check("notset", None);
    check("", None);
}

#[test]
fn a_file_that_every_user_can_read_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let file = folder.path().join("x.conf");
    let name = file.display().to_string();
    let text = "[oslo_messaging_notifications]\ntransport_url = rabbit://u:hunter2@mq/\n[k2hr3]\napi_url = http://h/\n";
    for (mode, count) in [(0o640, 0), (0o604, 1)] {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let warnings = Conf::from_text(&name, text).unwrap().warnings;
        let said = warnings.iter().map(ToString::to_string);
        let said: Vec<_> = said.filter(|said| said.contains("can read this secret; chmod o=")).collect();
        assert!(
            said.len() == count && said.iter().all(|said| said.contains("transport_url")),
            "{mode:o} {said:?}"
        );
    }
}
