//! The options of `driver = syslog`, and the driver that they configure.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use futures_util::FutureExt as _;
use jiff::tz::TimeZone;
use osnl_config::template::{Escape, Template};
use osnl_net::tls::LatestEnd;
use osnl_transport::BoxFuture;
use tokio::sync::Mutex;

use super::message::{Header, SyslogForm};
use super::{Syslog, SyslogServer};
use crate::driver::{
    BuildContext, CA_FILE, CallRequest, DriverConf, DriverError, DriverTable, OptionDef, Preview, Probe,
    ProbeContext, ReadDriver, SectionReader, SentLogin, TlsConf, Traits, VERIFY,
};
use crate::wire::{ServerAddress, client_config};
use crate::{Action, ActionError, ErrorClass, event_names};

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
const TEXT: &str =
    "{{ event_type|default('an event without a type') }} from {{ publisher_id|default('nobody') }}";
/// The length that every receiver of datagrams should accept (RFC 5426, 3.2).
const LONGEST_DATAGRAM: u32 = 2048;
const LONGEST: u32 = 8192;

#[derive(Clone, Debug)]
pub struct SyslogConf {
    name: String,
    server: SyslogServer,
    header: Header,
    text: Template,
    tls: TlsConf,
}

impl ReadDriver for SyslogConf {
    const TABLE: DriverTable = DriverTable::new(
        "syslog",
        &[
            OptionDef::new(
                "server",
                "path or URL",
                "Socket such as /dev/log, or udp://HOST:514, tcp://HOST:601, tls://HOST:6514.",
            )
            .or("/dev/log"),
            OptionDef::new("facility", "name", "Facility: user, daemon, local0 to local7, or another one of RFC 5424.")
                .or("daemon"),
            OptionDef::new(
                "severity",
                "name",
                "Severity: auto follows the notification's priority; otherwise emerg, alert, crit, err, warning, \
                 notice, info or debug.",
            )
            .or("auto"),
            OptionDef::new("app_name", "name", "Application name in the messages.").or("osnl"),
            OptionDef::new("hostname", "name", "Host name in the messages. Without it: the machine's own."),
            OptionDef::new(
                "format",
                "auto, rfc5424 or rfc3164",
                "rfc3164: the old form, <PRI>Nov 20 06:36:22 HOST NAME[PID]: text, with local time, and without \
                 HOST for a socket, as in syslog(3). auto: rfc3164 for a socket, since journald reads nothing \
                 else, and rfc5424 for a collector.",
            )
            .or("auto"),
            OptionDef::new(
                "structured_data",
                "name or none",
                "Name of the structured data with event type, message id, publisher, and priority: NAME@NUMBER, \
                 with an enterprise number. none leaves them out.",
            )
            .or("osnl@32473"),
            OptionDef::new("message", "template", "Text of an event.").or(TEXT),
            OptionDef::new(
                "max_size",
                "whole number",
                "Longest message in bytes, 480 to 65000; a longer one is cut. Without it: 2048 for udp, otherwise \
                 8192.",
            ),
            VERIFY,
            CA_FILE,
        ],
    )
    .with_defaults(&[("concurrency", "1"), ("max_attempts", "1"), ("batch", "100")]);

