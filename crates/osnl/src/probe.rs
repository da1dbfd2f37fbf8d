//! `osnl check --connect` probes access to everything that a configuration names, without side effects.
//!
//! | probed | how | what is left alone |
//! | --- | --- | --- |
//! | each host of a broker | name, TCP, TLS, login, virtual host | everything |
//! | exchanges and queues | passively; queues are compared as `RabbitTransport::inspect` does | nothing is made, bound or consumed |
//! | permissions of the listener's user | as `RabbitTransport::prove` does | nothing is made, unless [`Thorough::Does`] |
//! | the management API of a broker | as a daemon asks it | everything |
//! | consumers of a queue | the control socket distinguishes our own daemon's | the daemon |
//! | needs of actions | as their drivers do: for HTTP TCP, a proxy's tunnel, TLS, and the request if it has no effect | no other request is sent |
//! | clouds of enrichments and of `auth = keystone` | a login; each service, for a missing object | no object is read |
//! | dates of the certificate of the admin endpoint | read from its file | the endpoint |
//! | files | asked of the operating system | nothing is written |
//!
//! All probes run concurrently, each within the deadline.

#[cfg(feature = "amqp1")]
mod amqp1;
mod cloud;
mod management;
mod own;
mod permissions;
mod places;

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
#[cfg(feature = "kafka")]
use osnl_brokers::kafka::KafkaTransport;
#[cfg(feature = "kafka")]
use osnl_model::Priority;
use osnl_transport::{
    AS_CONFIGURED, BrokerInspection, BrokerVersion, DeadLettersRisk, Declare, ExchangeInspection, NO_STREAMS,
    QueueAccess as _, QueueInspection, QueueKind, QueueMade, QueueType, RabbitTransport, Thorough,
    login_user, take_over_policy,
};

use self::cloud::enrichment;
use self::management::surveyed;
pub use self::own::OwnDaemon;
use crate::action::driver::{
    Probe, ProbeContext, client_certificate_probe, server_certificate_probe, silent,
};
use crate::action::http::HttpOptions;
use crate::actions::broker::{broker, exchange};
#[cfg(feature = "kafka")]
use crate::actions::broker::{kafka_canary_probe, kafka_probe};
#[cfg(feature = "kafka")]
use crate::native::canary;
use crate::native::{ListenerConf, Native};
use crate::numbers::counted;
use crate::queues::{DaemonCounts, Finding, FindingKind, FindingSeverity};

impl Native {
    pub async fn probe(&self, http: &HttpOptions, deadline: Duration) -> Vec<Probe> {
        let daemon = OwnDaemon::Unknown("it was not asked".to_owned());
        self.probe_by(http, Thorough::Asks, &daemon, deadline).await
    }

    /// Probes like `probe`. `thorough` may allow creating queues as proof; `daemon` distinguishes the daemon's
    /// consumers.
    pub async fn probe_by(
        &self,
        http: &HttpOptions,
        thorough: Thorough,
        daemon: &OwnDaemon,
        deadline: Duration,
    ) -> Vec<Probe> {
        let mut all: Vec<BoxFuture<'_, Vec<Probe>>> = Vec::new();
        all.push(async { self.places(Some(daemon)) }.boxed());
        for conf in &self.listeners {
            #[cfg(feature = "amqp1")]
            if conf.driver() == osnl_brokers::Driver::Amqp1 {
                let section = format!("listener:{}", conf.name);
                let certificate = conf.client_certificate();
                let certificate = certificate.and_then(|file| client_certificate_probe(&section, &file));
                let both = |probe| std::iter::once(probe).chain(certificate).collect::<Vec<Probe>>();
                all.push(amqp1::probe(conf, deadline.mul_f64(0.6)).map(both).boxed());
                continue;
            }
            let late = {
                let probe = Probe::new(format!("listener:{}", conf.name), "broker".to_owned());
                vec![silent(probe, deadline)]
            };
            let probing =
                listener(conf, thorough, (daemon, daemon.counts(self, conf)), deadline.mul_f64(0.6));
            let probing = tokio::time::timeout(deadline, probing);
            all.push(probing.map(move |probes| probes.unwrap_or(late)).boxed());
        }
        for conf in &self.actions {
            all.push(
                async move {
                    let section = format!("action:{}", conf.name);
                    let context = ProbeContext { section: &section, http, deadline };
                    conf.driver.conf().probe(context).await
                }
                .boxed(),
            );
        }
        for conf in &self.enrichments {
            all.push(async move { enrichment(conf, &self.kinds_asked(conf), http, deadline).await }.boxed());
        }
        let tls = self.admin.as_ref().and_then(|admin| admin.tls.as_ref());
        let certificate = tls.and_then(|tls| server_certificate_probe("admin", &tls.certificate));
        let mut probes = join_all(all).await.concat();
        probes.extend(certificate);
        probes
    }
}

