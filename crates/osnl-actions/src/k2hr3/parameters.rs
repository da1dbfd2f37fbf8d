//! Reads the parameters of the `DELETE` from a payload, as k2hr3_osnl's `_payload_to_params` does.
//!
//! | kind | cuk (K2HR3's host key) | addresses |
//! | --- | --- | --- |
//! | neutron | `port.device_id` | `port.fixed_ips[].ip_address` |
//! | neutron, as k2hr3_osnl's manual prints it | `device_id` | `fixed_ips[].ip_address` |
//! | nova versioned | `nova_object.data.uuid` | none: every address of the instance |
//! | nova legacy | `instance_id` | none |
//!
//! The printed form, without `port`, is the manual's promise: the program made no request of it. No service sends an event
//! with a `device_id` there (`fixtures/emission`), so that form is read for every event.
//!
//! A port of the network itself (`device_owner` is `network:…`: DHCP, router) belongs to no
//! instance, so nothing is sent. k2hr3_osnl refused DHCP ports, and asked K2HR3 to forget routers,
//! which are unknown there.
//!
//! The forms are tried in this order, and a later form overwrites the cuk. The cuk must be a UUID
//! in the lax sense of Python's `uuid.UUID` and is sent as written; an address must pass
//! `inet_pton`.

use std::fmt::{self, Display};
use std::net::IpAddr;

use osnl_model::cut_marked;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

const QUOTED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~').remove(b'/');

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostParameters {
    pub cuk: String,
    /// The addresses in the notification's order; an empty list means all addresses.
    pub addresses: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The payload is about no instance: a DHCP port, an unbound port.
    NothingToDo(String),
    Unreadable(String),
}

impl HostParameters {
    /// Reads the host that a payload of any kind names.
    pub fn from_payload(payload: &Value) -> Result<Self, Unusable> {
        let unreadable = |why: &str| Unusable::Unreadable(why.to_owned());
        let Some(payload) = payload.as_object() else {
            return Err(unreadable("the payload is not an object"));
        };
        let filled = |key: &str| payload.get(key).filter(|value| !is_empty(value));
        let (port, fixed_ips) = match filled("port") {
            Some(Value::Object(port)) => (Some(port), "port.fixed_ips"),
            Some(_) => return Err(unreadable("payload.port is not an object")),
            None => (payload.contains_key("device_id").then_some(payload), "fixed_ips"),
        };
        let versioned = match filled("nova_object.data") {
            Some(Value::Object(data)) => Some(data),
            Some(_) => return Err(unreadable("payload[\"nova_object.data\"] is not an object")),
            None => None,
        };

        let addresses = match port.and_then(|port| port.get("fixed_ips")) {
            Some(found) => addresses(found, fixed_ips)?,
            None => Vec::new(),
        };
        let candidates = [
            port.and_then(|port| port.get("device_id")),
            versioned.and_then(|data| data.get("uuid")),
            filled("instance_id"),
        ];
        let cuk = candidates.into_iter().flatten().rfind(|cuk| !is_empty(cuk));
        let owner = port.and_then(|port| port.get("device_owner")).and_then(Value::as_str);
        if let (Some(owner), Some(cuk), None, None) =
            (owner.filter(|owner| owner.starts_with("network:")), cuk, versioned, filled("instance_id"))
        {
            return Err(port_without_instance(owner, cuk));
        }
        match cuk {
            Some(Value::String(cuk)) if is_uuid(cuk) => Ok(Self { cuk: cuk.clone(), addresses }),
            Some(cuk) => Err(match (cuk, owner) {
                (Value::String(id), Some(owner)) if !owner.starts_with("compute:") => {
                    port_without_instance(owner, id)
                }
                (cuk, _) => Unusable::Unreadable(format!("the instance id {} is not a UUID", cut(cuk))),
            }),
            None if port.is_some() && owner.is_some_and(|owner| !owner.starts_with("compute:")) => {
                Err(Unusable::NothingToDo("the port belongs to no instance".to_owned()))
            }
            None => Err(unreadable("there is no instance id in the payload")),
        }
    }

    /// Refuses a host that another reader than [`from_payload`](Self::from_payload) named and K2HR3 cannot know, as k2hr3_osnl did.
    pub(super) fn checked(self) -> Result<Self, Unusable> {
        if !is_uuid(&self.cuk) {
            return Err(Unusable::Unreadable(format!("the instance id {:?} is not a UUID", cut(&self.cuk))));
        }
        match self.addresses.iter().find(|text| text.parse::<IpAddr>().is_err()) {
            Some(text) => Err(Unusable::Unreadable(format!("{:?} is not an IP address", cut(text)))),
            None => Ok(self),
        }
    }

