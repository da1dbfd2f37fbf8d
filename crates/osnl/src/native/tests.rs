//! The layers, what options mean, and that no output has a password; `fixtures/errors` has the messages.

mod actions;
mod deliveries;
mod enrichments;
mod guests;
mod http_request;
mod layers;
mod management;
mod outputs;
mod rabbit;
mod secret_file;
mod topology;

use super::{LoadedConf, Sources, load_texts};

use osnl_config::{ConfigErrors, Environment};

const WHOLE: &str = "\
[listener:neutron]
transport_url = rabbit://u:hunter2@localhost/
exchange = neutron
pool = osnl
[rule:gone]
event_type = ^port\\.delete\\.end$
actions = roles, record
[action:roles]
driver = k2hr3
api_url = http://k2hr3/v1/role
[action:record]
driver = dump
";

fn load(text: &str) -> Result<LoadedConf, ConfigErrors> {
    load_layers(&[text], &[])
}

fn load_layers(texts: &[&str], variables: &[(&str, &str)]) -> Result<LoadedConf, ConfigErrors> {
    let name = |n: usize| format!("{}.conf", ["a", "b", "c"][n]);
    let texts: Vec<(String, String)> =
        texts.iter().enumerate().map(|(n, text)| (name(n), (*text).to_owned())).collect();
    let environment: Environment = variables.iter().copied().collect();
    load_texts(&texts, &Sources { environment, ..Sources::default() })
}

fn errors(result: Result<LoadedConf, ConfigErrors>) -> Vec<String> {
    match result {
        Ok(_) => Vec::new(),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

fn warnings(loaded: &LoadedConf) -> Vec<String> {
    loaded.warnings.iter().map(ToString::to_string).collect()
}

fn all_findings(text: &str) -> String {
    let texts = [("f".to_owned(), text.to_owned())];
    let mut lines: Vec<String> = match load_texts(&texts, &Sources::default()) {
        Ok(loaded) => loaded.warnings.iter().map(|warning| format!("warning {warning}")).collect(),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    };
    lines.push(String::new());
    lines.join("\n")
}

#[test]
fn the_page_of_rules_loads_without_a_warning() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let page = std::fs::read_to_string(format!("{root}/docs/rules.md")).unwrap();
    let blocks: Vec<&str> =
        page.split("```ini\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 4, "{}", blocks.len());
    let frame = "[listener:neutron]\ntransport_url = rabbit://u:p@localhost/\nexchange = neutron\npool = osnl\n[action:roles]\n\
                 driver = dump\n[action:audit]\ndriver = dump\n";
    for block in blocks {
        let used = "[rule:all]\nactions = roles, audit\nenabled = true\n";
        assert_eq!(all_findings(&format!("{frame}{block}\n{used}")), "", "{block}");
    }
}

#[test]
fn the_expressions_of_the_page_compile() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rules.md");
    let page = std::fs::read_to_string(page).unwrap();
    let table = page.split("| expression | |").nth(1).and_then(|rest| rest.split("\n\n").next());
    let page = table.unwrap_or_default();
    let rows: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split("` |").next()).collect();
    assert!(rows.len() >= 15, "{}", rows.len());
    for row in rows {
        if let Err(error) = osnl_config::template::Expression::new(row) {
            panic!("{row}: {error}");
        }
    }
}

#[test]
fn the_whole_is_well() {
    let loaded = load(WHOLE).unwrap();
    assert_eq!(warnings(&loaded), [""; 0]);
}

#[test]
fn a_mistake_in_one_option_hides_none_in_another() {
    for (lines, expected) in [
        (
            "[listener:neutron]\npool =\ndelivery_limit = many\nsingle_active_consumer = true",
            ["delivery_limit: \"many\" is not a whole", "single_active_consumer: services declare"],
        ),
        (
            "[listener:neutron]\npool =\nexpect = often\nprefetch = 1",
            ["expect: \"often\" is not a rate", "prefetch: 1 is less than the 7 queues"],
        ),
        (
            "[action:m]\ndriver = mail\nserver = h\nfrom = a\nto = b@c\nusername = u",
            ["from: is not a mail address", "password: is not set; username needs one"],
        ),
        (
            "[action:h]\ndriver = http\nurl = catalog:dns/v2\nidle = soon",
            ["idle: \"soon\" is not a duration", "url: names a service of the catalogue"],
        ),
    ] {
        let said = errors(load(&format!("{WHOLE}{lines}\n")));
        assert_eq!(said.len(), 2, "{said:?}");
        for expected in expected {
            assert!(said.iter().any(|said| said.contains(expected)), "{expected} not in {said:?}");
        }
    }
}

#[test]
fn no_output_holds_the_password() {
    for lines in [
        "[listener:neutron]\ntransport_url = rabbit://u:hunter2@h:port/",
        "[listener:neutron]\ntransport_url = rabbit://u:hunter2/x@localhost/",
        "[listener:neutron]\ntransport_url = pigeon://u:hunter2@h/",
        "[listener:neutron]\ntransport_url = rabbit://u:p$hunter2@localhost/",
        "[listener:neutron]\npool = $transport_url",
        "[rule:gone]\nlisteners = rabbit://u:hunter2@localhost/",
        "[rule:gone]\nevent_type = (rabbit://u:hunter2@localhost/",
        "[rule:gone]\ntransport_url = rabbit://u:hunter2@localhost/",
        "[rabbit://u:hunter2@h]\nx = y",
        "rabbit://u:hunter2@h = x",
        "[action:roles]\napi_url = http://u:hunter2@h/",
        "[action:roles]\ntimeout = u:hunter2@h",
        "[journal]\nconnection = mysql://u:hunter2@h/",
        "[action:roles]\ntimeout = 5s",
    ] {
        let said = match load(&format!("{WHOLE}{lines}\n")) {
            Ok(loaded) => format!("{loaded:?} {:?} {}", warnings(&loaded), loaded.conf.explain()),
            Err(errors) => format!("{errors} {errors:?}"),
        };
        assert!(!said.contains("hunter2"), "{lines}\n{said}");
    }
}
