use osnl_model::{Notification, resources};
use serde_json::{Map, Value};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ShownForm {
    Legacy,
    Versioned(String, String),
    Cadf(Option<String>),
}

impl ShownForm {
    pub(super) fn label(&self) -> String {
        match self {
            Self::Legacy => "legacy".to_owned(),
            Self::Versioned(class, version) => format!("{class}/{version}"),
            Self::Cadf(None) => "CADF".to_owned(),
            Self::Cadf(Some(outcome)) => format!("CADF/{outcome}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EventSubject {
    pub(super) form: ShownForm,
    pub(super) kind: Option<String>,
    pub(super) ids: Vec<String>,
    pub(super) name: Option<String>,
    pub(super) project: Option<String>,
    pub(super) project_name: Option<String>,
    pub(super) user: Option<String>,
}

pub(super) fn about(n: &Notification) -> EventSubject {
    let resources = resources(n);
    let first = resources.first();
    let initiator = n.payload.get("initiator").and_then(Value::as_object);
    let by_initiator = |keys: &[&str]| initiator.and_then(|initiator| first_of(initiator, keys));
    EventSubject {
        form: form(&n.payload),
        kind: first.map(|resource| resource.kind.to_string()).filter(|kind| !kind.is_empty()),
        ids: resources.iter().filter_map(|resource| resource.id.as_deref().map(str::to_owned)).collect(),
        name: match &resources[..] {
            [only] => only.name.map(str::to_owned),
            _ => None,
        },
        project: first_of(&n.context, &["project_id", "tenant_id", "project", "tenant"])
            .or_else(|| by_initiator(&["project_id"]))
            .or_else(|| first?.project.map(str::to_owned)),
        project_name: first_of(&n.context, &["project_name"]),
        user: first_of(&n.context, &["user_id", "user"])
            .or_else(|| by_initiator(&["user_id", "id"]))
            .or_else(|| first?.user.map(str::to_owned)),
    }
}

fn form(payload: &Value) -> ShownForm {
    let Some(object) = payload.as_object() else { return ShownForm::Legacy };
    if let Some((prefix, class)) =
        object.iter().find_map(|(key, class)| Some((key.strip_suffix("_object.name")?, class.as_str()?)))
    {
        let version = object.get(&format!("{prefix}_object.version")).and_then(Value::as_str);
        return ShownForm::Versioned(class.to_owned(), version.unwrap_or_default().to_owned());
    }
    let cadf =
        object.get("typeURI").and_then(Value::as_str).is_some_and(|uri| uri.contains("dmtf.org/cloud/audit"));
    if cadf { ShownForm::Cadf(first_of(object, &["outcome"])) } else { ShownForm::Legacy }
}

fn first_of(object: &Map<String, Value>, keys: &[&str]) -> Option<String> {
    let text = |key: &&str| object.get(*key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    keys.iter().find_map(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(event_type: &str, payload: Value, expected: (&str, &str, &str)) {
        let n = Notification { event_type: Some(event_type.to_owned()), payload, ..Notification::default() };
        let about = about(&n);
        let name = about.name.clone().unwrap_or_default();
        assert_eq!(
            (about.form.label().as_str(), about.ids.join(",").as_str(), name.as_str()),
            expected,
            "{event_type}"
        );
    }

    #[test]
    fn form_ids_and_names_are_those_of_the_unified_view() {
        check(
            "instance.delete.end",
            json!({"nova_object.name": "InstanceActionPayload", "nova_object.version": "1.8",
                "nova_object.data": {"uuid": "u", "display_name": "vm"}}),
            ("InstanceActionPayload/1.8", "u", "vm"),
        );
        check(
            "identity.user.created",
            json!({"typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event", "resource_info": "r", "target": {"id": "t"}}),
            ("CADF", "r", ""),
        );
        check(
            "identity.authenticate",
            json!({"typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event", "outcome": "failure",
                "initiator": {"user_id": "u"}}),
            ("CADF/failure", "u", ""),
        );
        // Keystone makes up the target's id for this event; the resource is the user.
        check(
            "identity.authenticate",
            json!({"typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event", "target": {"id": "t"},
                "initiator": {"user_id": "u"}}),
            ("CADF", "u", ""),
        );
        check("identity.user.created", json!({"resource_info": "r"}), ("legacy", "r", ""));
        check(
            "port.delete.end",
            json!({"port_id": "p", "port": {"id": "p", "name": "eth"}}),
            ("legacy", "p", "eth"),
        );
        check("port.create.end", json!({"ports": [{"id": "p"}, {"id": "q"}]}), ("legacy", "p,q", ""));
        check("x", json!("text"), ("legacy", "", ""));
    }

    #[test]
    fn who_did_it_is_the_caller_before_the_owner() {
        let check = |context: Value, payload: Value, expected: (Option<&str>, Option<&str>)| {
            let context = context.as_object().unwrap().clone();
            let n = Notification {
                event_type: Some("port.x".into()),
                context,
                payload,
                ..Notification::default()
            };
            let about = about(&n);
            assert_eq!((about.project.as_deref(), about.user.as_deref()), expected);
        };
        let owned = json!({"port": {"id": "p", "project_id": "owner", "user_id": "u2"}});
        check(json!({"project_id": "p", "user_id": "u"}), owned.clone(), (Some("p"), Some("u")));
        check(json!({"project_id": null, "user": "u"}), owned.clone(), (Some("owner"), Some("u")));
        check(json!({"tenant": "t"}), owned, (Some("t"), Some("u2")));
        check(json!({}), json!({"initiator": {"user_id": "u", "project_id": "p"}}), (Some("p"), Some("u")));
        check(json!({}), json!(null), (None, None));
    }
}
