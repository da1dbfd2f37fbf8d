use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use osnl_testkit::fixture;

use super::*;
use crate::oss::python::PythonConf;
use crate::oss::rest::OssRestConf;

fn load(text: &str) -> Result<LoadedConf, ConfigErrors> {
    Conf::from_texts(&[("/etc/oss.conf".to_owned(), text.to_owned())], &Environment::default())
}

#[test]
fn the_document_s_own_file_means_what_it_says() {
    let loaded = load(&fixture::text("oss/document.conf")).unwrap();
    let native = &loaded.native.conf;
    let listener = &native.listeners[0];
    assert_eq!(listener.pool.as_deref(), Some("monitoring.info"));
    assert_eq!(listener.declare, osnl_transport::Declare::Nothing);
    assert_eq!(listener.transport_url.to_string_with_secrets(), "rabbit://user:passwprd@localhost:5672/");
    assert_eq!(native.journal, native::JournalConf::Memory);
    let [action] = &native.actions[..] else { panic!("one action") };
    let Some(rest) = action.driver.options::<OssRestConf>() else { panic!("its driver") };
    assert_eq!(rest.options.creation.to_string(), "https://some_host:80/some_url");
    assert_eq!(rest.options.deletion.to_string(), "https://some_host:80/some_url2");
    assert_eq!((&rest.options.lists, &rest.options.form), (&Default::default(), &Default::default()));
    let [warning] = &loaded.warnings[..] else { panic!("{:?}", loaded.warnings) };
    let said = warning.to_string();
    assert!(said.contains("[rest] body: is not set, so the target gets JSON, and not the XML"), "{said}");
    assert_eq!(rest.ask.as_deref(), Some("openstack"));
    let [cloud] = &native.enrichments[..] else { panic!("one cloud") };
    assert_eq!(cloud.cloud.auth_url.to_string(), "http://localhost:5000/v3");
    assert_eq!(cloud.cloud.shown(), "user user for project admin of domain id default");
    let document = loaded.document();
    assert!(document.reads_back());
    let shown = format!("{}{loaded:?}", document.text(false));
    assert!(!shown.contains("passwprd") && !shown.contains("= password"), "{shown}");
}

#[test]
fn the_example_loads_without_a_warning() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/oss.conf");
    let loaded = Conf::load(&[ConfPlace::File(path)], &Environment::default()).unwrap();
    // All users can read a checkout, and the old form has no TLS to its broker.
    let others = loaded.warnings.iter().map(ToString::to_string).filter(|warning| {
        !warning.contains("can read this secret") && !warning.contains("goes to mq.example.com in clear")
    });
    assert_eq!(others.count(), 0, "{:?}", loaded.warnings);
    let text = loaded.document().text(true);
    assert!(text.contains("connection = sqlite:///var/lib/osnl/oss.db"), "{text}");
    assert!(loaded.document().reads_back());
}

#[test]
fn an_empty_file_has_the_program_s_defaults() {
    let loaded = load("").unwrap();
    let native = &loaded.native.conf;
    assert_eq!(
        native.listeners[0].transport_url.to_string_with_secrets(),
        "rabbit://nova:password@127.0.0.1:5672/"
    );
    assert_eq!(native.listeners[0].pool.as_deref(), Some("notifications.info"));
    let Some(rest) = native.actions[0].driver.options::<OssRestConf>() else { panic!("its driver") };
    assert_eq!(rest.options.creation.to_string(), "http://127.0.0.1:80/");
    assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
}

#[test]
fn a_cloud_is_asked_where_the_file_says_so() {
    let asked = |text: &str| {
        let loaded = load(text).unwrap();
        assert!(loaded.document().reads_back());
        let asks =
            loaded.native.conf.actions.iter().map(|action| action.driver.conf().traits().asks.cloned());
        let clouds = loaded.native.conf.enrichments.iter().map(|conf| conf.cloud.shown());
        (asks.collect::<Vec<_>>(), clouds.collect::<Vec<_>>())
    };
    assert_eq!(asked("[rest]\nhost = http://h\n"), (vec![None], Vec::new()));
    let both = "[DEFAULT]\nenabled_plugins = rest_plugin.RESTNotify, a.B\n[openstack]\nuser = o$$w\n";
    let cloud = "user o$w for project admin of domain id default".to_owned();
    assert_eq!(asked(both), (vec![Some("openstack".into()); 2], vec![cloud]));
    let wrong = "[rest]\npassword = x\n[openstack]\nuser = x\nauth_url = ftp://keystone\n";
    let errors = load(wrong).unwrap_err().to_string();
    assert!(errors.starts_with("/etc/oss.conf:5: [openstack] auth_url: "), "{errors}");
}

