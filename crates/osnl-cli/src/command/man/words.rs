//! The text of manual pages that no flag has, in roff: details that `--help` has no room for, exit
//! statuses, files, signals.

pub(super) struct Words {
    pub(super) more: &'static str,
    pub(super) exit: &'static str,
    pub(super) sections: &'static str,
    pub(super) see: &'static [&'static str],
}

const COMMAND: Words = Words { more: "", exit: STATUS, sections: "", see: &[] };

const STATUS: &str = "
0 done; 1 failed; 2 wrong use of the command line; 69 not available: a broker, the daemon, or its journal; 78 wrong
configuration; 130 interrupted. A command with nothing to finish is ended by the signal itself, which a shell also reports
as 130.
";

const DRAIN: &str = "
.SH SIGNALS
SIGTERM, SIGINT: osnl reads no new message and finishes running attempts within 30 s; the broker delivers the rest again.
A second signal aborts. SIGHUP: the log file is opened again.
";

macro_rules! times {
    () => {
        r"Times are local unless they end with Z or an offset such as +01:00; \fB2h\fR, \fB90m\fR and \fB7d\fR mean that long ago."
    };
}

macro_rules! pick {
    () => {
        concat!(times!(), r" \fB\-\-state\fR also takes groups of states. Group \fBpending\fR: ready (the next of its resource), running, retrying, waiting (for an earlier one of its resource), orphaned (its action is not configured). Group \fBopen\fR: all of pending, and waiting\-for\-release. Group \fBdone\fR: delivered, no\-action\-needed, shadow. In no group: dead, discarded. Deliveries that wait for a target that is down are in group \fBpending\fR.")
    };
}

macro_rules! groups {
    () => {
        concat!(
            times!(),
            r" \fBosnl deliveries list \-\-help\fR has the states and groups for \fB\-\-state\fR."
        )
    };
}

