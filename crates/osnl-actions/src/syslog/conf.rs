//! The options of `driver = syslog`, and the driver that they configure.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use futures_util::FutureExt as _;
use jiff::tz::TimeZone;
use osnl_action::driver::{
    BuildContext, CallRequest, DriverConf, DriverError, DriverTable, OptionDef, Preview, Probe, ProbeContext,
    ReadDriver, SectionReader, SentLogin, TlsConf, Traits,
};
use osnl_action::{Action, ActionError, ErrorClass};
use osnl_config::template::Template;
use osnl_config::typed::ValueRefusal;
use osnl_config::{Kind, OptionValue, Options as _, options, words};
use osnl_core::misfit::Misfit;
use osnl_net::tls::LatestEnd;
use osnl_transport::BoxFuture;
use rustls::ClientConfig;
use tokio::sync::Mutex;

use super::message::{Header, SyslogForm};
use super::{Collector, Syslog, SyslogServer};
use crate::event_names;
use crate::wire::{ServerAddress, client_config};

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
const TEXT: &str =
    "{{ event_type|default('an event without a type') }} from {{ publisher_id|default('nobody') }}";
/// The length that every receiver of datagrams should accept (RFC 5426, 3.2).
const LONGEST_DATAGRAM: usize = 2048;
const LONGEST: usize = 8192;

options! {
    pub(crate) struct SyslogOptions {
        server: SyslogServer = "/dev/log" => "Socket such as /dev/log, or udp://HOST:514, tcp://HOST:601, tls://HOST:6514.";
        facility: u8 as facility = "daemon", written("name") => "Facility: user, daemon, local0 to local7, or another one of RFC 5424.";
        severity: Option<u8> as severity = "auto", written("name") => "Severity: auto follows the notification's priority; otherwise emerg, alert, crit, err, warning, notice, info or debug.";
        app_name: String as app_name = "osnl", written("name") => "Application name in the messages.";
        hostname: String as hostname, written("name") => "Host name in the messages. Without it: the machine's own.";
        format: FormChoice = "auto" => "rfc3164: the old form, <PRI>Nov 20 06:36:22 HOST NAME[PID]: text, with local time, and without HOST for a socket, as in syslog(3). auto: rfc3164 for a socket, since journald reads nothing else, and rfc5424 for a collector.";
        structured_data: Option<String> as sd_id = "osnl@32473", written("name or none") => "Name of the structured data with event type, message id, publisher, and priority: NAME@NUMBER, with an enterprise number. none leaves them out.";
        message: Template as event_names::template = TEXT, written("template") => "Text of an event.";
        max_size: Option<usize>, within("480", "65000") => "Longest message in bytes; a longer one is cut. Without it: 2048 for udp, otherwise 8192.";
    }
}

/// Whether the form is that of RFC 5424, unless the server decides.
pub(crate) struct FormChoice(Option<bool>);

words!(FormChoice: "auto" => Self(None), "rfc5424" => Self(Some(true)), "rfc3164" => Self(Some(false)));

#[derive(Clone, Debug)]
pub struct SyslogConf {
    name: String,
    server: SyslogServer,
    header: Header,
    text: Template,
    tls: TlsConf,
}

impl ReadDriver for SyslogConf {
    const TABLE: DriverTable = DriverTable::new("syslog", &[SyslogOptions::OPTIONS, TlsConf::OPTIONS])
        .with_defaults(&[("concurrency", "1"), ("max_attempts", "1"), ("batch", "100")]);

    fn read(reader: &mut SectionReader<'_>) -> Option<Self> {
        let own = SyslogOptions::read(reader);
        let server = OptionValue::valid(reader, "server");
        let may_have_tls = matches!(server, Some(SyslogServer::Tls(_)) | None);
        let tls = TlsConf::checked(reader, may_have_tls);
        if !may_have_tls {
            for option in ["verify", "ca_file"] {
                if reader.is_set(option) {
                    reader.warn(option, "has no effect without TLS", "write tls:// in server, or remove it");
                }
            }
        }
        let own = own?;
        let socket = matches!(own.server, SyslogServer::Unix(_));
        let form = match own.format.0.unwrap_or(!socket) {
            true => SyslogForm::Rfc5424,
            false => {
                if reader.is_set("structured_data") {
                    let problem = "has no effect in the form of RFC 3164";
                    reader.warn("structured_data", problem, "write format = rfc5424, or remove it");
                }
                SyslogForm::Rfc3164 { with_host: !socket, zone: TimeZone::system() }
            }
        };
        let longest = match own.server {
            SyslogServer::Udp(_) => LONGEST_DATAGRAM,
            SyslogServer::Unix(_) | SyslogServer::Tcp(_) | SyslogServer::Tls(_) => LONGEST,
        };
        Some(Self {
            name: reader.name().to_owned(),
            server: own.server,
            header: Header {
                form,
                facility: own.facility,
                severity: own.severity,
                hostname: own.hostname,
                app_name: own.app_name,
                process: std::process::id(),
                sd_id: own.structured_data,
                longest: own.max_size.unwrap_or(longest),
            },
            text: own.message,
            tls: tls?,
        })
    }
}

