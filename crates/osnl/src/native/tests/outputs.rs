use super::{all_findings, load};
use crate::native::{CallRequest, Preview};

const DRIVERS: [&str; 5] = ["file", "syslog", "publish", "mail", "k2hr3_register"];

#[test]
fn examples_and_pages_load_without_a_warning() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    for driver in DRIVERS {
        let example = std::fs::read_to_string(format!("{root}/examples/{driver}.conf")).unwrap();
        assert_eq!(all_findings(&example), "", "{driver}");
        let page = std::fs::read_to_string(format!("{root}/docs/{driver}.md")).unwrap();
        let blocks: Vec<&str> =
            page.split("```ini\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!blocks.is_empty(), "{driver}");
        for block in blocks {
            let actions: Vec<&str> =
                block.lines().filter_map(|line| line.strip_prefix("[action:")?.strip_suffix(']')).collect();
            let frame = format!(
                "[listener:n]\ntransport_url = rabbit://u:p@localhost/\nexchange = neutron\npool = osnl\n[rule:all]\nactions = {}\n",
                actions.join(", ")
            );
            assert_eq!(all_findings(&format!("{frame}{block}\n")), "", "{driver}: {block}");
        }
    }
}

#[test]
fn mistakes_are_told_with_what_is_allowed() {
    let check = |lines: &str, expected: &str| {
        let frame = "[listener:n]\ntransport_url = rabbit://u:p@localhost/\nexchange = n\npool = osnl\n[rule:r]\nactions = a\n";
        let found = all_findings(&format!("{frame}[action:a]\n{lines}\n"));
        let found: Vec<&str> =
            found.lines().map(|line| line.split_once("[action:a] ").map_or(line, |(_, rest)| rest)).collect();
        assert_eq!(found.join("\n"), expected, "{lines}");
    };
    let file = "driver = file\npath = /x\n";
    check("driver = file", "path: is not set; write the path of a file");
    check(
        &format!("{file}format = template"),
        "template: is not set; write what a line is, or format = json",
    );
    check(
        &format!("{file}template = x"),
        "template: has no effect with format = json; write format = template",
    );
    check(
        &format!("{file}mode = 0400"),
        "mode: is not a file mode; write an octal number such as 0600 or 0640",
    );
    check(&format!("{file}rotate_size = 10"), "rotate_size: \"10\" is out of range; allowed: 1 KiB to 1 TiB");
    check(
        &format!("{file}rotate_keep = 3"),
        "rotate_keep: has no effect without rotate_size or rotate_interval; set one of them, or remove this",
    );
    let server = "server: is not the address of a log server; write /dev/log, udp://host:514, tcp://host:601 or tls://host:6514";
    for wrong in ["logs.example.com", "http://logs", "tcp://", "udp://a b", "tcp://u:secret@h:1"] {
        check(&format!("driver = syslog\nserver = {wrong}"), server);
    }
    check("driver = syslog\nserver = udp://[2001:db8::1]", "");
    check(
        "driver = syslog\nca_file = /x",
        "ca_file: has no effect without TLS; write tls:// in server, or remove it",
    );
    check(
        "driver = syslog\nstructured_data = osnl",
        "structured_data: is not a name of structured data; write NAME@NUMBER, at most 32 characters without = ] \" and spaces; or none",
    );
}

fn preview(action: &str, payload: serde_json::Value) -> Preview {
    let frame = "[listener:n]\ntransport_url = rabbit://u:p@localhost/\nexchange = n\npool = osnl\n[rule:r]\nactions = a\n";
    let loaded = load(&format!("{frame}[action:a]\n{action}\n")).unwrap_or_else(|errors| panic!("{errors}"));
    let notification = osnl_model::Notification {
        event_type: Some("port.delete.end".to_owned()),
        publisher_id: Some("network.n1".to_owned()),
        message_id: Some("m1".to_owned()),
        payload,
        ..osnl_model::Notification::default()
    };
    loaded.conf.actions[0].preview(&CallRequest {
        notification: &notification,
        rule: "r",
        resource: None,
        asks: &[],
    })
}

#[test]
fn a_preview_has_what_would_be_written_and_no_secret() {
    let payload = serde_json::json!({"id": "p", "admin_pass": "S3CRET"});
    let template = "{{ payload.id }} {{ payload.admin_pass }} {{ idempotency_key }}";
    let line = preview(
        &format!("driver = file\npath = /x\nformat = template\ntemplate = {template}"),
        payload.clone(),
    );
    let Preview::Effect { does, with } = line else { panic!("{line:?}") };
    assert_eq!((does.as_str(), with[0].1.as_str()), ("write a line to /x", "p *** m1/r/a"));
    let sent = preview(
        &format!("driver = syslog\nhostname = n\nstructured_data = none\nmessage = {template}"),
        payload.clone(),
    );
    let Preview::Effect { does, with } = sent else { panic!("{sent:?}") };
    assert_eq!(does, "sends to /dev/log");
    assert!(with[0].1.ends_with("]: p *** m1/r/a"), "{with:?}");
    let lacks = preview("driver = syslog\nmessage = {{ payload.nothing }}", payload);
    assert!(matches!(&lacks, Preview::Unusable { why } if why.contains("payload.nothing")), "{lacks:?}");
}
