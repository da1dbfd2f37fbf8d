//! Checks each option once, in the order of the manual, and collects all errors.

use osnl::action::driver::{NativeReader as _, UNVERIFIED};
use osnl::actions::broker::BrokerReader as _;
use osnl::native::journal::journal;
use osnl::transport_url;
use osnl_brokers::broker_logins;
use osnl_config::sections::{Findings, Layers, SectionReader};
use osnl_config::{OptionDef, Options as _, Value, ValueOrigin, shown, typed};
use osnl_model::{Pattern, PatternError, TransportUrl};
use osnl_net::http::Scheme;
use osnl_transport::{LONGEST_NAME, RabbitOptions};

use super::ApiUrl;
use super::options::{Conf, DEFAULT_API_URL, K2hr3Options, LogFile, LogOptions, NotificationOptions};
use super::schema::{DEFAULT, JOURNAL, K2HR3, NOTIFICATIONS};

const LONGEST_TOPIC: usize = LONGEST_NAME - ".info".len();
/// The longest time-out of Python's sockets: milliseconds in 31 bits.
const LONGEST_TIMEOUT: u32 = 2_147_483;
const ENCRYPT: &str = "set tls = verify, or write ?ssl=1&ssl_ca_file=FILE into transport_url, and use the broker's port with TLS";
const VERIFY: &str =
    "set tls = verify, and write ssl_ca_file=FILE into transport_url's query unless the system trusts the CA";

pub(super) fn check(file: &str, layers: &Layers, findings: &mut Findings) -> Option<Conf> {
    let mut of = |kind: &str, read: &mut dyn FnMut(&mut SectionReader<'_>)| {
        if let Some(section) = layers.unnamed(kind) {
            read(&mut SectionReader { file, layers, section, findings: &mut *findings });
        }
    };
    // Each call reports the errors of its own options; a `None` ends the check only afterwards.
    let (mut log, mut notified, mut called, mut kept) = (None, None, None, None);
    of(DEFAULT, &mut |reader| log = LogOptions::read(reader));
    of(NOTIFICATIONS, &mut |reader| notified = NotificationOptions::read(reader));
    of(K2HR3, &mut |reader| {
        called = K2hr3Options::read(reader);
        let is_unverified =
            |conf: &K2hr3Options| conf.allow_self_signed_cert && conf.api_url.scheme() == Scheme::Https;
        if called.as_ref().is_some_and(is_unverified) {
            let remedy =
                "put the CA's certificate into SSL_CERT_FILE or the system's store, and set it to False";
            reader.warn("allow_self_signed_cert", UNVERIFIED, remedy);
        }
    });
    of(JOURNAL, &mut |reader| kept = journal(reader));
    Some(Conf { log: log?, oslo_messaging_notifications: notified?, k2hr3: called?, journal: kept? })
}

