//! The parts of manual pages that no flag has, in the language of `man`: details that `--help` has no room for, exit
//! statuses, files, signals.

/// The words of a page.
pub(super) struct Words {
    /// Behind the first sentence; each line is a paragraph.
    pub(super) more: &'static str,
    /// Its exit statuses, behind those of its help.
    pub(super) exit: &'static str,
    /// Whole sections.
    pub(super) sections: &'static str,
    /// Pages to read next, as `osnl man` calls them.
    pub(super) see: &'static [&'static str],
}

/// Every page without words of its own.
const COMMAND: Words = Words { more: "", exit: STATUS, sections: "", see: &[] };

const STATUS: &str = "
0 done; 1 failed; 2 wrong use of the command line; 69 what is needed is not there: a broker, a daemon, its journal;
78 wrong configuration; 130 interrupted. What has nothing to finish is ended by the signal itself, which shells show as 130
too.
";

const DRAIN: &str = "
.SH SIGNALS
SIGTERM, SIGINT: nothing new is taken, attempts under way are finished within 30 s, the broker delivers the rest again.
A second one aborts. SIGHUP: the log file is opened again.
";

const PICK: &str = r"Times are local unless they end with Z or an offset such as +01:00; \fB2h\fR, \fB90m\fR and \fB7d\fR are so long ago. States are waiting, ready, held, dead, delivered, nothing\-to\-do and discarded.";

