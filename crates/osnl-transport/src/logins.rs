use osnl_model::{LoginProtection, SentLogin, TransportHost, TransportUrl};

/// Returns the logins of a URL whose passwords go to the brokers unencrypted.
#[must_use]
pub fn in_clear(url: &TransportUrl, remedy: &'static str) -> Vec<SentLogin> {
    let of_host = |host: &TransportHost| {
        SentLogin::new("transport_url", &host.hostname, LoginProtection::Clear, remedy)
    };
    url.hosts().iter().filter(|host| host.password.is_some()).map(of_host).collect()
}