pub(super) fn log_file(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<LogFile> {
    let text = reader.text(option.name)?;
    match text.as_str() {
        "sys.stderr" => Some(LogFile::Stderr),
        "" => reader.refuse("log_file", "is empty", "write sys.stderr or the path of a file"),
        path => {
            if path == "sys.stdout" {
                reader.warn(
                    "log_file",
                    "the log goes to a file of that name",
                    "sys.stderr is the only stream",
                );
            }
            Some(LogFile::Path(path.into()))
        }
    }
}

pub(super) fn pattern(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Pattern> {
    let option = option.name;
    let text = reader.text(option)?;
    if text.is_empty() {
        reader.warn(option, "is empty, so every message matches", "remove the line to get the default");
    }
    match Pattern::new(&text) {
        Ok(pattern) => Some(pattern),
        Err(error) => bad_pattern(reader, option, "", &error),
    }
}

pub(super) fn patterns(
    reader: &mut SectionReader<'_>,
    option: &'static OptionDef,
) -> Option<Vec<(String, Pattern)>> {
    let option = option.name;
    let pairs = reader.value(option)?.and_then(Value::into_dict).unwrap_or_default();
    let mut patterns = Vec::new();
    let mut all = true;
    for (name, text) in pairs {
        warn_of_comment(reader, option, &text);
        match Pattern::new(&text) {
            Ok(pattern) => patterns.push((name, pattern)),
            Err(error) => {
                all = false;
                bad_pattern::<()>(reader, option, &format!(" for {}", shown(&name)), &error);
            }
        }
    }
    all.then_some(patterns)
}

fn bad_pattern<T>(reader: &mut SectionReader<'_>, option: &str, of: &str, error: &PatternError) -> Option<T> {
    reader.refused(option, typed::bad_pattern(of, error))
}

pub(super) fn transport_url(
    reader: &mut SectionReader<'_>,
    option: &'static OptionDef,
) -> Option<TransportUrl> {
    let text = reader.text(option.name)?;
    match transport_url::check(&text) {
        Ok(url) => {
            if text.is_empty() {
                let allowed = "name the broker or remove the line";
                let problem = "is blank, which means guest at rabbit://localhost";
                reader.warn(option.name, problem, allowed);
            }
            trusting(reader, url)
        }
        Err(refusal) => reader.refused(option.name, refusal),
    }
}

fn trusting(reader: &mut SectionReader<'_>, url: TransportUrl) -> Option<TransportUrl> {
    const OPTION: &str = "tls";
    let url = match reader.is_set(OPTION) {
        true => url.with_option(OPTION, &reader.text(OPTION)?),
        false => url,
    };
    let options = RabbitOptions::from_query(&url).map_err(|error| transport_url::option_refusal(&error));
    match transport_url::check(&url.to_string_with_secrets()).and(options) {
        Ok(options) => {
            reader.warn_of_trust(&options, VERIFY);
            reader.warn_of_logins(&broker_logins(&url, &options, ENCRYPT));
            reader.warn_of_limits(&url);
            Some(url)
        }
        Err(refusal) => reader.refused("transport_url", refusal),
    }
}

pub(super) fn broker_name(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<String> {
    let longest = if option.name == "topic" { LONGEST_TOPIC } else { LONGEST_NAME };
    let option = option.name;
    let text = reader.text(option)?;
    match (text.is_empty(), option) {
        (true, "exchange") => {
            reader.warn(
                option,
                "is empty, which means the exchange openstack",
                "write a name or remove the line",
            );
        }
        (true, "pool") => {
            let problem = "is empty, so all readers of the topic share the queue TOPIC.info";
            reader.warn(option, problem, "write a name or remove the line");
        }
        (true, _) => return reader.refuse(option, "is empty", "write a name or remove the line"),
        (false, _) => {}
    }
    if text.len() > longest {
        let allowed = format!("at most {longest} bytes");
        return reader.refuse(option, "is too long for the broker", &allowed);
    }
    if text.contains(char::is_control) || text.trim() != text {
        reader.warn(
            option,
            "the name has spaces around it or line breaks in it, and is used as it is",
            "write it after the `=`, on one line",
        );
    }
    Some(text)
}

pub(super) fn api_url(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<ApiUrl> {
    let text = reader.text(option.name)?;
    if reader.section.origin(option.name) == ValueOrigin::Default {
        reader.warn(option.name,
            &format!("not set, {DEFAULT_API_URL} is used"),
            "write the URL of your role API (k2hr3_osnl's default lacked a colon and failed for every message)",
        );
    }
    match ApiUrl::parse(&text) {
        Ok(url) => {
            if url.has_query() {
                reader.warn(
                    option.name,
                    "the query is kept and parameters follow it with \"&\"",
                    "k2hr3_osnl sent a second \"?\"",
                );
            }
            Some(url)
        }
        Err(error) => reader.refuse(option.name, error.problem, error.allowed),
    }
}

pub(super) fn max_retries(reader: &mut SectionReader<'_>, _: &'static OptionDef) -> Option<u32> {
    let max_retries = reader.integer("max_retries");
    let (option, count) = match reader.section.origin("retries") {
        ValueOrigin::Default => ("max_retries", max_retries?),
        ValueOrigin::File { .. } | ValueOrigin::Environment { .. } | ValueOrigin::CommandLine { .. } => {
            // Read even if `max_retries` wins, so that a wrong value is reported.
            let retries = reader.integer("retries");
            match reader.section.origin("max_retries") {
                ValueOrigin::Default => ("retries", retries?),
                origin @ (ValueOrigin::File { .. }
                | ValueOrigin::Environment { .. }
                | ValueOrigin::CommandLine { .. }) => {
                    reader.warn(
                        "retries",
                        &format!("ignored, because max_retries is set too ({origin})"),
                        "leave one of them out",
                    );
                    retries?;
                    ("max_retries", max_retries?)
                }
            }
        }
    };
    if count < 0 {
        reader.warn(option, "a negative number acts as 0", "write 0 to make each call once");
        return Some(0);
    }
    match u32::try_from(count) {
        Ok(count) => Some(count),
        Err(_) => {
            let allowed = format!("allowed: 0 to {}", u32::MAX);
            reader.refuse(option, &format!("{count} is out of range"), &allowed)
        }
    }
}

pub(super) fn seconds(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<u32> {
    let (number, least) = (reader.integer(option.name)?, u32::from(option.name == "timeout_seconds"));
    match u32::try_from(number) {
        Ok(seconds) if (least..=LONGEST_TIMEOUT).contains(&seconds) => Some(seconds),
        Ok(_) | Err(_) => {
            let allowed = format!("allowed: {least} to {LONGEST_TIMEOUT} seconds");
            reader.refuse(option.name, &format!("{number} is out of range"), &allowed)
        }
    }
}

fn warn_of_comment(reader: &mut SectionReader<'_>, option: &str, text: &str) {
    if text.contains(" # ") {
        let problem = "the # and what follows belong to the value";
        reader.warn(option, problem, "a comment needs a line of its own");
    }
}
