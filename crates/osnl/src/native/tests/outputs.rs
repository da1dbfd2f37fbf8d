use super::{all_findings, load};
use crate::native::{CallRequest, Preview};

const DRIVERS: [&str; 5] = ["file", "syslog", "publish", "mail", "k2hr3_register"];

#[test]
fn pages_load_without_a_warning() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    for driver in DRIVERS {
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
    assert!(
        matches!(&lacks, Preview::Unusable { why } if why.to_string().contains("payload.nothing")),
        "{lacks:?}"
    );
}

#[test]
fn a_preview_that_repeats_a_wrong_id_has_no_secret() {
    let api = "api_url = https://k2hr3/v1/role";
    for driver in [
        format!("driver = k2hr3\n{api}"),
        format!("driver = k2hr3_register\n{api}\nrole = r\ntoken_file = /x"),
    ] {
        let payload = serde_json::json!({"port": {"device_id": {"admin_pass": "S3CRET"}}});
        let unusable = preview(&driver, payload);
        let expected = "the instance id {\"admin_pass\":\"***\"} is not a UUID";
        assert!(
            matches!(&unusable, Preview::Unusable { why } if why.to_string() == expected),
            "{unusable:?}"
        );
    }
}
