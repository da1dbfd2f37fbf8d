//! Decides whether a 404 means a missing object, or a path that the API does not have.
//!
//! A proxy or another server answers a wrong path with 404 too, and an existing object would count
//! as deleted. Each service has a form that it uses for missing objects only (recorded in
//! `fixtures/openstack/not-found.json`):
//!
//! | service | a missing object | a wrong path |
//! | --- | --- | --- |
//! | Keystone | `error`, "Could not find …" | a page; of old releases `error` with other words |
//! | neutron | `NeutronError` with the type of the object (`PortNotFound`) | `NeutronError` with `HTTPNotFound`, or a title |
//! | nova | `itemNotFound`, whose message has the id | `message`, or the list of versions with 300 |
//! | cinder | `itemNotFound` | the same |
//! | ironic | `error_message` with a `faultstring` | `error_message` with a title |
//! | glance | "No image found …", as JSON, page or text | "The resource could not be found." in the same form |
//!
//! An object that exists, and that neutron's policy hides from the user, has a form of its own:
//! `HTTPNotFound` without `NeutronError`. To a user without the role admin, nova and neutron answer about
//! objects of other projects as about missing ones; [`Cloud::sees_all`](crate::Cloud::sees_all) excludes that.

use osnl_model::{Budget, Scrubber};
use osnl_net::http::Answer;
use serde_json::Value;

use crate::catalog::official;
use crate::error::words;
use osnl_delivery::enrich::Kind;

/// The meaning of a 404.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// The service has no such object, or none that it shows to this user.
    Object,
    /// The object exists, and a policy hides it from this user.
    Hidden,
    /// The service has no such path, or another server has answered.
    Path,
    /// The form of this service's answers is not known.
    Unknown,
}

/// Returns the meaning of a 404 about this object. Neutron names the kind of the missing object, which may be another
/// than the requested one. Nova answers in the same form without the id if it misses something else of a server that
/// exists, such as its flavor.
pub(crate) fn not_found_of(kind: Kind, id: &str, answer: &Answer) -> NotFound {
    let found = not_found(kind.service(), answer);
    if found != NotFound::Object {
        return found;
    }
    let body = Budget::DEFAULT.read_json(&answer.body).unwrap_or_default();
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let is_meant = match official(kind.service()) {
        "network" => text("/NeutronError/type")
            .strip_suffix("NotFound")
            .is_some_and(|missing| missing.eq_ignore_ascii_case(kind.name())),
        "compute" => text("/itemNotFound/message").contains(id),
        _ => true,
    };
    if is_meant { NotFound::Object } else { NotFound::Unknown }
}

/// Returns the meaning of a 404 of a service.
#[must_use]
pub fn not_found(service: &str, answer: &Answer) -> NotFound {
    let body = Budget::DEFAULT.read_json(&answer.body).unwrap_or_default();
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    let is_object = match official(service) {
        "identity" => {
            body.pointer("/error/code") == Some(&404.into())
                && text("/error/message").is_some_and(|said| said.starts_with("Could not find"))
        }
        "network" => match text("/NeutronError/type") {
            Some(kind) => kind != "HTTPNotFound",
            None if text("/type") == Some("HTTPNotFound") => return NotFound::Hidden,
            None => false,
        },
        "compute" | "block-storage" => body.get("itemNotFound").is_some(),
        "baremetal" => text("/error_message")
            .and_then(|inner| Budget::DEFAULT.read_json(inner.as_bytes()))
            .is_some_and(|fault| fault.get("faultstring").is_some()),
        "image" => {
            let said = words(answer, &Scrubber::default());
            said.contains("No image found") || said.contains("Failed to find image")
        }
        _ if body.is_object() => return NotFound::Unknown,
        _ => false,
    };
    if is_object { NotFound::Object } else { NotFound::Path }
}

#[cfg(test)]
mod tests {
    use osnl_net::http::{AnswerEnd, HeaderMap, StatusCode};
    use osnl_testkit::fixture;

