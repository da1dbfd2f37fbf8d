use osnl_config::shown;
use osnl_config::typed::ValueRefusal;
use osnl_model::TransportUrl;
use osnl_transport::{Driver, OptionError, RabbitOptions, unknown_driver};

pub fn check(text: &str) -> Result<TransportUrl, ValueRefusal> {
    const FORM: &str = "write rabbit://user:password@host:port/vhost";
    let url = TransportUrl::parse(text)
        .map_err(|error| ValueRefusal::new(format!("bad transport URL: {error}"), FORM))?;
    if at_behind_host(text) {
        return Err(ValueRefusal::new(
            "bad transport URL: there is an @ after the hosts",
            "in a password write / as %2F, ? as %3F and # as %23; elsewhere write @ as %40",
        ));
    }
    let read = match Driver::named(url.driver()) {
        #[cfg(feature = "amqp1")]
        Some(Driver::Amqp1) => osnl_transport::Amqp1Options::from_query(&url).map(drop),
        #[cfg(feature = "kafka")]
        Some(Driver::Kafka) => osnl_transport::KafkaOptions::from_query(&url).map(drop),
        Some(Driver::Rabbit) => RabbitOptions::from_query(&url).map(drop),
        _ => return Err(unknown_driver(url.driver())),
    };
    match read {
        // An overlaid section may resolve conflicting options, so the caller checks the result.
        Ok(()) | Err(OptionError::Together { .. }) => Ok(url),
        Err(error) => Err(option_refusal(&error)),
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

/// Whether an `@` follows the end of the hosts. Such a URL parses with a strange virtual host, but
/// its password really contains a bare `/`, and would be printed as the virtual host.
fn at_behind_host(url: &str) -> bool {
    let hosts = url.split_once("://").map_or(url, |(_, rest)| rest);
    hosts.find(['/', '?', '#']).is_some_and(|end| hosts[end..].contains('@'))
}
