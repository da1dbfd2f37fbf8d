//! The checks of a request: its host, its token, and whether changes are allowed.

use std::sync::Arc;

use hyper::Version;
use hyper::header::{AUTHORIZATION, HOST, ORIGIN};
use hyper::http::request::Parts;
use osnl::native::{AdminAddress, AdminConf};
use ring::hmac;
use ring::rand::SystemRandom;

use crate::guesses::WrongTokens;

pub(crate) struct Access {
    /// Tokens by owner, compared as HMAC tags in constant time.
    tokens: Vec<(Arc<str>, hmac::Key, hmac::Tag)>,
    knows_callers: bool,
    allow_changes: bool,
    /// `None` if the address is the path of a socket.
    host_names: Option<Vec<String>>,
    pub(crate) wrong: WrongTokens,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// The request names another host, perhaps because a page in a browser uses a name that resolves to this
    /// address.
    Host,
    /// The request names no host, or several.
    NoHost,
    Token,
    /// Any local user could have sent the request about deliveries.
    Anonymous,
    Change,
}

impl Access {
    pub(crate) fn new(conf: &AdminConf) -> Result<Self, ring::error::Unspecified> {
        let tokens = conf.tokens.iter().map(|(owner, token)| {
            let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?;
            let tag = hmac::sign(&key, token.reveal().as_bytes());
            Ok::<_, ring::error::Unspecified>((owner.as_str().into(), key, tag))
        });
        Ok(Self {
            tokens: tokens.collect::<Result<_, _>>()?,
            knows_callers: conf.knows_callers(),
            allow_changes: conf.allow_changes,
            host_names: match conf.listen {
                AdminAddress::Tcp(_) => Some(conf.host_names.clone()),
                AdminAddress::Unix(_) => None,
            },
            wrong: WrongTokens::default(),
        })
    }

    pub(crate) fn for_control_socket() -> Self {
        let (tokens, host_names, wrong) = Default::default();
        Self { tokens, knows_callers: true, allow_changes: true, host_names, wrong }
    }

    pub(crate) fn host(&self, head: &Parts) -> Result<(), Denial> {
        let Some(names) = &self.host_names else { return Ok(()) };
        match named_host(head) {
            Some(host) if is_ours(host, names) => Ok(()),
            Some(_) => Err(Denial::Host),
            None if is_plain_probe(head) => Ok(()),
            None => Err(Denial::NoHost),
        }
    }

    /// Whether a form was sent from a page of this endpoint. A browser that reports `Sec-Fetch-Site`, which
    /// it sends only to encrypted and local addresses, is believed. Otherwise the `Origin` must have the host
    /// of the request, or a name of `host_names`, as behind a proxy that changes the Host. A request without
    /// either is not from a browser.
    pub(crate) fn is_own_form(&self, head: &Parts) -> bool {
        let mut origins = head.headers.get_all(ORIGIN).iter();
        match (site(head), origins.next(), origins.next()) {
            (Some("same-origin"), _, _) | (None | Some("none"), None, _) => true,
            (Some("none") | None, Some(origin), None) => {
                origin.to_str().is_ok_and(|origin| self.is_own_origin(origin, named_host(head)))
            }
            (Some(_) | None, ..) => false,
        }
    }

    fn is_own_origin(&self, origin: &str, host: Option<&str>) -> bool {
        // A browser sends the origin `null` for a page whose place it hides.
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        let port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return false,
        };
        let bare = |host: &str| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
        let name = authority.split_once(':').map_or(authority, |(name, _)| name).to_ascii_lowercase();
        host.is_some_and(|host| bare(host) == bare(authority))
            || self.host_names.iter().flatten().any(|known| *known == name)
    }

    pub(crate) fn token(&self, head: &Parts) -> Result<Arc<str>, Denial> {
        if self.tokens.is_empty() {
            return Ok("".into());
        }
        bearer(head).and_then(|given| self.owner(given)).ok_or(Denial::Token)
    }

    /// Returns the name of the token's owner. All tokens are compared, so that the time tells nothing.
    pub(crate) fn owner(&self, given: &str) -> Option<Arc<str>> {
        let given = given.trim().as_bytes();
        let owners =
            self.tokens.iter().filter(|(_, key, tag)| hmac::verify(key, given, tag.as_ref()).is_ok());
        owners.fold(None, |_, (owner, ..)| Some(owner.clone()))
    }

    pub(crate) fn api(&self, changes: bool) -> Result<(), Denial> {
        match (self.knows_callers, changes, self.allow_changes) {
            (false, ..) => Err(Denial::Anonymous),
            (true, true, false) => Err(Denial::Change),
            (true, false, _) | (true, true, true) => Ok(()),
        }
    }
}

/// Returns the token that the request gives. A proxy may add a header of another scheme.
pub(crate) fn bearer(head: &Parts) -> Option<&str> {
    let mut values = head.headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, given) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(given)
}

/// Returns the host that the request names.
fn named_host(head: &Parts) -> Option<&str> {
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next(), head.uri.authority()) {
        (Some(host), None, None) => host.to_str().ok(),
        (None, None, Some(authority)) => Some(authority.as_str()),
        _ => None,
    }
}

/// Whether the request is a load balancer's check in HTTP/1.0, where Host is optional. A browser always sends it.
fn is_plain_probe(head: &Parts) -> bool {
    head.version == Version::HTTP_10
        && is_probe(head.uri.path())
        && head.uri.authority().is_none()
        && !head.headers.contains_key(HOST)
}

