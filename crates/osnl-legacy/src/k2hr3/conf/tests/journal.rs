use osnl::native::{JournalConf, Sources, load_texts};

use super::load;

#[test]
fn without_the_group_nothing_is_kept() {
    assert_eq!(load("").unwrap().conf.journal, JournalConf::Memory);
}

#[test]
fn its_options_are_those_of_the_native_form_and_are_shown_as_such() {
    let text = "[journal]\nconnection = sqlite:////var/lib/k2hr3/journal.db\nretention = 1d\nmax_size = 20MiB\n\
                max_pending = 5\nmax_dead = 7\nallow_volatile = yes\n";
    for text in [text.to_owned(), text.lines().take(2).map(|line| format!("{line}\n")).collect()] {
        let loaded = load(&text).unwrap();
        let shown = loaded.document().unwrap().text(true);
        let native = load_texts(&[("shown".to_owned(), shown)], &Sources::default()).unwrap();
        assert_eq!(native.conf.journal, loaded.conf.journal);
        assert_ne!(native.conf.journal, JournalConf::Memory);
    }
}

#[test]
fn what_is_wrong_is_said_with_what_is_allowed() {
    let check = |line: &str, expected: &str| {
        let text = format!("[journal]\nconnection = sqlite:////x/j.db\n{line}\n");
        let said = load(&text).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    };
    let only = "write sqlite:///path/to/journal.db, memory://, or remove the line";
    check(
        "connection = mysql://h/",
        &format!("[journal] connection: is not a journal that osnl knows; {only}"),
    );
    check("connection = sqlite:///", &format!("[journal] connection: names no file; {only}"));
    check("retention = 1y", "[journal] retention: \"1y\" is not a duration; write 12h, 7d or 90d");
    check("max_size = 1MiB", "[journal] max_size: \"1MiB\" is too small; at least 16MiB");
    check("max_pending = 0", "[journal] max_pending: 0 is out of range; allowed: 1 to 4294967295");
    check("max_dead = x", "[journal] max_dead:");
    let warnings = load("[journal]\nmax_dead = 7\nretain = x\n").unwrap().warnings;
    let said: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|w| w.contains("[journal] max_dead: has no effect for memory://")), "{said:?}");
    assert!(said.iter().any(|w| w.contains("retain: unknown option, ignored")), "{said:?}");
}