    fn read(reader: &mut SectionReader<'_>) -> Option<Self> {
        let server = server(reader);
        let may_have_tls = matches!(server, Some(SyslogServer::Tls(_)) | None);
        let tls = TlsConf::read(reader, may_have_tls);
        if !may_have_tls {
            for option in ["verify", "ca_file"] {
                if reader.is_set(option) {
                    reader.warn(option, "has no effect without TLS", "write tls:// in server, or remove it");
                }
            }
        }
        let facilities: Vec<(&str, u8)> = FACILITIES.into_iter().zip(0..).collect();
        let facility = reader.word("facility", &facilities);
        let severities = std::iter::once(("auto", None));
        let severities: Vec<_> = severities.chain(SEVERITIES.into_iter().zip((0..8).map(Some))).collect();
        let severity = reader.word("severity", &severities);
        let app_name = name(reader, "app_name", 48);
        let hostname = match reader.is_set("hostname") {
            true => name(reader, "hostname", 255),
            false => Some(rustix::system::uname().nodename().to_string_lossy().into_owned()),
        };
        let sd_id = sd_id(reader);
        let words = [("auto", None), ("rfc5424", Some(true)), ("rfc3164", Some(false))];
        let format = reader.word("format", &words);
        let text = event_names::template_or(reader, "message", TEXT, Escape::None);
        let server = server?;
        let socket = matches!(server, SyslogServer::Unix(_));
        let form = match format?.unwrap_or(!socket) {
            true => SyslogForm::Rfc5424,
            false => {
                if reader.is_set("structured_data") {
                    let problem = "has no effect in the form of RFC 3164";
                    reader.warn("structured_data", problem, "write format = rfc5424, or remove it");
                }
                SyslogForm::Rfc3164 { with_host: !socket, zone: TimeZone::system() }
            }
        };
        let longest = match (reader.is_set("max_size"), &server) {
            (true, _) => reader.number("max_size", 480, 65_000),
            (false, SyslogServer::Udp(_)) => Some(LONGEST_DATAGRAM),
            (false, SyslogServer::Unix(_) | SyslogServer::Tcp(_) | SyslogServer::Tls(_)) => Some(LONGEST),
        };
        Some(Self {
            name: reader.name().to_owned(),
            server,
            header: Header {
                form,
                facility: facility?,
                severity: severity?,
                hostname: hostname?,
                app_name: app_name?,
                process: std::process::id(),
                sd_id: sd_id?,
                longest: usize::try_from(longest?).ok()?,
            },
            text: text?,
            tls: tls?,
        })
    }
}

fn server(reader: &mut SectionReader<'_>) -> Option<SyslogServer> {
    const ALLOWED: &str = "write /dev/log, udp://host:514, tcp://host:601 or tls://host:6514";
    let text = reader.text("server")?;
    if text.starts_with('/') {
        return Some(SyslogServer::Unix(text.into()));
    }
    let place = |rest: &str, port| ServerAddress::parse(rest.trim_end_matches('/'), port);
    let server = match text.split_once("://") {
        Some(("udp", rest)) => place(rest, 514).map(SyslogServer::Udp),
        Some(("tcp", rest)) => place(rest, 601).map(SyslogServer::Tcp),
        Some(("tls", rest)) => place(rest, 6514).map(SyslogServer::Tls),
        Some(_) | None => None,
    };
    server.or_else(|| reader.refuse("server", "is not the address of a log server", ALLOWED))
}

fn name(reader: &mut SectionReader<'_>, option: &str, longest: usize) -> Option<String> {
    let text = reader.text(option)?;
    match !text.is_empty() && text.len() <= longest && text.chars().all(|c| c.is_ascii_graphic()) {
        true => Some(text),
        false => {
            let allowed = format!("1 to {longest} ASCII characters without spaces");
            reader.refuse(option, "is not a valid name in a log", &allowed)
        }
    }
}

fn sd_id(reader: &mut SectionReader<'_>) -> Option<Option<String>> {
    let text = reader.text("structured_data")?;
    let fine = |c: char| c.is_ascii_graphic() && !"=]\"".contains(c);
    match text.as_str() {
        "none" => Some(None),
        text if text.contains('@') && text.len() <= 32 && text.chars().all(fine) => {
            Some(Some(text.to_owned()))
        }
        _ => {
            let allowed = "write NAME@NUMBER, at most 32 characters without = ] \" and spaces; or none";
            reader.refuse("structured_data", "is not a name of structured data", allowed)
        }
    }
}

impl DriverConf for SyslogConf {
    fn action(&self, context: &BuildContext<'_>) -> Result<Arc<dyn Action>, DriverError> {
        let refuse = |problem| DriverError::Other { action: context.name.clone(), problem };
        let tls = match &self.server {
            SyslogServer::Tls(_) => Some(client_config(&self.tls).map_err(refuse)?),
            SyslogServer::Unix(_) | SyslogServer::Udp(_) | SyslogServer::Tcp(_) => None,
        };
        Ok(Arc::new(Syslog {
            server: self.server.clone(),
            header: self.header.clone(),
            text: self.text.clone(),
            tls,
            open: Mutex::new(None),
            certificate: LatestEnd::default(),
        }))
    }

