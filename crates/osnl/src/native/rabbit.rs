//! The options of oslo.messaging's rabbit driver: the section, overridden by the URL's query, then by the listener.

use std::path::Path;

use osnl_config::sections::SectionReader;
use osnl_model::TransportUrl;
use osnl_transport::{DriverOptions, DriverSection, OptionError, RabbitOptions, Trust, effect_of};

use super::ListenerConf;
use super::kinds::RABBIT;
use crate::transport_url;

pub(super) fn section<T: DriverSection>(reader: &mut SectionReader<'_>) -> Option<DriverOptions<T>> {
    let mut options = DriverOptions::default();
    lay(reader, &mut options).then_some(options)
}

pub(super) fn read_listener<T: DriverSection + Clone>(
    reader: &mut SectionReader<'_>,
    section: &DriverOptions<T>,
    url: Option<&TransportUrl>,
) -> Option<DriverOptions<T>> {
    let mut options = section.clone();
    // Errors of the query were reported with the URL.
    let query = url.map_or(Ok(()), |url| options.set_from_query(url));
    // A listener's section has the options of the rabbit driver alone; names that Kafka's has too are those.
    let is_good = T::SECTION != RABBIT || lay(reader, &mut options);
    query.ok().filter(|()| is_good)?;
    if url.is_some_and(|url| !T::SCHEMES.contains(&url.driver())) {
        return Some(options);
    }
    match options.check() {
        Ok(()) => Some(options),
        Err(error) => reader.refused("", transport_url::option_refusal(&error)),
    }
}

fn lay<T: DriverSection>(reader: &mut SectionReader<'_>, options: &mut DriverOptions<T>) -> bool {
    let mut good = true;
    for option in T::OPTIONS.iter().map(|option| option.name) {
        if !reader.is_set(option) {
            continue;
        }
        let Some(text) = reader.text(option) else {
            good = false;
            continue;
        };
        let of_key = ["ssl_key_file", "ssl_client_key_file"].contains(&option)
            || option == "ssl_cert_file" && !reader.is_set("ssl_key_file");
        if of_key {
            reader.warn_of_open(option, Path::new(&text), "a private key");
        }
        if let Err(error) = options.set(option, &text) {
            good = false;
            let refusal = match error {
                OptionError::Value { refusal, .. } => refusal,
                error => transport_url::option_refusal(&error),
            };
            reader.refused::<()>(option, refusal);
        }
    }
    good
}

pub(super) fn prefetch(reader: &SectionReader<'_>, options: Option<&RabbitOptions>, own: u16) -> u16 {
    let said = options.and_then(RabbitOptions::prefetch).filter(|_| !reader.is_set("prefetch"));
    said.unwrap_or(own)
}

/// Returns the default of a listener's option that an option of the driver gives, and the name of that option.
pub(super) fn default_by_driver(option: &str, listener: &ListenerConf) -> Option<(String, &'static str)> {
    Some(match option {
        "durable" if listener.rabbit.queue().quorum.is_some() => {
            (listener.queue.durable.to_string(), "rabbit_quorum_queue")
        }
        "durable" => (listener.queue.durable.to_string(), "amqp_durable_queues"),
        "queue_type" => (listener.queue.queue_type.as_str().to_owned(), "rabbit_quorum_queue"),
        "auto_delete" => (listener.queue.auto_delete.to_string(), "amqp_auto_delete"),
        "prefetch" => (listener.prefetch.to_string(), "rabbit_qos_prefetch_count"),
        _ => return None,
    })
}

pub(super) fn explain(listener: &ListenerConf) -> Vec<String> {
    let options = &listener.rabbit;
    let mut lines = Vec::new();
    if let Some(tls) = options.tls() {
        let of = |file: &Option<std::path::PathBuf>| match file {
            Some(file) => format!("of a CA in {}", file.display()),
            None => "of a CA that the system trusts".to_owned(),
        };
        lines.push(match &tls.trust {
            Trust::Unverified => "tls        encrypted, but any server is trusted and gets the password: set \
                                  tls = verify, and ssl_ca_file unless the system trusts the CA"
                .to_owned(),
            Trust::Ca { file, name: true } => {
                format!("tls        encrypted; the broker needs a certificate {} for its name", of(file))
            }
            Trust::Ca { file, name: false } => format!(
                "tls        encrypted; the broker needs a certificate {}, for whatever name: set tls = verify",
                of(file)
            ),
        });
    }
    for host in listener.transport_url.hosts_without_login() {
        let name = &host.hostname;
        lines.push(format!(
            "login      guest at {name}, which has no user: each host needs its own user:password@"
        ));
    }
    for (option, value) in options.set_options() {
        lines.push(format!("option     {} = {value} {}", option.name, effect_of(option)));
    }
    lines
}
