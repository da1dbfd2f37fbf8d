//! The options of `driver = oss_rest`, and the driver that they configure.

use std::str::FromStr as _;
use std::sync::Arc;

use futures_util::FutureExt as _;
use osnl_net::http::header::HeaderName;
use osnl_net::http::{HttpOptions, Url};
use osnl_transport::BoxFuture;

use super::{OssRest, OssRestOptions};
use crate::oss::completing::interest;
use crate::oss::{BodyForm, Constants, DetailKeys, EventReport, IpType, Lists, Memory, NodeForm, ValueRule};
use osnl_actions::Action;
use osnl_actions::driver::{
    BuildContext, CA_FILE, CallRequest, DriverConf, DriverError, DriverTable, NativeReader, OptionDef,
    Preview, Probe, ProbeContext, ReadDriver, Retries, SectionReader, SentLogin, TlsConf, Traits, VERIFY,
    login_at, target_probe,
};
use osnl_actions::http_request::{Authorization as _, FixedHeader, Statuses};

#[derive(Clone, Debug)]
pub(crate) struct OssRestConf {
    pub options: Box<OssRestOptions>,
    pub tls: TlsConf,
    pub ask: Option<Arc<str>>,
}

const EVENTS_CREATION: OptionDef = OptionDef::new(
    "events_creation",
    "list",
    "Event types that are allocations, in nova's legacy or versioned words; floatingip.update.end stands for every way in \
     which a floating IP comes or goes.",
)
.or("compute.instance.create.end, floatingip.update.end");
const EVENTS_DELETION: OptionDef =
    OptionDef::new("events_deletion", "list", "Event types that are releases; as events_creation.")
        .or("compute.instance.delete.end, floatingip.update.end");
pub(crate) const KEYS: OptionDef = OptionDef::new(
    "keys",
    "documented, flattened or metadata",
    "Keys of a node detail. documented: those of oss_watcher's documentation (FQDN, five of the metadata). \
     flattened: those of its last version (Hostname, ID, all metadata beside them). metadata: those of its branch \
     oldmeta (Metadata as one object).",
)
.or("documented");
pub(crate) const VALUES: OptionDef = OptionDef::new(
    "values",
    "original or uniform",
    "original: as oss_watcher wrote them, with different names, sizes, and dates for floating IPs and for \
     instances. uniform: the same for both.",
)
.or("original");
pub(crate) const IP_TYPE: OptionDef =
    OptionDef::new("ip_type", "text", "Value of IPType; auto: Private or Public, by the address.")
        .or("Public");
pub(crate) const DATACENTER: OptionDef =
    OptionDef::new("datacenter", "text", "Value of Datacenter.").or("KDC");
pub(crate) const SECURITY_DOMAIN: OptionDef =
    OptionDef::new("security_domain", "text", "Value of SecurityDomain.").or("DQT");
pub(crate) const ASK: OptionDef = OptionDef::new(
    "ask",
    "name",
    "Section [enrich:NAME] whose cloud is queried for values of an instance that no event contained; its kind \
     does not matter. Without it, these values are null.",
);

impl ReadDriver for OssRestConf {
    const TABLE: DriverTable = DriverTable::new(
        "oss_rest",
        &[
            OptionDef::new("url_creation", "URL", "URL to which allocations are posted. Must be set."),
            OptionDef::new("url_deletion", "URL", "URL to which releases are posted. Without it: url_creation."),
            OptionDef::new("user", "text", "User for basic authentication. Without it: none."),
            OptionDef::new("password", "text", "Password for basic authentication.").secret(),
            OptionDef::new(
                "body",
                "json, xml or xml_unescaped",
                "json: JSON. xml: oss_watcher's XML, with the JSON as a string in it. xml_unescaped: the same \
                 without escapes, as oss_watcher wrote it; a < or & in metadata makes it invalid.",
            )
            .or("json"),
            EVENTS_CREATION,
            EVENTS_DELETION,
            KEYS,
            VALUES,
            IP_TYPE,
            DATACENTER,
            SECURITY_DOMAIN,
            ASK,
            OptionDef::new(
                "idempotency_header",
                "header",
                "Header with the idempotency key, which is the same in all attempts of one request; empty for none.",
            )
            .or("Idempotency-Key"),
            VERIFY,
            CA_FILE,
        ],
    );