#[test]
fn one_of_the_two_lists_may_be_empty() {
    let plugins = "[DEFAULT]\nenabled_plugins = rest_plugin.RESTNotify, a.B\n";
    for (list, other) in [("events_creation", "events_deletion"), ("events_deletion", "events_creation")] {
        let loaded = load(&format!("{plugins}{list} =\n{other} = a.b\n")).unwrap();
        assert!(loaded.document().reads_back());
        let actions = &loaded.native.conf.actions;
        let Some(rest) = actions[0].driver.options::<OssRestConf>() else { panic!("its driver") };
        let Some(python) = actions[1].driver.options::<PythonConf>() else { panic!("its driver") };
        let named = vec!["a.b".to_owned()];
        let (creation, deletion) = if other == "events_creation" { (named, vec![]) } else { (vec![], named) };
        for lists in [&rest.options.lists, &python.options.details.watches().unwrap()] {
            assert_eq!((&lists.creation, &lists.deletion), (&creation, &deletion), "{list}");
        }
    }
    let errors = load("[DEFAULT]\nevents_creation =\nevents_deletion = ,\n").unwrap_err().to_string();
    assert!(errors.contains("events_creation: is empty, and so is events_deletion"), "{errors}");
}

#[test]
fn a_host_is_no_more_than_a_host() {
    let refused = |text: &str| load(text).err().map(|errors| errors.to_string()).unwrap_or_default();
    for host in ["a,b", "mq:5673", "u:p@mq", "mq/vhost", "mq?ssl=1", "mq#x", "[::1", "[mq]", "a b"] {
        let errors = refused(&format!("[rabbit]\nhost = {host}\n"));
        assert!(errors.contains("[rabbit] host: is not a host name or an address"), "{host}: {errors}");
    }
    for host in ["mq-1.example_a.org", "10.0.0.1", "::1", "[fd00::1]"] {
        assert_eq!(refused(&format!("[rabbit]\nhost = {host}\n")), "", "{host}");
    }
    for host in ["http://h/x", "http://h?x=1", "h/x", "http://h:1"] {
        let errors = refused(&format!("[rest]\nhost = {host}\n"));
        assert!(errors.contains("[rest] host: "), "{host}: {errors}");
    }
    assert_eq!(refused("[rest]\nhost = https://h/\n"), "");
}

#[test]
fn a_login_in_clear_has_a_remedy_that_this_form_has() {
    let said = |loaded: &[Warning]| {
        let said = loaded.iter().map(ToString::to_string);
        said.filter(|warning| warning.contains(" in clear")).collect::<Vec<_>>()
    };
    let text = "[rest]\nhost = http://cmdb\nurl_creation = /c\nbody = json\n[rabbit]\nhost = mq1\n";
    let clear = said(&load(text).unwrap().warnings);
    let [rest, rabbit] = &clear[..] else { panic!("{clear:?}") };
    assert!(rest.starts_with("/etc/oss.conf:2: [rest] host: the login goes to cmdb in clear"), "{rest}");
    assert!(rest.contains("; write https://, and the port with TLS into port, or"), "{rest}");
    assert!(rabbit.starts_with("/etc/oss.conf:6: [rabbit] host: the login goes to mq1 in clear"), "{rabbit}");
    assert!(
        rabbit.contains("config show --show-secrets --oss-watcher FILE, and set tls = verify"),
        "{rabbit}"
    );

    let loaded = load(&text.replace("http://", "https://")).unwrap();
    assert_eq!(said(&loaded.warnings), std::slice::from_ref(rabbit));
    let heading = "[listener:oss_watcher]\n";
    let converted = loaded.document().text(true).replace(heading, &format!("{heading}tls = verify\n"));
    let sources = native::Sources { drivers: drivers(), ..native::Sources::default() };
    let native = native::load_texts(&[("osnl.conf".to_owned(), converted)], &sources).unwrap();
    assert_eq!(said(&native.warnings), Vec::<String>::new());
}

