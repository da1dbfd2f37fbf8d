//! The options of `driver = mail`, and the driver that they configure.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use osnl_config::duration;
use osnl_config::template::{Escape, Template, TemplateError};
use osnl_model::LoginProtection;
use osnl_net::tls::LatestEnd;
use osnl_transport::BoxFuture;

use super::Mail;
use super::address::{MailAddress, split};
use super::letter::MailWriter;
use super::smtp::{MailServer, MailTls, SmtpLogin};
use crate::driver::{
    BuildContext, CA_FILE, CallRequest, DriverConf, DriverError, DriverTable, NativeReader, OptionDef,
    Preview, Probe, ProbeContext, ReadDriver, SectionReader, SentLogin, TlsConf, Traits, VERIFY,
};
use crate::wire::{ServerAddress, client_config};
use crate::{Action, ErrorClass, event_names};

const SUBJECT: &str =
    "{{ event_type|default('an event') }}: {{ resource.name|default(resource.id|default('-')) }}";
const DIGEST_SUBJECT: &str = "{{ count }} events of {{ action }}";
const BODY: &str = "{{ event_type|default('an event without a type') }} from {{ publisher_id|default('nobody') }}\n\
    at {{ timestamp|default('an unknown time') }}\n\
    about {{ resource.kind|default('something') }} {{ resource.id|default('-') }}, rule {{ rule }}\n\
    message {{ message_id|default('-') }}";

#[derive(Clone, Debug)]
pub struct MailConf {
    name: String,
    place: ServerAddress,
    security: Security,
    tls: TlsConf,
    login: Option<SmtpLogin>,
    writer: MailWriter,
    digest: Option<Duration>,
    patience: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    Starttls,
    Implicit,
    None,
}

impl ReadDriver for MailConf {
    const TABLE: DriverTable = DriverTable::new(
        "mail",
        &[
            OptionDef::new("server", "host[:port]", "SMTP server. Must be set."),
            OptionDef::new(
                "tls",
                "starttls, implicit or none",
                "starttls: TLS by STARTTLS, on port 587. implicit: TLS from the first byte, on port 465. none: no \
                 TLS, on port 25.",
            )
            .or("starttls"),
            OptionDef::new("username", "name", "User to log in as, by PLAIN or LOGIN. Without it: no login."),
            OptionDef::new("password", "text", "Password of the user.").secret(),
            VERIFY,
            CA_FILE,
            OptionDef::new("from", "address", "Sender: osnl@example.com, or Name <osnl@example.com>. Must be set."),
            OptionDef::new(
                "to",
                "list of templates",
                "Recipients, separated by commas; each template makes one address. Must be set.",
            ),
            OptionDef::new("subject", "template", "Subject of the mail.").or(SUBJECT),
            OptionDef::new("body", "template", "Text of the mail. Without it: event type, publisher, time, and resource."),
            OptionDef::new(
                "html",
                "template",
                "HTML version of the text; values in it are escaped. Without it: none.",
            ),
            OptionDef::new(
                "digest",
                "duration",
                "Time for which the first event waits for others that go into the same mail, at most an hour. \
                 Without it, each event is a mail.",
            ),
            OptionDef::new(
                "digest_subject",
                "template",
                "Subject of a mail with several events. count is their number; the other names are those of the \
                 first event.",
            )
            .or(DIGEST_SUBJECT),
            OptionDef::new(
                "wait_for_recipients",
                "duration",
                "Time for which a recipient that the server refuses temporarily (greylisting, a full mailbox) \
                 delays the mail; then it goes to the other recipients.",
            )
            .or("1h"),
        ],
    )
    .with_defaults(&[("concurrency", "1"), ("timeout", "60s")]);

