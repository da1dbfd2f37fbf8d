use osnl_model::TransportUrl;

use super::load;

#[test]
fn check_names_each_host_that_run_warns_of() {
    let check = |hosts: &str, expected: &[&str]| {
        let url = format!("rabbit://{hosts}/");
        let text = format!(
            "[listener:l]\ntransport_url = {url}\nexchange = neutron\npool = osnl\n\
             [rule:r]\nactions = a\nevent_type = ^port\\.create\\.end$\n\
             [action:a]\ndriver = publish\ntransport_url = {url}\nexchange = x\ndeclare = passive\n"
        );
        let warnings: Vec<String> =
            load(&text).unwrap().all_warnings().iter().map(ToString::to_string).collect();
        for (line, section) in [(2, "listener:l"), (10, "action:a")] {
            for host in expected {
                let begin = format!("a.conf:{line}: [{section}] transport_url: {host} has no user");
                assert!(warnings.iter().any(|warning| warning.starts_with(&begin)), "{begin}: {warnings:?}");
            }
        }
        let run = TransportUrl::parse(&url).unwrap().hosts_without_login().count();
        let checked = warnings.iter().filter(|warning| warning.contains("logged in to as guest")).count();
        assert_eq!((run, checked), (expected.len(), 2 * expected.len()), "{hosts}: {warnings:?}");
    };
    check("u:p@one", &[]);
    check("one", &[]);
    check("u:p@one,two", &["two"]);
    check("u:p@one,two,u:p@three,four", &["two", "four"]);
    check("one,u@two", &["one"]);
}

#[test]
fn check_names_what_may_be_a_part_of_a_password() {
    let check = |url: &str, expected: &str| {
        let text = format!(
            "[listener:l]\ntransport_url = {url}\nexchange = neutron\npool = osnl\n\
             [rule:r]\nactions = a\nevent_type = ^port\\.create\\.end$\n\
             [action:a]\ndriver = publish\ntransport_url = rabbit://u:p@h/\nexchange = x\ndeclare = passive\n"
        );
        let warnings: Vec<String> =
            load(&text).unwrap().guest_hosts().iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), usize::from(!expected.is_empty()), "{url}: {warnings:?}");
        assert!(warnings.iter().all(|warning| warning.contains(expected)), "{url}: {warnings:?}");
        assert!(!warnings.concat().contains("S3CRET"), "{warnings:?}");
    };
    check("rabbit://u,S3CRET@h/", "write user:password@ before each host, and a comma of a password as %2C");
    check("rabbit://u;S3CRET@h/", "the user of h has no password, and a ; in it");
    check("rabbit://u@h,S3CRET@i/", "");
    check("rabbit://u;v:S3CRET@h/", "");
}
