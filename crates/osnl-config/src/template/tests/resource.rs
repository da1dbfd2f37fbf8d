//! `resource` has all fields, the same for both forms of one event.

use serde_json::{Value, json};

use crate::template::names::{ADDRESS, RESOURCE};
use crate::template::{Expression, Names, Notification, Template};

fn framed(event_type: &str, payload: Value) -> Names {
    Names::from(Notification { event_type: Some(event_type.to_owned()), payload, ..Notification::default() })
}

fn legacy() -> Names {
    let ips = json!([
        {"address": "10.0.0.7", "type": "fixed", "version": 4, "floating_ips": [
            {"address": "198.51.100.9", "type": "floating", "version": 4}]},
        {"address": "2001:db8::7", "type": "fixed", "version": 6, "floating_ips": []},
    ]);
    let payload = json!({
        "instance_id": "2f6c", "tenant_id": "p-1", "user_id": "u-1", "display_name": "web 1", "host": "compute-1",
        "state": "active", "fixed_ips": ips, "created_at": "2026-11-20 07:14:20+00:00",
        "launched_at": "2026-11-20T07:14:31.000000", "terminated_at": "2026-11-20T08:00:00.000000",
        "updated_at": "2026-11-20T07:15:00Z",
    });
    framed("compute.instance.resize.end", payload)
}

fn versioned() -> Names {
    let ip = |version: u8, address: &str| {
        json!({"nova_object.name": "IpPayload", "nova_object.namespace": "nova", "nova_object.version": "1.0",
            "nova_object.data": {"version": version, "address": address}})
    };
    let data = json!({
        "uuid": "2f6c", "tenant_id": "p-1", "user_id": "u-1", "display_name": "web 1", "host": "compute-1",
        "state": "active", "ip_addresses": [ip(4, "10.0.0.7"), ip(6, "2001:db8::7")],
        "created_at": "2026-11-20T07:14:20Z", "launched_at": "2026-11-20T07:14:31Z",
        "terminated_at": "2026-11-20T08:00:00Z", "updated_at": "2026-11-20T07:15:00Z",
    });
    let payload = json!({"nova_object.name": "InstanceActionPayload", "nova_object.namespace": "nova",
        "nova_object.version": "1.9", "nova_object.data": data});
    framed("instance.resize.end", payload)
}

fn render(source: &str, names: &Names) -> String {
    Template::new(source).unwrap().render(names).unwrap()
}

#[test]
fn every_field_of_the_view_has_its_name_in_both_forms() {
    for field in RESOURCE {
        let defined = Expression::new(&format!("resource.{field} is defined")).unwrap();
        assert!(defined.holds(&legacy()).unwrap() && defined.holds(&versioned()).unwrap(), "{field}");
        if field != "addresses" {
            let source = format!("{{{{ resource.{field} }}}}");
            assert_eq!(render(&source, &legacy()), render(&source, &versioned()), "{field}");
        }
    }
    let whole: Value = serde_json::from_str(&render("{{ resource | tojson }}", &legacy())).unwrap();
    let keys = whole.as_object().unwrap().keys();
    assert!(
        keys.clone().all(|key| RESOURCE.contains(&key.as_str())) && keys.len() == RESOURCE.len(),
        "{whole}"
    );
}

#[test]
fn addresses_are_chosen_by_version_and_kind() {
    let check = |filters: &str, names: &Names, expected: &str| {
        let source =
            format!("{{{{ resource.addresses | {filters} | map(attribute='address') | join(' ') }}}}");
        assert_eq!(render(&source, names), expected, "{filters}");
    };
    for names in [legacy(), versioned()] {
        check("selectattr('kind', 'eq', 'fixed')", &names, "10.0.0.7 2001:db8::7");
        check("selectattr('version', 'eq', 6)", &names, "2001:db8::7");
    }
    check("selectattr('kind', 'eq', 'floating')", &legacy(), "198.51.100.9");
    check("selectattr('version', 'eq', 4)", &legacy(), "10.0.0.7 198.51.100.9");
    for field in ADDRESS {
        let defined = Expression::new(&format!("resource.addresses[1].{field} is defined")).unwrap();
        assert!(defined.holds(&legacy()).unwrap() && defined.holds(&versioned()).unwrap(), "{field}");
    }
}

/// A port that nova creates has no name, and no port has a user.
#[test]
fn a_field_that_may_be_empty_is_an_empty_text_and_a_filter_sees_that_it_is_missing() {
    let names = framed("port.create.end", json!({"port": {"id": "P", "name": "", "project_id": "t"}}));
    let check = |source: &str, expected: Result<Value, &str>| {
        let template = Template::compile(source, &["mark"]).unwrap();
        let value = template.value(&names.clone().with("mark", "!")).map_err(|error| error.to_string());
        assert_eq!(value, expected.map_err(str::to_owned), "{source}");
    };
    check("{{ resource.name }}", Ok(json!("")));
    check("<{{ resource.name }}{{ resource.user }}{{ resource.host }}{{ mark }}>", Ok(json!("<!>")));
    check("{\"name\": {{ resource.name|tojson }}}", Ok(json!("{\"name\": \"\"}")));
    check("{{ resource.name|default('-') }}", Ok(json!("-")));
    check("{{ resource.id }} {{ resource.project }}", Ok(json!("P t")));
    // A missing field that an effect may depend on stays an error.
    check("{{ resource.addresses }}", Err("the event has no resource.addresses"));
    check("{{ payload.port.host }}", Err("the event has no payload.port.host"));
    let nothing = framed("x.y", json!({"a": 1}));
    assert!(Template::new("{{ resource.name }}").unwrap().render(&nothing).is_err());
    assert!(!Expression::new("resource.name is defined").unwrap().holds(&names).unwrap());
}