async fn listener(
    conf: &ListenerConf,
    thorough: Thorough,
    (daemon, counts): (&OwnDaemon, DaemonCounts),
    limit: Duration,
) -> Vec<Probe> {
    let section = format!("listener:{}", conf.name);
    #[cfg(feature = "kafka")]
    if conf.driver() == osnl_brokers::Driver::Kafka {
        let each = |priority: &Priority| {
            conf.topics.iter().map(|topic| format!("{topic}.{}", priority.as_str())).collect::<Vec<_>>()
        };
        let topics: Vec<String> = conf.priorities.iter().flat_map(each).collect();
        let transport = KafkaTransport::new(&conf.transport_url, conf.kafka.clone());
        let for_canary = transport.clone();
        let mut probes = kafka_probe(&section, transport, &topics, conf.declare, limit).await;
        let certificate = conf.client_certificate();
        probes.extend(certificate.and_then(|file| client_certificate_probe(&section, &file)));
        if let (true, Ok(transport)) = (conf.has_canary, for_canary) {
            let topic = format!("{}.{}", canary::TOPIC, Priority::Info.as_str());
            probes.extend(kafka_canary_probe(&section, &transport, topic, limit).await);
        }
        return probes;
    }
    let probe = |what: String| Probe::new(section.clone(), what);
    let transport = match RabbitTransport::new(conf.transport_url.clone(), conf.rabbit.clone()) {
        Ok(transport) => transport,
        Err(error) => return vec![probe("broker".to_owned()).failed(error.to_string(), None)],
    };
    let ours = match conf.declare {
        Declare::Nothing => None,
        Declare::Passive | Declare::Create => Some(&conf.queue),
    };
    let inspection = transport.inspect(&conf.exchanges, &conf.queues(), ours, limit).await;
    let virtual_host = conf.transport_url.virtual_host();
    let mut probes: Vec<Probe> = Vec::new();
    let needed = |virtual_host: &str| conf.needed_permissions(login_user(&conf.transport_url), virtual_host);
    for host in &inspection.hosts {
        probes.push(broker(probe(format!("broker {}", host.host)), host, virtual_host, needed));
    }
    let certificate = conf.client_certificate();
    probes.extend(certificate.and_then(|file| client_certificate_probe(&section, &file)));
    let consumers = counts.consumers.clone().unwrap_or_default();
    let proofs = proven(conf, &transport, &inspection, ours, thorough, limit);
    let dead_letters = dead_letters(conf, &transport, &inspection, thorough, limit);
    let (proofs, dead_letters, (asked, mut findings)) = tokio::join!(
        proofs,
        dead_letters,
        surveyed(conf, &transport, (&inspection, counts), limit.mul_f64(0.5))
    );
    let of_finding = |found: Finding| probe_of_finding(probe(found.subject.clone()), &found);
    for (name, found) in &inspection.exchanges {
        let subject = format!("exchange {name}");
        let is_missing = *found == ExchangeInspection::Missing;
        let why = findings.iter().position(|one| is_missing && one.subject == subject);
        probes.push(match why {
            Some(at) => of_finding(findings.remove(at)),
            None => exchange(probe(subject), found, conf.declare, virtual_host, needed),
        });
    }
    let reached = inspection.hosts.iter().find_map(|host| host.reached.as_ref().ok());
    let denies = reached.and_then(|facts| facts.greeting.rabbitmq());
    let denies = denies.is_some_and(BrokerVersion::denies_transient_queues);
    for (name, found) in &inspection.queues {
        probes.push(queue(
            probe(format!("queue {name}")),
            found,
            name,
            (daemon, consumers.get(name).copied().unwrap_or_default()),
            denies,
            conf,
        ));
    }
    probes.extend(findings.into_iter().map(of_finding));
    probes.extend(proofs);
    probes.extend(dead_letters);
    probes.extend(asked);
    probes
}

/// Returns the verdict with the severity that `osnl queues` and `osnl status` give the finding; a note is of an unread
/// queue that a policy may bound. A missing binding is critical only beside a running daemon, which makes it.
fn probe_of_finding(probe: Probe, found: &Finding) -> Probe {
    let words = format!("{}: {}", found.seen, found.consequence);
    match found.severity {
        FindingSeverity::Critical if found.kind != FindingKind::NotBound => {
            probe.failed(words, Some(&found.command))
        }
        FindingSeverity::Note => probe.note(words, &found.command),
        FindingSeverity::Critical | FindingSeverity::Warning => probe.warning(words, &found.command),
    }
}

