//! A survey without a configuration: of a broker's URL, and of the exchanges and topics that a reader names.

use std::time::Duration;

use osnl_brokers::addresses;
use osnl_model::TransportUrl;
use osnl_transport::{
    Declare, ExchangeInspection, OptionError, QueueKind, RabbitOptions, RabbitTransport,
    listener_permissions, login_user,
};

use super::services::PRIORITIES;
use super::{EXCHANGES, TOPICS, Wanted, WantedOrigin};

impl Wanted {
    /// Returns the subject of a survey in which no queue is read, so that the services' queues are its only evidence.
    /// Without exchanges, the survey is of those services that the broker has.
    pub fn from_url(
        url: &TransportUrl,
        exchanges: &[String],
        topics: &[String],
        priorities: &[String],
    ) -> Result<Self, OptionError> {
        let or = |given: &[String], usual: &[&str]| match given {
            [] => usual.iter().map(|&name| name.to_owned()).collect(),
            given => given.to_vec(),
        };
        let readable: Vec<&str> = match exchanges {
            [] => EXCHANGES.to_vec(),
            named => named.iter().map(String::as_str).collect(),
        };
        let (user, vhost) = (login_user(url), url.virtual_host());
        Ok(Self {
            // The name stands for that of a listener to come.
            listener: "NAME".into(),
            broker: addresses(url).collect::<Vec<_>>().join(", "),
            exchanges: exchanges.to_vec(),
            topics: or(topics, &TOPICS),
            priorities: or(priorities, &PRIORITIES),
            // With a pool, queues of the services are evidence that services publish.
            pool: Some(String::new()),
            queues: Vec::new(),
            dead_letters: Vec::new(),
            bindings: Vec::new(),
            declare: Declare::Nothing,
            kind: QueueKind::OSLO,
            url: url.clone(),
            rabbit: RabbitOptions::from_query(url)?,
            management: None,
            rules_digest: String::new(),
            permissions: listener_permissions(user, vhost, (&readable, &[]), Declare::Nothing),
            origin: WantedOrigin::Url,
        })
    }

    /// Looks for the exchanges of the known services. Of a broker without any, nova stands for all.
    pub(super) async fn with_usual_exchanges(&self, transport: &RabbitTransport, limit: Duration) -> Self {
        let usual: Vec<String> = EXCHANGES.iter().map(|&name| name.to_owned()).collect();
        let found = transport.inspect(&usual, &[], None, limit).await.exchanges.into_iter();
        let is_there = |found: &ExchangeInspection| matches!(found, ExchangeInspection::There(_));
        let there: Vec<String> = found.filter(|(_, found)| is_there(found)).map(|(name, _)| name).collect();
        let exchanges = if there.is_empty() { usual.into_iter().take(1).collect() } else { there };
        Self { exchanges, ..self.clone() }
    }

    /// Returns the change of an option of the listener, or of the flag of a command without one.
    pub(super) fn change(&self, option: &str, flag: &str, values: &[&str]) -> String {
        match self.is_of_url() {
            true => format!("{flag} {}", values.join(",")),
            false => format!("{option} = {} in [listener:{}]", values.join(", "), self.listener),
        }
    }
}
