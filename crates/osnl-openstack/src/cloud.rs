//! One read, or one token, with a deadline.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use osnl_http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use osnl_http::{Answer, Client, HttpError, HttpOptions, Method, Request, StatusCode, Url};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::conf::CloudConf;
use crate::error::{ApiError, Asked, words};
use crate::kind::Kind;
use crate::login;
use crate::objects::Object;
use crate::token::{Token, Tokens};

/// The header that carries a token.
const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
/// The header that a new token comes in.
const NEW_TOKEN: &str = "x-subject-token";
/// A catalogue of a large cloud has some tens of kilobytes; a server with long metadata has less.
const REPLY_LIMIT: usize = 4 * 1024 * 1024;

/// A cloud that we are known to. See the crate's documentation.
#[derive(Clone, Debug)]
pub struct Cloud(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    conf: CloudConf,
    client: Client,
    /// For each request; a read may need four, when its token has ended unexpectedly.
    timeout: Duration,
    tokens: Tokens,
}

/// The result of a login, to check whether it works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// Whose the token is.
    pub user: String,
    /// For which project, by name.
    pub project: Option<String>,
    /// As what.
    pub roles: Vec<String>,
    /// The types of services in the catalogue.
    pub services: Vec<String>,
    /// The lifetime of the token.
    pub lifetime: Option<Duration>,
}

