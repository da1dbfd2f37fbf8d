//! A target's URL, kept byte for byte.
//!
//! The request line of k2hr3_osnl repeats the path of its file (`/v1/r%6fle`, a trailing slash),
//! and a signature may cover the path, so this type does not normalise.

use std::fmt;
use std::net::Ipv6Addr;

use hyper::http::uri::{Authority, PathAndQuery};

/// The scheme of a target: with or without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// Display gives the original text with the scheme in lower case, and `/` for a missing path.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    scheme: Scheme,
    authority: String,
    host: String,
    port: Option<u16>,
    path_and_query: String,
}

/// The part of a URL at which a fault is, for an error that points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlPart {
    Scheme,
    UserInformation,
    Host,
    Port,
    Path,
    Query,
    Fragment,
}

/// The reason why a text is no [`Url`]. The error names the part and repeats no text, because a
/// wrong URL may hold a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}{}; {allowed}", length.map(|bytes| format!(" ({bytes} bytes)")).unwrap_or_default())]
pub struct UrlError {
    pub part: UrlPart,
    pub problem: &'static str,
    pub allowed: &'static str,
    pub length: Option<usize>,
}

impl Url {
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
            Some(_) | None => {
                return refuse(
                    UrlPart::Scheme,
                    "the scheme must be http or https",
                    "begin with http:// or https://",
                );
            }
        };
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return refuse(
                UrlPart::UserInformation,
                "user information is not allowed",
                "remove the part before the @ of the host",
            );
        }
        let (host, authority, port) = split_authority(authority)?;
        if tail.contains('#') {
            return refuse(
                UrlPart::Fragment,
                "a fragment is not allowed",
                "leave out the # and what follows",
            );
        }
        let slash = if tail.starts_with('/') { "" } else { "/" };
        let path_and_query = format!("{slash}{tail}");
        let length = format!("{scheme}://{authority}").len() + path_and_query.len();
        if length > LONGEST_URL {
            return Err(UrlError {
                part: if tail.contains('?') { UrlPart::Query } else { UrlPart::Path },
                problem: "the URL is too long",
                allowed: "at most 65534 bytes can be sent",
                length: Some(length),
            });
        }
        if PathAndQuery::try_from(path_and_query.as_str()).is_err()
            || !path_and_query.bytes().all(|b| b.is_ascii_graphic())
        {
            let bad = path_and_query.find(|c: char| !c.is_ascii_graphic()).unwrap_or(0);
            let query = path_and_query.find('?').is_some_and(|query| query < bad);
            return refuse(
                if query { UrlPart::Query } else { UrlPart::Path },
                if query {
                    "the query has a character that a URL can't have"
                } else {
                    "the path has a character that a URL can't have"
                },
                "write spaces, control and non-ASCII characters percent-encoded (a space is %20)",
            );
        }
        Ok(Self { scheme, authority, host, port, path_and_query })
    }

    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let name = self.host.trim_end_matches('.').to_ascii_lowercase();
        let address = self.host.parse::<std::net::IpAddr>();
        name == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
    }

    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        })
    }

    /// Whether both URLs name one server: scheme, host, and port are equal, whatever the path.
    #[must_use]
    pub fn is_same_place(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && self.host.eq_ignore_ascii_case(&other.host)
            && self.port() == other.port()
    }

    pub fn authority(&self) -> &str {
        &self.authority
    }

    pub fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    pub fn has_query(&self) -> bool {
        self.path_and_query.contains('?')
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path_and_query)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

const LONGEST_URL: usize = 65_534;
/// The longest name of RFC 1035, with a final dot.
const LONGEST_HOST: usize = 254;

fn split_authority(text: &str) -> Result<(String, String, Option<u16>), UrlError> {
    let (written, port) = match text.rfind(':') {
        Some(colon) if !text[colon..].contains(']') => (&text[..colon], Some(&text[colon + 1..])),
        Some(_) | None => (text, None),
    };
    if written.is_empty() {
        return refuse(UrlPart::Host, "the host is missing", "write its name or address after ://");
    }
    let (host, good) = match written.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => (address, address.parse::<Ipv6Addr>().is_ok()),
        None => {
            (written, written.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')))
        }
    };
    // An event may contain a host of any length, which every table of hosts would store.
    if !good || written.len() > LONGEST_HOST || Authority::try_from(written).is_err() {
        return refuse(
            UrlPart::Host,
            "the host is neither a name nor an address",
            "a name has letters, digits, dots and dashes; an IPv6 address is written in brackets, without a zone",
        );
    }
    // `host:` equals `host`, for Python's client as for RFC 3986.
    let Some(port) = port.filter(|port| !port.is_empty()) else {
        return Ok((host.to_owned(), written.to_owned(), None));
    };
    match port.parse::<u16>() {
        Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => {
            Ok((host.to_owned(), text.to_owned(), Some(number)))
        }
        Ok(_) | Err(_) => refuse(UrlPart::Port, "the port is not valid", "write a number from 1 to 65535"),
    }
}

