//! The options of `driver = http`, read and checked.

mod lines;
mod login;
mod table;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use osnl_config::template::{Escape, Template};
use osnl_config::typed::ValueRefusal;
use osnl_config::{OptionValue, Options as _, nearest, shown, words};
use osnl_net::http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderName, HeaderValue,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use osnl_net::http::{AddressGuard, AllowedHost, ClientCertificate, Method};

pub(super) use self::login::Login;
use self::table::HttpOptions;
use super::authorization::{FetchedLogin, TOKEN};
use super::body::{self, BodyFormat, RequestBody};
use super::cloud_event::{AttributeTemplates, CloudEventMode};
use super::literals::Literals;
use super::message::{CloudEventConf, RequestParts};
use super::reply::ReplyStatus;
use super::secrets::Secrets;
use super::sign;
use super::target::{TargetError, UrlTarget};
use super::verb::{self, HttpVerb};
use crate::driver::{
    DriverTable, EVENT, NativeReader as _, OF_EVERY_DRIVER, OF_REQUESTS, OptionDef, SectionReader, TlsConf,
};
use crate::statuses::{StatusClasses, Statuses};
use osnl_delivery::HostLimits;

/// The checked options of `driver = http`.
#[derive(Clone, Debug)]
pub struct HttpConf(pub(super) Arc<HttpSettings>);

/// The options, shared by the copies that explain, preview, and build the action.
#[derive(Debug)]
pub(super) struct HttpSettings {
    /// The name of the action.
    pub(super) name: String,
    /// The parts of the request, from which each event makes its own.
    pub(super) message: Arc<RequestParts>,
    /// The login that every request carries; `None` for `auth = none`.
    pub(super) login: Option<Login>,
    /// The certificate that osnl presents to the configured host, and to no other.
    pub(super) certificate: Option<ClientCertificate>,
    /// The options that decide whether the target's certificate is trusted.
    pub(super) tls: TlsConf,
    /// The statuses that mean success, a retry, or a final refusal.
    pub(super) judgement: StatusClasses,
    /// The expression for the status of each event; `None` if the status of the reply counts.
    pub(super) reply: Option<ReplyStatus>,
    /// The most redirects that one attempt follows.
    pub(super) redirects: u32,
    /// The hosts that an event or a redirect may name.
    pub(super) guard: AddressGuard,
    /// The time for which an idle connection is kept; zero keeps none.
    pub(super) idle: Duration,
    /// The secrets that options hold in clear.
    pub(super) literals: Literals,
    /// The limits of each host that events name; `None` if the host is fixed.
    pub(super) hosts: Option<HostLimits>,
}