    fn read(reader: &mut SectionReader<'_>) -> Option<Self> {
        let creation = match reader.required("url_creation", "write where to post, https://host/path") {
            Some(text) => url(reader, "url_creation", &text),
            None => None,
        };
        let deletion = match reader.text("url_deletion") {
            Some(text) => url(reader, "url_deletion", &text),
            None => creation.clone(),
        };
        let login = login(reader);
        let lists = lists(reader);
        let form = form(reader);
        let bodies =
            [("json", BodyForm::Json), ("xml", BodyForm::Xml), ("xml_unescaped", BodyForm::XmlUnescaped)];
        let body = reader.word("body", &bodies);
        if body == Some(BodyForm::XmlUnescaped) {
            let problem = "a user who can write metadata can write any XML into the body";
            reader.warn("body", problem, "xml escapes < and &, and is safe");
        }
        let idempotency = match reader.text("idempotency_header")?.trim() {
            "" => Some(None),
            text => match HeaderName::from_str(text) {
                Ok(name) => Some(Some(name)),
                Err(_) => reader.refuse(
                    "idempotency_header",
                    "is not the name of a header",
                    "use letters, digits, and dashes",
                ),
            },
        };
        let tls = TlsConf::read(reader, true);
        let ask = reader.enrichment(ASK.name);
        let options = OssRestOptions {
            creation: creation?,
            deletion: deletion?,
            login: login?,
            lists: lists?,
            form: form?,
            body: body?,
            idempotency: idempotency?,
        };
        Some(Self { options: Box::new(options), tls: tls?, ask: ask? })
    }
}

fn url(reader: &mut SectionReader<'_>, option: &str, text: &str) -> Option<Url> {
    Url::parse(text).map_or_else(|error| reader.refuse(option, error.problem, error.allowed), Some)
}

fn login(reader: &mut SectionReader<'_>) -> Option<Option<FixedHeader>> {
    let (user, password) = (reader.text("user"), reader.text("password"));
    match (user, password) {
        (None, None) => Some(None),
        (Some(user), password) => match FixedHeader::basic(&user, &password.unwrap_or_default()) {
            Some(login) => Some(Some(login)),
            None => reader.refuse("user", "holds a colon", "a name for basic authentication has none"),
        },
        (None, Some(_)) => reader.refuse("password", "is set without user", "set user, or remove the line"),
    }
}

fn lists(reader: &mut SectionReader<'_>) -> Option<Lists> {
    let (creation, deletion) = (reader.list("events_creation"), reader.list("events_deletion"));
    Some(Lists { creation: creation?, deletion: deletion? })
}

pub(crate) fn form(reader: &mut SectionReader<'_>) -> Option<NodeForm> {
    let mut form = NodeForm::default();
    let (mut known_keys, mut known_values) = (Some(form.keys), Some(form.values));
    if reader.text(KEYS.name).is_some() {
        let keys = [
            ("documented", DetailKeys::Documented),
            ("flattened", DetailKeys::Flattened),
            ("metadata", DetailKeys::Metadata),
        ];
        known_keys = reader.word(KEYS.name, &keys);
    }
    if reader.text(VALUES.name).is_some() {
        known_values =
            reader.word(VALUES.name, &[("original", ValueRule::Original), ("uniform", ValueRule::Uniform)]);
    }
    let Constants { ip_type, datacenter, security_domain } = &mut form.constants;
    if let Some(text) = reader.text(IP_TYPE.name) {
        *ip_type = if text == "auto" { IpType::FromAddress } else { IpType::Constant(text) };
    }
    for (option, value) in [(DATACENTER, datacenter), (SECURITY_DOMAIN, security_domain)] {
        if let Some(text) = reader.text(option.name) {
            *value = text;
        }
    }
    (form.keys, form.values) = (known_keys?, known_values?);
    Some(form)
}