/// Whether the path tells only if the daemon works, or is ready.
pub(crate) fn is_probe(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz")
}

/// Returns the caller's name for the log, behind the name of the token's owner.
pub(crate) fn named(owner: &str, caller: &str) -> String {
    if owner.is_empty() { caller.to_owned() } else { format!("{owner} through {caller}") }
}

pub(crate) fn site(head: &Parts) -> Option<&str> {
    head.headers.get("sec-fetch-site").and_then(|site| site.to_str().ok())
}

/// A numeric address cannot be another host's name; any name may resolve to this address, so names must be
/// configured.
fn is_ours(host: &str, names: &[String]) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_number);
            return is_port && address.parse::<std::net::Ipv6Addr>().is_ok();
        }
        None => match host.split_once(':') {
            Some((name, port)) if is_number(port) => name,
            Some(_) => return false,
            None => host,
        },
    };
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.parse::<std::net::Ipv4Addr>().is_ok() || names.contains(&name)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_another_origin_is_refused() {
        let names = Some(vec!["osnl.example.com".to_owned()]);
        let access = Access { host_names: names, ..Access::for_control_socket() };
        let check = |heads: &[(&str, &str)], expected: bool| {
            let request = hyper::Request::builder().header(HOST, "10.1.2.3:9464");
            let request = heads.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            let (head, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(access.is_own_form(&head), expected, "{heads:?}");
        };
        let (origin, site) = ("origin", "sec-fetch-site");
        check(&[], true);
        check(&[(site, "same-origin")], true);
        check(&[(site, "none")], true);
        check(&[(site, "same-site")], false);
        check(&[(site, "cross-site")], false);
        check(&[(origin, "http://10.1.2.3:9464")], true);
        check(&[(origin, "https://10.1.2.3:9464")], true);
        check(&[(origin, "http://10.1.2.3")], false);
        check(&[(origin, "http://10.1.2.3:80")], false);
        check(&[(origin, "http://10.1.2.4:9464")], false);
        check(&[(origin, "http://evil.com")], false);
        check(&[(origin, "http://localhost:9464")], false);
        check(&[(origin, "http://10.1.2.3:9464.evil.com")], false);
        check(&[(origin, "http://10.1.2.3:9464"), (origin, "http://evil.com")], false);
        check(&[(origin, "http://evil.com"), (site, "none")], false);
        check(&[(origin, "10.1.2.3:9464")], false);
        check(&[(origin, "null")], false);
        // The browser has compared the sites: a proxy has changed the Host, or a page hides its origin.
        check(&[(origin, "null"), (site, "same-origin")], true);
        check(&[(origin, "https://front.example.com"), (site, "same-origin")], true);
        check(&[(origin, "https://OSNL.example.com")], true);
        check(&[(origin, "https://osnl.example.com:8443")], true);
        check(&[(origin, "https://osnl.example.com.evil.com")], false);
        check(&[(origin, "https://osnl.example.com"), (site, "cross-site")], false);
        // A scheme's default port is omitted in an origin.
        let is_own = |origin, host| access.is_own_origin(origin, Some(host));
        assert!(is_own("https://front.example.com", "front.example.com:443"));
        assert!(is_own("http://[::1]", "[::1]:80"));
        assert!(!is_own("https://front.example.com", "front.example.com:80"));
        assert!(!access.is_own_origin("http://a", None));
    }

    #[test]
    fn a_token_is_given_once() {
        let check = |values: &[&str], expected: Option<&str>| {
            let request = hyper::Request::builder();
            let request = values.iter().fold(request, |request, value| request.header(AUTHORIZATION, *value));
            let (head, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(bearer(&head), expected, "{values:?}");
        };
        check(&["Bearer t"], Some("t"));
        check(&["bEARER t u"], Some("t u"));
        for refused in ["Bearer", "Bearert", "Basic t", "\tBearer t"] {
            check(&[refused], None);
        }
        check(&[], None);
        check(&["Bearer t", "Bearer t"], None);
        check(&["Basic t", "Bearer t"], None);
    }

    #[test]
    fn a_name_that_is_not_configured_is_another_host() {
        let names = ["osnl.example.com".to_owned()];
        for (host, expected) in [
            ("127.0.0.1:9464", true),
            ("127.0.0.1", true),
            ("10.1.2.3:9464", true),
            ("[::1]:9464", true),
            ("[::1]", true),
            ("localhost:1", true),
            ("LOCALHOST", true),
            ("osnl.example.com:9464", true),
            ("OSNL.example.com", true),
            ("evil.example.com:9464", false),
            ("127.0.0.1.evil.example.com", false),
            ("localhost.evil.example.com:9464", false),
            ("[::1].evil.example.com", false),
            ("[::1]:x", false),
            ("127.0.0.1:", false),
            ("evil.example.com:9464:1", false),
            ("", false),
            ("[::ffff:127.0.0.1]:1", true),
            ("127.1:9464", false),
            ("0177.0.0.1", false),
            ("0x7f000001", false),
            ("2130706433", false),
            ("127.0.0.1:80@evil.example.com", false),
            ("[::1]@evil.example.com", false),
            ("[fe80::1%25eth0]", false),
            ("localhost, evil.example.com", false),
            ("localhost ", false),
        ] {
            assert_eq!(is_ours(host, &names), expected, "{host}");
        }
    }
}
