//! Chooses a proxy for a request as Python's urllib does for k2hr3_osnl.
//!
//! - `http_proxy` and `https_proxy` apply to targets of their scheme. Lower case wins over upper
//!   case, even if empty. With `REQUEST_METHOD` in the environment, `HTTP_PROXY` is ignored, and
//!   `all_proxy` always is.
//! - `no_proxy` is `*` alone, or a list of names, addresses and `name:port`, separated by commas. A
//!   target is exempt if its host, or host and port, equals an entry or ends with a dot and an
//!   entry. There are no patterns or networks.
//! - The default port of a proxy is 80 for http targets and 443 for https targets. The scheme may
//!   be missing. `https_proxy=https://…` is used without TLS, as in urllib; `http_proxy=https://…`,
//!   for which urllib uses TLS, is refused.
//! - User and password, if both are present, become `Proxy-Authorization: Basic`.
//!
//! `fixtures/k2hr3/proxies.json` has urllib's decisions in some 350 cases.

use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Uri;
use hyper::header::HeaderValue;
use osnl_model::Scrubber;
use percent_encoding::percent_decode_str;

use crate::http::url::{Scheme, Url};

/// The proxies of an environment, unchecked: a wrong proxy that no target needs is no error. Prints
/// no login.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<String>,
    https: Option<String>,
    no_proxy: Option<String>,
}

/// A proxy that cannot be used. The error repeats no text of the URL, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{variable} of the environment: {problem}; write it as http://HOST:PORT or http://USER:PASSWORD@HOST:PORT"
)]
pub struct ProxyError {
    pub variable: &'static str,
    pub problem: &'static str,
}

