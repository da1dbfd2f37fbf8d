//! Asks the management API, with a size and time limit for each answer, and without retries.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use osnl_model::{Scrubber, TransportHost};
use osnl_net::http::header::{AUTHORIZATION, HeaderValue};
use osnl_net::http::{Answer, Client, HttpOptions, Method, Proxies, Request, StatusCode, Url, Verification};
use osnl_transport::shell_quoted;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::timeout;

use super::{BrokerFacts, UnknownFact, reading};
use crate::native::ManagementConf;

const ANSWER: Duration = Duration::from_secs(10);
/// The most bytes of an answer: a queue with a thousand consumers has about 700 KB.
const LONGEST: usize = 1 << 20;
const SERVICES: &str = r"\.(audit|debug|info|warn|error|critical|sample)$";
const MOST_BINDINGS: usize = 20;
const MOST_FEEDERS: usize = 20;
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(crate) struct ApiQuestion<'a> {
    pub(crate) vhost: &'a str,
    pub(crate) queues: &'a [String],
    pub(crate) cluster: Option<&'a str>,
    pub(crate) thorough: Option<&'a [String]>,
}

impl ManagementConf {
    pub(crate) async fn ask(&self, subject: &ApiQuestion<'_>) -> Result<BrokerFacts, UnknownFact> {
        let mut unknown = UnknownFact::new("management_url names no host", "write one");
        for host in self.url.hosts() {
            let api = Api::new(self, host, subject.vhost);
            match api.overview().await {
                Ok(facts) => return api.about(facts, subject).await,
                Err(failed) => unknown = failed,
            }
        }
        Err(unknown)
    }
}

struct Api<'a> {
    conf: &'a ManagementConf,
    base: String,
    login: &'a TransportHost,
    vhost: &'a str,
}

impl<'a> Api<'a> {
    fn new(conf: &'a ManagementConf, host: &'a TransportHost, vhost: &'a str) -> Self {
        let login = match (&host.username, &host.password) {
            (None, None) => &conf.login,
            (Some(_), _) | (_, Some(_)) => host,
        };
        Self { conf, base: conf.base(host), login, vhost }
    }

    async fn overview(&self) -> Result<BrokerFacts, UnknownFact> {
        let answer = self.get("overview").await?;
        reading::overview(&self.judged(answer, "/api/overview")?.body)
    }

    async fn about(
        &self,
        mut facts: BrokerFacts,
        subject: &ApiQuestion<'_>,
    ) -> Result<BrokerFacts, UnknownFact> {
        if let (Some(here), Some(there)) = (subject.cluster, &facts.cluster)
            && here != there
        {
            return Err(UnknownFact::new(
                format!(
                    "management_url is not for this broker: it is of cluster {there}, the listener's is {here}"
                ),
                "name a host of the listener's cluster",
            ));
        }
        let encoded = |name: &str| utf8_percent_encode(name, PLAIN).to_string();
        let vhost = encoded(subject.vhost);
        // `/api/vhosts/NAME` is for administrators only.
        if let Ok(answer) = self.get("vhosts").await
            && let Ok(answer) = self.judged(answer, "/api/vhosts")
        {
            facts.default_queue_type = reading::default_queue_type(subject.vhost, &answer.body);
        }
        for name in subject.queues {
            let found = match self.get(&format!("queues/{vhost}/{}", encoded(name))).await {
                Ok(answer) if answer.status == StatusCode::NOT_FOUND => {
                    // RabbitMQ 4.3 also answers 404 for a virtual host hidden from the user; older versions answer 401.
                    if self.body(&format!("queues/{vhost}?page=1&page_size=1&columns=name")).await.is_some() {
                        continue;
                    }
                    let reason = "404, the user may not see the virtual host";
                    Err(UnknownFact::new(format!("{}/api/queues: {reason}", self.base), self.let_see()))
                }
                Ok(answer) => {
                    let judged = self.judged(answer, "/api/queues");
                    judged.and_then(|answer| reading::queue(name, &answer.body))
                }
                Err(unknown) => Err(unknown),
            };
            facts.queues.push((name.clone(), found));
        }
        if let Some(exchanges) = subject.thorough {
            self.complete(&mut facts, &vhost, exchanges).await;
        }
        Ok(facts)
    }

    async fn complete(&self, facts: &mut BrokerFacts, vhost: &str, exchanges: &[String]) {
        let encoded = |name: &str| utf8_percent_encode(name, PLAIN).to_string();
        let pattern = encoded(SERVICES);
        let page = format!("queues/{vhost}?page=1&page_size=100&use_regex=true&name={pattern}");
        facts.services = self.body(&page).await.and_then(|body| reading::queues(&body)).unwrap_or_default();
        facts.nodes = self.body("nodes?columns=name").await.and_then(|body| reading::nodes(&body));
        let all = self.body("exchanges?columns=vhost,name").await;
        facts.exchanges = all.and_then(|body| reading::exchanges(exchanges, &body)).unwrap_or_default();
        let own = facts.queues.iter().filter(|(_, found)| found.is_ok()).map(|(name, _)| name.clone());
        let names: Vec<String> =
            own.chain(facts.services.iter().map(|(name, _)| name.clone())).take(MOST_BINDINGS).collect();
        for name in names {
            let body = self.body(&format!("queues/{vhost}/{}/bindings", encoded(&name))).await;
            if let Some(bindings) = body.and_then(|body| reading::bindings(&body)) {
                facts.bindings.insert(name, bindings);
            }
        }
        let sources = facts.bindings.values().flatten().map(|(source, _)| source.clone());
        let mut open: BTreeSet<String> = sources.collect();
        for _ in 0..MOST_FEEDERS {
            let Some(name) = open.pop_first() else { break };
            let path = format!("exchanges/{vhost}/{}/bindings/destination", encoded(&name));
            let feeders = self.body(&path).await.and_then(|body| reading::bindings(&body));
            let Some(feeders) = feeders else { continue };
            let sources = feeders.iter().map(|(source, _)| source.clone());
            open.extend(sources.filter(|source| *source != name && !facts.feeders.contains_key(source)));
            facts.feeders.insert(name, feeders);
        }
    }