    fn read(reader: &mut SectionReader<'_>) -> Option<Self> {
        let words = [
            ("starttls", (Security::Starttls, 587)),
            ("implicit", (Security::Implicit, 465)),
            ("none", (Security::None, 25)),
        ];
        let security = reader.word("tls", &words);
        let place = reader.required("server", "write the name of your SMTP server").and_then(|text| {
            let port = security.map_or(25, |(_, port)| port);
            ServerAddress::parse(&text, port).or_else(|| {
                reader.refuse(
                    "server",
                    "is not the address of a server",
                    "write mail.example.com or mail.example.com:587",
                )
            })
        });
        let tls = TlsConf::read(reader, security.is_some_and(|(security, _)| security != Security::None));
        let login = login(reader);
        let from = reader.required("from", "write the sender's address").and_then(|text| {
            MailAddress::parse(&text).or_else(|| {
                reader.refuse(
                    "from",
                    "is not a mail address",
                    "write osnl@example.com or Name <osnl@example.com>",
                )
            })
        });
        let to = recipients(reader);
        let subject = event_names::template_or(reader, "subject", SUBJECT, Escape::None);
        let body = event_names::template_or(reader, "body", BODY, Escape::None);
        let digest_subject = digest_subject(reader);
        let html = event_names::template(reader, "html", Escape::Xml);
        let digest = digest(reader, to.as_deref().unwrap_or_default());
        let patience = reader.duration("wait_for_recipients", Duration::ZERO);
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Some(Self {
            name: reader.name().to_owned(),
            place: place?,
            security: security?.0,
            tls: tls?,
            login: login?,
            writer: MailWriter {
                from: from?,
                to: to?,
                subject: subject?,
                digest_subject: digest_subject?,
                body: body?,
                html: html?,
                host: own_name(&host),
            },
            digest: digest?,
            patience: patience?,
        })
    }
}

fn own_name(host: &str) -> String {
    let fine = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
    if fine { host.to_owned() } else { "localhost".to_owned() }
}

fn digest_subject(reader: &mut SectionReader<'_>) -> Option<Template> {
    let names = event_names::of_section(reader);
    let names: Vec<&str> = names.iter().map(String::as_str).chain(["count"]).collect();
    let compile = |text: &str| Template::compile(text, &names);
    match reader.compiled("digest_subject", compile).ok()? {
        Some(template) => Some(template),
        None => compile(DIGEST_SUBJECT).ok(),
    }
}

fn login(reader: &mut SectionReader<'_>) -> Option<Option<SmtpLogin>> {
    match (reader.is_set("username"), reader.is_set("password")) {
        (false, false) => Some(None),
        (true, true) => {
            let (user, password) = (reader.text("username"), reader.text("password"));
            Some(Some(SmtpLogin { user: user?, password: password? }))
        }
        (true, false) => reader.refuse("password", "is not set", "username needs one"),
        (false, true) => reader.refuse("username", "is not set", "password needs one"),
    }
}

fn recipients(reader: &mut SectionReader<'_>) -> Option<Vec<Template>> {
    const ALLOWED: &str = "write addresses or templates with commas between them";
    let text = reader.required("to", "write the recipients")?;
    if split(&text).iter().any(|item| !item.contains('{') && MailAddress::parse(item).is_none()) {
        return reader.refuse("to", "has an item that is not a mail address", ALLOWED);
    }
    let names = event_names::of_section(reader);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let compiled = reader.compiled("to", |text| {
        let mut begin = 0;
        let compile = |item: &str| {
            begin += text[begin..].find(item).unwrap_or_default();
            Template::compile(item, &names).map_err(|error| TemplateError { at: begin + error.at, ..error })
        };
        split(text).into_iter().map(compile).collect()
    });
    compiled.ok()?
}

fn digest(reader: &mut SectionReader<'_>, to: &[Template]) -> Option<Option<Duration>> {
    const LONGEST: Duration = Duration::from_secs(3600);
    if !reader.is_set("digest") {
        return Some(None);
    }
    let digest = reader.duration("digest", Duration::from_secs(1))?;
    if digest > LONGEST {
        return reader.refuse("digest", "is too long", "allowed: 1s to 1h");
    }
    if to.iter().any(|to| to.source().contains('{')) {
        let problem = "collects events into one mail, but the recipients are templates";
        return reader.refuse("digest", problem, "write addresses in to, or remove digest");
    }
    Some(Some(digest))
}

