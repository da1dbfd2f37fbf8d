use super::load;

fn never_sent(exchange: &str, rule: &str) -> Vec<String> {
    never_heard(exchange, rule, "topics = notifications, versioned_notifications")
}

fn never_heard(exchange: &str, rule: &str, listener: &str) -> Vec<String> {
    let text = format!(
        "[listener:l]\ntransport_url = rabbit://u:p@localhost/\nexchange = {exchange}\n[rule:r]\nactions = a\n{rule}\n\
         [action:a]\ndriver = dump\n[listener:l]\n{listener}\npool = osnl\n"
    );
    load(&text).unwrap().never_sent().iter().map(ToString::to_string).collect()
}

#[test]
fn a_publisher_and_a_kind_that_no_event_has_are_pointed_at() {
    let check = |exchange: &str, rule: &str, expected: &[&str]| {
        assert_eq!(never_sent(exchange, rule), expected, "{exchange} {rule}");
    };
    let deleted = r"event_type = ^instance\.delete\.end$";
    let none = "a.conf:7: [rule:r] publisher_id: no publisher of the known events of this rule begins so; they come from \
                nova-api:<host>, nova-compute:<host>";
    check("nova", &format!("{deleted}\npublisher_id = ^compute\\."), &[none]);
    check("nova", &format!("{deleted}\npublisher_id = ^nova-compute:ctl1$"), &[]);
    let missed = |missed: &str| {
        format!(
            "a.conf:7: [rule:r] publisher_id: misses {missed}:<host>, which also sends instance.delete.end; to match each known \
             publisher, write publisher_id = ^(nova-api:|nova-compute:)"
        )
    };
    check("nova", &format!("{deleted}\npublisher_id = ^nova-api"), &[&missed("nova-compute")]);
    check("nova", &format!("{deleted}\npublisher_id = ^nova-compute:.*$"), &[&missed("nova-api")]);
    check("nova", &format!("{deleted}\npublisher_id = ^nova-(api|compute):"), &[]);
    check("nova", &format!("{deleted}\npublisher_id = ^(nova-api:|nova-compute:)"), &[]);
    check("nova", "event_type = ^instance\\.create\\.end$\npublisher_id = ^nova-compute:.*$", &[]);
    check("nova", "event_type = ^compute\\.instance\npublisher_id = ^compute", &[]);
    check("neutron", "publisher_id = ^network.*$", &[]);
    let port = r"event_type = ^port\.delete\.end$";
    let kind = "a.conf:7: [rule:r] when: requires resource.kind server, which no known event of this rule has; it is port";
    check("neutron", &format!("{port}\nwhen = resource.kind == 'server'"), &[kind]);
    check("neutron", &format!("{port}\nwhen = resource.kind in ['server', 'port']"), &[]);
}

#[test]
fn an_event_type_that_nobody_sends_is_pointed_at() {
    let check = |exchange: &str, rule: &str, expected: &[&str]| {
        assert_eq!(never_sent(exchange, rule), expected, "{exchange} {rule}");
    };
    let no_event = |service: &str, near: &str| {
        format!(
            "a.conf:6: [rule:r] event_type: matches no known event of {service}; osnl events lists them; \
             did you mean {near}?"
        )
    };
    check("neutron", r"event_type = ^port\.delete\.end$", &[]);
    check("neutron", r"event_type = ^(port|router)\..*\.end$", &[]);
    check("neutron", r"event_type = ^port\.deleted\.end$", &[&no_event("neutron", "port.delete.end")]);
    check("neutron", r"event_type = ^port\.delete", &[]);
    check("neutron", r"event_type = ^port\.delete$", &[&no_event("neutron", "port.delete.end")]);
    check(
        "neutron",
        "event_type = compute.instance.delete.end",
        &[
            "a.conf:6: [rule:r] event_type: matches no known event of neutron; nova sends such events, to the \
           exchange nova",
        ],
    );
    check(
        "nova",
        r"event_type = ^compute\.instance\.delet\.end$",
        &[&no_event("nova", "compute.instance.delete.end")],
    );
    check("nova", r"event_type = ^(?!compute\.instance\.exists)", &[]);
    check(
        "keystone",
        r"event_type = identity.user.delete$",
        &[&no_event("keystone", "identity.user.deleted")],
    );
    // An unknown service may send anything.
    check("acme", r"event_type = ^thing\.made$", &[]);
    check("openstack", r"event_type = ^trove\.instance\.create$", &[]);
    check("openstack", r"event_type = ^volume\.creat\.end$", &[&no_event("openstack", "volume.create.end")]);
    check("neutron", "enabled = false\nevent_type = ^nothing$", &[]);
}