#[test]
fn plug_ins_and_own_options_have_their_place() {
    let text = "[DEFAULT]\nenabled_plugins = rest_plugin.RESTNotify, new_plugin.YourPlugin\nplugin_path = /srv/plugins\n\
        events_creation = port.create.end\n[rabbit]\nuser = a@b\npassword = p/$$w\nvirtual_host = cloud\nhost = ::1\n[rest]\nhost = https://h\nbody = xml\nverify = no\n\
        [oss]\nkeys = flattened\nip_type = auto\nsecurity_domain = a, b\n[journal]\nconnection = sqlite:///var/lib/osnl/j.db\nretention = 3d\n[new_plugin]\nurl = x\n";
    let loaded = load(text).unwrap();
    let native = &loaded.native.conf;
    assert_eq!(
        native.listeners[0].transport_url.to_string_with_secrets(),
        "rabbit://a%40b:p%2F%24w@[::1]:5672/cloud"
    );
    let names: Vec<&str> = native.actions.iter().map(|action| &*action.name).collect();
    assert_eq!(names, ["oss_watcher", "new_plugin-YourPlugin"]);
    let Some(python) = native.actions[1].driver.options::<PythonConf>() else { panic!("its driver") };
    assert_eq!(python.options.plugin, "new_plugin.YourPlugin");
    assert_eq!(python.options.plugin_path, [PathBuf::from("/srv/plugins")]);
    let watched = python.options.details.watches().unwrap();
    assert_eq!(watched.creation, ["port.create.end"]);
    let Some(rest) = native.actions[0].driver.options::<OssRestConf>() else { panic!("its driver") };
    assert_eq!(rest.options.form.constants.security_domain, "a, b");
    assert!(!rest.tls.verify);
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "/etc/oss.conf:13: [rest] verify: the certificate of the target and its name are not verified, and a forged target would be trusted; name the file of its CA's certificate in ca_file"
        ]
    );
    assert!(loaded.document().reads_back());
}

#[test]
fn files_are_found_where_the_program_looked() {
    let root = tempfile::tempdir().unwrap();
    let (home, etc) = (root.path().join("home"), root.path().join("etc"));
    for folder in [home.join(".oss_framework"), etc.join("oss_framework")] {
        fs::create_dir_all(folder).unwrap();
    }
    let found = || default_files(Some(&home), root.path());
    assert!(found().is_empty());
    let check = |file: &Path, expected: &[&Path]| {
        fs::write(file, "").unwrap();
        assert_eq!(found(), expected);
    };
    let own = etc.join("oss_watcher.conf");
    check(&own, &[&own]);
    let project = etc.join("oss_framework/oss_framework.conf");
    check(&project, &[&project, &own]);
    let nearer = home.join("oss_watcher.conf");
    check(&nearer, &[&project, &nearer]);
    let nearest = home.join(".oss_framework/oss_framework.conf");
    check(&nearest, &[&nearest, &nearer]);
}

#[test]
fn a_file_that_every_user_can_read_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let file = folder.path().join("x.conf");
    let name = file.display().to_string();
    let text = "[rabbit]\npassword = hunter2\n[rest]\nhost = https://h\nurl_creation = /c\nurl_deletion = /d\npassword = hunter2\n";
    for (mode, count) in [(0o640, 0), (0o604, 1)] {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let warnings =
            Conf::from_texts(&[(name.clone(), text.to_owned())], &Environment::default()).unwrap().warnings;
        let said = warnings.iter().map(ToString::to_string);
        let said: Vec<_> = said.filter(|said| said.contains("can read this secret; chmod o=")).collect();
        assert!(
            said.len() == count && said.iter().all(|said| said.contains("password")),
            "{mode:o} {said:?}"
        );
    }
}