const PAGES: &[(&str, Words)] = &[
    (
        "osnl",
        Words {
            more: "",
            exit: "
0 done, or drained after a signal; 1 failed, or \\fBosnl status\\fR found what needs attention; 2 wrong use of the command
line; 69 what is needed is not there: a broker, a daemon, its journal; 78 wrong configuration;
130 a second signal cut the drain short.
",
            sections: "
.SH OTHER NAMES
Called as \\fBk2hr3_osnl\\fR or \\fBk2hr3\\-osnl\\fR, \\fBoss_watcher\\fR or \\fBoss\\-watcher\\fR (a link is enough) it is that
program.
.SH SIGNALS
SIGTERM, SIGINT: nothing new is taken, attempts under way are finished within 30 s, the broker delivers the rest again.
A second one aborts. SIGHUP: the log file is opened again, and \\fBosnl run\\fR reads its configuration again.
.SH FILES
/etc/osnl/osnl.conf, and by name /etc/osnl/conf.d/*.conf: the configuration of every command that reads one, unless
\\-\\-config\\-file or \\-\\-config\\-dir name others.
.PP
control.sock, journal.db in the state directory: where \\fBstatus\\fR, \\fBreload\\fR, \\fBdeliveries\\fR, \\fBexplain\\fR and
\\fBreplay\\fR ask and look.
.SH ENVIRONMENT
OS_<SECTION>__<OPTION> counts above files; http_proxy, https_proxy, no_proxy, SSL_CERT_FILE, SSL_CERT_DIR as elsewhere.
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
0 help, version, or drained after a signal; 1 wrong configuration, refused login, or the drain took longer than 30 s;
2 wrong use of the command line; 130 a second signal cut the drain short.
",
            sections: "
.SH SIGNALS
SIGTERM, SIGINT: nothing new is taken, attempts under way are finished within 30 s, the broker delivers the rest again.
A second one aborts. SIGHUP: the log file is opened again.
.SH FILES
/etc/k2hr3/k2hr3_osnl.conf, else /etc/k2hr3/k2hr3\\-osnl.conf: the configuration.
.PP
~/k2hr3\\-osnl.conf.d/*.conf, else /etc/k2hr3\\-osnl.conf.d/*.conf: read before it, so that it counts above them.
.SH ENVIRONMENT
OS_<GROUP>__<OPTION> counts above files; http_proxy, https_proxy, no_proxy, SSL_CERT_FILE, SSL_CERT_DIR as elsewhere.
.SH NOTES
\\fBosnl check \\-\\-k2hr3\\-osnl FILE\\fR explains a configuration, \\fBosnl config show \\-\\-k2hr3\\-osnl FILE\\fR turns it into
osnl's own form.
",
            see: &["check", "config-show"],
        },
    ),
    (
        "oss-watcher",
        Words {
            more: "",
            exit: "
0 help, version, or drained after a signal; 1 wrong configuration, or the drain took longer than 30 s; 2 wrong use of the
command line; 130 a second signal cut the drain short.
",
            sections: "
.SH SIGNALS
SIGTERM, SIGINT: nothing new is taken, attempts under way are finished within 30 s, the broker delivers the rest again.
A second one aborts. SIGHUP: the log file is opened again.
.SH FILES
oss_framework.conf and oss_watcher.conf, each the first in ~/.oss_framework, ~, /etc/oss_framework and /etc, if none is
named.
.SH NOTES
\\fBosnl check \\-\\-oss\\-watcher FILE\\fR explains a configuration, \\fBosnl config show \\-\\-oss\\-watcher FILE\\fR turns it
into osnl's own form.
",
            see: &["check", "config-show"],
        },
    ),
    (
        "osnl.conf",
        Words {
            more: r"\fBosnl check\fR explains a file and says all that is wrong with it, \fBosnl config show\fR prints what counts and where it came from.",
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
            more: r"On a terminal all events come within five seconds unless \fB\-\-rate\fR says otherwise; elsewhere each comes when the one before has ended. With \fB\-\-format json\fR the last line is {\(dqsummary\(dq: ...}. The same seed is the same run: events and failures are drawn from it.",
            see: &["tap", "run"],
            ..COMMAND
        },
    ),
    (
        "check",
        Words {
            more: r"\fB\-\-connect\fR tries brokers, exchanges, queues, targets, files and certificates. Nothing is consumed, made or changed.",
            see: &["config-show", "test", "explain", "tap"],
            ..COMMAND
        },
    ),
    (
        "send",
        Words {
            more: r"Priorities are audit, debug, info, warn, error, critical and sample. \fB\-\-declare\fR makes exchange, queue TOPIC.PRIORITY and binding as a service does where they are missing. A context's auth_token is sent as null. With \fB\-\-format json\fR each message is an object a line, and the last line is {\(dqsummary\(dq: ...}.",
            see: &["tap", "events"],
            ..COMMAND
        },
    ),
    (
        "tap",
        Words {
            more: r"It reads from a queue of its own, which vanishes with it: nothing is taken from anybody. Without \fB\-\-exchange\fR it looks at those of the known services, without \fB\-\-topic\fR at notifications, versioned_notifications and what ironic uses. \fB\-\-check\fR waits 10 s unless \fB\-\-for\fR says otherwise.
On a terminal it is a view: Enter opens an event, with \fB\-c\fR and the rules that it fires; / filters, s saves, ? shows all keys. Passwords in payloads are masked but with \fB\-\-raw\fR and \fB\-\-save\fR; what is saved can be given to \fBosnl explain\fR, \fBreplay\fR and \fBsend\fR, and is readable by its owner only.",
            see: &["events", "explain", "replay", "send"],
            ..COMMAND
        },
    ),
    ("status", Words { see: &["actions", "deliveries", "reload", "check"], ..COMMAND }),
    ("actions", Words { see: &["status", "deliveries"], ..COMMAND }),
    ("actions-list", Words { see: &["status"], ..COMMAND }),
    ("actions-probe", Words { see: &["status"], ..COMMAND }),
    ("actions-pause", Words { see: &["actions-resume"], ..COMMAND }),
    ("actions-resume", Words { see: &["actions-pause"], ..COMMAND }),
    (
        "reload",
        Words {
            more: "The daemon reads the same files, folders, variables and flags as at its start. A configuration that is wrong, needs a restart or names what cannot be used there changes nothing.",
            see: &["check", "status"],
            ..COMMAND
        },
    ),
    ("deliveries", Words { see: &["status", "replay", "explain"], ..COMMAND }),
    ("deliveries-list", Words { more: PICK, see: &["deliveries-show"], ..COMMAND }),
    (
        "deliveries-show",
        Words {
            more: r"\fB\-\-raw\fR prints the message's bytes as they came and nothing else; with \fB\-\-format json\fR they are body_base64.",
            see: &["deliveries-list"],
            ..COMMAND
        },
    ),
    (
        "deliveries-retry",
        Words {
            more: r"Where a later delivery of the same resource was done already, a retry is refused without \fB\-\-out\-of\-order\fR: a late \(dqadd\(dq may undo a \(dqdelete\(dq.
Times are local unless they end with Z or an offset such as +01:00; \fB2h\fR, \fB90m\fR and \fB7d\fR are so long ago. States are waiting, ready, held, dead, delivered, nothing\-to\-do and discarded.",
            see: &["deliveries-list", "replay"],
            ..COMMAND
        },
    ),
    ("deliveries-discard", Words { more: PICK, see: &["deliveries-list"], ..COMMAND }),
    ("deliveries-release", Words { more: PICK, see: &["deliveries-list"], ..COMMAND }),
    ("deliveries-move", Words { more: PICK, see: &["deliveries-list"], ..COMMAND }),
    ("deliveries-pause", Words { see: &["deliveries-resume"], ..COMMAND }),
    ("deliveries-resume", Words { see: &["deliveries-pause"], ..COMMAND }),
    (
        "quarantine",
        Words {
            more: "A message is kept unread when it cannot be read, exceeds a budget, or was in hand at three unexpected ends of the process. It is kept as received up to 16 MiB (4 MiB compressed); of a longer one the first 64 KiB, the size and the digest are kept. max_dead bounds how many there are, 64 MiB what they take; the oldest leave first. With memory:// nothing is kept.",
            see: &["status", "deliveries", "replay"],
            ..COMMAND
        },
    ),
    ("quarantine-list", Words { see: &["quarantine-show"], ..COMMAND }),
    (
        "quarantine-show",
        Words {
            more: r"The preview has the names of a JSON body and its shape; every value is masked, since in what cannot be read no secret can be told from the rest. Publisher, id and event type are what the body claims.",
            see: &["quarantine-export"],
            ..COMMAND
        },
    ),
    ("quarantine-export", Words { see: &["quarantine-show"], ..COMMAND }),
    ("quarantine-retry", Words { see: &["replay", "explain", "check"], ..COMMAND }),
    ("quarantine-discard", Words { see: &["quarantine-list"], ..COMMAND }),
    (
        "explain",
        Words {
            more: r"For each rule the verdict, the first condition that failed, and the value it saw; of a rule that fires what each action would do, secrets masked. Nobody is contacted. \fB\-\-unmatched\fR looks at the ring of what no rule wanted, which a daemon with keep_unmatched keeps beside its journal. \fB\-\-rules\fR tries the rules of another file in place of the configured ones, on all that journal and ring hold.
Times are local unless they end with Z or an offset such as +01:00; \fB2h\fR, \fB90m\fR and \fB7d\fR are so long ago. States are waiting, ready, held, dead, delivered, nothing\-to\-do and discarded.",
            see: &["tap", "test", "replay", "events"],
            ..COMMAND
        },
    ),
    ("test", Words { see: &["explain", "events", "check"], ..COMMAND }),
    (
        "replay",
        Words {
            more: r"Shows what would be done and what was done before; \fB\-\-live\fR appends it to the journal as new events: by way of the daemon that has it, in this process where none does. With \fB\-\-keep\-ids\fR they keep the ids they had, and what the journal holds already is no second event.
Times are local unless they end with Z or an offset such as +01:00; \fB2h\fR, \fB90m\fR and \fB7d\fR are so long ago. States are waiting, ready, held, dead, delivered, nothing\-to\-do and discarded.",
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
            more: r"The program under another name, such as a link k2hr3\-osnl, has a script of its own: \fB\-\-program k2hr3\-osnl\fR.",
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