/// Reads the login of a section with `auth = keystone`.
pub type LoginReader = fn(&mut SectionReader<'_>) -> Option<Arc<dyn FetchedLogin>>;

impl HttpConf {
    pub const TABLE: DriverTable = table::TABLE;

    pub fn read(reader: &mut SectionReader<'_>, fetched: LoginReader) -> Option<Self> {
        let own = HttpOptions::read(reader);
        let method = method(reader);
        let target = target(reader);
        let query = pairs(reader, "query.");
        let body = body(reader);
        let secrets = secrets(reader);
        let login = login::login(reader, fetched);
        let certificate = login::certificate(reader);
        let tls = TlsConf::checked(reader, true);
        let signed = reader.is_set("signing_secret");
        let headers = headers(reader, signed);
        let judgement = judgement(reader);
        let (target, secrets) = (target?, secrets?);
        let hosts = hosts(reader, target.is_event_s())?;
        let (login, certificate) = (login?, certificate?);
        let sent = login.is_some() || certificate.is_some() || !secrets.is_empty();
        catalogue(reader, &target, login.as_ref())?;
        let (method, query, headers, body) = (method?, query?, headers?, body?);
        if body.is_lines() {
            lines::check(reader, &method, &target, &query, &headers)?;
        }
        let literals = Literals::from_parts(&target, &query, &headers, &body);
        if target.is_event_s()
            && let Some(option) = &literals.first
        {
            let problem = "looks like a credential, and the host of url comes from the event: any host that an event names would receive it";
            let written = reader.keys("").into_iter().find(|key| key.eq_ignore_ascii_case(option));
            let option = written.as_deref().unwrap_or(option);
            return reader.refuse(
                option,
                problem,
                "write a fixed scheme and host into url, or remove the line",
            );
        }
        if target.is_event_s() && (sent || signed) {
            let problem = "its host comes from the event, so any host that an event names would receive the credentials";
            return reader.refuse("url", problem, "write a fixed scheme and host, or remove the credentials");
        }
        let own = own?;
        let idempotency = own.idempotency_header.filter(|_| !body.is_lines());
        let attributes = AttributeTemplates {
            source: own.cloudevents_source,
            kind: own.cloudevents_type,
            subject: own.cloudevents_subject,
        };
        let limits = HostLimits { concurrency: own.host_concurrency, rate: own.host_rate };
        Some(Self(Arc::new(HttpSettings {
            hosts: hosts.then_some(limits),
            name: reader.name().to_owned(),
            message: Arc::new(RequestParts {
                method,
                target,
                query,
                headers,
                body,
                content_type: own.content_type,
                cloud_event: own.cloudevents.0.map(|mode| CloudEventConf { mode, attributes }),
                idempotency,
                secrets,
                signer: own.signing_secret,
                reply_limit: usize::try_from(own.reply_limit.0).ok()?,
            }),
            login,
            certificate,
            tls: tls?,
            judgement: judgement?,
            reply: own.reply_status,
            redirects: own.redirects,
            guard: AddressGuard { hosts: own.allow_hosts, private: own.allow_private },
            idle: own.idle,
            literals,
        })))
    }
}

fn catalogue(reader: &mut SectionReader<'_>, target: &UrlTarget, login: Option<&Login>) -> Option<()> {
    if target.service().is_some() && !matches!(login, Some(Login::Fetched(_))) {
        let problem = "names a service of the catalogue, which needs a login to Keystone";
        return reader.refuse("url", problem, "set auth = keystone, or write a fixed scheme and host");
    }
    let own = ["region_name", "interface"].into_iter().find(|option| reader.is_set(option));
    if let (Some(option), None) = (own, target.service()) {
        let problem = "chooses among the URLs of a service, and url names none";
        let written = reader.keys("").into_iter().find(|key| key.eq_ignore_ascii_case(option));
        let option = written.as_deref().unwrap_or(option);
        return reader.refuse(option, problem, "write url = catalog:TYPE/path, or remove the line");
    }
    Some(())
}

fn hosts(reader: &mut SectionReader<'_>, from_event: bool) -> Option<bool> {
    let set = ["host_concurrency", "host_rate"].into_iter().find(|option| reader.is_set(option));
    match set.filter(|_| !from_event) {
        Some(option) => {
            let problem = "limits each host that an event names, but the host of url is fixed";
            reader.refuse(option, problem, "remove the line; concurrency and rate limit the target")
        }
        None => Some(from_event),
    }
}

const METHODS: [&str; 22] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
    "QUERY",
    "PURGE",
    "BAN",
    "NOTIFY",
    "LINK",
    "UNLINK",
];

fn known(reader: &mut SectionReader<'_>, method: Method) -> Option<Method> {
    if METHODS.contains(&method.as_str()) {
        return Some(method);
    }
    let problem = format!("{} is not a standard HTTP method", shown(method.as_str()));
    let allowed = format!("known: {}", METHODS[..7].join(", "));
    match nearest(method.as_str(), METHODS) {
        Some(near) => {
            let refusal = ValueRefusal::new(problem, allowed);
            reader.refused("method", ValueRefusal { suggestion: Some(near.to_owned()), ..refusal })
        }
        None => {
            reader.warn("method", &problem, &allowed);
            Some(method)
        }
    }
}

fn method(reader: &mut SectionReader<'_>) -> Option<HttpVerb> {
    let text = reader.text("method")?;
    if text.contains("{{") || text.contains("{%") {
        return template(reader, "method", Escape::None).map(HttpVerb::Template);
    }
    match verb::usable(&text) {
        Some(method) => known(reader, method).map(HttpVerb::Written),
        None => {
            let problem = format!("{} is not a usable HTTP method", shown(&text));
            reader.refuse(
                "method",
                &problem,
                "write POST, PUT, PATCH, DELETE, GET or another one in capitals",
            )
        }
    }
}

fn target(reader: &mut SectionReader<'_>) -> Option<UrlTarget> {
    if !reader.is_set("url") {
        return reader.required("url", "write the target's URL, https://host/path").and(None);
    }
    let names = names(reader);
    let parsed = reader.compiled("url", |text| match UrlTarget::parse(text, &as_strs(&names)) {
        Ok(target) => Ok(Ok(target)),
        Err(error @ (TargetError::Url(_) | TargetError::Service)) => Ok(Err(error)),
        Err(TargetError::Template(error)) => Err(error),
    });
    match parsed.ok()?? {
        Ok(target) => Some(target),
        Err(TargetError::Url(error)) => reader.refuse("url", error.problem, error.allowed),
        Err(error @ (TargetError::Service | TargetError::Template(_))) => reader.refuse(
            "url",
            &error.to_string(),
            "write catalog:TYPE/path, as catalog:dns/v2/zones; only what follows may come out of the event",
        ),
    }
}

