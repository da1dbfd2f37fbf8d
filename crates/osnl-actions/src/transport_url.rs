use osnl_brokers::{Driver, unknown_driver};
use osnl_config::shown;
use osnl_config::typed::ValueRefusal;
#[cfg(feature = "amqp1")]
use osnl_model::TransportHost;
use osnl_model::TransportUrl;
use osnl_transport::{OptionError, RabbitOptions};

pub fn check(text: &str) -> Result<TransportUrl, ValueRefusal> {
    let url = TransportUrl::parse(text)
        .map_err(|error| ValueRefusal::new(format!("bad transport URL: {error}"), form_for(text)))?;
    if at_behind_host(text) {
        return Err(ValueRefusal::new(
            "bad transport URL: there is an @ after the hosts",
            "in a password write / as %2F, ? as %3F and # as %23; elsewhere write @ as %40",
        ));
    }
    let read = match Driver::named(url.driver()) {
        #[cfg(feature = "amqp1")]
        Some(Driver::Amqp1) => match check_rabbitmq_form(text, &url) {
            Some(refusal) => return Err(refusal),
            None => osnl_brokers::amqp1::Amqp1Options::from_query(&url).map(drop),
        },
        #[cfg(feature = "kafka")]
        Some(Driver::Kafka) => osnl_brokers::kafka::KafkaOptions::from_query(&url).map(drop),
        Some(Driver::Rabbit) => RabbitOptions::from_query(&url).map(drop),
        _ => return Err(unknown_driver(url.driver())),
    };
    match read {
        // An overlaid section may resolve conflicting options, so the caller checks the result.
        Ok(()) | Err(OptionError::Together { .. }) => Ok(url),
        Err(error) => Err(option_refusal(&error)),
    }
}

/// Returns the form of a URL for the driver of one that cannot be read.
fn form_for(text: &str) -> &'static str {
    let driver = text.split_once("://").map_or("", |(driver, _)| driver).to_ascii_lowercase();
    match Driver::named(&driver) {
        Some(Driver::Kafka) => "write kafka://user:password@host:port/",
        Some(Driver::Amqp1) if driver == "amqps" => "write amqps://user:password@host:port/vhost",
        Some(Driver::Amqp1) => "write amqp://user:password@host:port/vhost",
        Some(Driver::Rabbit) | None => "write rabbit://user:password@host:port/vhost",
    }
}

pub fn option_refusal(error: &OptionError) -> ValueRefusal {
    match error {
        OptionError::Unknown { section, name, nearest } => ValueRefusal {
            suggestion: nearest.map(str::to_owned),
            ..ValueRefusal::new(
                format!("unknown option {}", name.as_deref().map_or("in the query".to_owned(), shown)),
                format!("known are those of [{section}], as osnl config reference has them"),
            )
        },
        OptionError::Foreign { name, instead } => {
            ValueRefusal::new(format!("{} is an option of another client library", shown(name)), *instead)
        }
        OptionError::Value { name, refusal } => {
            ValueRefusal::new(format!("{name} has a bad value"), &refusal.allowed)
        }
        OptionError::Repeated { name } => {
            ValueRefusal::new(format!("{name} is given more than once in the query"), "write it once")
        }
        OptionError::Together { names, reason } => ValueRefusal::new(*names, *reason),
    }
}

/// Refuses a URL of AMQP 1.0 in the form of RabbitMQ's clients. RabbitMQ 4 accepts such a connection, and no service
/// publishes to the addresses there. A single `/`, or an addressing mode, shows that AMQP 1.0 is meant.
#[cfg(feature = "amqp1")]
fn check_rabbitmq_form(text: &str, url: &TransportUrl) -> Option<ValueRefusal> {
    let refused = |problem, or: &str| {
        let is_tls = url.driver() == "amqps" || url.hosts().iter().any(|host| host.port_or(5672) == 5671);
        let query = if is_tls { "...?ssl=1" } else { "" };
        Some(ValueRefusal::new(problem, format!("write rabbit://{query}; for AMQP 1.0 {or}")))
    };
    let hosts = text.split(['?', '#']).next()?.split_once("://")?.1;
    let path = hosts.split_once('/').map_or("", |(_, path)| path);
    let is_slashes = !path.is_empty() && path.chars().all(|c| c == '/');
    if is_slashes || path.eq_ignore_ascii_case("%2f") {
        return refused("amqp:// is AMQP 1.0, and this path is RabbitMQ's virtual host /", "write one /");
    }
    let default = |host: &TransportHost| {
        let is_guest = host.username.is_some() && host.credentials() == ("guest", "guest");
        match host.port_or(5672) {
            5672 if is_guest => Some("amqp:// is AMQP 1.0, and guest at port 5672 is RabbitMQ's default"),
            5671 if is_guest => {
                Some("amqp:// is AMQP 1.0, and guest at port 5671 is RabbitMQ's default with TLS")
            }
            _ => None,
        }
    };
    let has_mode = url.query().iter().any(|(name, _)| name == "addressing_mode");
    let problem = url.hosts().iter().find_map(default).filter(|_| !has_mode)?;
    refused(problem, "add ?addressing_mode=legacy, or routable")
}

