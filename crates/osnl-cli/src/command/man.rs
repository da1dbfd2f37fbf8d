//! `osnl man` and `osnl completions`: what packages ship, made from the definitions of the flags.

mod markdown;

use std::io::{self, Write};

use crate::args::man::{self, ManFormat};
use crate::args::{CompletionsArgs, ManArgs};
use crate::exit::Exit;

/// Behind what the flags say, in the language of manual pages.
const OSNL: &str = r"
.SH OTHER NAMES
Called as \fBk2hr3_osnl\fR or \fBk2hr3-osnl\fR (a link is enough) it is that program.
.SH EXIT STATUS
0 done, or drained after a signal; 1 failed, or \fBosnl status\fR found what needs attention; 2 wrong use of the command
line; 69 what is needed is not there: a broker, a daemon, its journal; 78 wrong configuration;
130 a second signal cut the drain short.
.SH SIGNALS
SIGTERM, SIGINT: nothing new is taken, attempts under way are finished within 30 s, the broker delivers the rest again.
A second one aborts. SIGHUP: the log file is opened again, and \fBosnl run\fR reads its configuration
again.
.SH FILES
/etc/osnl/osnl.conf: the configuration of \fBosnl run\fR, \fBcheck\fR, \fBexplain\fR, \fBreplay\fR, \fBconfig show\fR,
\fBstatus\fR and \fBdeliveries\fR.
.PP
control.sock, journal.db in the state directory: where \fBstatus\fR, \fBreload\fR and \fBdeliveries\fR ask and look.
.SH SEE ALSO
\fBosnl.conf\fR(5) has every option of the configuration; \fBosnl config reference\fR prints the same.
.SH ENVIRONMENT
OS_<SECTION>__<OPTION> counts above files; http_proxy, https_proxy, no_proxy, SSL_CERT_FILE, SSL_CERT_DIR as elsewhere.
";

const K2HR3_OSNL: &str = r"
.SH EXIT STATUS
0 help, version, or drained after a signal; 1 wrong configuration, refused login, or the drain took longer than 30 s;
2 wrong use of the command line; 130 a second signal cut the drain short.
.SH SIGNALS
SIGTERM, SIGINT: nothing new is taken, attempts under way are finished within 30 s, the broker delivers the rest again.
A second one aborts. SIGHUP: the log file is opened again.
.SH FILES
/etc/k2hr3/k2hr3_osnl.conf, else /etc/k2hr3/k2hr3-osnl.conf: the configuration.
.PP
~/k2hr3-osnl.conf.d/*.conf, else /etc/k2hr3-osnl.conf.d/*.conf: read before it, so that it counts above them.
.SH ENVIRONMENT
OS_<GROUP>__<OPTION> counts above files; http_proxy, https_proxy, no_proxy, SSL_CERT_FILE, SSL_CERT_DIR as elsewhere.
.SH SEE ALSO
\fBosnl check --k2hr3-osnl FILE\fR explains a configuration, \fBosnl config show --k2hr3-osnl FILE\fR turns it into
osnl's own form.
";

const OSS_WATCHER: &str = r"
.SH EXIT STATUS
0 help, version, or drained after a signal; 1 wrong configuration, or the drain took longer than 30 s; 2 wrong use of the
command line; 130 a second signal cut the drain short.
.SH SIGNALS
SIGTERM, SIGINT: nothing new is taken, attempts under way are finished within 30 s, the broker delivers the rest again.
A second one aborts. SIGHUP: the log file is opened again.
.SH FILES
oss_framework.conf and oss_watcher.conf, each the first in ~/.oss_framework, ~, /etc/oss_framework and /etc, if none is named.
.SH SEE ALSO
\fBosnl check --oss-watcher FILE\fR explains a configuration, \fBosnl config show --oss-watcher FILE\fR turns it into
osnl's own form.
";

const OSNL_CONF: &str = r#"
.TH osnl.conf 5
.SH NAME
osnl.conf \- the configuration of osnl: listeners, rules and actions
.SH FILES
/etc/osnl/osnl.conf, unless \-\-config\-file or \-\-config\-dir name others.
.PP
\fBosnl check\fR explains a file, \fBosnl config show\fR prints what counts and where it came from.
"#;

const COMMAND: &str = r"
.SH EXIT STATUS
0 done; 1 failed; 2 wrong use of the command line; 69 what is needed is not there: a broker, a daemon, its journal;
78 wrong configuration; 130 interrupted. What a command means by these stands above where it says more.
.SH SEE ALSO
\fBosnl\fR(1) has all commands, files and signals; \fBosnl.conf\fR(5) every option of the configuration.
";

pub(crate) fn man(args: &ManArgs) -> Exit {
    match args.format {
        ManFormat::Roff => roff(&args.page),
        ManFormat::Markdown => {
            let pages = man::command(&args.page).map(markdown::pages);
            print(Ok(pages.unwrap_or_else(|| osnl::native::reference().markdown()).into_bytes()))
        }
    }
}

fn roff(page: &str) -> Exit {
    let rest = match page {
        "osnl" => OSNL.to_owned(),
        "k2hr3-osnl" => K2HR3_OSNL.to_owned(),
        "oss-watcher" => OSS_WATCHER.to_owned(),
        "osnl.conf" => format!("{OSNL_CONF}{}", osnl::native::reference().roff()),
        _ => COMMAND.to_owned(),
    };
    let mut flags = Vec::new();
    let rendered =
        man::command(page).map_or(Ok(()), |command| clap_mangen::Man::new(command).render(&mut flags));
    print(rendered.map(|()| [&flags[..], rest.trim_start().as_bytes()].concat()))
}

pub(crate) fn completions(args: &CompletionsArgs) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut man::osnl(), "osnl", &mut script);
    print(Ok(script))
}

/// A reader that has seen enough, such as `head`, is no failure.
fn print(text: io::Result<Vec<u8>>) -> Exit {
    match text.and_then(|text| io::stdout().write_all(&text)) {
        Ok(()) => Exit::Done,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(_) => Exit::Failed,
    }
}
