//! Probes that drivers of actions share: HTTP targets, brokers and files.

use std::num::NonZeroU32;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;

use osnl_model::TransportUrl;
use osnl_net::http::Url as ApiUrl;
use osnl_transport::{
    Declare, ExchangeInspection, MayWrite, QueueInspection, RabbitOptions, RabbitTransport, Shards,
    login_user, set_permissions,
};
use rustix::fs::{Access, AtFlags, CWD, accessat, statvfs};

use super::{CREATE_EXCHANGE, Probe, ProbeContext, broker, client_certificate_probe, exchange, silent};
use osnl_net::http::{HttpOptions, ProbeError, reach};

pub(crate) const NO_REQUEST: &str = "no request was sent";

/// Probes an HTTP target: TCP, a proxy's tunnel, TLS; no request is sent. `option` is the option
/// with its URL.
pub async fn target_probe(
    section: &str,
    option: &str,
    url: &ApiUrl,
    http: &HttpOptions,
    deadline: Duration,
) -> Probe {
    let probe = Probe::of(section, format!("target {}", url.authority()));
    match tokio::time::timeout(deadline, reach(http, url)).await {
        Err(_) => silent(probe, deadline),
        Ok(Err(ProbeError::Options(error))) => probe.failed(error.to_string(), None),
        Ok(Err(ProbeError::Connect(words))) => {
            let advice = format!("check that it is running and that {option} names its host and port");
            probe.failed(words, Some(&advice))
        }
        Ok(Err(ProbeError::Tls(refusal))) => probe.failed(refusal.reason, refusal.remedy.as_deref()),
        Ok(Ok(reached)) => {
            let tls = if reached.tls { "TLS" } else { "no TLS" };
            let found = match (&reached.proxy, reached.tls) {
                (None, _) => format!("accepts connections, {tls}; {NO_REQUEST}"),
                (Some(proxy), true) => {
                    format!("accepts connections by the proxy {proxy}, TLS; {NO_REQUEST}")
                }
                (Some(proxy), false) => {
                    format!(
                        "the proxy {proxy} accepts connections; whether it reaches the target shows with the first request"
                    )
                }
            };
            probe.fine(found).passive().until(reached.certificate_ends)
        }
    }
}

#[cfg(feature = "kafka")]
pub async fn kafka_probe(
    section: &str,
    transport: Result<osnl_transport::KafkaTransport, osnl_transport::TransportError>,
    topics: &[String],
    declare: Declare,
    deadline: Duration,
) -> Vec<Probe> {
    use osnl_transport::Transport as _;

    let transport = match transport {
        Ok(transport) => transport,
        Err(error) => return vec![Probe::of(section, "brokers".to_owned()).failed(error.to_string(), None)],
    };
    let probe = Probe::of(section, transport.location());
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
        let probe = Probe::of(section, format!("topic {topic}"));
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
    transport: &osnl_transport::KafkaTransport,
    topic: String,
    deadline: Duration,
) -> Option<Probe> {
    let inspection =
        tokio::time::timeout(deadline, transport.inspect(vec![topic.clone()])).await.ok()?.ok()?;
    let probe = Probe::of(section, format!("topic {topic} of the canary"));
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
    if osnl_transport::Driver::of(url) == osnl_transport::Driver::Kafka {
        let options = osnl_transport::KafkaOptions::from_query(url);
        let file = options.as_ref().ok().and_then(osnl_transport::KafkaOptions::client_certificate);
        let transport = options
            .map_err(osnl_transport::TransportError::from)
            .and_then(|options| osnl_transport::KafkaTransport::new(url, options));
        let mut probes = kafka_probe(context.section, transport, exchanges, declare, context.deadline).await;
        probes.extend(file.and_then(|file| client_certificate_probe(context.section, &file)));
        return probes;
    }
    let probe = |what: String| Probe::of(context.section, what);
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
        return vec![silent(Probe::of(context.section, "shards"), context.deadline)];
    };
    if !inspection.hosts.iter().any(|host| host.reached.is_ok()) {
        return Vec::new();
    }
    let mut probes = Vec::new();
    let (count, mut full) = (shards.count.get(), Vec::new());
    let most = former.unwrap_or(count).max(count);
    for (n, (name, found)) in (0..).zip(&inspection.queues) {
        let probe = Probe::of(context.section, format!("shard queue {name}"));
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
    let probe = Probe::of(context.section, format!("number of shards of exchange {}", shards.exchange));
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

const LITTLE: u64 = 64 << 20;

pub fn free(folder: &Path) -> Option<u64> {
    let found = statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Asks the operating system. With `takes_pipes`, a pipe with a reader is accepted.
pub fn file_probe(section: &str, path: &Path, takes_pipes: bool) -> Probe {
    let probe = Probe::of(section, format!("file {}", path.display()));
    let kind = std::fs::metadata(path).ok().map(|there| there.file_type());
    if let Some(kind) = kind.filter(|kind| !kind.is_file()) {
        if kind.is_dir() {
            return probe.failed("is a folder", Some("name a file"));
        }
        if kind.is_fifo() && takes_pipes {
            return probe.unproven("is a pipe, and can be written while it has a reader", "start its reader");
        }
        if !kind.is_char_device() {
            return probe.failed("is not a regular file", Some("name a file"));
        }
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (of, access) = match path.exists() {
        true => (path, Access::WRITE_OK),
        false => (folder, Access::WRITE_OK | Access::EXEC_OK),
    };
    match accessat(CWD, of, access, AtFlags::EACCESS) {
        Ok(()) => {
            let found =
                if path.exists() { "can be written" } else { "does not exist yet, and can be created" };
            let free = if path.exists() && !path.is_file() { None } else { free(folder) };
            match free.filter(|free| *free < LITTLE) {
                Some(free) => {
                    let left = format!("{found}, but its disk has {} MiB left", free >> 20);
                    probe.warning(left, "free some space: osnl retries what it cannot write")
                }
                None => probe.fine(found),
            }
        }
        Err(error) => {
            let error = std::io::Error::from(error);
            let advice = "name another one, or give this user write access";
            probe.failed(format!("cannot be written: {error}"), Some(advice))
        }
    }
}