async fn proven(
    conf: &ListenerConf,
    transport: &RabbitTransport,
    inspection: &BrokerInspection,
    ours: Option<&QueueKind>,
    thorough: Thorough,
    limit: Duration,
) -> Vec<Probe> {
    let mut probes = Vec::new();
    if inspection.hosts.iter().any(|host| host.reached.is_ok()) {
        for name in conf.queues() {
            // RabbitMQ 4.3 refuses even a look at an exchange without any permission.
            let there =
                inspection.exchanges.iter().filter(|(_, found)| *found != ExchangeInspection::Missing);
            let exchanges: Vec<String> = there.map(|(name, _)| name.clone()).collect();
            let proven = transport.prove(&name, &exchanges, ours, thorough, limit).await;
            let probe =
                Probe::new(format!("listener:{}", conf.name), format!("permissions for queue {name}"));
            probes.push(match proven {
                Ok(proofs) => permissions::verdict(probe, &proofs, conf),
                Err(error) => probe.failed(error.to_string(), None),
            });
        }
    }
    probes
}

async fn dead_letters(
    conf: &ListenerConf,
    transport: &RabbitTransport,
    inspection: &BrokerInspection,
    thorough: Thorough,
    limit: Duration,
) -> Vec<Probe> {
    let reached = inspection.hosts.iter().any(|host| host.reached.is_ok());
    let Some(name) = conf.dead_letter_queue().filter(|_| reached) else { return Vec::new() };
    let probe = |what: &str| Probe::new(format!("listener:{}", conf.name), format!("{what} {name}"));
    let kind = QueueKind::dead_letters();
    let asked = tokio::time::timeout(limit, async {
        let Some(waiting) = transport.depth(&name).await? else { return Ok(None) };
        Ok::<_, osnl_transport::TransportError>(Some((waiting, transport.dead_letters_risk(&name).await?)))
    });
    let (seen, proven) = tokio::join!(asked, transport.prove(&name, &[], Some(&kind), thorough, limit));
    let queue = probe("dead letter queue");
    let queue = match seen {
        Ok(Ok(Some((waiting, Some(DeadLettersRisk { reason, may_be_mended, remedy }))))) => {
            let waiting = counted(u64::from(waiting), "message waits", "messages wait");
            let said = format!("exists, {waiting}; {reason}");
            if may_be_mended { queue.note(said, &remedy) } else { queue.warning(said, &remedy) }
        }
        Ok(Ok(Some((0, None)))) => queue.fine("exists, no dead letter waits"),
        Ok(Ok(Some((waiting, None)))) => queue.warning(
            format!("exists, {waiting} dead letters or unreadable messages wait"),
            "see osnl deliveries list --state dead and osnl quarantine list",
        ),
        Ok(Ok(None)) => queue.fine("does not exist, and is created with the first dead letter"),
        Ok(Err(error)) => queue.failed(error.to_string(), None),
        Err(_) => silent(queue, limit),
    };
    let permissions = probe("permissions for queue");
    let permissions = match proven {
        Ok(proofs) => permissions::verdict(permissions, &proofs, conf),
        Err(error) => permissions.failed(error.to_string(), None),
    };
    vec![queue, permissions]
}