fn template(reader: &mut SectionReader<'_>, option: &str, escape: Escape) -> Option<Template> {
    let names = names(reader);
    reader.compiled(option, |text| Template::escaping(text, &as_strs(&names), escape)).ok()?
}

fn template_or(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Template> {
    match reader.is_set(option.name) {
        true => template(reader, option.name, Escape::None),
        false => Template::compile(option.default.unwrap_or_default(), &OF_EVERY_DRIVER).ok(),
    }
}

fn names(reader: &SectionReader<'_>) -> Vec<String> {
    OF_REQUESTS.iter().map(|name| (*name).to_owned()).chain(reader.enrichments()).collect()
}

fn as_strs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

fn pairs(reader: &mut SectionReader<'_>, prefix: &str) -> Option<Vec<(String, Template)>> {
    let pairs: Vec<_> = reader
        .keys(prefix)
        .into_iter()
        .map(|option| Some((option[prefix.len()..].to_owned(), template(reader, &option, Escape::None)?)))
        .collect();
    pairs.into_iter().collect()
}

fn headers(reader: &mut SectionReader<'_>, signed: bool) -> Option<Vec<(HeaderName, Template)>> {
    let pairs = pairs(reader, "header.");
    let auth = reader.text("auth").unwrap_or_default();
    let event = reader.text("cloudevents").is_some_and(|mode| mode != "off");
    let mut headers = Vec::new();
    let mut all = true;
    for (key, template) in pairs? {
        let option = format!("header.{key}");
        let taken = |name: &HeaderName| match name {
            name if is_connection_header(name) => Some("the connection"),
            name if auth == "keystone" && *name == TOKEN => Some("auth"),
            name if ["basic", "bearer"].contains(&auth.as_str()) && *name == AUTHORIZATION => Some("auth"),
            name if event && is_attribute(name) => Some("cloudevents"),
            name if *name == CONTENT_TYPE => Some("content_type"),
            name if signed && [sign::ID, sign::TIMESTAMP, sign::SIGNATURE].contains(name) => {
                Some("signing_secret")
            }
            _ => None,
        };
        match HeaderName::from_str(&key) {
            Ok(name) => match taken(&name) {
                None => headers.push((name, template)),
                Some(setter) => {
                    all = false;
                    reader.refuse::<()>(&option, &format!("is set by {setter}"), "remove the line");
                }
            },
            Err(_) => {
                all = false;
                reader.refuse::<()>(
                    &option,
                    "is not the name of a header",
                    "use letters, digits, and dashes",
                );
            }
        }
    }
    all.then_some(headers)
}

fn is_connection_header(name: &HeaderName) -> bool {
    let own = [
        HOST,
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
        CONNECTION,
        EXPECT,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        UPGRADE,
    ];
    own.contains(name) || ["keep-alive", "proxy-connection"].contains(&name.as_str())
}

fn is_attribute(name: &HeaderName) -> bool {
    let own = ["specversion", "id", "source", "type", "subject", "time", "priority", "datacontenttype"];
    name.as_str().strip_prefix("ce-").is_some_and(|name| own.contains(&name))
}

fn secrets(reader: &mut SectionReader<'_>) -> Option<Secrets> {
    const PREFIX: &str = "secret.";
    let mut secrets = Some(Vec::new());
    for option in reader.keys(PREFIX) {
        let key = &option[PREFIX.len()..];
        let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !key.chars().all(name) || key.starts_with(|c: char| c.is_ascii_digit()) {
            let allowed = "use letters, digits, and _";
            secrets = reader.refuse(&option, "is not a name for templates", allowed);
            continue;
        }
        match (reader.text(&option), &mut secrets) {
            (Some(value), Some(secrets)) => secrets.push((key.to_owned(), value)),
            (Some(_), None) => {}
            (None, _) => secrets = None,
        }
    }
    secrets.map(Secrets::new)
}

fn body(reader: &mut SectionReader<'_>) -> Option<RequestBody> {
    let fields = pairs(reader, "field.");
    let (format, fields): (BodyFormat, _) = (OptionValue::valid(reader, "format")?, fields?);
    match (format, reader.is_set("body")) {
        (BodyFormat::Form, true) => {
            reader.refuse("body", "can't be used with format = form", "write a field.KEY for each parameter")
        }
        (BodyFormat::Form, false) if fields.is_empty() => {
            reader.refuse("format", "form needs parameters", "write a field.KEY for each of them")
        }
        (BodyFormat::Form, false) => Some(RequestBody::Form(fields)),
        (BodyFormat::Json | BodyFormat::Ndjson | BodyFormat::Xml | BodyFormat::Text, _)
            if !fields.is_empty() =>
        {
            let option = format!("field.{}", fields.first().map_or("", |(key, _)| key));
            reader.refuse(&option, "requires format = form", "set that, or remove the line")
        }
        (BodyFormat::Json | BodyFormat::Ndjson | BodyFormat::Xml | BodyFormat::Text, true) => {
            let names = [names(reader), vec![EVENT.to_owned()]].concat();
            let escape = format.escape();
            let template =
                reader.compiled("body", |text| Template::escaping(text, &as_strs(&names), escape)).ok()??;
            Some(if template.source().is_empty() && format != BodyFormat::Ndjson {
                RequestBody::Nothing
            } else {
                RequestBody::Text(format, template)
            })
        }
        (BodyFormat::Json, false) => Some(RequestBody::Usual),
        (BodyFormat::Ndjson | BodyFormat::Xml | BodyFormat::Text, false) => {
            reader.refuse("format", "needs a body", "write one, or remove the line to send the event as JSON")
        }
    }
}

fn content_type(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Option<HeaderValue>> {
    if !reader.is_set(option.name) {
        return Some(None);
    }
    let text = reader.text(option.name)?;
    match body::content_type(&text) {
        Some(value) => Some(Some(value)),
        None => reader.refuse(option.name, "is not a content type", "write application/json or another one"),
    }
}

/// Returns the configured name of a header; `Some(None)` if the operator turns it off.
fn header_name(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Option<HeaderName>> {
    let option = option.name;
    match reader.text(option)?.as_str() {
        "" => Some(None),
        text => match HeaderName::from_str(text) {
            Ok(name) if is_connection_header(&name) || [AUTHORIZATION, CONTENT_TYPE].contains(&name) => {
                reader.refuse(
                    option,
                    "is a header with another use",
                    "name another one, or leave it empty for none",
                )
            }
            Ok(name) => Some(Some(name)),
            Err(_) => reader.refuse(option, "is not the name of a header", "use letters, digits, and dashes"),
        },
    }
}

/// The option `cloudevents`; `None` is `off`.
pub(crate) struct EventMode(Option<CloudEventMode>);

words! {
    EventMode: "off" => Self(None), "binary" => Self(Some(CloudEventMode::Binary)),
    "structured" => Self(Some(CloudEventMode::Structured)),
}
words! {
    BodyFormat: "json" => Self::Json, "ndjson" => Self::Ndjson, "xml" => Self::Xml, "form" => Self::Form,
    "text" => Self::Text,
}

fn reply_status(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Option<ReplyStatus>> {
    reader.compiled(option.name, ReplyStatus::compile).ok()
}

fn judgement(reader: &mut SectionReader<'_>) -> Option<StatusClasses> {
    let (success, retry): (Statuses, Statuses) =
        (OptionValue::valid(reader, "success")?, OptionValue::valid(reader, "retry")?);
    let last: Statuses = OptionValue::valid(reader, "final")?;
    for (option, one, other, other_option) in [
        ("retry", &retry, &success, "success"),
        ("final", &last, &success, "success"),
        ("final", &last, &retry, "retry"),
    ] {
        // A default set yields to a set that the operator has written.
        if let Some(status) = one.shared_with(other)
            && reader.is_set(option)
            && reader.is_set(other_option)
        {
            return reader.refuse(
                option,
                &format!("has {status}, which {other_option} has too"),
                "a status is in one of them",
            );
        }
    }
    if reader.is_set("success") {
        return Some(StatusClasses { success, retry, last });
    }
    let left = success.without(&retry).without(&last);
    if left.is_empty() {
        let option = if reader.is_set("retry") { "retry" } else { "final" };
        let problem = format!("leaves no status of success, {success}: no request could succeed");
        return reader.refuse(option, &problem, "write success, or fewer statuses");
    }
    Some(StatusClasses { success: left, retry, last })
}

fn allow_hosts(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Vec<AllowedHost>> {
    let option = option.name;
    if !reader.is_set(option) {
        return Some(Vec::new());
    }
    let mut hosts = Some(Vec::new());
    for item in reader.list(option)? {
        match (item.parse::<AllowedHost>(), &mut hosts) {
            (Ok(host), Some(hosts)) => hosts.push(host),
            (Ok(_), None) => {}
            (Err(error), _) => {
                let problem = format!("{} {error}", shown(&item));
                hosts = reader.refuse(option, &problem, "write cmdb.example, *.example or 10.0.0.0/8");
            }
        }
    }
    hosts
}
