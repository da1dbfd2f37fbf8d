//! Checks each option once, in the order of the manual, and collects all errors.

use osnl::action::driver::{NativeReader as _, UNVERIFIED};
use osnl::native::journal::journal;
use osnl::transport_url;
use osnl_config::sections::{Findings, Layers, SectionReader};
use osnl_config::{Value, ValueOrigin, shown, typed};
use osnl_model::{Pattern, PatternError, TransportUrl};
use osnl_net::http::Scheme;
use osnl_transport::{LONGEST_NAME, RabbitOptions, broker_logins};

use super::ApiUrl;
use super::options::{Conf, Executor, K2hr3Options, Level, LogFile, NotificationOptions};
use super::schema::{DEFAULT, DEFAULT_API_URL, JOURNAL, K2HR3, NOTIFICATIONS};

const LONGEST_TOPIC: usize = LONGEST_NAME - ".info".len();
/// The longest time-out of Python's sockets: milliseconds in 31 bits.
const LONGEST_TIMEOUT: u32 = 2_147_483;

pub(super) fn check(file: &str, layers: &Layers, findings: &mut Findings) -> Option<Conf> {
    let mut of = |kind: &str, read: &mut dyn FnMut(&mut SectionReader<'_>)| {
        if let Some(section) = layers.unnamed(kind) {
            read(&mut SectionReader { file, layers, section, findings: &mut *findings });
        }
    };
    // Each call reports the errors of its own options; a `None` ends the check only afterwards.
    let (mut log, mut notified, mut called, mut kept) = (None, None, None, None);
    of(DEFAULT, &mut |reader| {
        log = Some((level(reader, "debug_level"), log_file(reader), level(reader, "libs_debug_level")));
    });
    of(NOTIFICATIONS, &mut |reader| notified = notifications(reader));
    of(K2HR3, &mut |reader| called = k2hr3(reader));
    of(JOURNAL, &mut |reader| kept = journal(reader));
    let (debug_level, log_file, libs_debug_level) = log?;
    Some(Conf {
        debug_level: debug_level?,
        log_file: log_file?,
        libs_debug_level: libs_debug_level?,
        oslo_messaging_notifications: notified?,
        k2hr3: called?,
        journal: kept?,
    })
}

fn notifications(reader: &mut SectionReader<'_>) -> Option<NotificationOptions> {
    let event_type = pattern(reader, "event_type");
    let publisher_id = pattern(reader, "publisher_id");
    let context = patterns(reader, "context");
    let metadata = patterns(reader, "metadata");
    let payload = patterns(reader, "payload");
    let transport_url = transport_url(reader);
    let topic = broker_name(reader, "topic", LONGEST_TOPIC);
    let exchange = broker_name(reader, "exchange", LONGEST_NAME);
    let executor = executor(reader);
    let pool = broker_name(reader, "pool", LONGEST_NAME);
    let allow_requeue = reader.boolean("allow_requeue");
    Some(NotificationOptions {
        event_type: event_type?,
        publisher_id: publisher_id?,
        context: context?,
        metadata: metadata?,
        payload: payload?,
        transport_url: transport_url?,
        topic: topic?,
        exchange: exchange?,
        executor: executor?,
        pool: pool?,
        allow_requeue: allow_requeue?,
    })
}

fn k2hr3(reader: &mut SectionReader<'_>) -> Option<K2hr3Options> {
    let api_url = api_url(reader);
    let timeout_seconds = seconds(reader, "timeout_seconds", 1);
    let max_retries = max_retries(reader);
    let retry_interval_seconds = seconds(reader, "retry_interval_seconds", 0);
    let allow_self_signed_cert = reader.boolean("allow_self_signed_cert");
    let requeue_on_error = reader.boolean("requeue_on_error");
    if allow_self_signed_cert == Some(true)
        && api_url.as_ref().is_some_and(|url| url.scheme() == Scheme::Https)
    {
        let remedy = "put the CA's certificate into SSL_CERT_FILE or the system's store, and set it to False";
        reader.warn("allow_self_signed_cert", UNVERIFIED, remedy);
    }
    Some(K2hr3Options {
        api_url: api_url?,
        timeout_seconds: timeout_seconds?,
        max_retries: max_retries?,
        retry_interval_seconds: retry_interval_seconds?,
        allow_self_signed_cert: allow_self_signed_cert?,
        requeue_on_error: requeue_on_error?,
    })
}