    async fn body(&self, path: &str) -> Option<Vec<u8>> {
        let answer = self.get(path).await.ok()?;
        Some(self.judged(answer, "/api").ok()?.body.to_vec())
    }

    async fn get(&self, path: &str) -> Result<Answer, UnknownFact> {
        let place = &self.base;
        let mend = "look at host and port of management_url; on that host: rabbitmq-plugins enable rabbitmq_management";
        let target = Url::parse(&format!("{place}/api/{path}"))
            .map_err(|error| UnknownFact::new(error.problem, error.allowed))?;
        let client = Client::to(&self.http(), &target)
            .map_err(|error| UnknownFact::new(error.to_string(), "look at ssl_ca_file"))?;
        let mut request = Request::new(Method::GET, target);
        request.reply_limit = LONGEST;
        let (user, password) = self.login.credentials();
        let login = STANDARD.encode(format!("{user}:{password}"));
        if let Ok(mut value) = HeaderValue::try_from(format!("Basic {login}")) {
            value.set_sensitive(true);
            request.headers.insert(AUTHORIZATION, value);
        }
        match timeout(ANSWER, client.send(request)).await {
            Err(_) => {
                let reason = format!("{place}: no answer within {} s", ANSWER.as_secs());
                Err(UnknownFact::new(reason, mend))
            }
            Ok(answer) => answer
                .and_then(Answer::complete)
                .map_err(|failure| UnknownFact::new(format!("{place}: {failure}"), mend)),
        }
    }

    fn http(&self) -> HttpOptions {
        let verification = match &self.conf.ca_file {
            Some(file) => Verification::Ca(vec![file.clone()]),
            None => Verification::System,
        };
        let mut http = HttpOptions { verification, proxies: Proxies::default(), ..HttpOptions::default() };
        http.ca_remedy = "name a PEM file in ssl_ca_file";
        http.remedies.trust = "name the CA's certificate in ssl_ca_file";
        http.remedies.renewed = "ssl_ca_file";
        http.pool.idle = Duration::ZERO;
        http
    }

    fn let_see(&self) -> String {
        let (vhost, user) = (shell_quoted(self.vhost), shell_quoted(self.login.shown_user()));
        format!(
            "rabbitmqctl set_permissions -p {vhost} {user} '^$' '^$' '^$'  # if the user has none there yet; with these it sees \
             the virtual host and uses nothing in it"
        )
    }

    fn judged(&self, answer: Answer, what: &str) -> Result<Answer, UnknownFact> {
        let (place, user) = (&self.base, shell_quoted(self.login.shown_user()));
        let refused =
            |reason: &str, remedy: String| Err(UnknownFact::new(format!("{place}{what}: {reason}"), remedy));
        let tags = || {
            format!(
                "rabbitmqctl set_user_tags {user} monitoring  # replaces its tags; see them first: rabbitmqctl list_users"
            )
        };
        let text = String::from_utf8_lossy(&answer.body);
        match answer.status {
            StatusCode::OK if !answer.is_whole() => refused(
                "the answer is longer than 1 MiB",
                "look at host and port of management_url, and at the consumers of the queue".to_owned(),
            ),
            StatusCode::OK => Ok(answer),
            StatusCode::UNAUTHORIZED if text.contains("Not management user") => {
                refused("401, the user has no tag that lets it ask", tags())
            }
            StatusCode::UNAUTHORIZED if text.contains("access virtual host") => refused(
                "401, the user may not see the virtual host",
                self.let_see(),
            ),
            StatusCode::UNAUTHORIZED => refused(
                "401, the login is refused",
                format!(
                    "look at user and password of management_url; to test them: rabbitmqctl authenticate_user {user}; the \
                     user needs the tag monitoring: rabbitmqctl list_users"
                ),
            ),
            StatusCode::FORBIDDEN => refused("403, the user may not ask this", tags()),
            StatusCode::NOT_FOUND => refused(
                "404, this is not the management API",
                "look at host, port, and path of management_url; on that host: rabbitmq-plugins enable rabbitmq_management"
                    .to_owned(),
            ),
            status if status.is_redirection() => {
                let why = answer.failure(&Scrubber::new([self.login.credentials().1])).reason;
                let remedy = "write that place into management_url: osnl does not take the login there by itself";
                refused(&format!("status {}: {why}", status.as_u16()), remedy.to_owned())
            }
            status => {
                let excerpt = answer.excerpt(&Scrubber::new([self.login.credentials().1])).map(|excerpt| format!(", {excerpt}")).unwrap_or_default();
                refused(&format!("status {}{excerpt}", status.as_u16()), "see the log of the broker".to_owned())
            }
        }
    }
}
