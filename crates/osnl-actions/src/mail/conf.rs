//! The options of `driver = mail`, and the driver that they configure.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use osnl_action::driver::{
    BuildContext, CallRequest, DriverConf, DriverError, DriverTable, NativeReader, OF_EVERY_DRIVER,
    OptionDef, Preview, Probe, ProbeContext, ReadDriver, SectionReader, SentLogin, TlsConf, Traits,
};
use osnl_action::{Action, ErrorClass};
use osnl_config::template::{Escape, Template, TemplateError};
use osnl_config::typed::ValueRefusal;
use osnl_config::{Kind, OptionValue, Options as _, duration, options, words};
use osnl_model::LoginProtection;
use osnl_net::tls::LatestEnd;
use osnl_transport::BoxFuture;

use super::Mail;
use super::address::{MailAddress, split};
use super::letter::MailWriter;
use super::smtp::{MailServer, MailTls, SmtpLogin};
use crate::event_names;
use crate::wire::{ServerAddress, client_config};

const SUBJECT: &str =
    "{{ event_type|default('an event') }}: {{ resource.name|default(resource.id|default('-')) }}";
const DIGEST_SUBJECT: &str = "{{ count }} events of {{ action }}";
const BODY: &str = "{{ event_type|default('an event without a type') }} from {{ publisher_id|default('nobody') }}\n\
    at {{ timestamp|default('an unknown time') }}\n\
    about {{ resource.kind|default('something') }} {{ resource.id|default('-') }}, rule {{ rule }}\n\
    message {{ message_id|default('-') }}";

options! {
    pub(crate) struct MailOptions {
        server: ServerAddress as server, written("host[:port]") => "SMTP server. Must be set.";
        tls: Security = "starttls" => "starttls: TLS by STARTTLS, on port 587. implicit: TLS from the first byte, on port 465. none: no TLS, on port 25.";
        username: Option<String>, written("name") => "User to log in as, by PLAIN or LOGIN. Without it: no login.";
        password: Option<String>, secret => "Password of the user.";
        from: MailAddress, needed("write the sender's address") => "Sender: osnl@example.com, or Name <osnl@example.com>. Must be set.";
        to: Vec<Template> as recipients, written("list of templates") => "Recipients, separated by commas; each template makes one address. Must be set.";
        subject: Template as event_names::template = SUBJECT, written("template") => "Subject of the mail.";
        body: Template as body, written("template") => "Text of the mail. Without it: event type, publisher, time, and resource.";
        html: Option<Template> as html, written("template") => "HTML version of the text; values in it are escaped. Without it: none.";
        digest: Option<Duration>, within("1s", "1h") => "Time for which the first event waits for others that go into the same mail. Without it, each event is a mail.";
        digest_subject: Template as digest_subject = DIGEST_SUBJECT, written("template") => "Subject of a mail with several events. count is their number; the other names are those of the first event.";
        wait_for_recipients: Duration = "1h" => "Time for which a recipient that the server refuses temporarily (greylisting, a full mailbox) delays the mail; then it goes to the other recipients.";
    }
}

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
pub(crate) enum Security {
    Starttls,
    Implicit,
    None,
}

words!(Security: "starttls" => Self::Starttls, "implicit" => Self::Implicit, "none" => Self::None);

impl ReadDriver for MailConf {
    const TABLE: DriverTable = DriverTable::new("mail", &[MailOptions::OPTIONS, TlsConf::OPTIONS])
        .with_defaults(&[("concurrency", "1"), ("timeout", "60s")]);

    fn read(reader: &mut SectionReader<'_>) -> Option<Self> {
        let own = MailOptions::read(reader);
        let security = OptionValue::valid(reader, "tls");
        let tls = TlsConf::checked(reader, matches!(security, Some(Security::Starttls | Security::Implicit)));
        let mut together = Some(());
        for (option, other) in [("username", "password"), ("password", "username")] {
            if reader.is_set(option) && !reader.is_set(other) {
                together = reader.refuse(other, "is not set", &format!("{option} needs one"));
            }
        }
        let gathers = Duration::valid(reader, "digest").is_some();
        if gathers && String::valid(reader, "to").is_some_and(|to| to.contains('{')) {
            let problem = "collects events into one mail, but the recipients are templates";
            together = reader.refuse("digest", problem, "write addresses in to, or remove digest");
        }
        let own = own?;
        together?;
        let login = own.username.zip(own.password);
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Some(Self {
            name: reader.name().to_owned(),
            place: own.server,
            security: own.tls,
            tls: tls?,
            login: login.map(|(user, password)| SmtpLogin { user, password }),
            writer: MailWriter {
                from: own.from,
                to: own.to,
                subject: own.subject,
                digest_subject: own.digest_subject,
                body: own.body,
                html: own.html,
                host: own_name(&host),
            },
            digest: own.digest,
            patience: own.wait_for_recipients,
        })
    }
}

fn own_name(host: &str) -> String {
    let fine = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
    if fine { host.to_owned() } else { "localhost".to_owned() }
}

fn server(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<ServerAddress> {
    let text = reader.required(option.name, "write the name of your SMTP server")?;
    let port = match OptionValue::valid(reader, "tls") {
        Some(Security::Starttls) => 587,
        Some(Security::Implicit) => 465,
        Some(Security::None) | None => 25,
    };
    ServerAddress::parse(&text, port).or_else(|| {
        let allowed = "write mail.example.com or mail.example.com:587";
        reader.refuse(option.name, "is not the address of a server", allowed)
    })
}

impl OptionValue for MailAddress {
    const KIND: Kind = Kind::Form("address");

    fn parse(text: &str, _: &OptionDef) -> Result<Self, ValueRefusal> {
        let allowed = "write osnl@example.com or Name <osnl@example.com>";
        Self::parse(text).ok_or_else(|| ValueRefusal::new("is not a mail address", allowed))
    }
}

fn body(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Template> {
    event_names::optional(reader, option)?.or_else(|| Template::compile(BODY, &OF_EVERY_DRIVER).ok())
}

fn html(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Option<Template>> {
    event_names::escaping(reader, option.name, Escape::Xml)
}

fn digest_subject(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Template> {
    let names = event_names::for_section(reader);
    let names: Vec<&str> = names.iter().map(String::as_str).chain(["count"]).collect();
    let compile = |text: &str| Template::compile(text, &names);
    reader.compiled(option.name, compile).ok()?.or_else(|| compile(DIGEST_SUBJECT).ok())
}

fn recipients(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Vec<Template>> {
    const ALLOWED: &str = "write addresses or templates with commas between them";
    let text = reader.required(option.name, "write the recipients")?;
    if split(&text).iter().any(|item| !item.contains('{') && MailAddress::parse(item).is_none()) {
        return reader.refuse(option.name, "has an item that is not a mail address", ALLOWED);
    }
    let names = event_names::for_section(reader);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let compiled = reader.compiled(option.name, |text| {
        let mut begin = 0;
        let compile = |item: &str| {
            begin += text[begin..].find(item).unwrap_or_default();
            Template::compile(item, &names).map_err(|error| TemplateError { at: begin + error.at, ..error })
        };
        split(text).into_iter().map(compile).collect()
    });
    compiled.ok()?
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
        let delays = Some(("wait_for_recipients", self.patience));
        Traits { refuser: Some("the mail server"), gathers: self.digest, delays, ..Traits::default() }
    }

    fn preview(&self, wanted: &CallRequest<'_>) -> Preview {
        let names = event_names::for_preview(wanted, &self.name);
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
            let probe = Probe::new(context.section, format!("mail server {}", self.place));
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
