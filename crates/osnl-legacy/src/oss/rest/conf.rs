//! The options of `driver = oss_rest`, and the driver that they configure.

use std::str::FromStr as _;
use std::sync::Arc;

use futures_util::FutureExt as _;
use osnl_config::{Options as _, ReadBySection, options, words};
use osnl_core::misfit::Misfit;
use osnl_model::mask_text;
use osnl_net::http::header::HeaderName;
use osnl_net::http::{HttpOptions, Url};
use osnl_transport::BoxFuture;

use super::{OssRest, OssRestOptions, shown};
use crate::oss::completing::interest;
use crate::oss::{BodyForm, Constants, DetailKeys, EventReport, IpType, Lists, Memory, NodeForm};
use osnl_action::Action;
use osnl_action::driver::{
    BuildContext, CallRequest, DriverConf, DriverError, DriverTable, ENRICH, NativeReader as _, OptionDef,
    Preview, Probe, ProbeContext, ReadDriver, Retries, SectionReader, SentLogin, TlsConf, Traits, login_at,
    target_probe,
};
use osnl_action::http_request::{Authorization as _, FixedHeader};
use osnl_action::statuses::Statuses;

#[derive(Clone, Debug)]
pub(crate) struct OssRestConf {
    pub options: Box<OssRestOptions>,
    pub tls: TlsConf,
    pub ask: Option<Arc<str>>,
}

options! {
    pub(crate) struct RestOptions {
        url_creation: Url as url_creation, written("URL") => "URL to which allocations are posted. Must be set.";
        url_deletion: Option<Url> as url_deletion, written("URL") => "URL to which releases are posted. Without it: url_creation.";
        user: ReadBySection => "User for basic authentication. Without it: none.";
        password: ReadBySection, secret => "Password for basic authentication.";
        body: BodyForm = "json" => "json: JSON. xml: oss_watcher's XML, with the JSON as a string in it.";
        events_creation: Vec<String> as event_types = "compute.instance.create.end, floatingip.update.end", written("list") => "Event types that are allocations, in nova's legacy or versioned words; floatingip.update.end stands for every way in which a floating IP comes or goes.";
        events_deletion: Vec<String> as event_types = "compute.instance.delete.end, floatingip.update.end", written("list") => "Event types that are releases; as events_creation.";
        idempotency_header: Option<HeaderName> as idempotency_header = "Idempotency-Key", written("header") => "Header with the idempotency key, which is the same in all attempts of one request; empty for none.";
    }
}

options! {
    /// The form of a node detail; an option that is not set has the default of [`NodeForm`].
    pub(crate) struct NodeOptions {
        keys: Option<DetailKeys> = "documented" => "Keys of a node detail. documented: those of oss_watcher's documentation, with its values (FQDN, five of the metadata; Ram in GiB, CreationDate a day, AdditionalUsers a list). flattened: those of its last version (Hostname, ID, all metadata beside them). metadata: those of its branch oldmeta (Metadata as one object).";
        ip_type: Option<String> = "Public" => "Value of IPType; auto: Private or Public, by the address.";
        datacenter: Option<String> = "KDC" => "Value of Datacenter.";
        security_domain: Option<String> = "DQT" => "Value of SecurityDomain.";
    }
}

options! {
    pub(crate) struct AskOptions {
        ask: Option<Arc<str>> as ask, written("name") => "Section [enrich:NAME] whose cloud is queried for values of an instance that no event contained; its kind does not matter. Without it, these values are null.";
    }
}

words!(BodyForm: "json" => Self::Json, "xml" => Self::Xml);
words! {
    DetailKeys: "documented" => Self::Documented, "flattened" => Self::Flattened, "metadata" => Self::Metadata,
}

impl ReadDriver for OssRestConf {
    const TABLE: DriverTable = DriverTable::new(
        "oss_rest",
        &[RestOptions::OPTIONS, NodeOptions::OPTIONS, AskOptions::OPTIONS, TlsConf::OPTIONS],
    );

    fn read(reader: &mut SectionReader<'_>) -> Option<Self> {
        let own = RestOptions::read(reader);
        let form = form(reader);
        let ask = AskOptions::read(reader);
        let tls = TlsConf::checked(reader, true);
        let login = login(reader);
        let own = own?;
        let options = OssRestOptions {
            deletion: own.url_deletion.unwrap_or_else(|| own.url_creation.clone()),
            creation: own.url_creation,
            login: login?,
            lists: Lists { creation: own.events_creation, deletion: own.events_deletion },
            form: form?,
            body: own.body,
            idempotency: own.idempotency_header,
        };
        Some(Self { options: Box::new(options), tls: tls?, ask: ask?.ask })
    }
}