fn queue(
    probe: Probe,
    found: &QueueInspection,
    name: &str,
    (daemon, own): (&OwnDaemon, u64),
    denies: bool,
    conf: &ListenerConf,
) -> Probe {
    let is_transient = !conf.queue.durable && conf.queue.queue_type == QueueType::Classic;
    match found {
        QueueInspection::There { waiting, consumers, made, drops } => {
            let messages = counted(u64::from(*waiting), "message waits", "messages wait");
            let found = format!("exists, {messages}, {}", daemon.readers(*consumers, own));
            let found = match drops {
                Some(drops) => format!("{found}; it {drops}"),
                None => found,
            };
            match made {
                QueueMade::Stream => {
                    probe.failed(format!("{found}; it is a stream, which osnl does not read"), Some(NO_STREAMS))
                }
                QueueMade::Differs(difference) => {
                    probe.warning(format!("{found}; {difference}; osnl uses it as it is"), AS_CONFIGURED)
                }
                QueueMade::ChangesHandsLate(difference) => probe.warning(
                    format!(
                        "{found}; {difference}: when the node of its consumer dies, the next daemon gets its messages after \
                         that time, by default 60 s, unless a policy says otherwise"
                    ),
                    &take_over_policy(conf.transport_url.virtual_host(), name),
                ),
                QueueMade::Alike | QueueMade::Unknown
                    if *consumers > 0 && matches!(daemon, OwnDaemon::Unknown(_)) =>
                {
                    probe.warning(
                        found,
                        "whoever else reads it takes messages from us; give each reader a pool of its own; to see them: \
                         rabbitmqctl list_consumers",
                    )
                }
                QueueMade::Alike | QueueMade::Unknown if drops.is_some() => probe.warning(
                    found,
                    "what waits longer than the broker's consumer time-out comes back: give the queue a dead-letter \
                     exchange, or have it made anew without a limit",
                ),
                QueueMade::Alike if conf.queue.queue_type == QueueType::Quorum => probe.fine(format!(
                    "{found}; the queue has the configured properties, without a delivery limit unless a policy sets one"
                )),
                QueueMade::Alike => probe.fine(format!("{found}; the queue has the configured properties")),
                QueueMade::Unknown => probe.fine(found),
            }
        }
        QueueInspection::Missing => match conf.declare {
            Declare::Nothing => probe.failed(
                "does not exist; with queue = NAME osnl creates nothing",
                Some("create it, or check its name"),
            ),
            Declare::Passive | Declare::Create if is_transient && denies => probe.warning(
                "does not exist, and will be created: durable, if this RabbitMQ refuses transient queues, as 4.3 does \
                 by default",
                "services that declare transient queues cannot publish there: write amqp_durable_queues = true or \
                 rabbit_quorum_queue = true, in them and here",
            ),
            Declare::Passive | Declare::Create => probe.fine("does not exist, and will be created"),
        },
        // A queue whose node is down needs no permission, so the broker's words decide.
        QueueInspection::Refused(error) => {
            let (user, virtual_host) = (login_user(&conf.transport_url), conf.transport_url.virtual_host());
            let needed = |virtual_host: &str| conf.needed_permissions(user, virtual_host);
            probe.failed(error.to_string(), error.remedy(virtual_host, needed).as_deref())
        }
    }
}

#[cfg(test)]
mod tests {
    use osnl_action::driver::ProbeVerdict;
    use osnl_transport::TransportError;

    use super::*;
    use crate::native::{Sources, load_texts};

    #[test]
    fn a_critical_finding_fails_the_check_as_the_status_has_it() {
        let check = |kind, severity, expected: ProbeVerdict| {
            let found = Finding {
                kind,
                severity,
                broker: "mq".to_owned(),
                vhost: "/".to_owned(),
                subject: "queue q".to_owned(),
                seen: "it is full".to_owned(),
                consequence: "messages are lost".to_owned(),
                command: "rabbitmqctl x".into(),
                deployers: std::collections::BTreeMap::new(),
                files: Vec::new(),
            };
            let probe = probe_of_finding(Probe::new("listener:l", "queue q"), &found);
            assert_eq!(
                (probe.verdict, &*probe.found),
                (expected, "it is full: messages are lost"),
                "{found:?}"
            );
            assert_eq!(probe.advice.as_deref(), Some("rabbitmqctl x"));
        };
        check(FindingKind::Unread, FindingSeverity::Critical, ProbeVerdict::Failed);
        check(FindingKind::Unread, FindingSeverity::Warning, ProbeVerdict::Warning);
        check(FindingKind::Unread, FindingSeverity::Note, ProbeVerdict::Note);
        check(FindingKind::NotBound, FindingSeverity::Critical, ProbeVerdict::Warning);
    }

    #[test]
    fn a_queue_that_cannot_be_looked_at_has_the_remedy_of_the_daemon() {
        let text = "[listener:l]\ntransport_url = rabbit://u:p@mq/\nexchange = nova\npool = q\n[rule:r]\nactions = a\n\
                    [action:a]\ndriver = dump\n";
        let loaded = load_texts(&[("a.conf".to_owned(), text.to_owned())], &Sources::default()).unwrap();
        let conf = &loaded.conf.listeners[0];
        let transport = conf.transport().unwrap();
        for (code, reason, is_permission) in [
            (
                404,
                "404 NOT_FOUND - home node 'rabbit@mq1' of durable queue 'q' in vhost '/' is down or inaccessible",
                false,
            ),
            (405, "405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q'", false),
            (403, "403 ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'u'", true),
        ] {
            let error = || TransportError::Refused {
                what: "look at queue \"q\"".to_owned(),
                reason: reason.to_owned(),
                code: Some(code),
            };
            let (daemon, inspection) = (OwnDaemon::Unknown(String::new()), QueueInspection::Refused(error()));
            let found =
                queue(Probe::new("listener:l", "queue q"), &inspection, "q", (&daemon, 0), false, conf);
            assert!(found.found.contains(reason), "{found}");
            let remedy = transport.remedy(&error(), &conf.targets(), &conf.options());
            assert_eq!(found.advice.as_deref(), remedy.as_deref());
            assert_eq!(found.to_string().contains("set_permissions"), is_permission, "{found}");
        }
    }
}