impl Proxies {
    pub fn from_environment<'a>(variables: impl IntoIterator<Item = &'a (OsString, OsString)>) -> Self {
        let variables: Vec<(&str, &str)> = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)))
            .collect();
        let mut proxies = Self::default();
        for (name, value) in &variables {
            if let Some(place) = proxies.place(&name.to_lowercase()).filter(|_| !value.is_empty()) {
                *place = Some((*value).to_owned());
            }
        }
        if variables.iter().any(|(name, _)| *name == "REQUEST_METHOD") {
            proxies.http = None;
        }
        for (name, value) in variables.iter().filter(|(name, _)| name.ends_with("_proxy")) {
            if let Some(place) = proxies.place(&name.to_lowercase()) {
                *place = (!value.is_empty()).then(|| (*value).to_owned());
            }
        }
        proxies
    }

    #[must_use]
    pub fn logins(&self) -> Vec<(&'static str, String)> {
        let proxies = self.each().filter_map(|(variable, proxy)| {
            let host = proxy.uri.host()?.trim_matches(['[', ']']).to_owned();
            proxy.authorization.map(|_| (variable, host))
        });
        proxies.collect()
    }

    /// Returns the proxies of targets that are not known yet, with their variables and without their logins.
    #[must_use]
    pub fn shown(&self) -> Vec<String> {
        let is_used = self.no_proxy.as_deref() != Some("*");
        self.each().filter(|_| is_used).map(|(variable, proxy)| format!("{proxy} ({variable})")).collect()
    }

    fn each(&self) -> impl Iterator<Item = (&'static str, Proxy)> {
        let each = [("http_proxy", Scheme::Http, &self.http), ("https_proxy", Scheme::Https, &self.https)];
        each.into_iter()
            .filter_map(|(variable, scheme, url)| Some((variable, Proxy::parse(scheme, url.as_ref()?).ok()?)))
    }

    /// Returns the proxy of a target, without its login.
    #[must_use]
    pub fn shown_toward(&self, target: &Url) -> Option<String> {
        let proxy = self.toward(target.scheme(), target.authority()).ok()?;
        proxy.as_ref().map(ToString::to_string)
    }

    /// Returns the entries of `no_proxy` that exempt no target: patterns, networks, ranges, URLs, beginnings of
    /// addresses, and lists that no comma separates.
    #[must_use]
    pub fn vain_exemptions(&self) -> Vec<&str> {
        let is_used = self.http.is_some() || self.https.is_some();
        let list = self.no_proxy.as_deref().filter(|list| is_used && *list != "*").unwrap_or_default();
        let entries = list.split(',').map(str::trim);
        entries.filter(|entry| !entry.is_empty() && !may_be_a_host(entry)).collect()
    }

    fn place(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "http_proxy" => Some(&mut self.http),
            "https_proxy" => Some(&mut self.https),
            "no_proxy" => Some(&mut self.no_proxy),
            _ => None,
        }
    }

    pub(crate) fn toward(&self, scheme: Scheme, authority: &str) -> Result<Option<Proxy>, ProxyError> {
        let url = match scheme {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        };
        match url {
            Some(url) if !self.exempts(authority) => Proxy::parse(scheme, url).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    fn exempts(&self, authority: &str) -> bool {
        let Some(list) = &self.no_proxy else { return false };
        let whole = authority.to_lowercase();
        let host = match whole.rsplit_once(':') {
            Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
            Some(_) | None => &whole,
        };
        // k2hr3_osnl had no IPv6 targets; an entry `::1` means `[::1]` here.
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        list == "*"
            || list.split(',').map(|name| name.trim().trim_start_matches('.').to_lowercase()).any(|name| {
                let covers =
                    |host: &str| host == name || host.strip_suffix(&name).is_some_and(|h| h.ends_with('.'));
                !name.is_empty() && (covers(host) || covers(&whole) || address.is_some_and(covers))
            })
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |url: &Option<String>| url.as_ref().map(|_| "set");
        f.debug_struct("Proxies")
            .field("http", &hidden(&self.http))
            .field("https", &hidden(&self.https))
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

/// An HTTP proxy, with the login that it gets.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    uri: Uri,
    authorization: Option<HeaderValue>,
}

impl Proxy {
    fn parse(target: Scheme, url: &str) -> Result<Self, ProxyError> {
        let (variable, default_port) = match target {
            Scheme::Http => ("http_proxy", 80),
            Scheme::Https => ("https_proxy", 443),
        };
        let refuse = |problem: &'static str| ProxyError { variable, problem };
        let (scheme, authority) = split_url(url).ok_or_else(|| refuse("the proxy's host is missing"))?;
        match (scheme.as_deref(), target) {
            (None | Some("http"), Scheme::Http | Scheme::Https) | (Some("https"), Scheme::Https) => {}
            (Some("https"), Scheme::Http) => {
                return Err(refuse("a proxy with TLS (https://) is not supported"));
            }
            (Some(_), Scheme::Http | Scheme::Https) => {
                return Err(refuse("only http:// proxies can be used"));
            }
        }
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (login.split_once(':'), host),
            None => (None, authority),
        };
        let host = percent_decode_str(host).decode_utf8_lossy();
        let address = Url::parse(&format!("http://{host}/"))
            .ok()
            .filter(|address| address.path_and_query() == "/" && !host.contains(['/', '?']))
            .ok_or_else(|| refuse("host and port are neither a name nor an address with a port"))?;
        let bare = match address.host() {
            v6 if v6.contains(':') => format!("[{v6}]"),
            name => name.to_owned(),
        };
        let port = if address.authority() == bare { default_port } else { address.port() };
        let uri = format!("http://{bare}:{port}/")
            .parse()
            .map_err(|_| refuse("the proxy's host is not a valid name"))?;
        Ok(Self { uri, authorization: login.and_then(|(user, password)| basic(user, password)) })
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    pub(crate) fn secrets(&self) -> Scrubber {
        let sent = self.authorization.as_ref().and_then(|login| login.to_str().ok()?.strip_prefix("Basic "));
        let login = sent.and_then(|sent| String::from_utf8(STANDARD.decode(sent).ok()?).ok());
        let password = login.as_ref().and_then(|login| Some(login.split_once(':')?.1));
        Scrubber::new(sent.into_iter().chain(password))
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.uri.authority() {
            Some(authority) => authority.fmt(f),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Whether an entry of `no_proxy` has the form of a name or an address, perhaps behind dots and before a port.
fn may_be_a_host(entry: &str) -> bool {
    let entry = entry.trim_start_matches('.');
    if entry.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok() {
        return true;
    }
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let host = match entry.rsplit_once(':') {
        Some((host, port)) if is_port(port) => host,
        Some(_) | None => entry,
    };
    let is_of_a_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    // No domain ends in numbers: with a dash, these are a range.
    let is_of_numbers = |c: char| c.is_ascii_digit() || c == '.' || (c == '-' && host.contains('.'));
    let is_numbers = host.chars().all(is_of_numbers);
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None if is_numbers => host.parse::<Ipv4Addr>().is_ok(),
        None => host.chars().all(is_of_a_name) && !host.ends_with('.'),
    }
}

fn split_url(url: &str) -> Option<(Option<String>, &str)> {
    let (scheme, rest) = match url.find([':', '/']) {
        Some(at) if at > 0 && url[at..].starts_with(':') => (Some(url[..at].to_lowercase()), &url[at + 1..]),
        Some(_) | None => (None, url),
    };
    if !rest.starts_with('/') {
        return Some((None, url));
    }
    let rest = rest.strip_prefix("//")?;
    let from = rest.find('@').unwrap_or(0);
    let end = rest[from..].find('/').map_or(rest.len(), |end| from + end);
    Some((scheme, &rest[..end]))
}

fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    if user.is_empty() || password.is_empty() {
        return None;
    }
    let plain = format!(
        "{}:{}",
        percent_decode_str(user).decode_utf8_lossy(),
        percent_decode_str(password).decode_utf8_lossy()
    );
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;
