use std::os::unix::fs::PermissionsExt as _;

use osnl_model::Notification;
use serde_json::json;

use super::super::{CallRequest, LoadedConf, Sources, load_texts};

fn load(lines: &str) -> LoadedConf {
    let text = format!(
        "[listener:n]\ntransport_url = rabbit://u:p@localhost/\nexchange = neutron\npool = osnl\n[rule:r]\nactions = a\n[action:a]\n{lines}\n"
    );
    let loaded = load_texts(&[("a.conf".to_owned(), text)], &Sources::default());
    loaded.unwrap_or_else(|errors| panic!("{lines}\n{errors}"))
}

#[test]
fn the_example_and_every_recipe_load_without_a_warning() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let said = |text: &str| match load_texts(&[("a.conf".to_owned(), text.to_owned())], &Sources::default()) {
        Ok(loaded) => loaded.warnings.iter().map(ToString::to_string).collect(),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect::<Vec<_>>(),
    };
    let example = std::fs::read_to_string(format!("{root}/examples/http.conf")).unwrap();
    assert_eq!(said(&example), [""; 0]);
    let page = std::fs::read_to_string(format!("{root}/docs/http.md")).unwrap();
    let blocks = page.split("```ini\n").skip(1).filter_map(|rest| rest.split("```").next());
    let files = std::fs::read_dir(format!("{root}/examples/recipes")).unwrap();
    let files = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let mut blocks: Vec<String> = blocks.map(str::to_owned).chain(files).collect();
    blocks.retain(|block| block.contains("driver = http"));
    assert!(blocks.len() >= 15, "{}", blocks.len());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clouds.yaml");
    let auth = "auth_url: https://k/v3, username: u, password: p, project_name: oss";
    std::fs::write(&file, format!("clouds: {{mycloud: {{auth: {{{auth}}}}}}}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let cloud = format!("cloud = mycloud\nclouds_file = {}", file.display());
    for block in blocks {
        // The examples' secrets are in files that only the reader has.
        let block = block.replace("file:///etc/osnl/", "in-").replace("cloud = mycloud", &cloud);
        let names: Vec<&str> =
            block.lines().filter_map(|line| line.strip_prefix("[action:")?.strip_suffix(']')).collect();
        let frame = format!(
            "[listener:n]\ntransport_url = rabbit://u:p@localhost/\nexchange = neutron\n\
             pool = osnl\n[listener:m]\ntransport_url = rabbit://u:p@localhost/\nexchange = nova\ntopics = versioned_notifications\npool = m\n\
             [rule:r]\nactions = {}\n",
            names.join(", ")
        );
        assert_eq!(said(&format!("{frame}{block}")), [""; 0], "{block}");
    }
}

fn for_people(loaded: &LoadedConf, wanted: &CallRequest<'_>) -> [String; 4] {
    [
        format!("{:?}", loaded.conf.actions[0].preview(wanted)),
        loaded.conf.explain(),
        loaded.document().text(false),
        format!("{:?}", loaded.document().hidden()),
    ]
}

#[test]
fn what_is_a_secret_by_its_name_is_in_no_form_for_people() {
    let lines = "driver = http\nurl = https://h/{{ payload.n }}?token=S3CRET1&n=1\nquery.sig = S3CRET2\n\
                 header.Authorization = Bearer S3CRET3\nheader.X-Api-Key = S3CRET4\nheader.X-Kind = plain\n\
                 body = {\"password\": \"S3CRET5\", \"n\": {{ payload.n }}}";
    let loaded = load(lines);
    let event = Notification { payload: json!({"n": 3}), ..Notification::default() };
    let wanted = CallRequest { notification: &event, rule: "r", resource: None, asks: &[] };
    let shown = for_people(&loaded, &wanted);
    for text in &shown {
        assert!(!text.contains("S3CRET"), "{text}");
        assert!(text.contains("***"), "{text}");
    }
    assert!(shown[2].contains("header.X-Kind = plain"), "{}", shown[2]);
    assert!(loaded.document().text(true).contains("Bearer S3CRET3"));
    assert!(loaded.document().reads_back());
}

#[test]
fn what_a_template_compares_with_a_secret_is_in_no_form_for_people() {
    let lines = "driver = http\nurl = https://h/{{ 'a' if payload.admin_pass == 'S3CRET' else 'b' }}\n\
                 method = {{ 'PUT' if payload.admin_pass == 'S3CRET' else 'POST' }}\n\
                 header.X-Kind = {{ 'a' if payload.token == 'S3CRET' else 'b' }}\n\
                 header.Authorization = {{ 'a' if payload.token == 'S3CRET' else 'b' }}\n\
                 body = {{ payload.key == 'S3CRET' }}\nenrich = vm\n\
                 [enrich:vm]\nkind = server\nauth_url = https://k/v3\nusername = u\npassword = p\nproject_name = p\n\
                 id = {{ 'a' if payload.admin_pass == 'S3CRET' else 'b' }}";
    let loaded = load(lines);
    let payload = json!({"admin_pass": "x", "token": "y", "key": "z"});
    let event = Notification { payload, ..Notification::default() };
    let wanted = CallRequest { notification: &event, rule: "r", resource: None, asks: &[] };
    let shown = for_people(&loaded, &wanted);
    for text in &shown {
        assert!(!text.contains("S3CRET"), "{text}");
    }
    assert_eq!(shown[1].matches("{{ *** }}").count(), 4, "{}", shown[1]);
    assert_eq!(shown[2].matches(" = {{ *** }}\n").count(), 5, "{}", shown[2]);
}

#[test]
fn the_query_of_a_url_is_in_no_form_for_people() {
    const ID: &str = "12345678-1234-5678-1234-567812345678";
    let query = "token=S3CRET1&password=S3CRET2&key=S3CRET3&n=1";
    let loaded = load(&format!("driver = k2hr3\napi_url = https://h/v1/role?{query}"));
    let event_type = Some("compute.instance.delete.end".to_owned());
    let event = Notification { event_type, payload: json!({"instance_id": ID}), ..Notification::default() };
    let wanted = CallRequest { notification: &event, rule: "r", resource: None, asks: &[] };
    let shown = for_people(&loaded, &wanted);
    for text in &shown {
        assert!(!text.contains("S3CRET"), "{text}");
        assert!(text.contains("token=***&password=***&key=***&n=1"), "{text}");
    }
    let hidden = "api_url = https://h/v1/role?token=***&password=***&key=***&n=1";
    assert!(shown[2].contains(hidden), "{}", shown[2]);
    assert!(loaded.document().text(true).contains(query));
    assert!(loaded.document().reads_back());
}

#[test]
fn arguments_of_commands_are_hidden_and_what_names_a_secret_is_shown() {
    let text = |driver: &str| load(driver).document().text(false);
    let shown = text("driver = exec\ncommand = /bin/x, --password, hunter2, -v");
    assert!(shown.contains("command = /bin/x, --password, ***, -v"), "{shown}");
    let shown = text(
        "driver = http\nurl = http://h/\nsecret.k = hunter2\nheader.Authorization = Bearer {{ secret.k }}",
    );
    assert!(
        shown.contains("header.Authorization = Bearer {{ secret.k }}") && !shown.contains("hunter2"),
        "{shown}"
    );
}