#[test]
fn an_event_that_comes_by_another_way_is_pointed_at() {
    let check = |exchange: &str, rule: &str, listener: &str, expected: &[&str]| {
        assert_eq!(never_heard(exchange, rule, listener), expected, "{exchange} {rule} {listener}");
    };
    let versioned = "event_type = ^instance\\.delete\\.end$";
    let topic = "a.conf:6: [rule:r] event_type: its events are published to topic versioned_notifications, but its listeners read topic notifications; add the topic to a listener of the rule; nova publishes this form with notification_format = versioned or both";
    check("nova", versioned, "topics = notifications", &[topic]);
    check("nova", versioned, "topics = notifications, versioned_notifications", &[]);
    check("nova", "event_type = ^(compute\\.)?instance\\.delete", "topics = notifications", &[]);
    // Other names of topics mean that the operator knows their events.
    check("nova", versioned, "topics = notifications, osnl", &[]);
    let priority = |option: &str, line: u32| {
        format!(
            "a.conf:{line}: [rule:r] {option}: its events were only seen with priority info; name it in priorities of rule \
             and listener"
        )
    };
    let port = "event_type = ^port\\.delete\\.end$";
    check("neutron", port, "priorities = error", &[&priority("event_type", 6)]);
    check("neutron", &format!("{port}\npriorities = error"), "", &[&priority("priorities", 7)]);
    check("neutron", port, "priorities = error, info", &[]);
}

#[test]
fn an_event_type_in_when_that_nobody_sends_is_pointed_at() {
    let check = |rule: &str, expected: &[&str]| assert_eq!(never_sent("neutron", rule), expected, "{rule}");
    let wrong = "a.conf:6: [rule:r] when: requires an event type that is not known from neutron; osnl events lists them; did you \
                 mean port.delete.end?";
    check("when = event_type == 'port.deleted.end' and payload.port is defined", &[wrong]);
    check("when = event_type in ['port.deleted.end', 'port.delete.end']", &[]);
    check("when = event_type == 'port.deleted.end' or payload.port is defined", &[]);
}

#[test]
fn a_key_that_its_events_never_have_is_pointed_at() {
    let check = |exchange: &str, rule: &str, expected: &[&str]| {
        assert_eq!(never_sent(exchange, rule), expected, "{exchange} {rule}");
    };
    let delete = r"event_type = ^compute\.instance\.delete\.end$";
    check("nova", &format!("{delete}\npayload.state = deleted"), &[]);
    check(
        "nova",
        &format!("{delete}\npayload.stat = deleted"),
        &[
            "a.conf:7: [rule:r] payload.stat: none of the known events of this rule has this key; their payloads have access_ip_v4, access_ip_v6, architecture, availability_zone, cell_name, created_at, deleted_at, \
           disk_gb, …; did you mean state?",
        ],
    );
    check(
        "nova",
        &format!("{delete}\npayload.memory_mb = 512"),
        &[
            "a.conf:7: [rule:r] payload.memory_mb: is never a string in the events of this rule, and only strings are compared; see osnl events compute.instance.delete.end",
        ],
    );
    check("nova", "event_type = ^instance\npayload.nova_object.name = Instance", &[]);
    check(
        "nova",
        &format!("{delete}\npayload.uuid = x"),
        &[
            "a.conf:7: [rule:r] payload.uuid: none of the known events of this rule has this key; their payloads have access_ip_v4, access_ip_v6, architecture, availability_zone, cell_name, created_at, deleted_at, \
           disk_gb, …; did you mean instance_id?",
        ],
    );
    // The field exists only inside another value.
    check(
        "nova",
        "event_type = ^instance.delete.end$\npayload.uuid = x",
        &[
            "a.conf:7: [rule:r] payload.uuid: none of the known events of this rule has this key; their payloads have nova_object.data; did you mean nova_object.data.uuid?",
        ],
    );
    check(
        "neutron",
        "event_type = ^port\npayload.device_owner = ^compute:",
        &[
            "a.conf:7: [rule:r] payload.device_owner: none of the known events of this rule has this key; their payloads have id, port, port_forwarding, port_forwarding_id, port_id, ports; did you mean \
           port.device_owner?",
        ],
    );
    check(
        "neutron",
        "event_type = ^port.delete.start$\npayload.port = x",
        &[
            "a.conf:7: [rule:r] payload.port: none of the known events of this rule has this key; their payloads have port_id",
        ],
    );
    let port = "event_type = ^port\\.delete\\.end$";
    check("neutron", &format!("{port}\npayload.port.device_owner = ^compute:"), &[]);
    check("neutron", &format!("{port}\npayload.port.fixed_ips.0.ip_address = ^10"), &[]);
    check(
        "neutron",
        &format!("{port}\npayload.port.fixed_ips.ip_address = ^10"),
        &[
            "a.conf:7: [rule:r] payload.port.fixed_ips.ip_address: none of the known events of this rule has this key; \
           port.fixed_ips has a list, with the items 0, 1, …; did you mean port.fixed_ips.0.ip_address?",
        ],
    );
    check(
        "neutron",
        &format!("{port}\npayload.port.revision_number = 4"),
        &[
            "a.conf:7: [rule:r] payload.port.revision_number: is never a string in the events of this rule, and only strings are compared; see osnl events port.delete.end",
        ],
    );
    // Without a pattern, every event of the exchange counts.
    check("neutron", "payload.port_id = x", &[]);
    check("openstack", "payload.whatever = x", &[]);
    check("acme", "payload.whatever = x", &[]);
}

