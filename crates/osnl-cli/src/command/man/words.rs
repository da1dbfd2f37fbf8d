//! The text of manual pages that no flag has, in roff: exit statuses, files, signals of the programs, and the page of the
//! configuration. A command has its text in `after_long_help`, beside its flags.

pub(super) struct Words {
    pub(super) more: &'static str,
    pub(super) exit: &'static str,
    pub(super) sections: &'static str,
    pub(super) see: &'static [&'static str],
}

static COMMAND: Words = Words { more: "", exit: STATUS, sections: "", see: &[] };

const STATUS: &str = "
0 done; 1 failed; 2 wrong use of the command line; 69 not available: a broker, the daemon, or its journal; 78 wrong
configuration; 130 interrupted. A command with nothing to finish is ended by the signal itself, which a shell also reports
as 130.
";

static PAGES: [(&str, Words); 4] = [
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
control.sock, journal.db in the state directory: the commands that ask the daemon or read its journal.
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
];

pub(super) fn find(page: &str) -> &'static Words {
    PAGES.iter().find(|(name, _)| *name == page).map_or(&COMMAND, |(_, words)| words)
}