fn level(reader: &mut SectionReader<'_>, option: &str) -> Option<Level> {
    reader.text(option).and_then(|word| Level::from_word(&word))
}

fn log_file(reader: &mut SectionReader<'_>) -> Option<LogFile> {
    let text = reader.text("log_file")?;
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

fn pattern(reader: &mut SectionReader<'_>, option: &str) -> Option<Pattern> {
    let text = reader.text(option)?;
    if text.is_empty() {
        reader.warn(option, "is empty, so every message matches", "remove the line to get the default");
    }
    match Pattern::new(&text) {
        Ok(pattern) => Some(pattern),
        Err(error) => bad_pattern(reader, option, "", &error),
    }
}

fn patterns(reader: &mut SectionReader<'_>, option: &str) -> Option<Vec<(String, Pattern)>> {
    let pairs = reader.value(option)?.and_then(Value::into_dict).unwrap_or_default();
    let mut patterns = Vec::new();
    let mut all = true;
    for (name, text) in pairs {
        look_for_comment(reader, option, &text);
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

fn transport_url(reader: &mut SectionReader<'_>) -> Option<TransportUrl> {
    const OPTION: &str = "transport_url";
    let text = reader.text(OPTION)?;
    match transport_url::check(&text) {
        Ok(url) => {
            if text.is_empty() {
                let allowed = "name the broker or remove the line";
                let problem = "is blank, which means guest at rabbit://localhost";
                reader.warn(OPTION, problem, allowed);
            }
            trusting(reader, url)
        }
        Err(refusal) => reader.refused(OPTION, refusal),
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
            reader.warn_of_trust(&options);
            reader.warn_of_logins(&broker_logins(&url, &options));
            Some(url)
        }
        Err(refusal) => reader.refused("transport_url", refusal),
    }
}

fn broker_name(reader: &mut SectionReader<'_>, option: &str, longest: usize) -> Option<String> {
    let text = reader.text(option)?;
    if text.is_empty() {
        return reader.refuse(option, "is empty", "write a name or remove the line");
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

fn executor(reader: &mut SectionReader<'_>) -> Option<Executor> {
    match reader.text("executor")?.as_str() {
        "threading" => Some(Executor::Threading),
        "eventlet" => Some(Executor::Eventlet),
        _ => None,
    }
}

fn api_url(reader: &mut SectionReader<'_>) -> Option<ApiUrl> {
    const OPTION: &str = "api_url";
    let text = reader.text(OPTION)?;
    if reader.section.origin(OPTION) == ValueOrigin::Default {
        reader.warn(OPTION,
            &format!("not set, {DEFAULT_API_URL} is used"),
            "write the URL of your role API (k2hr3_osnl's default lacked a colon and failed for every message)",
        );
    }
    match ApiUrl::parse(&text) {
        Ok(url) => {
            if url.has_query() {
                reader.warn(
                    OPTION,
                    "the query is kept and parameters follow it with \"&\"",
                    "k2hr3_osnl sent a second \"?\"",
                );
            }
            Some(url)
        }
        Err(error) => reader.refuse(OPTION, error.problem, error.allowed),
    }
}

fn max_retries(reader: &mut SectionReader<'_>) -> Option<u32> {
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

fn seconds(reader: &mut SectionReader<'_>, option: &str, least: u32) -> Option<u32> {
    let number = reader.integer(option)?;
    match u32::try_from(number) {
        Ok(seconds) if (least..=LONGEST_TIMEOUT).contains(&seconds) => Some(seconds),
        Ok(_) | Err(_) => {
            let allowed = format!("allowed: {least} to {LONGEST_TIMEOUT} seconds");
            reader.refuse(option, &format!("{number} is out of range"), &allowed)
        }
    }
}

fn look_for_comment(reader: &mut SectionReader<'_>, option: &str, text: &str) {
    if text.contains(" # ") {
        let problem = "the # and what follows belong to the value";
        reader.warn(option, problem, "a comment needs a line of its own");
    }
}