    fn does(&self) -> String {
        let form = match self.header.form {
            SyslogForm::Rfc5424 => "RFC 5424",
            SyslogForm::Rfc3164 { .. } => "RFC 3164",
        };
        format!("sends each event to the log at {}, as {form} has it", self.server)
    }

    fn logins(&self) -> Vec<SentLogin> {
        Vec::new()
    }

    fn explain(&self) -> Vec<(&'static str, String)> {
        let facility = FACILITIES[usize::from(self.header.facility)];
        let severity = self.header.severity.map(|n| SEVERITIES[usize::from(n)]);
        let severity = severity.unwrap_or("severity by the event's priority");
        let safe = match self.server {
            SyslogServer::Unix(_) => "delivered when who listens there has taken it",
            SyslogServer::Udp(_) => "delivered when it was sent; UDP does not confirm arrival",
            SyslogServer::Tcp(_) | SyslogServer::Tls(_) => {
                "delivered when it is in the connection; what breaks with that is lost"
            }
        };
        vec![("as", format!("{facility}, {severity}")), ("safe", safe.to_owned())]
    }

    fn traits(&self) -> Traits<'_> {
        Traits { refuser: None, ..Traits::default() }
    }

    fn preview(&self, wanted: &CallRequest<'_>) -> Preview {
        match self.text.render(&event_names::of_preview(wanted, &self.name)) {
            Ok(text) => Preview::Effect {
                does: format!("sends to {}", self.server),
                with: vec![("message", self.header.message(wanted.notification, UNIX_EPOCH, &text))],
            },
            Err(error) => Preview::Unusable { why: format!("message: {error}") },
        }
    }

    fn probe<'a>(&'a self, context: ProbeContext<'a>) -> BoxFuture<'a, Vec<Probe>> {
        async move {
            let probe = Probe::of(context.section, format!("log {}", self.server));
            vec![match tokio::time::timeout(context.deadline, self.probed()).await {
                Ok(Ok((found, ends))) => probe.fine(found).passive().until(ends),
                Err(_) => {
                    let late = format!("no answer within {} s", context.deadline.as_secs_f64());
                    probe.failed(late, Some("does something between us swallow packets?"))
                }
                Ok(Err((why, advice))) => probe.failed(why, advice),
            }]
        }
        .boxed()
    }
}

impl SyslogConf {
    async fn probed(&self) -> Result<(&'static str, Option<i64>), (String, Option<&'static str>)> {
        let failed = |error: ActionError| {
            let is_reached = error.class == ErrorClass::Tls;
            (error.to_string(), (!is_reached).then_some("check that it is running and that server is right"))
        };
        let tls = match &self.server {
            SyslogServer::Tls(_) => Some(client_config(&self.tls).map_err(|why| (why, None))?),
            SyslogServer::Unix(_) | SyslogServer::Udp(_) | SyslogServer::Tcp(_) => None,
        };
        let (server, header, text) = (self.server.clone(), self.header.clone(), self.text.clone());
        let syslog =
            Syslog { server, header, text, tls, open: Mutex::new(None), certificate: LatestEnd::default() };
        if let (SyslogServer::Tls(place), Some(config)) = (&syslog.server, &syslog.tls) {
            let seen = syslog.encrypted(place, config).await.map_err(failed)?;
            return Ok(("accepts connections, TLS; nothing was sent", seen.certificate_ends));
        }
        match syslog.open().await {
            Ok(_) => Ok((
                match self.server {
                    SyslogServer::Unix(_) => "accepts connections; nothing was sent",
                    SyslogServer::Udp(_) => "its name has an address; whether a server listens is not known",
                    SyslogServer::Tcp(_) | SyslogServer::Tls(_) => {
                        "accepts connections, no TLS; nothing was sent"
                    }
                },
                None,
            )),
            Err(error) => Err(failed(error)),
        }
    }
}