#[test]
fn a_name_in_when_that_its_events_never_have_is_pointed_at() {
    let check = |exchange: &str, rule: &str, expected: &[&str]| {
        assert_eq!(never_sent(exchange, rule), expected, "{exchange} {rule}");
    };
    let port = r"event_type = ^port\.delete\.end$";
    for holds in [
        r#"payload.port.device_owner.startswith("compute:")"#,
        r#"payload.port.fixed_ips | selectattr("ip_address", "match", "^10") | list | length > 0"#,
        "payload.port.fixed_ips.0.ip_address is defined",
        r#"context.project_name == "x" and resource.kind == "port" and event_type is match("x")"#,
        r#"payload.get("colour", "") == "red""#,
    ] {
        check("neutron", &format!("{port}\nwhen = {holds}"), &[]);
    }
    check(
        "neutron",
        &format!("{port}\nwhen = payload.port.devise_owner.startswith(\"compute:\")"),
        &[
            "a.conf:7: [rule:r] when: none of the known events of this rule has payload.port.devise_owner; port has \
           admin_state_up, allowed_address_pairs, binding:host_id, binding:profile, binding:vif_details, \
           binding:vif_type, binding:vnic_type, created_at, …; did you mean payload.port.device_owner?",
        ],
    );
    // A field of either of nova's two forms counts as present.
    let both = r"event_type = ^(compute\.)?instance\.delete\.end$";
    check(
        "nova",
        &format!("{both}\nwhen = payload.nova_object.data.host == \"a\" or payload.host == \"a\""),
        &[],
    );
    check(
        "nova",
        "event_type = ^instance.delete.end$\nwhen = payload.flavor.vcpus > 4",
        &[
            "a.conf:7: [rule:r] when: none of the known events of this rule has payload.flavor.vcpus; their payloads have nova_object.data; did you mean payload.nova_object.data.flavor.nova_object.data.vcpus?",
        ],
    );
    check("acme", "when = payload.whatever == 1", &[]);
}

