use std::fmt::{self, Write as _};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Secret, TransportHost, TransportUrl};
use crate::redact::is_secret_key;

/// Every character but RFC 3986's unreserved ones.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl fmt::Display for TransportUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&url(self, false))
    }
}

impl fmt::Debug for TransportUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransportUrl({self})")
    }
}

impl fmt::Debug for TransportHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransportHost({})", host(self, false))
    }
}

pub(super) fn url(url: &TransportUrl, with_secrets: bool) -> String {
    let hosts: Vec<_> = url.hosts.iter().map(|each| host(each, with_secrets)).collect();
    let virtual_host = utf8_percent_encode(url.virtual_host.as_deref().unwrap_or_default(), ESCAPED);
    let mut text = format!("{}://{}/{virtual_host}", url.driver, hosts.join(","));
    for (index, (key, value)) in url.query.iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.extend(utf8_percent_encode(key, ESCAPED));
        text.push('=');
        text.push_str(&secret(value, with_secrets || !is_secret_key(key)));
    }
    text
}

fn host(host: &TransportHost, with_secrets: bool) -> String {
    let mut text = String::new();
    if let Some(username) = &host.username {
        text.push_str(&secret(username, with_secrets || !host.hides_user()));
    }
    if let Some(password) = &host.password {
        text.push(':');
        text.push_str(&secret(Secret::expose(password), with_secrets));
    }
    if !text.is_empty() {
        text.push('@');
    }
    if host.hostname.contains(':') {
        text.extend(["[", &host.hostname, "]"]);
    } else {
        text.push_str(&host.hostname);
    }
    if let Some(port) = host.port {
        let _ = write!(text, ":{port}");
    }
    text
}

fn secret(text: &str, shown: bool) -> String {
    if shown { utf8_percent_encode(text, ESCAPED).to_string() } else { "***".to_owned() }
}