fn url_creation(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Url> {
    let text = reader.required(option.name, "write where to post, https://host/path")?;
    url(reader, option.name, &text)
}

fn url_deletion(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Option<Url>> {
    match reader.text(option.name) {
        Some(text) => url(reader, option.name, &text).map(Some),
        None => (!reader.is_set(option.name)).then_some(None),
    }
}

fn idempotency_header(
    reader: &mut SectionReader<'_>,
    option: &'static OptionDef,
) -> Option<Option<HeaderName>> {
    match reader.text(option.name)?.trim() {
        "" => Some(None),
        text => HeaderName::from_str(text).map(Some).ok().or_else(|| {
            reader.refuse(option.name, "is not the name of a header", "use letters, digits, and dashes")
        }),
    }
}

fn ask(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Option<Arc<str>>> {
    if !reader.is_set(option.name) {
        return Some(None);
    }
    let known = reader.all_enrichments();
    match &reader.references(option.name, ENRICH, &known)?[..] {
        [name] => Some(Some(name.as_str().into())),
        _ => reader.refuse(option.name, "names several", "name the one whose cloud is asked"),
    }
}

/// Reads a list that may be empty: a target may take allocations or releases alone.
pub(crate) fn event_types(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Vec<String>> {
    match reader.text(option.name)?.trim() {
        "" => Some(Vec::new()),
        _ => reader.list(option.name),
    }
}

fn url(reader: &mut SectionReader<'_>, option: &str, text: &str) -> Option<Url> {
    Url::parse(text).map_or_else(|error| reader.refuse(option, error.problem, error.allowed), Some)
}

fn login(reader: &mut SectionReader<'_>) -> Option<Option<FixedHeader>> {
    let mut read = |option| match reader.is_set(option) {
        true => reader.text(option).map(Some),
        false => Some(None),
    };
    let (user, password) = (read("user"), read("password"));
    match (user?, password?) {
        (None, None) => Some(None),
        (Some(user), password) => match FixedHeader::basic(&user, &password.unwrap_or_default()) {
            Some(login) => Some(Some(login)),
            None => reader.refuse("user", "holds a colon", "a name for basic authentication has none"),
        },
        (None, Some(_)) => reader.refuse("password", "is set without user", "set user, or remove the line"),
    }
}

pub(crate) fn form(reader: &mut SectionReader<'_>) -> Option<NodeForm> {
    let set = NodeOptions::read(reader)?;
    let usual = NodeForm::default();
    let constants = usual.constants;
    Some(NodeForm {
        keys: set.keys.unwrap_or(usual.keys),
        constants: Constants {
            ip_type: set.ip_type.map_or(constants.ip_type, |text| match text.as_str() {
                "auto" => IpType::FromAddress,
                _ => IpType::Constant(text),
            }),
            datacenter: set.datacenter.unwrap_or(constants.datacenter),
            security_domain: set.security_domain.unwrap_or(constants.security_domain),
        },
    })
}

impl OssRestConf {
    fn http(&self, http: &HttpOptions) -> HttpOptions {
        let mut http = self.tls.http(http);
        http.remedies.trust = "name the CA's certificate in ca_file, or put it into the system's store";
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
        format!("POST {} for what comes, {} for what goes", shown(creation), shown(deletion))
    }

    fn logins(&self) -> Vec<SentLogin> {
        let OssRestOptions { creation, deletion, login, .. } = &*self.options;
        let mut logins = Vec::new();
        if login.is_some() {
            logins.push(login_at("url_creation", creation));
            if !deletion.is_same_place(creation) {
                logins.push(login_at("url_deletion", deletion));
            }
        }
        logins
    }

    fn urls(&self) -> Vec<(&'static str, &Url)> {
        vec![("url_creation", &self.options.creation), ("url_deletion", &self.options.deletion)]
    }

    fn explain(&self) -> Vec<(&'static str, String)> {
        let Lists { creation, deletion } = &self.options.lists;
        let shown = |list: &[String]| if list.is_empty() { "nothing".to_owned() } else { list.join(", ") };
        let mut lines = vec![("comes", shown(creation)), ("goes", shown(deletion))];
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
        let notification = wanted.notification.masked();
        let event_type = notification.event_type.as_deref().unwrap_or_default();
        let happened = Memory::default().interpret(&notification, None, lists).happened;
        let calls = match EventReport::from(happened, event_type, None, lists) {
            EventReport::Nothing(why) => return Preview::Nothing { why },
            EventReport::Calls(calls) => calls,
        };
        let Some(call) = calls.first() else { return Preview::Nothing { why: "no call".to_owned() } };
        match self.options.request(&call.happened, call.created, None) {
            Err(error) => Preview::Unusable { why: Misfit::other(error.reason) },
            Ok(request) => Preview::Request {
                method: request.method.to_string(),
                url: shown(&request.url),
                headers: vec![("Content-Type".to_owned(), self.options.body.content_type().to_owned())],
                body: Some(mask_text(&String::from_utf8_lossy(&request.body)).into_owned()),
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
            if !deletion.is_same_place(creation) {
                let probe = target_probe(context.section, "url_deletion", deletion, &http, context.deadline);
                probes.push(probe.await);
            }
            probes
        }
        .boxed()
    }
}
