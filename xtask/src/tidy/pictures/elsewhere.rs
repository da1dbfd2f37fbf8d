//! Messages without a picture in the gallery, and why: the end of the file's path, the message, the reason. "Of events" is
//! what no configuration leads to; tests are named where they show it.

/// By file.
pub(super) const ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "osnl-config/src/secret_file.rs",
        "every user of this machine can read this secret",
        "needs a folder that others can enter: its crate's tests",
    ),
    (
        "osnl-config/src/secret_file.rs",
        "chmod o= on the file, or write file:///path and keep the secret there",
        "the same",
    ),
    ("osnl-config/src/secret_file.rs", "chmod o= on the file", "the same"),
    ("osnl-cli/src/flags.rs", "{}; raise it with --max-body", "needs a large body: command/tap/tests.rs"),
    (
        "osnl-cli/src/command/k2hr3_osnl.rs",
        "{}: refused by the broker",
        "needs a broker: tests/cli/refused.rs",
    ),
    (
        "osnl-cli/src/command/deliveries/show.rs",
        "{}: several deliveries; name one of them by its id",
        "needs a journal: tests/cli/control.rs",
    ),
    (
        "osnl-cli/src/command/replay.rs",
        "{} ({} events were appended before)",
        "needs a journal that fails in the middle",
    ),
    (
        "osnl-cli/src/command/replay/daemon.rs",
        " ({} events were appended before)",
        "needs a daemon that ends in the middle",
    ),
    (
        "osnl-cli/src/command/saved_events.rs",
        "the journal holds {} of this kind",
        "needs a journal: tests/cli/explain.rs",
    ),
    ("osnl-cli/src/command/send/sample.rs", "nothing was published", "needs a terminal"),
    (
        "osnl-cli/src/command/send/sample.rs",
        "--sample: nothing is known of the payload of {}; send it with --event-type and --payload",
        "every event that is known by its name alone may be recorded with the next release",
    ),
    (
        "osnl/src/action/driver.rs",
        "that {} refuses",
        "is no error: native/tests/outputs.rs shows explanations",
    ),
    ("osnl/src/native/rights.rs", "/etc/passwd has no numbers for {}", "needs a broken /etc/passwd"),
    (
        "osnl-cli/src/command/send.rs",
        "the notification cannot be written",
        "what was read as JSON can be written",
    ),
    (
        "osnl-model/src/filter.rs",
        "absent (the payload is {})",
        "of events, not of configurations; its crate's tests",
    ),
    (
        "osnl-model/src/filter.rs",
        "a text of {} bytes, given up after too many steps",
        "of events; its crate's tests",
    ),
    (
        "osnl-model/src/filter/pattern.rs",
        "given up after too many steps of the pattern \"{}\"",
        "of events; its crate's tests",
    ),
    (
        "osnl-transport/src/rabbit/options.rs",
        "a name in the query",
        "where the name may be a part of a password; its own tests",
    ),
    ("osnl/src/action/http_request/sign.rs", "Signer({} secrets)", "a Debug form"),
    ("osnl/src/action/mail/conf.rs", "the mail server", "a name within a delivery's failure"),
    ("osnl/src/oss/rest/conf.rs", "compute.instance.create.end, floatingip.update.end", "a default"),
    ("osnl/src/oss/rest/conf.rs", "compute.instance.delete.end, floatingip.update.end", "a default"),
    (
        "osnl/src/oss/rest/conf.rs",
        "name the CA's certificate in ca_file, put it into the system's store, or set verify = false",
        "needs a target with TLS: osnl/tests/it",
    ),
    (
        "osnl/src/oss/rest/conf.rs",
        "verify = false: neither the certificate of {} nor the name in it is checked; whoever answers there is believed",
        "a line of the log of what runs on: osnl/tests/it",
    ),
    ("osnl/src/oss/python/conf.rs", "the plug-in", "a name within a delivery's failure"),
    ("osnl-config/src/error.rs", " (os error ", "what no message has"),
    ("osnl-config/src/settings.rs", "there is no such option", "for who programs a dialect"),
    ("osnl-config/src/settings.rs", "see the reference", "the same"),
    (
        "osnl-config/src/value.rs",
        "the value (not shown)",
        "every secret option is a text, which is never wrong",
    ),
    (
        "osnl-journal/src/sqlite.rs",
        "is in use by {}; one daemon has it at a time: stop that one, or name another file",
        "needs another daemon: tests/cli/journal.rs",
    ),
    (
        "osnl-journal/src/sqlite.rs",
        "was written by a newer osnl (version {} of its tables, this one knows {}); run that one, or name another file",
        "needs such a file: the tests of schema.rs",
    ),
    (
        "osnl-journal/src/sqlite.rs",
        "the journal's thread ended unexpectedly: {}; restart osnl",
        "needs a thread that panics: its own tests",
    ),
    ("osnl-journal/src/sqlite.rs", "{}; what was not acknowledged stays with the broker", "the same"),
    ("osnl-journal/src/sqlite.rs", "nothing takes its commands", "the same"),
    (
        "osnl-journal/src/sqlite/place.rs",
        "{} is in memory (ramfs)",
        "needs a file system that tests cannot mount",
    ),
    (
        "osnl-journal/src/sqlite/place.rs",
        "{} is below {}, which does not outlive a restart",
        "not where that folder is in memory, which is said instead",
    ),
    (
        "osnl-journal/src/sqlite/place.rs",
        "another process",
        "where the lock's holder is of another namespace",
    ),
    (
        "osnl/src/assembly/error.rs",
        "[listener:{}] a stream needs a folder for how far it was read; set state_dir in [DEFAULT]",
        "needs a user without a home",
    ),
    (
        "osnl/src/native/change.rs",
        "has changed, which needs a restart",
        "needs a daemon: tests/cli/reload.rs",
    ),
    ("osnl/src/native/change.rs", "restart osnl, or set it back; nothing was changed", "the same"),
    ("osnl/src/native/catalogue_lint/fields.rs", "IP address", "a kind of the catalogue"),
    ("osnl/src/native/catalogue_lint/fields.rs", "MAC address", "a kind of the catalogue"),
    (
        "osnl/src/assembly/orphans.rs",
        "orphaned: {} deliveries in the journal wait for [action:{}], which is not configured; they go on when an action has that name again, or when they are moved or discarded",
        "needs a journal with deliveries: osnl/tests/it/deliveries.rs",
    ),
    (
        "osnl/src/assembly/orphans.rs",
        "orphaned deliveries cannot be looked for: the journal {}",
        "needs a disk that fails",
    ),
    (
        "osnl/src/assembly/orphans.rs",
        "what was seen of resources before is not known: the journal {}",
        "needs a disk that fails",
    ),
    (
        "osnl/src/assembly/orphans.rs",
        "what the guards let through before is not known: the journal {}",
        "needs a disk that fails",
    ),
    ("osnl/src/assembly/reloading.rs", "the configuration could not be read: {}", "needs a task that panics"),
    ("osnl/src/assembly/reloading.rs", "an earlier reload has failed inside; restart osnl", "the same"),
    (
        "osnl/src/assembly/reloading.rs",
        "[DEFAULT] state_dir: is another by now, which needs a restart",
        "needs a daemon whose user changes",
    ),
    (
        "osnl/src/assembly/reloading.rs",
        "orphaned deliveries cannot be looked for: the journal {}",
        "needs a disk that fails",
    ),
    ("osnl/src/oss/conf.rs", "oss.conf in osnl's form", "a name that is replaced by that of the file"),
    (
        "osnl-core/src/rule.rs",
        "rule {} fired before it, and stops",
        "the library's; osnl explain has its own words",
    ),
    ("osnl-core/src/rule/guard.rs", "guard of {} {}: more than {}", "of running rules: osnl/tests/it"),
    (
        "osnl-core/src/rule/guard.rs",
        "the guard of {} {} holds what it wants for further resources: more than {}; look at them, then release or discard them",
        "of running rules: osnl/tests/it",
    ),
    ("osnl-core/src/rule/guard.rs", "{} keys of {}", "an assertion"),
    (
        "osnl-core/src/rule/step_limits.rs",
        "the pattern \"{}\" was given up after too many steps; a rule with it is undecided, and what it would fire is a dead letter; an endpoint's filter does not match. Patterns without nested repetition and look-around need no limit. Said once; counted as step_limits",
        "of running rules",
    ),
    (
        "osnl-core/src/rule.rs",
        "the pattern \"{}\" cannot be decided: {} is {}",
        "of events: rule/decide/tests.rs",
    ),
    (
        "osnl-template/src/lib.rs",
        "the engine has a mistake and cannot do this; please report it",
        "nothing is known that leads to it; what did is refused before: template/lint.rs",
    ),
    (
        "osnl-template/src/error.rs",
        "it cannot be read",
        "where the engine says nothing, which it always does",
    ),
    ("osnl-template/src/error.rs", "the text is too long", "a mark between engine and error"),
    ("osnl-template/src/error.rs", "value that it looks at", "where the engine does not say which name"),
    ("osnl-template/src/error.rs", "` is undefined", "the engine's own words, looked for"),
    ("osnl-template/src/methods.rs", "it is nested too deeply", "deeper than a message's JSON may be"),
];