impl OptionValue for SyslogServer {
    const KIND: Kind = Kind::Form("path or URL");

    fn parse(text: &str, _: &OptionDef) -> Result<Self, ValueRefusal> {
        if text.starts_with('/') {
            return Ok(Self::Unix(text.into()));
        }
        let place = |rest: &str, port| ServerAddress::parse(rest.trim_end_matches('/'), port);
        let server = match text.split_once("://") {
            Some(("udp", rest)) => place(rest, 514).map(Self::Udp),
            Some(("tcp", rest)) => place(rest, 601).map(Self::Tcp),
            Some(("tls", rest)) => place(rest, 6514).map(Self::Tls),
            Some(_) | None => None,
        };
        let allowed = "write /dev/log, udp://host:514, tcp://host:601 or tls://host:6514";
        server.ok_or_else(|| ValueRefusal::new("is not the address of a log server", allowed))
    }
}

fn facility(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<u8> {
    reader.word(option.name, FACILITIES.into_iter().zip(0..))
}

fn severity(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Option<u8>> {
    let severities = SEVERITIES.into_iter().zip((0..8).map(Some));
    reader.word(option.name, std::iter::once(("auto", None)).chain(severities))
}

fn app_name(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<String> {
    name(reader, option, 48)
}

fn hostname(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<String> {
    match reader.is_set(option.name) {
        true => name(reader, option, 255),
        false => Some(rustix::system::uname().nodename().to_string_lossy().into_owned()),
    }
}

fn name(reader: &mut SectionReader<'_>, option: &'static OptionDef, longest: usize) -> Option<String> {
    let text = reader.text(option.name)?;
    match !text.is_empty() && text.len() <= longest && text.chars().all(|c| c.is_ascii_graphic()) {
        true => Some(text),
        false => {
            let allowed = format!("1 to {longest} ASCII characters without spaces");
            reader.refuse(option.name, "is not a valid name in a log", &allowed)
        }
    }
}

fn sd_id(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Option<String>> {
    let text = reader.text(option.name)?;
    let fine = |c: char| c.is_ascii_graphic() && !"=]\"".contains(c);
    match text.as_str() {
        "none" => Some(None),
        text if text.contains('@') && text.len() <= 32 && text.chars().all(fine) => {
            Some(Some(text.to_owned()))
        }
        _ => {
            let allowed = "write NAME@NUMBER, at most 32 characters without = ] \" and spaces; or none";
            reader.refuse(option.name, "is not a name of structured data", allowed)
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
            collector: Arc::new(self.collector(tls)),
            header: self.header.clone(),
            text: self.text.clone(),
            open: Mutex::new(None),
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
            SyslogServer::Unix(_) => "delivered when the reader of the socket has accepted it",
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
        match self.text.render(&event_names::for_preview(wanted, &self.name)) {
            Ok(text) => Preview::Effect {
                does: format!("sends to {}", self.server),
                with: vec![("message", self.header.message(wanted.notification, UNIX_EPOCH, &text))],
            },
            Err(error) => Preview::Unusable { why: Misfit::in_option("message", error) },
        }
    }

    fn probe<'a>(&'a self, context: ProbeContext<'a>) -> BoxFuture<'a, Vec<Probe>> {
        async move {
            let probe = Probe::new(context.section, format!("log {}", self.server));
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
    fn collector(&self, tls: Option<Arc<ClientConfig>>) -> Collector {
        Collector { server: self.server.clone(), tls, certificate: LatestEnd::default() }
    }

    async fn probed(&self) -> Result<(&'static str, Option<i64>), (String, Option<&'static str>)> {
        let failed = |error: ActionError| {
            let is_reached = error.class == ErrorClass::Tls;
            (error.to_string(), (!is_reached).then_some("check that it is running and that server is right"))
        };
        let tls = match &self.server {
            SyslogServer::Tls(_) => Some(client_config(&self.tls).map_err(|why| (why, None))?),
            SyslogServer::Unix(_) | SyslogServer::Udp(_) | SyslogServer::Tcp(_) => None,
        };
        if let (SyslogServer::Tls(place), Some(config)) = (&self.server, &tls) {
            let (stream, trial) = place.connect().await.map_err(failed)?;
            let seen = place.encrypt(stream, config).await.map_err(failed)?;
            trial.passed();
            return Ok(("accepts connections, TLS; nothing was sent", seen.certificate_ends));
        }
        match self.collector(tls).connect().await {
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
