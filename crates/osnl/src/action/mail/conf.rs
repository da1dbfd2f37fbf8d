//! `driver = mail`: its options, and what follows from them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use osnl_transport::BoxFuture;

use super::Mail;
use super::address::{Address, split};
use super::letter::Writer;
use super::smtp::{Login, Server, Tls};
use crate::action::wire::{Place, client_config};
use crate::action::{Action, event_names};
use crate::native::driver::{
    BuildContext, CA_FILE, DriverConf, DriverOption, DriverTable, Probe, ProbeContext, ReadDriver, Reader,
    TlsConf, VERIFY, Wanted,
};
use crate::native::{BuildError, Preview};
use crate::template::{Escape, Template, TemplateError};

const SUBJECT: &str =
    "{{ event_type|default('an event') }}: {{ resource.name|default(resource.id|default('-')) }}";
const DIGEST_SUBJECT: &str = "{{ count }} events of {{ action }}";
const BODY: &str = "{{ event_type|default('an event without a type') }} from {{ publisher_id|default('nobody') }}\n\
    at {{ timestamp|default('an unknown time') }}\n\
    about {{ resource.kind|default('something') }} {{ resource.id|default('-') }}, rule {{ rule }}\n\
    message {{ message_id|default('-') }}";

/// `driver = mail`. Its Debug form shows no password.
#[derive(Clone, Debug)]
pub struct MailConf {
    name: String,
    place: Place,
    security: Security,
    tls: TlsConf,
    login: Option<Login>,
    writer: Writer,
    digest: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    Starttls,
    Implicit,
    None,
}

impl ReadDriver for MailConf {
    /// A mail server takes its time, and does not like to be asked often.
    const TABLE: DriverTable = DriverTable::new(
        "mail",
        &[
            DriverOption::new("server", "host[:port]", "The SMTP server. Must be set."),
            DriverOption::new(
                "tls",
                "starttls, implicit or none",
                "starttls: asked for on port 587. implicit: from the first byte, on port 465. none: on port 25, in clear.",
            )
            .or("starttls"),
            DriverOption::new("username", "name", "Who logs in, by PLAIN or LOGIN; without it nobody does."),
            DriverOption::new("password", "text", "Its password.").secret(),
            VERIFY,
            CA_FILE,
            DriverOption::new("from", "address", "osnl@example.com, or Name <osnl@example.com>. Must be set."),
            DriverOption::new(
                "to",
                "list of templates",
                "Who gets the mails, with commas between them; each template makes one address. Must be set.",
            ),
            DriverOption::new("subject", "template", "The subject.").or(SUBJECT),
            DriverOption::new("body", "template", "The text. Without it what, who, when, about what."),
            DriverOption::new(
                "html",
                "template",
                "The same in HTML, beside the text; values in it are escaped. Without it there is none.",
            ),
            DriverOption::new(
                "digest",
                "duration",
                "How long the first event waits for others, to be one mail with them; at most an hour. Without it each is \
                 a mail.",
            ),
            DriverOption::new(
                "digest_subject",
                "template",
                "Of a mail with several events: count is how many, the other names are the first one's.",
            )
            .or(DIGEST_SUBJECT),
        ],
    )
    .with_defaults(&[("concurrency", "1"), ("timeout", "60s")]);

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let words = [
            ("starttls", (Security::Starttls, 587)),
            ("implicit", (Security::Implicit, 465)),
            ("none", (Security::None, 25)),
        ];
        let security = reader.word("tls", &words);
        let place = reader.required("server", "write the name of your SMTP server").and_then(|text| {
            let port = security.map_or(25, |(_, port)| port);
            Place::parse(&text, port).or_else(|| {
                reader.refuse("server", "is no server", "write mail.example.com or mail.example.com:587")
            })
        });
        let tls = TlsConf::read(reader);
        let login = login(reader, security.map(|(security, _)| security));
        let from = reader.required("from", "write the address that mails come from").and_then(|text| {
            Address::parse(&text).or_else(|| {
                reader.refuse("from", "is no address", "write osnl@example.com or Name <osnl@example.com>")
            })
        });
        let to = recipients(reader);
        let subject = or_default(reader, "subject", SUBJECT, Escape::None);
        let body = or_default(reader, "body", BODY, Escape::None);
        let digest_subject = match reader.is_set("digest_subject") {
            true => reader.compiled("digest_subject", compile_digest).ok().flatten(),
            false => compile_digest(DIGEST_SUBJECT).ok(),
        };
        let html = match reader.is_set("html") {
            true => template(reader, "html", Escape::Xml).map(Some),
            false => Some(None),
        };
        let digest = digest(reader, to.as_deref().unwrap_or_default());
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Some(Self {
            name: reader.name().to_owned(),
            place: place?,
            security: security?.0,
            tls: tls?,
            login: login?,
            writer: Writer {
                from: from?,
                to: to?,
                subject: subject?,
                digest_subject: digest_subject?,
                body: body?,
                html: html?,
                host: own_name(&host),
            },
            digest: digest?,
        })
    }
}