impl MailConf {
    fn server(&self) -> Result<MailServer, String> {
        let tls = match self.security {
            Security::Starttls => MailTls::Starttls(client_config(&self.tls)?),
            Security::Implicit => MailTls::Implicit(client_config(&self.tls)?),
            Security::None => MailTls::None,
        };
        let (place, login) = (self.place.clone(), self.login.clone());
        Ok(MailServer {
            place,
            tls,
            login,
            name: self.writer.host.clone(),
            certificate: LatestEnd::default(),
        })
    }

    fn recipients(&self) -> String {
        self.writer.to.iter().map(Template::source).collect::<Vec<_>>().join(", ")
    }
}

impl DriverConf for MailConf {
    fn action(&self, context: &BuildContext<'_>) -> Result<Arc<dyn Action>, DriverError> {
        let refuse = |problem| DriverError::Other { action: context.name.clone(), problem };
        let (writer, patience) = (self.writer.clone(), self.patience);
        Ok(Arc::new(Mail { writer, server: self.server().map_err(refuse)?, patience }))
    }

    fn does(&self) -> String {
        format!("mails each event to {}, by {}", self.recipients(), self.place)
    }

    fn logins(&self) -> Vec<SentLogin> {
        let protection = match self.security {
            Security::Starttls | Security::Implicit => LoginProtection::Verified,
            Security::None => LoginProtection::Clear,
        };
        let remedy = "write tls = starttls or implicit";
        let login = self.login.iter();
        login.map(|_| SentLogin::new("password", &self.place.host, protection, remedy)).collect()
    }

    fn explain(&self) -> Vec<(&'static str, String)> {
        let tls = match self.security {
            Security::Starttls => "STARTTLS",
            Security::Implicit => "TLS",
            Security::None => "in clear",
        };
        let login = self.login.as_ref().map_or(String::new(), |login| format!(", as {}", login.user));
        let mut lines = vec![("server", format!("{tls}{login}"))];
        if let Some(digest) = self.digest {
            lines.push((
                "digest",
                format!("what comes within {} of the first is one mail", duration::shown(digest)),
            ));
        }
        lines
    }

    fn traits(&self) -> Traits<'_> {
        Traits { refuser: Some("the mail server"), gathers: self.digest, ..Traits::default() }
    }

    fn preview(&self, wanted: &CallRequest<'_>) -> Preview {
        let names = event_names::of_preview(wanted, &self.name);
        match self.writer.part(&names, "") {
            Ok(part) => {
                let does = format!("mails to {}", part.recipients().collect::<Vec<_>>().join(", "));
                let mut with = vec![("subject", part.subject().to_owned())];
                if !wanted.asks.is_empty() {
                    with.push(("text", part.text().to_owned()));
                }
                Preview::Effect { does, with }
            }
            Err(why) => Preview::Unusable { why },
        }
    }

    fn probe<'a>(&'a self, context: ProbeContext<'a>) -> BoxFuture<'a, Vec<Probe>> {
        async move {
            let probe = Probe::of(context.section, format!("mail server {}", self.place));
            let server = match self.server() {
                Ok(server) => server,
                Err(why) => return vec![probe.failed(why, None)],
            };
            vec![match tokio::time::timeout(context.deadline, server.probe()).await {
                Ok(Ok(ends)) => {
                    let tls = if self.security == Security::None { "no TLS" } else { "TLS" };
                    let found = match &self.login {
                        Some(login) => format!("lets {} in, {tls}; no mail was sent", login.user),
                        None => format!("answers, {tls}; no mail was sent"),
                    };
                    probe.fine(found).passive().until(ends)
                }
                Ok(Err(error)) => {
                    let is_named = error.class == ErrorClass::Tls;
                    let advice = (!is_named).then_some("are server, tls and login right?");
                    probe.failed(error.to_string(), advice)
                }
                Err(_) => {
                    let late = format!("no answer within {} s", context.deadline.as_secs_f64());
                    probe.failed(late, Some("is a firewall in the way of this port?"))
                }
            }]
        }
        .boxed()
    }
}
