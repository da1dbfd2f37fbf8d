use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::super::drivers::Drivers;
use super::super::{Sources, load};
use super::{WHOLE, load_layers, warnings};

const URL: &str = "rabbit://u:hun$ter2@localhost/";

fn with(value: &str) -> String {
    WHOLE.replace("rabbit://u:hunter2@localhost/", value)
}

fn write(path: &Path, content: impl AsRef<[u8]>, mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_secret_is_read_from_the_file_that_its_option_names() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display().to_string();
    let check = |content: &str, value: &str, variables: &[(&str, &str)]| {
        write(&folder.path().join("url"), content, 0o440);
        let loaded = load_layers(&[&with(value)], variables).unwrap_or_else(|errors| panic!("{errors}"));
        let read = loaded.conf.listeners[0].transport_url.to_string_with_secrets();
        assert_eq!(read.replace("%24", "$"), URL, "{content:?}");
        assert_eq!(warnings(&loaded), [] as [&str; 0]);
        let document = loaded.document();
        for secrets in [false, true] {
            let text = document.text(secrets);
            assert!(text.contains(&format!("transport_url = file://{place}/url\n")), "{text}");
            assert!(!text.contains("hun"), "{text}");
        }
        assert!(document.reads_back());
        assert!(!format!("{:?}{}", loaded, loaded.conf.explain()).contains("ter2"));
    };
    let plain = format!("file://{place}/url");
    for end in ["", "\n", "\r\n"] {
        check(&format!("{URL}{end}"), &plain, &[]);
    }
    let credentials = [("CREDENTIALS_DIRECTORY", place.as_str())];
    check(URL, "file://$CREDENTIALS_DIRECTORY/url", &credentials);
    check(URL, "file://${CREDENTIALS_DIRECTORY}/url", &credentials);
    let named = format!("file://{}/url", "$state_dir");
    let variables = [("OS_DEFAULT__STATE_DIR", place.as_str())];
    check(URL, &named, &variables);
    check(URL, "rabbit://h/", &[("OS_LISTENER_NEUTRON__TRANSPORT_URL", &plain)]);
}

#[test]
fn a_file_that_is_open_to_everybody_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    let check = |mode: u32, open: bool| {
        write(&file, "rabbit://u:hunter2@localhost/", mode);
        let loaded = load_layers(&[&with(&format!("file://{}", file.display()))], &[]).unwrap();
        let said = format!(
            "a.conf:2: [listener:neutron] transport_url: {} is open to every user of this machine; \
             remove that permission: chmod o= FILE",
            file.display()
        );
        assert_eq!(warnings(&loaded), if open { vec![said] } else { Vec::new() }, "{mode:o}");
    };
    check(0o400, false);
    check(0o640, false);
    check(0o644, true);
    check(0o602, true);
}

#[test]
fn configurations_and_programs_that_others_can_change_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let (base, more) = (folder.path().join("osnl.conf"), folder.path().join("conf.d"));
    let program = folder.path().join("prog");
    write(&program, "#!/bin/sh\n", 0o755);
    write(&base, format!("{WHOLE}[action:x]\ndriver = exec\ncommand = {}\n", program.display()), 0o640);
    fs::create_dir(&more).unwrap();
    write(&more.join("more.conf"), "", 0o640);
    let check = |path: &Path, mode: u32, expected: &str| {
        let before = fs::metadata(path).unwrap().permissions();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let sources =
            Sources { files: vec![base.clone()], folders: vec![more.clone()], ..Sources::default() };
        let said = warnings(&load(&sources).unwrap_or_else(|errors| panic!("{errors}")));
        fs::set_permissions(path, before).unwrap();
        let said: Vec<_> = said.iter().filter(|said| said.contains("can write to")).collect();
        let expected = expected.replace("PATH", &path.display().to_string());
        match said.as_slice() {
            [] => assert_eq!(expected, ""),
            [said] => assert!(!expected.is_empty() && said.contains(&expected), "{said}"),
            said => panic!("{said:?}"),
        }
    };
    for path in [&base, &more, &more.join("more.conf")] {
        check(path, 0o772, "PATH: every user of this machine can write to PATH (mode 0772)");
        check(path, 0o770, "");
    }
    check(&program, 0o777, "[action:x] command: every user of this machine can write to PATH (mode 0777)");
    check(&program, 0o775, "");
}

#[test]
fn keys_tokens_and_clouds_that_every_user_can_read_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let (file, clouds) = (folder.path().join("x"), folder.path().join("clouds.yaml"));
    let yaml = "clouds:\n  c:\n    auth: {auth_url: 'https://k/v3', username: u, password: hunter2, project_name: p}\n";
    let (at, clouds_at) = (file.display(), clouds.display());
    let check = |more: &str, expected: &str| {
        for (mode, open) in [(0o640, false), (0o644, true)] {
            write(&file, "U=hunter2", mode);
            write(&clouds, yaml, mode);
            let loaded = load_layers(&[WHOLE, more], &[]).unwrap();
            let said =
                warnings(&loaded).into_iter().filter(|said| said.contains("every user of this machine"));
            let said: Vec<_> = said.collect();
            assert_eq!(said.len(), usize::from(open), "{mode:o} {said:?}");
            assert!(said.iter().all(|said| said.contains(expected)), "{said:?}");
        }
    };
    let rabbit =
        |option: &str| format!("[oslo_messaging_rabbit]\nssl = true\nssl_cert_file = {at}\n{option}");
    check(&rabbit(""), "ssl_cert_file: names a private key");
    check(&rabbit(&format!("ssl_key_file = {at}\n")), "ssl_key_file: names a private key");
    check(
        &format!(
            "[action:register]\ndriver = k2hr3_register\napi_url = https://k/v1/role\nrole = r\ntoken_file = {at}\n"
        ),
        "token_file: names a token",
    );
    let cloud = format!("[enrich:port]\nkind = port\ncloud = c\nclouds_file = {clouds_at}\n");
    check(
        &cloud,
        &format!(
            "cloud: names a secret that every user of this machine can read; remove that permission: chmod o= {clouds_at}"
        ),
    );
}

