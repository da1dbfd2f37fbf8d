//! Values that several dialects have, and what is said when they are wrong.

use osnl_model::{PatternError, TransportUrl};
use osnl_transport::{OptionError, RabbitOptions};

use super::error::shown;
use super::{ValueError, nearest};

/// What is wrong with a value; its place is added by whoever knows it. Repeats no secret.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) problem: String,
    pub(crate) allowed: String,
    pub(crate) suggestion: Option<String>,
}

impl Refusal {
    pub(crate) fn new(problem: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { problem: problem.into(), allowed: allowed.into(), suggestion: None }
    }
}

impl From<ValueError> for Refusal {
    fn from(error: ValueError) -> Self {
        let ValueError { problem, allowed, suggestion } = error;
        Self { problem, allowed, suggestion }
    }
}

/// The items of a list as oslo.config's `ListOpt` takes them: separated by commas, without the blanks around them;
/// commas at the end are no items.
pub(crate) fn list(text: &str) -> Vec<String> {
    match text.trim_matches(super::ini::is_space).trim_end_matches(',') {
        "" => Vec::new(),
        text => text.split(',').map(|item| item.trim_matches(super::ini::is_space).to_owned()).collect(),
    }
}

/// A transport URL with a driver that this build has.
pub(crate) fn transport_url(text: &str) -> Result<TransportUrl, Refusal> {
    const FORM: &str = "write rabbit://user:password@host:port/vhost";
    const KNOWN: [&str; 2] = osnl_transport::DRIVERS;
    let url = TransportUrl::parse(text)
        .map_err(|error| Refusal::new(format!("bad transport URL: {error}"), FORM))?;
    if at_behind_host(text) {
        return Err(Refusal::new(
            "bad transport URL: an @ stands behind the hosts",
            "in a password write / as %2F, ? as %3F and # as %23; elsewhere write @ as %40",
        ));
    }
    let known = format!("known: {}", KNOWN.join(", "));
    match url.driver() {
        driver if KNOWN.contains(&driver) => match RabbitOptions::from_query(&url) {
            Ok(_) => Ok(url),
            // What does not fit together may be mended by what is laid over it: see whoever does that.
            Err(OptionError::Together { .. }) => Ok(url),
            Err(error) => Err(option_refusal(&error)),
        },
        driver @ ("amqps" | "pyamqps") => {
            let meant = "write rabbit://...?ssl=1, which is what oslo.messaging calls it";
            Err(Refusal::new(format!("unknown transport \"{driver}\""), meant))
        }
        driver @ ("amqp" | "pyamqp") => {
            Err(Refusal::new(format!("unknown transport \"{driver}\""), "write rabbit://"))
        }
        "kafka" => Err(Refusal::new("transport \"kafka\" is not supported yet", known)),
        driver => Err(Refusal {
            suggestion: nearest(driver, KNOWN).map(|driver| format!("{driver}://")),
            ..Refusal::new(format!("unknown transport {}", shown(driver)), known)
        }),
    }
}

/// An option of the rabbit driver, wherever it stands.
pub(crate) fn option_refusal(error: &OptionError) -> Refusal {
    match error {
        OptionError::Unknown { name, nearest } => Refusal {
            suggestion: nearest.map(str::to_owned),
            ..Refusal::new(
                format!("unknown option {}", name.as_deref().map_or("in the query".to_owned(), shown)),
                "known are those of [oslo_messaging_rabbit], as osnl config reference has them",
            )
        },
        OptionError::Value { name, allowed } => {
            Refusal::new(format!("{name} has a bad value"), format!("allowed: {allowed}"))
        }
        OptionError::Repeated { name } => {
            Refusal::new(format!("{name} is given more than once in the query"), "write it once")
        }
        OptionError::Refused { name, value, reason } => {
            Refusal::new(format!("{name} = {value} is not supported"), *reason)
        }
        OptionError::Together { names, reason } => Refusal::new(*names, *reason),
    }
}

/// Not `PatternError`'s own Display: that repeats the pattern, and a secret may have got into it.
pub(crate) fn bad_pattern(of: &str, error: &PatternError) -> Refusal {
    let place = error.position.map(|position| format!(" at character {}", position + 1)).unwrap_or_default();
    let message = error.message.split_whitespace().collect::<Vec<_>>().join(" ");
    // As a shell has them.
    let allowed = match error.pattern.starts_with('*') {
        true => "the syntax is that of Python's re, where any text is .* and a dot is \\.",
        false => "the syntax is that of Python's re",
    };
    Refusal::new(format!("bad regular expression{of}{place}: {message}"), allowed)
}

/// Whether an `@` follows the end of the hosts. Such a URL reads as one with a strange virtual host, but what
/// it means is a password with a bare `/`, and the password would be printed as the virtual host.
fn at_behind_host(url: &str) -> bool {
    let hosts = url.split_once("://").map_or(url, |(_, rest)| rest);
    hosts.find(['/', '?', '#']).is_some_and(|end| hosts[end..].contains('@'))
}
