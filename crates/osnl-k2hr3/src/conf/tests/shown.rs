//! `osnl config show` on the recorded files: golden texts, and the same meaning.

use std::fs;

use osnl::action::k2hr3::{K2hr3Conf, K2hr3Events, NoAddresses};
use osnl::native::{Native, Sources, load_texts};
use osnl_model::NotificationFilter;

use super::super::*;
use super::load;
use super::recorded::{accepted, folder};

fn native(text: &str) -> Native {
    let texts = [("shown.conf".to_owned(), text.to_owned())];
    load_texts(&texts, &Sources::default()).unwrap_or_else(|errors| panic!("{errors}\n{text}")).conf
}

#[test]
fn the_recorded_files_are_shown_as_recorded() {
    for file in accepted() {
        let text = fs::read_to_string(folder().join(&file)).unwrap();
        let loaded = Conf::from_text(&file, &text).unwrap();
        let shown = loaded.document().unwrap_or_else(|error| panic!("{file}: {error}"));
        let golden = folder().join("../shown").join(&file);
        let expected =
            fs::read_to_string(&golden).unwrap_or_else(|error| panic!("{}: {error}", golden.display()));
        assert_eq!(shown.text(true), expected, "{file}");
    }
}

#[test]
fn what_is_shown_means_the_same() {
    for file in accepted() {
        let loaded = Conf::from_path(&folder().join(&file)).unwrap();
        let conf = &loaded.conf;
        let native = native(&loaded.document().unwrap().text(true));
        let [listener] = &native.listeners[..] else { panic!("{file}") };
        let (old, new) = (conf.listener(), listener.config());
        assert_eq!(old.targets, new.targets, "{file}");
        assert_eq!(format!("{:?}", old.options), format!("{:?}", new.options), "{file}");
        assert_eq!(listener.transport_url, conf.oslo_messaging_notifications.transport_url, "{file}");
        let [rule] = &native.rules[..] else { panic!("{file}") };
        let filter = |filter: &NotificationFilter| format!("{filter:?}");
        assert_eq!(filter(&rule.rule.filter), filter(&conf.rule().filter), "{file}");
        assert_eq!(rule.rule.priorities, conf.rule().priorities, "{file}");
        let [action] = &native.actions[..] else { panic!("{file}") };
        assert_eq!(format!("{:?}", action.delivery()), format!("{:?}", conf.delivery()), "{file}");
        let Some(k2hr3) = action.driver.options::<K2hr3Conf>() else { panic!("{file}") };
        assert_eq!(k2hr3.api_url, conf.k2hr3.api_url, "{file}");
        assert_eq!((k2hr3.events, k2hr3.no_addresses), (K2hr3Events::All, NoAddresses::All), "{file}");
        assert_eq!(k2hr3.tls.verify, !conf.k2hr3.allow_self_signed_cert, "{file}");
    }
}

#[test]
fn what_the_native_form_cannot_say_is_refused() {
    let check = |lines: &str, expected: Option<&str>| {
        let text = format!("[k2hr3]\napi_url = http://h/\n[oslo_messaging_notifications]\n{lines}\n");
        let shown = load(&text).unwrap().document();
        assert_eq!(shown.err().map(|error| error.to_string()).as_deref(), expected, "{lines}");
    };
    let end = "cannot be written in the native form; rename what has commas or line ends in its name";
    check("topic = a,b", Some(&format!("what is listened to {end}")));
    check("context = a=b:x", Some(&format!("a pattern {end}")));
    check("event_type = ", None);
    check("event_type = ^$$x$", None);
    check("exchange = \" a \"", None);
    check("payload = a.b:x,c d:y", None);
}

#[test]
fn passwords_are_hidden_unless_asked_for() {
    let text = "[k2hr3]\napi_url = http://h/\n[oslo_messaging_notifications]\ntransport_url = rabbit://u:hunter2@h/\n";
    let document = load(text).unwrap().document().unwrap();
    assert!(document.text(true).contains("rabbit://u:hunter2@h/"));
    let hidden = document.text(false);
    assert!(!hidden.contains("hunter2"), "{hidden}");
    assert!(hidden.starts_with("# Passwords are hidden as ***"), "{hidden}");
    native(&hidden);
}