const PAGES: &[(&str, Words)] = &[
    (
        "osnl",
        Words {
            more: "",
            exit: "
0 done, or stopped cleanly after a signal; 1 failed, or \\fBosnl status\\fR found something that needs attention; 2 wrong use
of the command line; 69 not available: a broker, the daemon, or its journal; 78 wrong configuration;
130 a second signal aborted the stop.
",
            sections: "
.SH OTHER NAMES
Called as \\fBk2hr3_osnl\\fR or \\fBk2hr3\\-osnl\\fR, \\fBoss_watcher\\fR or \\fBoss\\-watcher\\fR (a link is enough), osnl behaves as that
program.
.SH SIGNALS
SIGTERM, SIGINT: osnl reads no new message and finishes running attempts within 30 s; the broker delivers the rest again.
A second signal aborts. SIGHUP: the log file is opened again, and \\fBosnl run\\fR reads its configuration again.
.SH FILES
/etc/osnl/osnl.conf, and by name /etc/osnl/conf.d/*.conf: the configuration of every command that reads one, unless
\\-\\-config\\-file or \\-\\-config\\-dir name others.
.PP
control.sock, journal.db in the state directory: used by \\fBstatus\\fR, \\fBreload\\fR, \\fBdeliveries\\fR, \\fBexplain\\fR, and
\\fBreplay\\fR.
.SH ENVIRONMENT
OS_<SECTION>__<OPTION> overrides files; http_proxy, https_proxy, no_proxy, SSL_CERT_FILE, SSL_CERT_DIR as usual.
NO_COLOR, if it is not empty, and TERM=dumb: no colours, also on a terminal.
",
            see: &["k2hr3-osnl", "oss-watcher"],
        },
    ),
    (
        "k2hr3-osnl",
        Words {
            more: "",
            exit: "
0 help, version, or stopped cleanly after a signal; 1 wrong configuration, refused login, or the stop took longer than
30 s; 2 wrong use of the command line; 130 a second signal aborted the stop.
",
            sections: "
.SH SIGNALS
SIGTERM, SIGINT: osnl reads no new message and finishes running attempts within 30 s; the broker delivers the rest again.
A second signal aborts. SIGHUP: the log file is opened again.
.SH FILES
/etc/k2hr3/k2hr3_osnl.conf, else /etc/k2hr3/k2hr3\\-osnl.conf: the configuration.
.PP
~/k2hr3\\-osnl.conf.d/*.conf, else /etc/k2hr3\\-osnl.conf.d/*.conf: read before it, so that it overrides them.
.SH ENVIRONMENT
OS_<GROUP>__<OPTION> overrides files; http_proxy, https_proxy, no_proxy, SSL_CERT_FILE, SSL_CERT_DIR as usual.
.SH NOTES
\\fBosnl check \\-\\-k2hr3\\-osnl FILE\\fR explains a configuration, \\fBosnl config show \\-\\-k2hr3\\-osnl FILE\\fR converts it
into osnl's own form.
",
            see: &["check", "config-show"],
        },
    ),
    (
        "oss-watcher",
        Words {
            more: "",
            exit: "
0 help, version, or stopped cleanly after a signal; 1 wrong configuration, or the stop took longer than 30 s; 2 wrong use
of the command line; 130 a second signal aborted the stop.
",
            sections: "
.SH SIGNALS
SIGTERM, SIGINT: osnl reads no new message and finishes running attempts within 30 s; the broker delivers the rest again.
A second signal aborts. SIGHUP: the log file is opened again.
.SH FILES
oss_framework.conf and oss_watcher.conf, each the first in ~/.oss_framework, ~, /etc/oss_framework and /etc, if none is
named.
.SH NOTES
\\fBosnl check \\-\\-oss\\-watcher FILE\\fR explains a configuration, \\fBosnl config show \\-\\-oss\\-watcher FILE\\fR converts it
into osnl's own form.
",
            see: &["check", "config-show"],
        },
    ),
    (
        "osnl.conf",
        Words {
            more: r"\fBosnl check\fR explains a file and lists all its errors. \fBosnl config show\fR prints the values merged from all sources, and the origin of each.",
            exit: "",
            sections: "
.SH EXAMPLES
.nf
[listener:neutron]
transport_url = file:///etc/osnl/neutron.url
exchange = neutron
pool = osnl

[rule:forget\\-ports]
event_type = \\(haport\\e.delete\\e.end$
actions = roles

[action:roles]
driver = k2hr3
api_url = https://k2hr3.example.com/v1/role
.fi
.SH FILES
/etc/osnl/osnl.conf, unless \\-\\-config\\-file or \\-\\-config\\-dir name others.
",
            see: &["check", "config-show", "config-reference", "reload", "test"],
        },
    ),
    ("run", Words { sections: DRAIN, see: &["check", "status", "reload"], ..COMMAND }),
    (
        "demo",
        Words {
            more: r"Without \fB\-\-rate\fR, the demo publishes all events within five seconds if its output is a terminal; if not, it publishes each event when the previous one has ended. With \fB\-\-format json\fR the last line is {\(dqsummary\(dq: ...}. The same seed gives the same events and failures.",
            see: &["tap", "run"],
            ..COMMAND
        },
    ),
    (
        "init",
        Words {
            more: r"Each service gets a listener with a queue of its own, and a rule for one event. Options that have a default are commented out. The comments are taken from \fBosnl.conf\fR(5).",
            see: &["check", "events", "config-reference"],
            ..COMMAND
        },
    ),
    (
        "check",
        Words {
            more: r"\fB\-\-connect\fR connects to brokers and targets, and looks for exchanges, queues, files, and certificates. It takes no messages. It changes nothing unless \fB\-\-declare\fR is given: then it creates each missing queue, binds it, and deletes it again if it is still empty.",
            see: &["config-show", "test", "explain", "queues"],
            ..COMMAND
        },
    ),
    (
        "send",
        Words {
            more: r"Priorities are audit, debug, info, warn, error, critical and sample. \fB\-\-declare\fR creates exchange, queue TOPIC.PRIORITY, and binding if they are missing, as services do. \fB\-\-event\-type\fR, \fB\-\-publisher\-id\fR, \fB\-\-payload\fR, \fB\-\-context\fR, and \fB\-\-priority\fR replace the values of FILE. With \fB\-\-format json\fR each message is an object on a line of its own, and the last line is {\(dqsummary\(dq: ...}.",
            see: &["tap", "events"],
            ..COMMAND
        },
    ),
    (
        "tap",
        Words {
            more: r"tap reads from a queue of its own and takes no message from another consumer. The queue is deleted when tap ends. Without a URL it reads what the listeners of the configuration read; if there is no configuration, it tries guest at localhost. With a URL it binds its queue to the exchanges of all known services, with the topics notifications, versioned_notifications, and ironic_versioned_notifications. If there is no connection within \fB\-\-timeout\fR, it ends; a connection that is lost later is made again without a limit.
On a terminal it shows a live view: Enter opens an event (with \fB\-c\fR also the rules that match it), / filters, s saves, and ? shows all keys. Passwords in payloads are masked, except with \fB\-\-raw\fR and \fB\-\-save\fR. \fBosnl explain\fR, \fBreplay\fR, and \fBsend\fR take a saved file; it has the mode 0600.",
            see: &["events", "explain", "replay", "send"],
            ..COMMAND
        },
    ),
    ("status", Words { see: &["actions", "deliveries", "reload", "check", "queues"], ..COMMAND }),
    (
        "queues",
        Words {
            more: r"queues logs in to each broker of the configuration, or to that of the URL, and declares passively: it takes no message and changes nothing without \fB\-\-apply\fR. With management_url it also knows types, bindings, policies, and consumers. Behind -> it prints the command that mends a finding. \fB\-\-apply\fR touches only bindings and empty queues that osnl itself has made; commands for queues of services and for policies are for their owners.",
            see: &["check", "status", "tap"],
            ..COMMAND
        },
    ),
    ("queues-forget", Words { see: &["status"], ..COMMAND }),
    ("actions", Words { see: &["status", "deliveries"], ..COMMAND }),
    ("actions-list", Words { see: &["status"], ..COMMAND }),
    ("actions-probe", Words { see: &["status"], ..COMMAND }),
    ("actions-pause", Words { see: &["actions-resume"], ..COMMAND }),
    ("actions-resume", Words { see: &["actions-pause"], ..COMMAND }),
    (
        "reload",
        Words {
            more: "The daemon reads again the files and folders that it was started with. Its environment variables and flags still override them. If the configuration is wrong, needs a restart, or names a file that cannot be read, nothing changes.",
            see: &["check", "status"],
            ..COMMAND
        },
    ),
    ("deliveries", Words { see: &["status", "replay", "explain"], ..COMMAND }),
    ("deliveries-list", Words { more: pick!(), see: &["deliveries-show"], ..COMMAND }),
    (
        "deliveries-show",
        Words {
            more: r"\fB\-\-raw\fR prints only the message's bytes as received; \fB\-\-format json\fR has them as body_base64.",
            see: &["deliveries-list"],
            ..COMMAND
        },
    ),
    (
        "deliveries-retry",
        Words {
            more: concat!(r"Of the deliveries that the filters select, only dead letters are retried. osnl refuses a retry that could undo a later delivery of the same action and resource: a late creation would undo a deletion. \fB\-\-out\-of\-order\fR retries it anyway.", "\n", times!()),
            see: &["deliveries-list", "replay"],
            ..COMMAND
        },
    ),
    ("deliveries-discard", Words { more: groups!(), see: &["deliveries-list"], ..COMMAND }),
    ("deliveries-release", Words { more: concat!(r"A delivery waits for release because a guard's limit was exceeded, or because osnl crashed three times during its attempts. Deliveries that wait for a target that is down are pending, and need no release: \fBosnl actions probe\fR calls the target now.", "\n", times!()), see: &["deliveries-list"], ..COMMAND }),
    ("deliveries-move", Words { more: groups!(), see: &["deliveries-list"], ..COMMAND }),
    (
        "quarantine",
        Words {
            more: "osnl puts a message into quarantine if it cannot read the message, if the message exceeds a limit, or if osnl crashed three times before the deliveries of the message were stored. A message is kept whole if it has at most 16 MiB and compresses to at most 4 MiB. Otherwise osnl keeps its first 64 KiB, its size, and its digest. The quarantine keeps at most max_dead messages with at most 64 MiB in all; the oldest are deleted first. Dead letters do not count here. With memory:// nothing is kept.",
            see: &["status", "deliveries", "replay"],
            ..COMMAND
        },
    ),
    ("quarantine-list", Words { see: &["quarantine-show"], ..COMMAND }),
    (
        "quarantine-show",
        Words {
            more: r"The preview shows the structure and the names of a JSON body. In the preview every value is masked, since osnl can't recognize secrets in an unreadable body. Publisher, id, and event type stand above it, unmasked.",
            see: &["quarantine-export"],
            ..COMMAND
        },
    ),
    ("quarantine-export", Words { see: &["quarantine-show"], ..COMMAND }),
    ("quarantine-retry", Words { see: &["replay", "explain", "check"], ..COMMAND }),
    ("quarantine-discard", Words { see: &["quarantine-list"], ..COMMAND }),
    (
        "journal",
        Words {
            see: &["journal-backup", "journal-restore", "journal-export", "journal-verify", "journal-compact"],
            ..COMMAND
        },
    ),
    ("journal-backup", Words { see: &["journal-restore", "journal-verify"], ..COMMAND }),
    (
        "journal-restore",
        Words {
            more: r"The backup is checked before anything is replaced. The old journal is kept: it is renamed JOURNAL.replaced\-TIME. If the old journal can be read, the command lists the deliveries that are pending in the backup but have ended in the old journal, and counts the messages that only the old journal has.",
            see: &["journal-backup", "actions-resume", "deliveries-discard"],
            ..COMMAND
        },
    ),
    (
        "journal-export",
        Words {
            more: concat!(r"Each line is an event with its deliveries. It has \(dqformat\(dq: \(dqosnl\-events/1\(dq; later releases of osnl only add keys. The notification has its secrets masked; with \fB\-\-raw\fR, properties and body are as received.", "\n", groups!()),
            see: &["replay", "send", "journal-restore"],
            ..COMMAND
        },
    ),
    (
        "journal-verify",
        Words {
            more: "Checks pages and indexes, decodes every message, and compares the stored counters with the number of rows.",
            see: &["journal-backup", "journal-restore"],
            ..COMMAND
        },
    ),
    ("journal-compact", Words { see: &["journal-verify"], ..COMMAND }),
    (
        "explain",
        Words {
            more: concat!(r"For a rule that matches, it prints what each action would do, with secrets masked. For a rule that does not, it prints the first condition that did not match, and the value. It contacts no other system. \fB\-\-unmatched\fR reads the messages that matched no rule; the daemon stores the latest ones beside its journal (keep_unmatched). \fB\-\-rules\fR compares the configured rules with those of another file. Without a file, \fB\-\-journal\fR, \fB\-\-unmatched\fR, or a filter, it uses the events of the journal and the unmatched messages.", "\n", groups!()),
            see: &["tap", "test", "replay", "events"],
            ..COMMAND
        },
    ),
    ("test", Words { see: &["explain", "events", "check"], ..COMMAND }),
    (
        "replay",
        Words {
            more: concat!(r"Without \fB\-\-live\fR, replay changes nothing: it shows for each event what would be done now, and what was done before. With \fB\-\-live\fR it appends the events to the journal as new events, through the daemon if one runs. With \fB\-\-keep\-ids\fR the events keep their message ids, and an event whose id is in the journal is not appended again.", "\n", groups!()),
            see: &["explain", "deliveries", "tap"],
            ..COMMAND
        },
    ),
    ("config-show", Words { see: &["check", "config-reference"], ..COMMAND }),
    ("config-reference", Words { see: &["config-show"], ..COMMAND }),
    ("events", Words { see: &["tap", "explain"], ..COMMAND }),
    ("man", Words { see: &["completions"], ..COMMAND }),
    (
        "completions",
        Words {
            more: r"bash, zsh, and fish also complete the names of actions, rules, and listeners from the configuration, and the ids of deliveries and quarantined messages from the journal. They read the configuration that the command line names with \fB\-c\fR, else /etc/osnl/osnl.conf.
A symbolic link such as k2hr3\-osnl needs a script of its own: \fB\-\-program k2hr3\-osnl\fR.",
            see: &["man"],
            ..COMMAND
        },
    ),
];

pub(super) fn of(page: &str) -> &'static Words {
    PAGES.iter().find(|(name, _)| *name == page).map_or(&COMMAND, |(_, words)| words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_of_pages_that_there_are() {
        for (name, _) in PAGES {
            assert!(super::super::args::PAGES.contains(name), "{name}");
        }
    }
}