fn refuse<T>(part: UrlPart, problem: &'static str, allowed: &'static str) -> Result<T, UrlError> {
    Err(UrlError { part, problem, allowed, length: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_are_kept_as_written() {
        let check = |text: &str, host: &str, port: u16, authority: &str, path: &str| {
            let url = Url::parse(text).expect(text);
            let pieces = (url.host(), url.port(), url.authority(), url.path_and_query());
            assert_eq!(pieces, (host, port, authority, path), "{text}");
        };
        check("https://localhost/v1/role", "localhost", 443, "localhost", "/v1/role");
        check("http://127.0.0.1:18080/v1/role", "127.0.0.1", 18080, "127.0.0.1:18080", "/v1/role");
        check("http://k2hr3-api.example.com/", "k2hr3-api.example.com", 80, "k2hr3-api.example.com", "/");
        check("http://K2HR3_api", "K2HR3_api", 80, "K2HR3_api", "/");
        check("HTTPS://h:443/", "h", 443, "h:443", "/");
        check("http://h:080/", "h", 80, "h:080", "/");
        check("http://h:/x", "h", 80, "h", "/x");
        check("http://[::1]/v1", "::1", 80, "[::1]", "/v1");
        check("https://[2001:DB8::1]:8443", "2001:DB8::1", 8443, "[2001:DB8::1]:8443", "/");
        check("http://h/v1/r%6fle/", "h", 80, "h", "/v1/r%6fle/");
        check("http://h//v1/./../role//", "h", 80, "h", "//v1/./../role//");
        check("http://h/a%2Fb%zz", "h", 80, "h", "/a%2Fb%zz");
        check("http://h/a@b:c", "h", 80, "h", "/a@b:c");
        check("http://h/v1?a=b", "h", 80, "h", "/v1?a=b");
        check("http://h?a=b?c", "h", 80, "h", "/?a=b?c");
        let long = "a".repeat(LONGEST_HOST);
        check(&format!("http://{long}/"), &long, 80, &long, "/");
    }

    #[test]
    fn a_place_is_a_scheme_a_host_and_a_port() {
        let check = |one: &str, other: &str, expected: bool| {
            let [one, other] = [one, other].map(|text| Url::parse(text).expect(text));
            assert_eq!(one.is_same_place(&other), expected, "{one} {other}");
            assert_eq!(other.is_same_place(&one), expected, "{other} {one}");
        };
        check("https://h/a", "https://h/b?c=d", true);
        check("https://h/", "HTTPS://H:443/", true);
        check("http://h:080/", "http://h:/", true);
        check("http://[2001:DB8::1]/", "http://[2001:db8::1]:80/", true);
        check("https://h/", "http://h/", false);
        check("https://h:8080/", "http://h:8080/", false);
        check("https://h/", "https://h:8443/", false);
        check("https://h/", "https://g/", false);
    }

    #[test]
    fn every_wrong_part_is_named() {
        let check = |text: &str, part: UrlPart| {
            assert_eq!(Url::parse(text).map_err(|e| e.part), Err(part), "{text:?}");
        };
        for text in
            ["", "https//localhost/v1/role", "localhost", "ftp://h/", "://h/", " http://h/", "http:/h"]
        {
            check(text, UrlPart::Scheme);
        }
        for text in [
            "http://",
            "http:///v1",
            "http://:80/",
            "http://?a",
            "http://#",
            "http://h h/",
            "http://h\u{e9}/",
            "http://[::1/",
            "http://::1/",
            "http://[::1%25eth0]/",
            "http://[h]/",
            "http://h]/",
            "http://a:1:2/",
            "http://[::1]x:2/",
            "http://h\\p/",
            "http://h%41/",
            &format!("http://{}/", "a".repeat(LONGEST_HOST + 1)),
        ] {
            check(text, UrlPart::Host);
        }
        for text in [
            "http://h:0/",
            "http://h:65536/",
            "http://h:+80/",
            "http://h:-1/",
            "http://h:8o/",
            "http://h: 80/",
        ] {
            check(text, UrlPart::Port);
        }
        for text in ["http://u:p@h/", "http://@h/", "http://u@h"] {
            check(text, UrlPart::UserInformation);
        }
        for text in ["http://h/#", "http://h/a?b#c", "http://h#x"] {
            check(text, UrlPart::Fragment);
        }
        for text in [
            "http://h/a b",
            "http://h/a\nb",
            "http://h/a\u{7f}",
            "http://h/\u{e9}",
            "http://h/a\tb",
            "http://h/<",
        ] {
            check(text, UrlPart::Path);
        }
        for text in ["http://h/?a b", "http://h/?\u{e9}"] {
            check(text, UrlPart::Query);
        }
    }

    #[test]
    fn a_url_that_is_too_long_is_refused_with_its_length() {
        let url = |length: usize| format!("http://h/?q={}", "a".repeat(length - "http://h/?q=".len()));
        let longest = Url::parse(&url(LONGEST_URL)).unwrap();
        assert!(longest.to_string().parse::<hyper::Uri>().is_ok());
        for length in [LONGEST_URL + 1, 70_000] {
            assert!(url(length).parse::<hyper::Uri>().is_err(), "{length}");
            let error = Url::parse(&url(length)).unwrap_err();
            let expected =
                format!("the URL is too long ({length} bytes); at most {LONGEST_URL} bytes can be sent");
            assert_eq!((error.part, error.to_string()), (UrlPart::Query, expected));
        }
    }

    #[test]
    fn display_gives_back_what_was_written() {
        for text in ["https://localhost/v1/role", "http://[::1]:80/r%6fle/?a=b"] {
            assert_eq!(Url::parse(text).expect(text).to_string(), text);
        }
        assert_eq!(Url::parse("HTTP://h").expect("a URL").to_string(), "http://h/");
    }
}