impl OssRestConf {
    fn http(&self, http: &HttpOptions) -> HttpOptions {
        let mut http = self.tls.http(http);
        http.remedies.trust =
            "name the CA's certificate in ca_file, put it into the system's store, or set verify = false";
        http
    }
}

impl DriverConf for OssRestConf {
    fn action(&self, context: &BuildContext<'_>) -> Result<Arc<dyn Action>, DriverError> {
        let error = |error| DriverError::Http { action: context.name.clone(), error };
        let options = OssRestOptions::clone(&self.options);
        let action = OssRest::new(options, &self.http(context.http)).map_err(error)?;
        Ok(Arc::new(action))
    }

    fn does(&self) -> String {
        let OssRestOptions { creation, deletion, .. } = &*self.options;
        format!("POST {creation} for what comes, {deletion} for what goes")
    }

    fn logins(&self) -> Vec<SentLogin> {
        let OssRestOptions { creation, deletion, login, .. } = &*self.options;
        let mut logins = Vec::new();
        if login.is_some() {
            logins.push(login_at("url_creation", creation));
            if deletion.authority() != creation.authority() {
                logins.push(login_at("url_deletion", deletion));
            }
        }
        logins
    }

    fn explain(&self) -> Vec<(&'static str, String)> {
        let Lists { creation, deletion } = &self.options.lists;
        let mut lines = vec![("comes", creation.join(", ")), ("goes", deletion.join(", "))];
        if let Some(login) = &self.options.login {
            let (name, value) = login.shown();
            lines.push(("login", format!("{name}: {value}")));
        }
        if let Some(name) = &self.ask {
            lines.push(("asks", format!("the cloud of [enrich:{name}] for what no event has told")));
        }
        lines
    }

    fn traits(&self) -> Traits<'_> {
        Traits {
            asks: self.ask.as_ref(),
            interest: Some(interest(self.options.lists.clone())),
            takes_enrichments: false,
            ..Traits::default()
        }
    }

    fn preview(&self, wanted: &CallRequest<'_>) -> Preview {
        let lists = &self.options.lists;
        let event_type = wanted.notification.event_type.as_deref().unwrap_or_default();
        let happened = Memory::default().tell(wanted.notification, None, lists).happened;
        let calls = match EventReport::from(happened, event_type, None, lists) {
            EventReport::Nothing(why) => return Preview::Nothing { why },
            EventReport::Calls(calls) => calls,
        };
        let Some(call) = calls.first() else { return Preview::Nothing { why: "no call".to_owned() } };
        match self.options.request(&call.happened, call.created, None) {
            Err(error) => Preview::Unusable { why: error.reason },
            Ok(request) => Preview::Request {
                method: request.method.to_string(),
                url: request.url.to_string(),
                headers: vec![("Content-Type".to_owned(), self.options.body.content_type().to_owned())],
                body: Some(String::from_utf8_lossy(&request.body).into_owned()),
            },
        }
    }

    fn retries(&self, _refuser: &str) -> Retries {
        Retries::over_http(&Statuses::usual())
    }

    fn probe<'a>(&'a self, context: ProbeContext<'a>) -> BoxFuture<'a, Vec<Probe>> {
        async move {
            let http = self.http(context.http);
            let OssRestOptions { creation, deletion, .. } = &*self.options;
            let mut probes =
                vec![target_probe(context.section, "url_creation", creation, &http, context.deadline).await];
            if deletion.authority() != creation.authority() {
                let probe = target_probe(context.section, "url_deletion", deletion, &http, context.deadline);
                probes.push(probe.await);
            }
            probes
        }
        .boxed()
    }
}
