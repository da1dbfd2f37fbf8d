//! Reads objects and fetches tokens, each request with a deadline.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use osnl_model::{Budget, Scrubber};
use osnl_net::http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use osnl_net::http::{
    Answer, Client, Expiry, ExpiryKind, FailureClass, HttpError, HttpOptions, Method, Request, Scheme,
    StatusCode, Url,
};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::catalog::{ServiceUrl, official};
use crate::conf::{CloudConf, CloudLogin, Scope};
use crate::error::{ApiError, ObjectRef, brief, words};
use crate::kind::ApiKind as _;
use crate::login;
use crate::not_found::{NotFound, not_found_of};
use crate::objects::Object;
use crate::token::{PATIENCE, Token, Tokens};
use osnl_delivery::enrich::Kind;

const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const NEW_TOKEN: &str = "x-subject-token";
/// The path of a login below `auth_url`. No service has objects there.
const LOGIN: &str = "/auth/tokens";
pub const GIVE_IT_TLS: &str =
    "give the service an https:// URL in Keystone's catalogue, or another interface";
/// The catalogue of a large cloud has some tens of kilobytes; a server with long metadata has less.
const REPLY_LIMIT: usize = 4 * 1024 * 1024;
/// The most services and URLs that are warned of, of any number that a catalogue may name one after the other.
const MOST_WARNED: usize = 100;
/// The longest id of an object, as columns of OpenStack's databases have it.
const LONGEST_ID: usize = 255;

#[derive(Clone, Debug)]
pub struct Cloud(Arc<SharedCloud>);

#[derive(Debug)]
struct SharedCloud {
    conf: CloudConf,
    client: Client,
    /// The limit of each request; a read may need four requests when its token ended early.
    timeout: Duration,
    tokens: Tokens,
    password: Scrubber,
    /// The last two tokens: an answer to a request with the former may still come.
    sent_tokens: Mutex<[Scrubber; 2]>,
    warned_of: Mutex<BTreeSet<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    pub user: String,
    pub project: Option<String>,
    pub roles: Vec<String>,
    pub services: Vec<String>,
    pub lifetime: Option<Duration>,
}

impl Cloud {
    /// Creates a client for this cloud; `http` applies where the cloud has no options of its own.
    /// Nothing is requested yet. `timeout` is for each request.
    pub fn new(conf: CloudConf, http: &HttpOptions, timeout: Duration) -> Result<Self, HttpError> {
        let mut http = http.clone();
        if let Some(verification) = &conf.verification {
            http.verification = verification.clone();
            http.ca_remedy = "name a PEM file in cacert or ca_file, or remove it to trust the system's";
        }
        if conf.certificate.is_some() {
            http.certificate.clone_from(&conf.certificate);
        }
        http.remedies.trust = "name the CA's certificate in cacert or ca_file, put it into the system's store, or set verify to false";
        http.remedies.renewed = "cacert, ca_file or the system's store";
        let client = Client::anywhere(&http)?;
        let secret = match &conf.identity {
            CloudLogin::Password { password, .. } => password,
            CloudLogin::ApplicationCredential { secret, .. } => secret,
            CloudLogin::Token(token) => token,
        };
        let password = Scrubber::new([secret.reveal()]);
        Ok(Self(Arc::new(SharedCloud {
            conf,
            client,
            timeout,
            tokens: Tokens::default(),
            password,
            sent_tokens: Mutex::default(),
            warned_of: Mutex::default(),
        })))
    }

    #[must_use]
    pub fn shown(&self) -> String {
        format!("{} at {}", self.0.conf.shown(), self.0.conf.auth_url)
    }