impl Cloud {
    /// A client for this cloud, which calls as `http` says where the cloud has no options of its own. Nothing is asked
    /// yet. `timeout` is for each request.
    ///
    /// # Errors
    /// Certificates that cannot be read.
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
        Ok(Self(Arc::new(Inner { conf, client, timeout, tokens: Tokens::default() })))
    }

    /// Our user and its cloud: `user osswatch for project oss at http://keystone:5000/v3`.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{} at {}", self.0.conf.shown(), self.0.conf.auth_url)
    }

    /// The time that each request has.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.0.timeout
    }

    /// Its options.
    #[must_use]
    pub fn conf(&self) -> &CloudConf {
        &self.0.conf
    }

    /// Returns the service's view of one object, without the member that wraps it. An id is one segment of a path,
    /// whatever it holds.
    ///
    /// # Errors
    /// See [`ApiError`]; [`ApiError::Gone`] for 404.
    pub async fn get(&self, kind: Kind, id: &str) -> Result<Value, ApiError> {
        let endpoint = self.endpoint(kind.service()).await?;
        let asked = || Asked { kind, id: id.to_owned(), service: endpoint.clone() };
        // `servers/` and `servers/..` are other questions.
        if id.is_empty() || id.chars().all(|c| c == '.') {
            return Err(ApiError::Gone(asked()));
        }
        let at = kind.url(&endpoint, id);
        let url = Url::parse(&at).map_err(|error| ApiError::Answer {
            at: at.clone(),
            problem: format!("the catalogue's URL cannot be called: {error}"),
        })?;
        let mut request = Request::new(Method::GET, url);
        if let Some((name, version)) = kind.microversion()
            && let Ok(name) = name.parse::<HeaderName>()
        {
            request.headers.insert(name, HeaderValue::from_static(version));
        }
        let answer = self.authorized(request).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(ApiError::Gone(asked())),
            StatusCode::FORBIDDEN => {
                return Err(ApiError::Forbidden { asked: asked(), said: words(&answer) });
            }
            _ => return Err(refusal(at, &answer)),
        }
        let problem = |problem: &str| ApiError::Answer { at: at.clone(), problem: problem.to_owned() };
        if !answer.whole {
            return Err(problem("the answer is too long"));
        }
        let mut body: Value =
            serde_json::from_slice(&answer.body).map_err(|_| problem("the answer is no JSON"))?;
        let object = match kind.wrapped_in() {
            Some(key) => body.get_mut(key).map(Value::take).unwrap_or_default(),
            None => body,
        };
        if object.is_object() { Ok(object) } else { Err(problem(&format!("the answer has no {kind} in it"))) }
    }

    /// The same as one of the types that are an [`Object`].
    ///
    /// # Errors
    /// As [`Cloud::get`]; an object that lacks what every one has.
    pub async fn read<T: Object>(&self, id: &str) -> Result<T, ApiError> {
        let object = self.get(T::KIND, id).await?;
        serde_json::from_value(object).map_err(|error| ApiError::Answer {
            at: format!("{} {id}", T::KIND),
            problem: format!("is not described as expected: {error}"),
        })
    }

    /// The URL of a service of this type.
    ///
    /// # Errors
    /// Those of the login, and of the catalogue.
    pub async fn endpoint(&self, service: &str) -> Result<String, ApiError> {
        let conf = &self.0.conf;
        if let Some((_, url)) = conf.endpoints.iter().find(|(name, _)| name == service) {
            return Ok(url.clone());
        }
        let token = self.current().await?;
        let found = token.granted.catalog.url(service, conf.interface, conf.region.as_deref());
        match found {
            Ok(url) => Ok(url.to_owned()),
            // Keystone itself is where we have just been, also for who has no scope.
            Err(_) if service == "identity" => Ok(conf.auth_url.to_string()),
            Err(error) => {
                self.0.tokens.lacks(&token);
                Err(error.into())
            }
        }
    }

    /// The header for a request to any service: `X-Auth-Token`, its value marked as sensitive.
    ///
    /// # Errors
    /// Those of the login.
    pub async fn token(&self) -> Result<(HeaderName, HeaderValue), ApiError> {
        Ok((TOKEN, self.current().await?.value.clone()))
    }

    /// A service has answered 401 to this token: the next one is fetched anew.
    pub fn refused(&self, token: &HeaderValue) {
        self.0.tokens.refused(token);
    }

    /// Logs in, or is still logged in.
    ///
    /// # Errors
    /// Those of the login.
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

    /// Sends it with a token; once more with another one if that is refused.
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
        let at = format!("{}/auth/tokens", conf.auth_url);
        let problem = |problem: &str| ApiError::Answer { at: at.clone(), problem: problem.to_owned() };
        let url = Url::parse(&at).map_err(|error| problem(&error.to_string()))?;
        let mut request = Request::new(Method::POST, url);
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.body = Bytes::from(login::body(conf));
        let asked = Instant::now();
        let answer = self.send(request).await?;
        if answer.status != StatusCode::CREATED {
            return Err(match answer.status.as_u16() {
                429 | 500.. => refusal(at, &answer),
                status => {
                    let said = self.scrubbed(words(&answer));
                    ApiError::Login { at, who: conf.shown(), status, said }
                }
            });
        }
        let value =
            answer.headers.get(NEW_TOKEN).ok_or_else(|| problem("the answer has no X-Subject-Token"))?;
        let mut value = value.clone();
        value.set_sensitive(true);
        let granted = login::granted(&answer.body).ok_or_else(|| problem("the answer describes no token"))?;
        tracing::debug!(keystone.url = %conf.auth_url, "Logged in as {}", conf.shown());
        Ok(Token::new(value, granted, asked))
    }

    /// Keystone repeats no secret; what stands before it may.
    fn scrubbed(&self, said: String) -> String {
        let secret = match &self.0.conf.identity {
            crate::Identity::Password { password, .. } => password,
            crate::Identity::ApplicationCredential { secret, .. } => secret,
            crate::Identity::Token(token) => token,
        };
        if secret.reveal().is_empty() { said } else { said.replace(secret.reveal(), "***") }
    }

    async fn send(&self, mut request: Request) -> Result<Answer, ApiError> {
        request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        request
            .headers
            .insert(USER_AGENT, HeaderValue::from_static(concat!("osnl/", env!("CARGO_PKG_VERSION"))));
        request.reply_limit = REPLY_LIMIT;
        let (at, after) = (request.url.to_string(), self.0.timeout);
        match timeout(after, self.0.client.send(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(failure)) => Err(ApiError::Unreachable { at, failure }),
            Err(_) => Err(ApiError::TimedOut { at, after }),
        }
    }
}

fn refusal(at: String, answer: &Answer) -> ApiError {
    ApiError::Status {
        at,
        status: answer.status.as_u16(),
        said: words(answer),
        retry_after: answer.retry_after(),
    }
}