    use super::*;

    fn judged(service: &str, body: &str) -> NotFound {
        let body = body.to_owned().into_bytes().into();
        let answer =
            Answer { status: StatusCode::NOT_FOUND, headers: HeaderMap::new(), body, end: AnswerEnd::Whole };
        not_found(service, &answer)
    }

    #[test]
    fn a_missing_object_is_told_from_a_wrong_path_as_recorded() {
        let recorded = fixture::json("openstack/not-found.json");
        let answers = recorded["answers"].as_array().unwrap();
        assert!(answers.len() > 25);
        for answer in answers {
            let (service, body) = (answer["service"].as_str().unwrap(), answer["body"].as_str().unwrap());
            let expected = match (&answer["own"], &answer["hidden"]) {
                (Value::Bool(true), Value::Bool(true)) => NotFound::Hidden,
                (Value::Bool(true), _) => NotFound::Object,
                _ => NotFound::Path,
            };
            assert_eq!(judged(service, body), expected, "{answer}");
        }
    }

    fn meaning(kind: Kind, id: &str, body: String) -> NotFound {
        let status = StatusCode::NOT_FOUND;
        let answer = Answer { status, headers: HeaderMap::new(), body: body.into(), end: AnswerEnd::Whole };
        not_found_of(kind, id, &answer)
    }

    #[test]
    fn neutron_names_the_kind_of_the_missing_object() {
        for (kind, named, expected) in [
            (Kind::Port, "PortNotFound", NotFound::Object),
            (Kind::FloatingIp, "FloatingIPNotFound", NotFound::Object),
            (Kind::Port, "NetworkNotFound", NotFound::Unknown),
            (Kind::Port, "NotFound", NotFound::Unknown),
            (Kind::Port, "HTTPNotFound", NotFound::Path),
        ] {
            let body = format!(r#"{{"NeutronError": {{"type": "{named}", "message": "", "detail": ""}}}}"#);
            assert_eq!(meaning(kind, "a", body), expected, "{named}");
        }
    }

    /// Nova's `FaultWrapper` makes a 404 without words of each unexpected `NotFound`.
    #[test]
    fn nova_names_the_missing_object() {
        for (kind, said, expected) in [
            (Kind::Server, "Instance 5ac1d5a5 could not be found.", NotFound::Object),
            (Kind::Flavor, "Flavor 5ac1d5a5 could not be found.", NotFound::Object),
            (Kind::Server, "The resource could not be found.", NotFound::Unknown),
            (Kind::Server, "Flavor m1.small could not be found.", NotFound::Unknown),
            (Kind::Server, "API version 2.1 is not supported on this method.", NotFound::Unknown),
        ] {
            let body = format!(r#"{{"itemNotFound": {{"code": 404, "message": "{said}"}}}}"#);
            assert_eq!(meaning(kind, "5ac1d5a5", body), expected, "{said}");
        }
    }

    #[test]
    fn no_other_server_speaks_for_an_api() {
        let page = "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1>\
                    </center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";
        let apache = "<p>The requested URL /v2/images/441d58b5 was not found on this server.</p>";
        for service in ["identity", "network", "compute", "baremetal", "image", "volumev3", "dns"] {
            for body in ["", page, apache, "404 page not found"] {
                assert_eq!(judged(service, body), NotFound::Path, "{service}: {body}");
            }
        }
        assert_eq!(judged("volumev3", r#"{"itemNotFound": {"code": 404}}"#), NotFound::Object);
        let text = r#"{"$serde_json::private::RawValue": "{\"itemNotFound\": {\"code\": 404}}"}"#;
        assert_eq!(judged("volumev3", text), NotFound::Path, "a text is not read as JSON again");
        assert_eq!(judged("dns", r#"{"code": 404, "type": "zone_not_found"}"#), NotFound::Unknown);
    }
}