    /// Returns an identifier of the services, for any login: Keystone, region, and URLs of the
    /// options.
    #[must_use]
    pub fn place(&self) -> String {
        let conf = &self.0.conf;
        let mut place = conf.auth_url.to_string();
        conf.region.iter().for_each(|region| place.push_str(&format!(" in {region}")));
        conf.endpoints.iter().for_each(|(service, url)| place.push_str(&format!(", {service} at {url}")));
        place
    }

    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.0.timeout
    }

    #[must_use]
    pub fn remedy(&self, error: &ApiError) -> Option<&'static str> {
        match error {
            ApiError::Login { .. } => Some(
                "correct the login where it is configured, then osnl reload; or mend the user in Keystone",
            ),
            ApiError::Forbidden { .. } | ApiError::Hidden(_) => Some(match self.conf().scope {
                Scope::System => {
                    "services refuse objects of projects to a login for the whole system: set project_name instead of system_scope, then osnl reload"
                }
                Scope::Unscoped | Scope::ProjectId(_) | Scope::Project(..) | Scope::Domain(_) => {
                    "give the user a role that may read it: reader for its own project, admin for all"
                }
            }),
            ApiError::Status { status: 401, .. } => {
                Some("does the service trust this Keystone (www_authenticate_uri), and is its clock right?")
            }
            ApiError::Unreachable { failure, .. } if failure.class == FailureClass::Tls => None,
            ApiError::Unreachable { at, .. } | ApiError::TimedOut { at, .. } if at.ends_with(LOGIN) => {
                Some("check that it is running and that auth_url is right")
            }
            ApiError::Answer { at, .. } if at.ends_with(LOGIN) => Some("is auth_url that of Keystone?"),
            ApiError::Unreachable { .. } | ApiError::TimedOut { .. } => {
                Some("the catalogue names this URL; can this machine reach it, or another interface?")
            }
            ApiError::Status { .. } => Some("its own log says why"),
            ApiError::NotTheApi { .. } | ApiError::Answer { .. } => Some(
                "compare the URL with that of `openstack endpoint list`, and with the proxy in front of the API",
            ),
            ApiError::Gone(_) | ApiError::Catalog(_) => None,
        }
    }

    #[must_use]
    pub fn conf(&self) -> &CloudConf {
        &self.0.conf
    }

    /// Returns what a service that repeats its request would give away: the password and the tokens.
    #[must_use]
    pub fn secrets(&self) -> Scrubber {
        let tokens = self.0.sent_tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.iter().fold(self.0.password.clone(), Scrubber::and)
    }

    /// Returns the expiry of each host's certificate, of the client certificate, and of the password if Keystone reported
    /// it.
    #[must_use]
    pub fn expiries(&self) -> Vec<Expiry> {
        let SharedCloud { conf, client, tokens, .. } = &*self.0;
        let ends = match &conf.identity {
            CloudLogin::Password { .. } => tokens.current().and_then(|token| token.granted.password_ends),
            // Keystone does not report their expiry.
            CloudLogin::ApplicationCredential { .. } | CloudLogin::Token(_) => None,
        };
        let password = ends.map(|ends| Expiry {
            kind: ExpiryKind::Password,
            what: format!("the password of {}", conf.shown()),
            ends,
        });
        let certificates = client.certificates_end().into_iter().map(|(host, ends)| Expiry {
            kind: ExpiryKind::Server,
            what: format!("the certificate of {host} in the cloud at {}", conf.auth_url),
            ends,
        });
        certificates.chain(client.own_expiry()).chain(password).collect()
    }

    /// Returns the object without its wrapper. An id is one segment of a path, with any characters escaped.
    pub async fn get(&self, kind: Kind, id: &str) -> Result<Value, ApiError> {
        let endpoint = self.endpoint(kind.service()).await?;
        let asked = || ObjectRef { kind, id: id.to_owned(), service: endpoint.clone() };
        // `servers/` and `servers/..` would be other requests, and no object has such an id: a proxy or a router of URLs
        // would answer for the service.
        if id.chars().all(|c| c == '.')
            || id.len() > LONGEST_ID
            || id.contains(|c: char| c == '/' || c.is_control())
        {
            return Err(ApiError::Gone(asked()));
        }
        let at = kind.url(&endpoint, id);
        let answered = self.ask(kind, &at).await.and_then(|answer| match answer.status {
            StatusCode::FORBIDDEN => Err(ApiError::Forbidden { asked: asked(), said: self.words(&answer) }),
            StatusCode::NOT_FOUND if not_found_of(kind, id, &answer) == NotFound::Object => {
                Err(ApiError::Gone(asked()))
            }
            StatusCode::NOT_FOUND if not_found_of(kind, id, &answer) == NotFound::Hidden => {
                Err(ApiError::Hidden(asked()))
            }
            _ => self.wanted(kind, &at, &answer, |body| match kind.wrapped_in() {
                Some(key) => body.get_mut(key).map(Value::take).filter(Value::is_object),
                None => Some(body.take()).filter(Value::is_object),
            }),
        });
        self.placed(kind, answered)
    }

    pub async fn list_one(&self, kind: Kind) -> Result<(), ApiError> {
        let endpoint = self.endpoint(kind.service()).await?;
        let at = format!("{}?limit=1", kind.collection_url(&endpoint));
        let answered = self.ask(kind, &at).await.and_then(|answer| {
            // An old service without `limit` may answer with more than the reply limit.
            if answer.status == StatusCode::OK && !answer.is_whole() {
                return Ok(());
            }
            self.wanted(kind, &at, &answer, |body| body.get(kind.collection())?.as_array().map(|_| ()))
        });
        self.placed(kind, answered)
    }

    pub(crate) async fn ask(&self, kind: Kind, at: &str) -> Result<Answer, ApiError> {
        let url = Url::parse(at).map_err(|error| ApiError::Answer {
            at: at.to_owned(),
            problem: format!("the catalogue's URL cannot be called: {error}"),
        })?;
        let mut request = Request::new(Method::GET, url);
        if let Some((name, version)) = kind.microversion()
            && let Ok(name) = name.parse::<HeaderName>()
        {
            request.headers.insert(name, HeaderValue::from_static(version));
        }
        self.authorized(request).await
    }

    fn placed<T>(&self, kind: Kind, answered: Result<T, ApiError>) -> Result<T, ApiError> {
        if answered.as_ref().is_err_and(ApiError::is_misplaced) && self.overridden(kind.service()).is_none() {
            self.0.tokens.outdated(PATIENCE);
        }
        answered
    }

    /// Reports that a service is not at its URL of the catalogue: the next request reads the
    /// catalogue anew. The caller limits the rate.
    pub fn misplaced(&self, service: &str) {
        if self.overridden(service).is_none() {
            self.0.tokens.outdated(Duration::ZERO);
        }
    }

    pub async fn read<T: Object>(&self, id: &str) -> Result<T, ApiError> {
        let object = self.get(T::KIND, id).await?;
        serde_json::from_value(object).map_err(|error| ApiError::Answer {
            at: format!("{} {id}", T::KIND),
            problem: format!("is not described as expected: {}", brief(&error.to_string(), &self.secrets())),
        })
    }

    pub async fn endpoint(&self, service: &str) -> Result<String, ApiError> {
        self.service_url(service).await.map(|found| found.url)
    }

    /// Returns the regions of a service in the catalogue, also if the options give the service a URL.
    pub(crate) async fn regions(&self, service: &str) -> Result<Vec<String>, ApiError> {
        Ok(self.current().await?.granted.catalog.regions(service))
    }

    /// Returns the URL of a service with its region. The first choice among several regions is
    /// logged.
    pub async fn service_url(&self, service: &str) -> Result<ServiceUrl, ApiError> {
        let conf = &self.0.conf;
        let fixed = |url: String| Ok(ServiceUrl { url, region: None, other_regions: Vec::new() });
        if let Some(url) = self.overridden(service) {
            self.note_clear(service, url);
            return fixed(url.clone());
        }
        let token = self.current().await?;
        let found = token.granted.catalog.url(service, conf.interface, conf.region.as_deref());
        match found {
            // Keystone answers at `auth_url`, even for a login without scope.
            Err(_) if service == "identity" => fixed(conf.auth_url.to_string()),
            Ok(found) => {
                self.note_choice(service, &found);
                self.note_clear(service, &found.url);
                Ok(found)
            }
            Err(error) => {
                self.0.tokens.outdated(PATIENCE);
                Err(error.into())
            }
        }
    }

    fn note_choice(&self, service: &str, found: &ServiceUrl) {
        if found.other_regions.is_empty() {
            return;
        }
        if self.is_first(service.to_owned()) {
            tracing::warn!(
                service.name = service,
                service.region = found.region.as_deref().unwrap_or("none"),
                service.other_regions = found.other_regions.join(", "),
                keystone.url = %self.0.conf.auth_url,
                "the service catalogue has a service in several regions, and the first is used; set region_name to the region \
                 of the notifications"
            );
        }
    }

    fn note_clear(&self, service: &str, url: &str) {
        if let Some(problem) = self.in_clear(service, url)
            && self.is_first(url.to_owned())
        {
            tracing::warn!(
                service.name = service,
                service.url = url,
                keystone.url = %self.0.conf.auth_url,
                "{problem}; {GIVE_IT_TLS}"
            );
        }
    }

    fn is_first(&self, subject: String) -> bool {
        let mut warned = self.0.warned_of.lock().unwrap_or_else(PoisonError::into_inner);
        warned.len() < MOST_WARNED && warned.insert(subject)
    }

    /// Returns the problem if the token goes to this URL of a service through a network without TLS.
    #[must_use]
    pub fn in_clear(&self, service: &str, url: &str) -> Option<String> {
        let parsed = Url::parse(url).ok()?;
        let is_clear = parsed.scheme() == Scheme::Http && !parsed.is_loopback();
        let from =
            if self.overridden(service).is_some() { "an endpoint override" } else { "the service catalogue" };
        is_clear.then(|| {
            format!(
                "the token goes to {service} in clear, as {from} names an http:// URL: anyone in the network could \
                 read it, and act as this user"
            )
        })
    }

    /// Returns the URL that the options give a service, which overrides the catalogue.
    fn overridden(&self, service: &str) -> Option<&String> {
        let endpoints = &self.0.conf.endpoints;
        let exact = endpoints.iter().find(|(name, _)| name == service);
        // Older names of a type mean the same service, as in the catalogue.
        let alike = || endpoints.iter().find(|(name, _)| official(name) == official(service));
        exact.or_else(alike).map(|(_, url)| url)
    }

    /// Returns the header for a request to any service: `X-Auth-Token`, its value marked as
    /// sensitive.
    pub async fn token(&self) -> Result<(HeaderName, HeaderValue), ApiError> {
        Ok((TOKEN, self.current().await?.value.clone()))
    }

    /// Reports a 401 for this token, so that the next token is fetched anew.
    pub fn refused(&self, token: &HeaderValue) {
        self.0.tokens.refused(token);
    }

    /// Drops the token, so that the next request logs in and reads the roles and the catalogue anew.
    pub(crate) fn forget_token(&self) {
        if let Some(token) = self.0.tokens.current() {
            self.0.tokens.refused(&token.value);
        }
    }

    pub async fn login(&self) -> Result<LoggedIn, ApiError> {
        let token = self.current().await?;
        let granted = &token.granted;
        Ok(LoggedIn {
            user: granted.user.clone(),
            project: granted.project.clone(),
            roles: granted.roles.clone(),
            services: granted.catalog.services(),
            lifetime: granted.lifetime,
        })
    }

    async fn authorized(&self, mut request: Request) -> Result<Answer, ApiError> {
        let (name, value) = self.token().await?;
        request.headers.insert(name, value.clone());
        let answer = self.send(request.clone()).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        self.refused(&value);
        let (name, value) = self.token().await?;
        request.headers.insert(name, value);
        self.send(request).await
    }

    async fn current(&self) -> Result<Arc<Token>, ApiError> {
        self.0.tokens.get(|| self.fetch()).await
    }

    async fn fetch(&self) -> Result<Token, ApiError> {
        let conf = &self.0.conf;
        let at = format!("{}{LOGIN}", conf.auth_url);
        let problem = |problem: &str| ApiError::Answer { at: at.clone(), problem: problem.to_owned() };
        let url = Url::parse(&at).map_err(|error| problem(&error.to_string()))?;
        let mut request = Request::new(Method::POST, url);
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.body = Bytes::from(login::body(conf));
        let asked = Instant::now();
        let answer = self.send(request).await?;
        if answer.status != StatusCode::CREATED {
            return Err(match answer.status.as_u16() {
                429 | 500.. => self.refusal(at, &answer),
                status => ApiError::Login { at, who: conf.shown(), status, said: self.words(&answer) },
            });
        }
        let value =
            answer.headers.get(NEW_TOKEN).ok_or_else(|| problem("the answer has no X-Subject-Token"))?;
        let mut value = value.clone();
        value.set_sensitive(true);
        {
            let mut sent = self.0.sent_tokens.lock().unwrap_or_else(PoisonError::into_inner);
            sent.swap(0, 1);
            sent[0] = Scrubber::new(value.to_str());
        }
        let granted = login::granted(&answer.body).ok_or_else(|| problem("the answer describes no token"))?;
        tracing::debug!(keystone.url = %conf.auth_url, keystone.user = conf.shown(), "logged in");
        Ok(Token::new(value, granted, asked))
    }

    async fn send(&self, mut request: Request) -> Result<Answer, ApiError> {
        request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        request
            .headers
            .insert(USER_AGENT, HeaderValue::from_static(concat!("osnl/", env!("CARGO_PKG_VERSION"))));
        request.reply_limit = REPLY_LIMIT;
        let (at, after) = (request.url.to_string(), self.0.timeout);
        match timeout(after, self.0.client.send(request)).await {
            Ok(answer) => {
                answer.and_then(Answer::complete).map_err(|failure| ApiError::Unreachable { at, failure })
            }
            Err(_) => Err(ApiError::TimedOut { at, after }),
        }
    }

    fn words(&self, answer: &Answer) -> String {
        words(answer, &self.secrets())
    }

    pub(crate) fn wanted<T>(
        &self,
        kind: Kind,
        at: &str,
        answer: &Answer,
        of: impl FnOnce(&mut Value) -> Option<T>,
    ) -> Result<T, ApiError> {
        let problem = |problem: String| ApiError::Answer { at: at.to_owned(), problem };
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                let said = self.words(answer);
                return Err(ApiError::NotTheApi { at: at.to_owned(), service: kind.service(), said });
            }
            _ => return Err(self.refusal(at.to_owned(), answer)),
        }
        if !answer.is_whole() {
            return Err(problem("the answer is too long".to_owned()));
        }
        let mut body = Budget::DEFAULT
            .read_json(&answer.body)
            .ok_or_else(|| problem("the answer is not JSON, or has too many values".to_owned()))?;
        of(&mut body).ok_or_else(|| problem(format!("the answer has no {kind} in it")))
    }

    fn refusal(&self, at: String, answer: &Answer) -> ApiError {
        ApiError::Status {
            at,
            status: answer.status.as_u16(),
            said: self.words(answer),
            retry_after: answer.retry_after(),
        }
    }
}
