use percent_encoding::percent_decode_str;

use super::{Secret, TransportHost, TransportUrl, TransportUrlError};

/// The port of `amqps://` in the specification of AMQP's URIs. oslo.messaging has no such scheme.
const AMQPS_PORT: u16 = 5671;

type Result<T> = std::result::Result<T, TransportUrlError>;

pub(super) fn transport_url(url: &str) -> Result<TransportUrl> {
    let url = if url.is_empty() { "rabbit://" } else { url };
    let (driver, rest) = url.split_once("://").ok_or(TransportUrlError::Scheme)?;
    if !is_scheme(driver) {
        return Err(TransportUrlError::Scheme);
    }
    let (rest, _fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (driver, mut hosts) = (driver.to_ascii_lowercase(), hosts(authority)?);
    if driver == "amqps" {
        hosts.iter_mut().filter(|host| host.port.is_none()).for_each(|host| host.port = Some(AMQPS_PORT));
    }
    Ok(TransportUrl {
        driver,
        hosts,
        virtual_host: Some(decoded(path, "virtual host")?).filter(|name| !matches!(name.as_str(), "" | "/")),
        folded_dollars: false,
        query: query.split('&').filter(|pair| !pair.is_empty()).map(query_pair).collect::<Result<_>>()?,
    })
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn hosts(authority: &str) -> Result<Vec<TransportHost>> {
    let mut hosts = Vec::new();
    for (index, text) in authority.split(',').enumerate() {
        hosts.push(host(text, index + 1)?);
    }
    if let [only] = &mut *hosts {
        if only.hostname.is_empty() {
            only.hostname.push_str("localhost");
        }
    } else {
        hosts.retain(|host| !host.hostname.is_empty());
    }
    if hosts.is_empty() {
        hosts.push(host("localhost", 1)?);
    }
    let mut any_guest = false;
    for TransportHost { username, password, may_be_cut, .. } in &mut hosts {
        *may_be_cut = any_guest && username.is_some() && password.is_none();
        any_guest |= username.is_none() && password.is_none();
    }
    Ok(hosts)
}

fn host(text: &str, number: usize) -> Result<TransportHost> {
    let (user_info, address) = text.rsplit_once('@').unwrap_or(("", text));
    if address.contains(separates) || holds_a_list(user_info) {
        return Err(TransportUrlError::Separator { number });
    }
    let (username, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let (hostname, port) = host_and_port(address, number)?;
    // Nothing decodes a host: only an IPv6 address has a %, before its zone.
    let is_of_a_name = |c: char| match c {
        '%' => hostname.contains(':'),
        c => c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':'),
    };
    if !hostname.chars().all(is_of_a_name) {
        return Err(TransportUrlError::Host { number });
    }
    Ok(TransportHost {
        hostname: hostname.to_owned(),
        port: port.map(|port| port_number(port, number)).transpose()?,
        username: Some(decoded(username, "user")?).filter(|text| !text.is_empty()),
        password: Some(decoded(password, "password")?).filter(|text| !text.is_empty()).map(Secret::new),
        may_be_cut: false,
    })
}

fn separates(c: char) -> bool {
    c == ';' || c == '|' || c.is_whitespace()
}

/// Whether the user information is `user:password@host:port;user:password`, of a list that no comma separates, or
/// begins with the blank behind a comma.
fn holds_a_list(user_info: &str) -> bool {
    let further = |(at, _): (usize, &str)| {
        let (before, login) = (&user_info[..at], &user_info[at + 1..]);
        let login = login.trim_start();
        let host = before.rsplit('@').next().unwrap_or_default();
        let is_host = host_and_port(host.trim_end(), 1).is_ok_and(|(name, port)| {
            let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            !name.is_empty() && port.is_none_or(is_port)
        });
        before.contains('@') && is_host && login.contains(':')
    };
    user_info.starts_with(char::is_whitespace)
        || user_info.match_indices([';', '|', ' ', '\t', '\n']).any(further)
}

fn host_and_port(address: &str, number: usize) -> Result<(&str, Option<&str>)> {
    let Some(bracketed) = address.strip_prefix('[') else {
        return Ok(match address.split_once(':') {
            Some((hostname, port)) => (hostname, Some(port)),
            None => (address, None),
        });
    };
    let (hostname, rest) = bracketed.split_once(']').ok_or(TransportUrlError::Host { number })?;
    match (rest, rest.strip_prefix(':')) {
        ("", _) => Ok((hostname, None)),
        (_, Some(port)) => Ok((hostname, Some(port))),
        (_, None) => Err(TransportUrlError::Host { number }),
    }
}

fn port_number(text: &str, number: usize) -> Result<u16> {
    // `parse` alone would accept a leading plus.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TransportUrlError::Port { number });
    }
    text.parse().map_err(|_| TransportUrlError::Port { number })
}

fn query_pair(pair: &str) -> Result<(String, String)> {
    // In a query a plus is a blank.
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    Ok((decoded(&key.replace('+', " "), "query")?, decoded(&value.replace('+', " "), "query")?))
}

fn decoded(text: &str, part: &'static str) -> Result<String> {
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(TransportUrlError::PercentEscape { part }),
    }
}