/// Whether a URL of AMQP 1.0 names a user or a virtual host at a port that is also RabbitMQ's, and no addressing mode.
pub(crate) fn may_be_rabbitmq(url: &TransportUrl) -> bool {
    (url.virtual_host() != "/" || url.hosts().iter().any(|host| host.username.is_some()))
        && url.hosts().iter().any(|host| matches!(host.port_or(5672), 5671 | 5672))
        && !url.query().iter().any(|(name, _)| name == "addressing_mode")
}

/// Whether an `@` follows the end of the hosts. Such a URL parses with a strange virtual host, but
/// its password really contains a bare `/`, and would be printed as the virtual host.
fn at_behind_host(url: &str) -> bool {
    let hosts = url.split_once("://").map_or(url, |(_, rest)| rest);
    hosts.find(['/', '?', '#']).is_some_and(|end| hosts[end..].contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_for_a_url_that_cannot_be_read_is_of_its_driver() {
        let said = |url: &str| check(url).err().map(|refusal| refusal.allowed);
        let rabbit = "write rabbit://user:password@host:port/vhost";
        for (url, expected) in [
            ("Kafka://h1;h2/", "write kafka://user:password@host:port/"),
            ("rabbit://h1;h2/", rabbit),
            ("rabit://h1;h2/", rabbit),
            ("h1;h2", rabbit),
        ] {
            assert_eq!(said(url).as_deref(), Some(expected), "{url}");
        }
    }

    #[cfg(feature = "amqp1")]
    #[test]
    fn a_url_of_rabbitmq_is_no_url_of_amqp_1() {
        let said = |url: &str| check(url).err().map(|refusal| refusal.allowed);
        let path = "write rabbit://; for AMQP 1.0 write one /";
        let login = "write rabbit://; for AMQP 1.0 add ?addressing_mode=legacy, or routable";
        let tls = "write rabbit://...?ssl=1; for AMQP 1.0 write one /";
        let login_with_tls =
            "write rabbit://...?ssl=1; for AMQP 1.0 add ?addressing_mode=legacy, or routable";
        for (url, expected) in [
            ("amqp://guest:guest@localhost:5672//", Some(path)),
            ("amqp://osnl:secret@mq1:5672//", Some(path)),
            ("amqp://osnl:secret@mq1:5672///", Some(path)),
            ("amqp://osnl:secret@mq1/%2f?pseudo_vhost=false", Some(path)),
            ("amqps://osnl:secret@mq1:5671//", Some(tls)),
            ("amqp://guest:guest@localhost:5672/", Some(login)),
            ("amqp://guest:guest@mq1,guest:guest@mq2:5672/v", Some(login)),
            ("amqp://guest:guest@localhost:5672/?addressing_mode=legacy", None),
            ("amqps://guest:guest@mq1:5671/", Some(login_with_tls)),
            ("amqp://guest:guest@mq1:5671/v", Some(login_with_tls)),
            ("amqps://guest:guest@mq1:5671/?addressing_mode=routable", None),
            ("amqp://guest:guest@localhost:5673/", None),
            ("amqp://guest:secret@localhost/", None),
            ("amqp://guest:guest@mq1,osnl:secret@mq2/", Some(login)),
            ("amqp://osnl:secret@mq1:5672,osnl:secret@mq2:5672/", None),
            ("amqp://localhost:5672", None),
            ("amqps://osnl:secret@mq1/v", None),
            ("rabbit://guest:guest@localhost:5672//", None),
            ("amqp://h1;h2/", Some("write amqp://user:password@host:port/vhost")),
            ("amqps://h1;h2/", Some("write amqps://user:password@host:port/vhost")),
        ] {
            assert_eq!(said(url).as_deref(), expected, "{url}");
        }
        // The default port of amqps is 5671.
        let refusal = check("amqps://guest:guest@mq1/").unwrap_err();
        assert!(refusal.problem.contains("guest at port 5671"), "{refusal}");
    }
}
