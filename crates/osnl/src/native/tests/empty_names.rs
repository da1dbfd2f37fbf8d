use super::load;

#[test]
fn a_name_that_its_events_leave_empty_is_warned_of() {
    let check = |event_type: &str, body: &str, expected: Option<&str>| {
        let text = format!(
            "[listener:l]\ntransport_url = rabbit://u:p@127.0.0.1/\nexchange = neutron, nova\n\
             [rule:r]\nactions = a\nevent_type = {event_type}\n\
             [action:a]\ndriver = http\nurl = http://127.0.0.1/\nbody = {body}\n[listener:l]\npool = osnl\n"
        );
        let warnings: Vec<String> =
            load(&text).unwrap().all_warnings().iter().map(ToString::to_string).collect();
        let found = warnings.iter().find(|warning| warning.contains("is empty"));
        assert_eq!(found.map(String::as_str), expected, "{event_type} {body}: {warnings:?}");
    };
    let user = r#"{"user": {{ resource.user|tojson }}}"#;
    let name = r#"{"name": {{ resource.name|tojson }}}"#;
    check(
        r"^port\.create\.end$",
        user,
        Some(
            "a.conf:10: [action:a] body: resource.user is empty in every event that its rules match, and is written as an empty string; {{ resource.user|default(\"unknown\") }} writes another text",
        ),
    );
    check(
        r"^(port|network)\.create\.end$",
        name,
        Some(
            "a.conf:10: [action:a] body: resource.name is empty in events about ports that nova makes, and is written as an empty string; {{ resource.name|default(\"unknown\") }} writes another text",
        ),
    );
    check(r"^compute\.instance\.delete\.end$", user, None);
    check(r"^network\.create\.end$", name, None);
    check(r"^port\.create\.end$", r#"{"name": {{ resource.name|default("-")|tojson }}}"#, None);
    check(r"^port\.create\.end$", r#"{"id": {{ resource.id|tojson }}}"#, None);
}