/// Every login of every driver and section: in clear only to this machine, else over TLS. A driver without a case fails
/// the test.
#[test]
fn every_login_in_clear_is_named() {
    let drivers = [
        ("k2hr3_register", "api_url = HTTP/v1/role\nrole = r\ntoken_file = /none\n", "api_url"),
        // A deletion sends no credential to K2HR3.
        ("k2hr3", "api_url = HTTP/v1/role\n", ""),
        ("http", "url = HTTP/a\nauth = bearer\ntoken = t\n", "url"),
        ("http", "url = HTTP/a\nheader.X-Api-Key = t\n", "url"),
        ("http", "url = HTTP/a\n", ""),
        (
            "http",
            "url = catalog:dns/v2\nauth = keystone\nauth_url = HTTP/v3\nusername = u\npassword = p\nproject_name = p\n",
            "auth_url",
        ),
        (
            "mail",
            "server = HOST\ntls = none\nusername = u\npassword = p\nfrom = a@b.c\nto = a@b.c\n",
            "password",
        ),
        ("mail", "server = HOST\nusername = u\npassword = p\nfrom = a@b.c\nto = a@b.c\n", ""),
        ("publish", "transport_url = rabbit://u:p@HOST/\nexchange = x\n", "transport_url"),
        ("publish", "transport_url = rabbit://u:p@HOST/?ssl=true\nexchange = x\n", ""),
        ("syslog", "server = tcp://HOST:601\n", ""),
        ("dump", "", ""),
        ("file", "path = /none\n", ""),
        ("exec", "command = /bin/true\n", ""),
    ];
    for entry in Drivers::default().entries() {
        let name = entry.table.name;
        assert!(drivers.iter().any(|(driver, ..)| *driver == name), "{name} has no case here");
    }
    let actions = drivers
        .map(|(driver, options, option)| (format!("[action:x]\ndriver = {driver}\n{options}"), option));
    let sections = [
        ("[listener:n2]\ntransport_url = rabbit://u:p@HOST/\nexchange = x\npool = second\n", "transport_url"),
        ("[listener:n2]\ntransport_url = rabbit://u:p@HOST/?ssl=true\nexchange = x\npool = second\n", ""),
        (
            "[enrich:e]\nkind = server\nauth_url = HTTP/v3\nusername = u\npassword = p\nproject_name = p\n",
            "auth_url",
        ),
    ]
    .map(|(text, option)| (text.to_owned(), option));
    for (text, option) in actions.into_iter().chain(sections) {
        for (http, host, is_clear) in [
            ("http://cmdb", "cmdb", true),
            ("http://127.0.0.1", "127.0.0.1", false),
            ("https://localhost", "localhost", false),
        ] {
            let written = text.replace("HTTP", http).replace("HOST", host);
            let loaded =
                load_layers(&[WHOLE, &written], &[]).unwrap_or_else(|errors| panic!("{written}{errors}"));
            let said: Vec<String> =
                warnings(&loaded).into_iter().filter(|said| said.contains("in clear")).collect();
            let expected = usize::from(is_clear && !option.is_empty());
            assert_eq!(said.len(), expected, "{written} {said:?}");
            assert!(said.iter().all(|said| said.contains(&format!("] {option}: "))), "{said:?}");
        }
    }
}

#[test]
fn only_secrets_are_read_from_files() {
    let loaded = load_layers(&[WHOLE, "[action:record]\npath = file:///x\n"], &[]).unwrap();
    assert_eq!(
        loaded.document().text(true).lines().find(|line| line.starts_with("path")),
        Some("path = file:///x")
    );
}

#[test]
fn what_looks_like_a_comment_is_warned_of() {
    let check = |value: &str, warned: bool| {
        let loaded = load_layers(&[WHOLE, &format!("[action:record]\npath = {value}\n")], &[]).unwrap();
        assert_eq!(warnings(&loaded).len(), usize::from(warned), "{value:?}");
    };
    check("a # b", true);
    check("a\t#\tb", true);
    check("a #b", false);
    check("a# b", false);
}

/// A file counts as readable by its own mode and those of all folders on the path.
#[test]
fn a_configuration_with_a_secret_that_every_user_can_read_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("osnl.conf");
    fs::write(&file, "[listener:n]\ntransport_url = rabbit://u:p@localhost/\nexchange = x\npool = second\n[rule:r]\nactions = a\n[action:a]\ndriver = dump\n").unwrap();
    let warned = |folder_mode: u32, mode: u32| {
        fs::set_permissions(folder.path(), Permissions::from_mode(folder_mode)).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let sources = Sources { files: vec![file.clone()], ..Default::default() };
        let loaded = load(&sources).unwrap_or_else(|errors| panic!("{errors}"));
        let all: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        all.into_iter().filter(|said| said.contains("every user of this machine can read")).count()
    };
    assert_eq!(warned(0o755, 0o644), 1);
    assert_eq!(warned(0o755, 0o640), 0);
    assert_eq!(warned(0o700, 0o644), 0, "nobody else gets there");
    assert_eq!(warned(0o711, 0o604), 1);
}