    #[must_use]
    pub fn request_target(&self, path_and_query: &str) -> String {
        let separator = if path_and_query.contains('?') { '&' } else { '?' };
        let cuk = utf8_percent_encode(&self.cuk, QUOTED);
        let mut target = format!("{path_and_query}{separator}extra=openstack-auto-v1&cuk={cuk}");
        if !self.addresses.is_empty() {
            let list = format!("[\"{}\"]", self.addresses.join("\", \""));
            target.push_str("&host=");
            target.extend(utf8_percent_encode(&list, QUOTED));
        }
        target
    }
}

impl Display for HostParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cuk={}", self.cuk)?;
        if self.addresses.is_empty() {
            f.write_str(" host=all")
        } else {
            write!(f, " host={}", self.addresses.join(","))
        }
    }
}

fn port_without_instance(owner: &str, id: &impl Display) -> Unusable {
    Unusable::NothingToDo(format!("the port belongs to \"{}\" ({}), not to an instance", cut(owner), cut(id)))
}

const LONGEST: usize = 255;

/// A publisher's value may have megabytes, and each reason is a line of the log.
fn cut(value: &(impl Display + ?Sized)) -> String {
    cut_marked(&value.to_string(), LONGEST)
}

/// Whether Python considers the value false: k2hr3_osnl skips such a value.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn addresses(fixed_ips: &Value, path: &str) -> Result<Vec<String>, Unusable> {
    if is_empty(fixed_ips) {
        return Ok(Vec::new());
    }
    let Some(fixed_ips) = fixed_ips.as_array() else {
        return Err(Unusable::Unreadable(format!("{path} is not a list")));
    };
    let mut addresses = Vec::new();
    for entry in fixed_ips {
        let Some(entry) = entry.as_object() else {
            return Err(Unusable::Unreadable(format!("an entry of {path} is not an object")));
        };
        match entry.get("ip_address") {
            None => {}
            Some(value) if is_empty(value) => {}
            Some(Value::String(text)) if text.parse::<IpAddr>().is_ok() => addresses.push(text.clone()),
            Some(other) => {
                return Err(Unusable::Unreadable(format!("{} in {path} is not an IP address", cut(other))));
            }
        }
    }
    Ok(addresses)
}

