//! The action `k2hr3_register`: when a port or an instance is created, adds its host to a role of
//! K2HR3. The counterpart of [`k2hr3`](super::k2hr3), which deletes hosts.
//!
//! ```text
//! PUT /v1/role/<role>?host=10.0.0.1&port=0&cuk=<instance>&extra=openstack-auto-v1
//! X-Auth-Token: U=<scoped token of a user>
//! ```
//!
//! Each address has one request, and a repeated registration has no further effect. `extra` and
//! `cuk` make the link by which the deletion finds the host.
//!
//! **IPv6**: K2HR3 recognises an IPv6 address only if its last group is a single hex digit
//! (`2001:db8::6`). It would store any other as a *host name*, which no deletion by instance
//! removes. Such addresses are skipped with a warning.

mod conf;
mod members;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use osnl_action::{Action, ActionError, Completion, ErrorClass, Event};
use osnl_config::read_regular;
use osnl_model::{Notification, Scrubber, resources};
use osnl_net::http::Url as ApiUrl;
use osnl_net::http::header::{HeaderName, HeaderValue, USER_AGENT};
use osnl_net::http::{Client, Method, Request, Url};
use osnl_transport::BoxFuture;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

pub use self::conf::K2hr3RegisterConf;
pub use self::members::RoleMembers;
use super::k2hr3::{HostParameters, Unusable};

