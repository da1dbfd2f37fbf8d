//! Probes of brokers, and of what listeners and drivers need there.

use std::num::NonZeroU32;
#[cfg(feature = "kafka")]
use std::time::Duration;

use osnl_action::driver::{Probe, ProbeContext, client_certificate_probe, silent};
use osnl_model::TransportUrl;
use osnl_transport::{
    Declare, ExchangeFound, ExchangeInspection, HostInspection, MayWrite, QueueInspection, RabbitOptions,
    RabbitTransport, Shards, login_user, set_permissions,
};

pub fn broker(
    probe: Probe,
    host: &HostInspection,
    virtual_host: &str,
    permissions: impl FnOnce(&str) -> String,
) -> Probe {
    let error = match &host.reached {
        Ok(reached) => {
            let tls = if reached.tls { "TLS" } else { "no TLS" };
            let broker = reached.greeting.words().map(|words| format!(", {words}")).unwrap_or_default();
            let found = format!("logged in as {}, virtual host {virtual_host}, {tls}{broker}", reached.user);
            return probe.fine(found).until(reached.certificate_ends);
        }
        Err(error) => error,
    };
    let words = error.to_string();
    let words = words.strip_prefix(&format!("{}: ", host.host)).unwrap_or(&words).to_owned();
    let advice = error.remedy(virtual_host, permissions);
    probe.failed(words, advice.as_deref())
}

/// The remedy of a missing exchange of an action, whose messages no service makes.
pub(crate) const CREATE_EXCHANGE: &str = "create it at the broker, or write declare = create";

pub fn exchange(
    probe: Probe,
    found: &ExchangeInspection,
    declare: Declare,
    virtual_host: &str,
    permissions: impl FnOnce(&str) -> String,
) -> Probe {
    match found {
        ExchangeInspection::There(ExchangeFound { kind: Some(kind), .. }) if kind != "topic" => {
            let advice = "name the exchange that the service publishes to: its control_exchange";
            probe.failed(format!("exists and is {kind}, not topic"), Some(advice))
        }
        ExchangeInspection::There(what) => probe.fine(match what.durable {
            Some(true) => "exists: topic, durable",
            Some(false) => "exists: topic, transient (RabbitMQ before 4.3 may delete it at a restart)",
            None => "exists",
        }),
        ExchangeInspection::Missing => match declare {
            Declare::Create => probe.fine("does not exist, and will be created"),
            Declare::Passive | Declare::Nothing => probe.warning(
                "does not exist",
                "its service creates it with its first notification; compare the option exchange with the service's control_exchange, and the virtual host with its transport_url",
            ),
        },
        ExchangeInspection::Refused(words) => {
            let advice = osnl_transport::answer_remedy(words, virtual_host, permissions);
            probe.failed(words.clone(), advice.as_deref())
        }
    }
}

#[cfg(feature = "kafka")]
pub async fn kafka_probe(
    section: &str,
    transport: Result<osnl_brokers::kafka::KafkaTransport, osnl_transport::TransportError>,
    topics: &[String],
    declare: Declare,
    deadline: Duration,
) -> Vec<Probe> {
    use osnl_transport::Transport as _;

    let transport = match transport {
        Ok(transport) => transport,
        Err(error) => return vec![Probe::new(section, "brokers".to_owned()).failed(error.to_string(), None)],
    };
    let probe = Probe::new(section, transport.location());
    let inspection = match tokio::time::timeout(deadline, transport.inspect(topics.to_vec())).await {
        Err(_) => return vec![silent(probe, deadline)],
        Ok(Err(error)) => {
            let advice = error.own_remedy().unwrap_or(
                "check that the brokers run, and the hosts, the login, and security_protocol of transport_url",
            );
            return vec![probe.failed(error.to_string(), Some(advice))];
        }
        Ok(Ok(inspection)) => inspection,
    };
    let brokers = probe.fine(format!("{} answers, {}", inspection.host, transport.session()));
    let topic = |topic: &String| {
        let probe = Probe::new(section, format!("topic {topic}"));
        match (inspection.missing.contains(topic), declare) {
            (false, _) => probe.fine("exists"),
            (true, Declare::Create) => {
                probe.fine("does not exist, and will be created if the brokers do that (auto.create.topics.enable)")
            }
            (true, Declare::Passive | Declare::Nothing) => probe.warning(
                "does not exist",
                "its service creates it with its first notification; compare topics with the service's notification_topics",
            ),
        }
    };
    std::iter::once(brokers).chain(topics.iter().map(topic)).collect()
}