/// `urn:`, `uuid:`, braces and dashes are dropped anywhere, and 32 hex digits must remain. The sign, `0x`, `_`, spaces,
/// and digits of other scripts, which Python's `int` reads too, are refused.
fn is_uuid(text: &str) -> bool {
    if text.len() > LONGEST {
        return false;
    }
    let text = text.replace("urn:", "").replace("uuid:", "");
    let digits = text.trim_matches(['{', '}']).replace('-', "");
    digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "12345678-1234-5678-1234-567812345678";

    fn seen(read: Result<HostParameters, Unusable>) -> String {
        match read {
            Ok(parameters) => parameters.to_string(),
            Err(Unusable::NothingToDo(why)) => format!("nothing to do: {why}"),
            Err(Unusable::Unreadable(why)) => format!("unreadable: {why}"),
        }
    }

    fn check(payload: Value, expected: &str) {
        assert_eq!(seen(HostParameters::from_payload(&payload)), expected, "{payload}");
    }

    #[test]
    fn the_manual_s_flat_form_gives_what_the_wrapped_form_gives() {
        let ip = |address: &str| json!({"ip_address": address, "subnet_id": "s"});
        for port in [
            json!({"device_id": ID, "fixed_ips": [ip("10.0.0.1"), ip("2001:db8::6")]}),
            json!({"device_id": ID, "device_owner": "compute:nova", "fixed_ips": [ip("10.0.0.1")], "extra_dhcp_opts": []}),
            json!({"device_id": ID}),
            json!({"device_id": ID, "fixed_ips": {}}),
            json!({"device_id": ID, "fixed_ips": [ip("10.0.0.1/24")]}),
            json!({"device_id": ID, "fixed_ips": ["10.0.0.1"]}),
            json!({"device_id": ID, "fixed_ips": "10.0.0.1"}),
            json!({"device_id": ID, "device_owner": "network:router_interface"}),
            json!({"device_id": "reserved_dhcp_port", "device_owner": "network:dhcp"}),
            json!({"device_id": "", "device_owner": ""}),
            json!({"device_id": "i-0000002a", "device_owner": "compute:nova"}),
            json!({"device_id": null}),
        ] {
            let wrapped = seen(HostParameters::from_payload(&json!({"port": port})));
            check(port, &wrapped.replace("port.fixed_ips", "fixed_ips"));
        }
        let both = json!({"device_id": "flat", "port": {"device_id": ID, "fixed_ips": [ip("10.0.0.1")]}});
        check(both, &format!("cuk={ID} host=10.0.0.1"));
        check(json!({"port": {}, "device_id": ID}), &format!("cuk={ID} host=all"));
    }

    #[test]
    fn a_form_that_python_considers_false_is_skipped() {
        for empty in [json!(null), json!(""), json!([]), json!({}), json!(0), json!(0.0), json!(false)] {
            check(json!({"port": empty, "instance_id": ID}), &format!("cuk={ID} host=all"));
            let port = json!({"device_id": ID, "fixed_ips": [{"ip_address": "10.0.0.1"}]});
            check(
                json!({"port": port, "nova_object.data": empty, "instance_id": empty}),
                &format!("cuk={ID} host=10.0.0.1"),
            );
        }
    }

    #[test]
    fn a_value_of_any_length_is_a_short_reason() {
        let long = format!("{}é{}", "-".repeat(254), "-".repeat(1 << 16));
        let short = format!("{}…", "-".repeat(254));
        let port = |owner: &str, id: &str, address: &str| {
            let fixed_ips = json!([{"ip_address": address}]);
            json!({"port": {"device_id": id, "device_owner": owner, "fixed_ips": fixed_ips}})
        };
        check(
            port("compute:nova", &long, "10.0.0.1"),
            &format!("unreadable: the instance id \"{short} is not a UUID"),
        );
        check(
            port("compute:nova", &format!("{ID}{}", "-".repeat(1 << 16)), "10.0.0.1"),
            &format!("unreadable: the instance id \"{ID}{}… is not a UUID", "-".repeat(254 - ID.len())),
        );
        check(
            port("network:x", &long, "10.0.0.1"),
            &format!("nothing to do: the port belongs to \"network:x\" (\"{short}), not to an instance"),
        );
        check(
            port(&long, &long, "10.0.0.1"),
            &format!("nothing to do: the port belongs to \"{short}\" ({short}), not to an instance"),
        );
        check(
            port("compute:nova", ID, &long),
            &format!("unreadable: \"{short} in port.fixed_ips is not an IP address"),
        );
    }

    #[test]
    fn a_reader_of_ones_own_names_a_uuid_and_addresses() {
        for (cuk, address, expected) in [
            (ID, "2001:db8::6", format!("cuk={ID} host=2001:db8::6")),
            ("rack-3", "10.0.0.1", "unreadable: the instance id \"rack-3\" is not a UUID".to_owned()),
            (ID, "10.0.0.1\", \"", "unreadable: \"10.0.0.1\\\", \\\"\" is not an IP address".to_owned()),
        ] {
            let found = HostParameters { cuk: cuk.to_owned(), addresses: vec![address.to_owned()] };
            assert_eq!(seen(found.checked()), expected);
        }
    }

    #[test]
    fn ports_of_no_instance_are_nothing_to_do_and_broken_ones_are_said() {
        for (device_id, owner, expected) in [
            (
                "reserved_dhcp_port",
                "network:dhcp",
                "nothing to do: the port belongs to \"network:dhcp\" (\"reserved_dhcp_port\"), not to an instance",
            ),
            (
                ID,
                "network:router_interface",
                "nothing to do: the port belongs to \"network:router_interface\" (\"12345678-1234-5678-1234-567812345678\"), not to an instance",
            ),
            ("", "", "nothing to do: the port belongs to no instance"),
            ("", "network:floatingip", "nothing to do: the port belongs to no instance"),
            ("", "compute:nova", "unreadable: there is no instance id in the payload"),
            ("i-0000002a", "compute:nova", "unreadable: the instance id \"i-0000002a\" is not a UUID"),
        ] {
            check(json!({"port": {"device_id": device_id, "device_owner": owner}}), expected);
        }
        check(json!({"port_id": "x"}), "unreadable: there is no instance id in the payload");
        check(json!(null), "unreadable: the payload is not an object");
        check(json!([]), "unreadable: the payload is not an object");
        check(json!({"port": "x"}), "unreadable: payload.port is not an object");
        check(json!({"nova_object.data": [1]}), "unreadable: payload[\"nova_object.data\"] is not an object");
        check(
            json!({"port": {"device_id": ID, "fixed_ips": ["10.0.0.1"]}}),
            "unreadable: an entry of port.fixed_ips is not an object",
        );
        check(
            json!({"port": {"device_id": ID, "fixed_ips": [{"ip_address": "10.0.0.1/24"}]}}),
            "unreadable: \"10.0.0.1/24\" in port.fixed_ips is not an IP address",
        );
    }
}