/// A name that a server takes, whatever this machine is called.
fn own_name(host: &str) -> String {
    let fine = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
    if fine { host.to_owned() } else { "localhost".to_owned() }
}

fn compile_digest(text: &str) -> Result<Template, TemplateError> {
    let [rule, action, key] = event_names::MORE;
    Template::compile(text, &[rule, action, key, "count"])
}

fn template(reader: &mut Reader<'_>, option: &str, escape: Escape) -> Option<Template> {
    reader.compiled(option, |text| Template::escaping(text, &event_names::MORE, escape)).ok()?
}

fn or_default(reader: &mut Reader<'_>, option: &str, default: &str, escape: Escape) -> Option<Template> {
    match reader.is_set(option) {
        true => template(reader, option, escape),
        false => Template::compile(default, &event_names::MORE).ok(),
    }
}

fn login(reader: &mut Reader<'_>, security: Option<Security>) -> Option<Option<Login>> {
    match (reader.is_set("username"), reader.is_set("password")) {
        (false, false) => Some(None),
        (true, true) => {
            if security == Some(Security::None) {
                let problem = "travels in clear with tls = none";
                reader.warn("password", problem, "write tls = starttls or implicit");
            }
            let (user, password) = (reader.text("username"), reader.text("password"));
            Some(Some(Login { user: user?, password: password? }))
        }
        (true, false) => reader.refuse("password", "is not set", "username wants one"),
        (false, true) => reader.refuse("username", "is not set", "password wants one"),
    }
}

fn recipients(reader: &mut Reader<'_>) -> Option<Vec<Template>> {
    const ALLOWED: &str = "write addresses or templates with commas between them";
    let text = reader.required("to", "write who gets the mails")?;
    let mut to = Vec::new();
    for item in split(&text) {
        if !item.contains('{') && Address::parse(item).is_none() {
            return reader.refuse("to", "has something that is no address", ALLOWED);
        }
        match Template::compile(item, &event_names::MORE) {
            Ok(template) => to.push(template),
            Err(error) => return reader.refuse("to", &error.problem, ALLOWED),
        }
    }
    Some(to)
}

fn digest(reader: &mut Reader<'_>, to: &[Template]) -> Option<Option<Duration>> {
    const LONGEST: Duration = Duration::from_secs(3600);
    if !reader.is_set("digest") {
        return Some(None);
    }
    let digest = reader.duration("digest", Duration::from_secs(1))?;
    if digest > LONGEST {
        return reader.refuse("digest", "is too long", "allowed: 1s to 1h");
    }
    if to.iter().any(|to| to.source().contains('{')) {
        let problem = "gathers events of different recipients, which are templates";
        return reader.refuse("digest", problem, "write addresses in to, or remove digest");
    }
    if reader.is_set("batch_wait") {
        reader.warn("batch_wait", "means nothing beside digest", "remove it");
    }
    Some(Some(digest))
}

impl MailConf {
    fn server(&self) -> Result<Server, String> {
        let tls = match self.security {
            Security::Starttls => Tls::Starttls(client_config(&self.tls)?),
            Security::Implicit => Tls::Implicit(client_config(&self.tls)?),
            Security::None => Tls::None,
        };
        let (place, login) = (self.place.clone(), self.login.clone());
        Ok(Server { place, tls, login, name: self.writer.host.clone() })
    }

    fn recipients(&self) -> String {
        self.writer.to.iter().map(Template::source).collect::<Vec<_>>().join(", ")
    }
}

impl DriverConf for MailConf {
    fn action(&self, context: &BuildContext<'_>) -> Result<Arc<dyn Action>, BuildError> {
        let refuse = |problem| BuildError::Action { action: context.name.clone(), problem };
        Ok(Arc::new(Mail { writer: self.writer.clone(), server: self.server().map_err(refuse)? }))
    }

    fn does(&self) -> String {
        format!("mails each event to {}, by {}", self.recipients(), self.place)
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
                format!("what comes within {} s of the first is one mail", digest.as_secs()),
            ));
        }
        lines
    }

    fn refuser(&self) -> Option<&'static str> {
        Some("the mail server")
    }

    fn gathers(&self) -> Option<Duration> {
        self.digest
    }

    fn preview(&self, wanted: &Wanted<'_>) -> Preview {
        let names = event_names::of_preview(wanted, &self.name);
        let letter = self.writer.part(&names, "").and_then(|part| match self.writer.letter(&[&part]) {
            Some(letter) => letter,
            None => Err("there is nothing to write".to_owned()),
        });
        match letter {
            Ok(letter) => {
                let to: Vec<String> = letter.to.into_iter().map(|to| to.address).collect();
                Preview::Effect {
                    does: format!("mails to {}", to.join(", ")),
                    with: vec![("subject", letter.subject)],
                }
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
                Ok(Ok(())) => probe.fine(match self.login {
                    Some(_) => "lets us in; no mail was sent",
                    None => "answers; no mail was sent",
                }),
                Ok(Err(error)) => probe.failed(error.to_string(), Some("are server, tls and login right?")),
                Err(_) => probe.failed("no answer in time", Some("is a firewall in the way of this port?")),
            }]
        }
        .boxed()
    }
}