/// Probes the canary's topic, which osnl does not create: the member of the group that sends must
/// be the member that receives. Returns nothing if the brokers do not answer, which another probe
/// reports.
#[cfg(feature = "kafka")]
pub async fn kafka_canary_probe(
    section: &str,
    transport: &osnl_brokers::kafka::KafkaTransport,
    topic: String,
    deadline: Duration,
) -> Option<Probe> {
    let inspection =
        tokio::time::timeout(deadline, transport.inspect(vec![topic.clone()])).await.ok()?.ok()?;
    let probe = Probe::new(section, format!("topic {topic} of the canary"));
    let create = format!(
        "kafka-topics.sh --bootstrap-server {} --create --topic {topic} --partitions 1",
        transport.brokers()
    );
    Some(match inspection.partitions.get(&topic) {
        None => probe.failed("does not exist, and osnl does not create it", Some(&create)),
        Some(1) => probe.fine("exists, with one partition"),
        Some(many) => probe.warning(
            format!(
                "has {many} partitions: a canary is lost if another member of the group has its partition"
            ),
            &format!("delete it, then {create}"),
        ),
    })
}

/// Probes a broker's login, its exchanges and the permission to publish; publishes and creates
/// nothing. On Kafka the exchanges are topics.
pub async fn broker_probe(
    context: ProbeContext<'_>,
    url: &TransportUrl,
    options: &RabbitOptions,
    exchanges: &[String],
    declare: Declare,
) -> Vec<Probe> {
    #[cfg(feature = "kafka")]
    if osnl_brokers::Driver::for_url(url) == osnl_brokers::Driver::Kafka {
        let options = osnl_brokers::kafka::KafkaOptions::from_query(url);
        let file = options.as_ref().ok().and_then(|options| options.client_certificate());
        let transport = options
            .map_err(osnl_transport::TransportError::from)
            .and_then(|options| osnl_brokers::kafka::KafkaTransport::new(url, options));
        let mut probes = kafka_probe(context.section, transport, exchanges, declare, context.deadline).await;
        probes.extend(file.and_then(|file| client_certificate_probe(context.section, &file)));
        return probes;
    }
    let probe = |what: String| Probe::new(context.section, what);
    let transport = match RabbitTransport::new(url.clone(), options.clone()) {
        Ok(transport) => transport,
        Err(error) => return vec![probe("broker".to_owned()).failed(error.to_string(), None)],
    };
    let inspection = transport.inspect(exchanges, &[], None, context.deadline.mul_f64(0.6));
    let Ok(inspection) = tokio::time::timeout(context.deadline, inspection).await else {
        return vec![silent(probe("broker".to_owned()), context.deadline)];
    };
    let names: Vec<&str> = exchanges.iter().map(String::as_str).collect();
    let made: &[&str] = if declare == Declare::Create { &names } else { &[] };
    let needed = |virtual_host: &str| set_permissions(login_user(url), virtual_host, [made, &names, made]);
    let hosts = inspection
        .hosts
        .iter()
        .map(|host| broker(probe(format!("broker {}", host.host)), host, url.virtual_host(), needed));
    let mut probes: Vec<Probe> = hosts.collect();
    let certificate = options.client_certificate();
    probes.extend(certificate.and_then(|file| client_certificate_probe(context.section, &file)));
    for (name, found) in &inspection.exchanges {
        let subject = probe(format!("exchange {name}"));
        let seen = match found {
            ExchangeInspection::Missing if declare != Declare::Create => {
                subject.warning("does not exist", CREATE_EXCHANGE)
            }
            found => exchange(subject, found, declare, url.virtual_host(), needed),
        };
        let there = matches!(found, ExchangeInspection::There(_));
        let asked = transport.may_write(name, context.deadline.mul_f64(0.3));
        probes.push(match if there { asked.await.ok() } else { None } {
            Some(MayWrite::No(words)) => seen.failed(words, Some(&needed(url.virtual_host()))),
            Some(MayWrite::Yes) => {
                let found = format!("{}; this user may publish to it; nothing was published", seen.found);
                Probe { found, ..seen }.passive()
            }
            None => seen,
        });
    }
    probes
}

