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
    // Integers as Python reads them, and an empty value for the default.
    let python = "[journal]\nconnection = sqlite:////x/j.db\nmax_dead = 1_000\nmax_pending =\n".to_owned();
    for text in [text.to_owned(), text.lines().take(2).map(|line| format!("{line}\n")).collect(), python] {
        let loaded = load(&text).unwrap();
        let shown = loaded.document().unwrap().text(true);
        let native = load_texts(&[("shown".to_owned(), shown)], &Sources::default()).unwrap();
        assert_eq!(native.conf.journal, loaded.conf.journal);
        assert_ne!(native.conf.journal, JournalConf::Memory);
    }
}