pub struct K2hr3Register {
    client: Client,
    api_url: ApiUrl,
    role: String,
    token_file: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
struct Registration {
    cuk: String,
    addresses: Vec<String>,
    left_out: Vec<String>,
}

/// A publisher may name any number, and each address is a request.
const MOST_ADDRESSES: usize = 1024;

/// Reads a notification of one resource: of a bulk request, the part.
fn asked_for(notification: &Notification) -> Result<Registration, Unusable> {
    let HostParameters { cuk, addresses } = HostParameters::from_payload(&notification.payload)?;
    let addresses = match addresses.is_empty() {
        false => addresses,
        true => {
            let found = resources(notification);
            let all = found.first().and_then(|resource| resource.addresses.as_deref()).unwrap_or_default();
            all.iter().map(|address| address.address.to_string()).collect()
        }
    };
    if addresses.len() > MOST_ADDRESSES {
        let count = addresses.len();
        return Err(Unusable::Unreadable(format!(
            "{count} addresses; at most {MOST_ADDRESSES} are registered"
        )));
    }
    let (addresses, left_out): (Vec<String>, Vec<String>) =
        addresses.into_iter().partition(|address| is_taken_for_an_address(address));
    if addresses.is_empty() {
        let why = match left_out.is_empty() {
            true => "it has no address yet".to_owned(),
            false => format!("K2HR3 takes none of its addresses for one: {}", left_out.join(", ")),
        };
        return Err(Unusable::NothingToDo(why));
    }
    Ok(Registration { cuk, addresses, left_out })
}

fn is_taken_for_an_address(text: &str) -> bool {
    match text.parse() {
        Ok(IpAddr::V4(_)) => true,
        Ok(IpAddr::V6(_)) => {
            let last = text.rsplit(':').next().unwrap_or_default();
            last.len() == 1 && last.bytes().all(|byte| byte.is_ascii_hexdigit())
        }
        Err(_) => false,
    }
}

fn request_url(api_url: &ApiUrl, role: &str, cuk: &str, address: &str) -> String {
    let quoted = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (address, cuk) = (quoted(&address.to_lowercase()), quoted(cuk).replace("%2D", "-"));
    let address = address.replace("%2E", ".");
    let base = api_url.to_string();
    let base = base.trim_end_matches('/');
    format!(
        "{base}/{}?host={address}&port=0&cuk={cuk}&extra=openstack-auto-v1",
        quoted(role).replace("%2D", "-").replace("%5F", "_")
    )
}

/// Reads `U=…` or `R=…` for each attempt: tokens expire, and the operator renews the file.
fn token(path: &Path) -> Result<HeaderValue, String> {
    const LONGEST: u64 = 16 * 1024;
    let refuse = |problem: &str| format!("token_file {}: {problem}", path.display());
    let bytes = read_regular(path, LONGEST).map_err(|error| refuse(&error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| refuse("is not UTF-8"))?;
    let text = text.trim();
    if !text.starts_with("U=") && !text.starts_with("R=") {
        return Err(refuse("a token begins with U= or R="));
    }
    let mut value = HeaderValue::from_str(text).map_err(|_| refuse("the token is not one line"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// K2HR3 repeats a token in its answers without the `U=` or `R=`.
fn secrets(token: &HeaderValue) -> Scrubber {
    Scrubber::new(token.to_str().ok().and_then(|token| token.get(2..)))
}

impl K2hr3Register {
    async fn register(&self, event: &Event) -> Result<Completion, ActionError> {
        let asked = match asked_for(event.names().notification()) {
            Ok(asked) => asked,
            Err(Unusable::NothingToDo(why)) => return Ok(Completion::NothingToDo(why)),
            Err(Unusable::Unreadable(why)) => return Err(ActionError::new(ErrorClass::Content, why)),
        };
        if !asked.left_out.is_empty() {
            tracing::warn!(
                action.name = &*event.action,
                delivery.id = event.delivery.as_deref(),
                instance.id = asked.cuk,
                addresses = asked.left_out.join(", "),
                "these addresses cannot be registered; K2HR3 would take them for host names"
            );
        }
        // A missing token is not the event's fault.
        let token = token(&self.token_file).map_err(|why| ActionError {
            own_kind: Some("no token"),
            own_remedy: Some("check token_file, and that osnl's user may read it".into()),
            ..ActionError::new(ErrorClass::Connect, why)
        })?;
        for address in &asked.addresses {
            self.put(&asked.cuk, address, &token).await?;
        }
        let addresses = asked.addresses.join(",");
        Ok(Completion::Delivered(format!("PUT role {} cuk={} host={addresses}", self.role, asked.cuk)))
    }

    async fn put(&self, cuk: &str, address: &str, token: &HeaderValue) -> Result<(), ActionError> {
        let url = Url::parse(&request_url(&self.api_url, &self.role, cuk, address));
        let url =
            url.map_err(|error| ActionError::new(ErrorClass::Content, format!("no valid request: {error}")))?;
        let mut request = Request::new(Method::PUT, url);
        request
            .headers
            .insert(USER_AGENT, HeaderValue::from_static(concat!("osnl/", env!("CARGO_PKG_VERSION"))));
        request.headers.insert(HeaderName::from_static("x-auth-token"), token.clone());
        let answer = self.client.send(request).await?;
        match answer.status.is_success() {
            true => Ok(()),
            false => Err(answer.failure(&secrets(token)).into()),
        }
    }
}

impl Action for K2hr3Register {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        Box::pin(async move {
            let mut verdicts = Vec::with_capacity(events.len());
            for event in events {
                verdicts.push(self.register(event).await);
            }
            verdicts
        })
    }

    fn target(&self) -> String {
        format!("role {} of K2HR3 at {}", self.role, self.api_url)
    }

    fn certificate_ends(&self) -> Option<i64> {
        self.client.certificate_ends()
    }
}

#[cfg(test)]
mod tests {
    use osnl_core::received::ReceivedMessage;
    use osnl_net::http::HttpOptions;
    use serde_json::{Value, json};

    use super::*;

    const ID: &str = "12345678-1234-5678-1234-567812345678";

    #[test]
    fn a_port_and_an_instance_ask_for_their_addresses_and_not_for_host_names() {
        let check = |payload: Value, event_type: &str, expected: Result<(&[&str], &[&str]), &str>| {
            let notification =
                Notification { event_type: Some(event_type.to_owned()), payload, ..Notification::default() };
            let found = asked_for(&notification);
            match (found, expected) {
                (Ok(asked), Ok((addresses, left_out))) => {
                    assert_eq!(asked.cuk, ID);
                    assert_eq!((asked.addresses, asked.left_out), (owned(addresses), owned(left_out)));
                }
                (Err(Unusable::NothingToDo(why) | Unusable::Unreadable(why)), Err(expected)) => {
                    assert_eq!(why, expected);
                }
                (found, expected) => panic!("{found:?}, not {expected:?}"),
            }
        };
        let port = |addresses: &[&str]| {
            let fixed: Vec<Value> = addresses.iter().map(|address| json!({"ip_address": address})).collect();
            json!({"port": {"device_id": ID, "device_owner": "compute:nova", "fixed_ips": fixed}})
        };
        let create = "port.create.end";
        check(port(&["10.0.0.1", "2001:db8::6"]), create, Ok((&["10.0.0.1", "2001:db8::6"], &[])));
        check(port(&["10.0.0.1", "2001:db8::16"]), create, Ok((&["10.0.0.1"], &["2001:db8::16"])));
        check(
            port(&["2001:db8::16"]),
            create,
            Err("K2HR3 takes none of its addresses for one: 2001:db8::16"),
        );
        check(port(&[]), create, Err("it has no address yet"));
        let many = vec!["10.0.0.1"; 1025];
        check(port(&many[1..]), create, Ok((&many[1..], &[])));
        check(port(&many), create, Err("1025 addresses; at most 1024 are registered"));
        let legacy = json!({"instance_id": ID, "fixed_ips": [{"address": "10.0.0.2", "version": 4}]});
        check(legacy, "compute.instance.create.end", Ok((&["10.0.0.2"], &[])));
    }

    #[tokio::test]
    async fn a_port_of_a_bulk_request_registers_no_address_of_another() {
        let api_url = ApiUrl::parse("http://k2hr3/v1/role").unwrap();
        let client = Client::to(&HttpOptions::default(), &api_url).unwrap();
        let token_file = "/dev/zero".into();
        let action = K2hr3Register { client, api_url, role: "web".to_owned(), token_file };
        let payload = json!({"ports": [
            {"device_id": ID, "device_owner": "compute:nova", "fixed_ips": [{"ip_address": "10.0.0.1"}]},
            {"device_id": ID, "device_owner": "compute:nova", "fixed_ips": []},
        ]});
        let event_type = Some("port.create.end".to_owned());
        let notification = Notification { event_type, payload, ..Notification::default() };
        let mut event = Event::new(ReceivedMessage::sample(Vec::new(), false), notification, "r", "a");
        event.resource = Some(1);
        let nothing = Completion::NothingToDo("it has no address yet".to_owned());
        assert_eq!(action.register(&event).await, Ok(nothing));
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_token_is_read_from_a_regular_file_alone() {
        for path in ["/dev/zero", "/"] {
            let expected = format!("token_file {path}: is not a regular file");
            assert_eq!(token(Path::new(path)).unwrap_err(), expected);
        }
    }

    #[test]
    fn the_request_is_the_api_s() {
        let url = ApiUrl::parse("https://k2hr3.example.com/v1/role").unwrap();
        assert_eq!(
            request_url(&url, "web-servers", ID, "2001:DB8::6"),
            format!(
                "https://k2hr3.example.com/v1/role/web-servers?host=2001%3Adb8%3A%3A6&port=0&cuk={ID}&extra=openstack-auto-v1"
            )
        );
    }
}