#[test]
fn a_condition_that_can_never_hold_is_pointed_at() {
    let check = |rule: &str, expected: &[&str]| {
        let delete = r"event_type = ^compute\.instance\.delete\.end$";
        let expected: Vec<String> =
            expected.iter().map(|said| format!("a.conf:7: [rule:r] when: {said}")).collect();
        assert_eq!(never_sent("nova", &format!("{delete}\nwhen = {rule}")), expected, "{rule}");
    };
    check(
        "payload.tenant_id == 1111",
        &[
            "never holds: payload.tenant_id is a text in the events of this rule, and 1111 is a number; write \
           payload.tenant_id == \"1111\"",
        ],
    );
    check(
        "payload.disk_gb == '20' and payload.state == 'deleted'",
        &["never holds: payload.disk_gb is a number in the events of this rule, and '20' is a text; write \
           payload.disk_gb == 20"],
    );
    check(
        "resource.project in [1, 2]",
        &[
            "never holds: resource.project is a text in the events of this rule, and [1, 2] is a number; write it in \
           quotes",
        ],
    );
    check("payload.tenant_id == '1111' and payload.disk_gb >= 20 and payload.disk_gb == true", &[]);
    check("payload.tenant_id == 1111 or payload.state == 'deleted'", &[]);
    let lacks = "none of the known events of this rule has payload.project_id; their payloads have \
                 access_ip_v4, access_ip_v6, architecture, availability_zone, cell_name, created_at, deleted_at, \
                 disk_gb, …; did you mean payload.tenant_id or resource.project?";
    check("payload.project_id == 'x'", &[lacks]);
    let project = "context.project_id is the project of the request, which differs where an administrator or a service acts for another project; the project that owns the resource is resource.project, in when";
    check("context.project_id == 'x'", &[project]);
    check("context.project_id == 'x' and resource.project == 'x'", &[]);
    check("context.project_id != 'x'", &[]);
}

#[test]
fn a_pattern_that_lacks_what_may_stand_before_it_is_pointed_at() {
    let check = |pattern: &str, mend: &str| {
        let expected = format!("a.conf:6: [rule:r] event_type: matches no known event of nova; {mend}");
        assert_eq!(never_sent("nova", &format!("event_type = {pattern}")), [expected], "{pattern}");
    };
    let begin = "patterns match from the start of the name; to match anywhere, write";
    check("delete", &format!("{begin} .*delete"));
    check(r"\.delete\.end$", &format!(r"{begin} .*\.delete\.end$"));
    check("delete|destroy", &format!("{begin} .*(delete|destroy)"));
    check("^delete", "osnl events lists them; did you mean flavor.delete?");
}

#[test]
fn both_forms_of_one_event_and_unread_errors_are_pointed_at() {
    let twice = "a.conf:6: [rule:r] event_type: matches both forms of one event, compute.instance.delete.end on topic \
                 notifications and instance.delete.end on topic versioned_notifications: its actions are called twice; match \
                 one of them, or read one of the topics; both are sent with notification_format = both";
    let both = "topics = notifications, versioned_notifications";
    let deleted = r"event_type = ^(compute\.)?instance\.delete\.end$";
    let error = r"event_type = ^compute\.instance\.delete\.(end|error)$";
    let lost = "a.conf:6: [rule:r] event_type: compute.instance.delete.error is only sent with priority error, which is not \
                read; name error in priorities of rule and listener";
    let form = |theirs: &str, ours: &str, form: &str| {
        format!(
            "a.conf:6: [rule:r] event_type: its events are published to topic {theirs}, but its listeners read topic {ours}; add \
             the topic to a listener of the rule; nova publishes this form with notification_format = {form} or both"
        )
    };
    for (rule, listener, expected) in [
        (deleted, both, vec![twice.to_owned()]),
        (deleted, "topics = notifications", vec![]),
        (deleted, "topics = versioned_notifications", vec![]),
        (&*format!("{deleted}\npublisher_id = ^compute\\."), both, vec![]),
        (&*format!("{deleted}\nwhen = event_type.startswith('compute.')"), both, vec![]),
        ("event_type = .*", both, vec![]),
        (
            r"event_type = ^instance\.delete\.end$",
            "topics = notifications",
            vec![form("versioned_notifications", "notifications", "versioned")],
        ),
        (
            r"event_type = ^compute\.instance\.delete\.end$",
            "topics = versioned_notifications",
            vec![form("notifications", "versioned_notifications", "unversioned")],
        ),
        (error, "priorities = info", vec![lost.to_owned()]),
        (error, "priorities = info, error", vec![]),
        (error, "topics = notifications", vec![]),
    ] {
        assert_eq!(never_heard("nova", rule, listener), expected, "{rule} {listener}");
    }
}