/// Looks for the queue of each shard, its readers, and the number of shards that the broker keeps.
pub async fn shards_probe(
    context: ProbeContext<'_>,
    url: &TransportUrl,
    options: &RabbitOptions,
    shards: &Shards,
) -> Vec<Probe> {
    let Ok(transport) = RabbitTransport::new(url.clone(), options.clone()) else { return Vec::new() };
    let limit = context.deadline.mul_f64(0.3);
    let looking = async {
        let former = transport.count_of_shards(shards, limit).await;
        let of_former = former.and_then(NonZeroU32::new).filter(|former| *former != shards.count);
        let of_former = of_former.map(|count| Shards { count, ..shards.clone() });
        let all = of_former
            .iter()
            .fold(shards, |most, former| if former.count > most.count { former } else { most });
        let letters = of_former.as_ref().map(Shards::dead_letter_queues).unwrap_or_default();
        (former, transport.inspect(&[], &[all.queues(), letters].concat(), None, limit).await)
    };
    let Ok((former, inspection)) = tokio::time::timeout(context.deadline, looking).await else {
        return vec![silent(Probe::new(context.section, "shards"), context.deadline)];
    };
    if !inspection.hosts.iter().any(|host| host.reached.is_ok()) {
        return Vec::new();
    }
    let mut probes = Vec::new();
    let (count, mut full) = (shards.count.get(), Vec::new());
    let most = former.unwrap_or(count).max(count);
    for (n, (name, found)) in (0..).zip(&inspection.queues) {
        let probe = Probe::new(context.section, format!("shard queue {name}"));
        // The queues of all shards are followed by the dead letter queues of the former number.
        let is_former = former.is_some_and(|former| former != count && (n < former || n >= most));
        if let QueueInspection::There { waiting, consumers, .. } = found
            && is_former
            && (*waiting > 0 || *consumers > 0)
        {
            full.push(format!("{name} has messages: {waiting}, consumers: {consumers}"));
        }
        probes.extend((n < count).then(|| match found {
            QueueInspection::Missing => probe.warning(
                "does not exist, so the events of this shard wait",
                "start the daemon of this shard, which makes it",
            ),
            QueueInspection::Refused(error) => probe.warning(error.to_string(), "see docs/scale-out.md"),
            QueueInspection::There { waiting, consumers: 0, .. } => probe.warning(
                format!("exists, messages: {waiting}, and no daemon reads it"),
                "start the daemon of this shard",
            ),
            QueueInspection::There { waiting, consumers, .. } => {
                probe.fine(format!("exists, messages: {waiting}, consumers: {consumers}"))
            }
        }));
    }
    let probe = Probe::new(context.section, format!("number of shards of exchange {}", shards.exchange));
    probes.push(match former {
        None => probe.fine(format!("{count}; nothing has been published there")),
        Some(former) if former == count => probe.fine(format!("{count}, as before")),
        Some(former) if full.is_empty() => {
            probe.fine(format!("{former} until now; nothing is left in their queues, so {count} can begin"))
        }
        Some(former) => probe.failed(
            format!("{former} until now, and {count} here: nothing is published while {}", full.join(", ")),
            Some("write the former number until the queues are empty, and stop the shards; see docs/scale-out.md"),
        ),
    });
    probes
}
