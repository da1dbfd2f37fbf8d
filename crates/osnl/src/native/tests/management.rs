use super::{WHOLE, load, warnings};
use crate::native::ManagementConf;
use osnl_model::TransportUrl;

#[test]
fn the_login_is_that_of_the_broker_unless_the_url_has_one() {
    let check = |lines: &str, url: &str, ca_file: Option<&str>| {
        let text = WHOLE.replace("pool = osnl\n", &format!("pool = osnl\n{lines}\n"));
        let loaded = load(&text).unwrap_or_else(|errors| panic!("{errors}"));
        let expected = ManagementConf {
            url: TransportUrl::parse(url).unwrap(),
            login: TransportUrl::parse("rabbit://u:hunter2@localhost/").unwrap().hosts()[0].clone(),
            ca_file: ca_file.map(Into::into),
        };
        assert_eq!(loaded.conf.listeners[0].management.as_ref(), Some(&expected), "{lines}");
        let shown = format!("{:?}{}", loaded.conf, loaded.document().text(false));
        assert!(!shown.contains("hunter2") && !shown.contains("s3cret"), "{shown}");
        warnings(&loaded).into_iter().filter(|line| line.contains("management_url")).collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    assert_eq!(check("management_url = https://mq:15671/", "https://mq:15671/", None), none);
    let own = "management_url = https://m:s3cret@mq:15671/\nssl_ca_file = /etc/ca.pem";
    assert_eq!(check(own, "https://m:s3cret@mq:15671/", Some("/etc/ca.pem")), none);
    assert_eq!(check("management_url = http://127.0.0.1:15672/", "http://127.0.0.1:15672/", None), none);
    let two = "http://m:s3cret@127.0.0.1:15672,m:s3cret@mq2.example.com:15672/";
    let found = check(&format!("management_url = {two}"), two, None);
    assert_eq!(
        found,
        [
            "a.conf:5: [listener:neutron] management_url: the login goes to mq2.example.com in clear: anyone in the \
          network could read it, and read and change what follows; write https://, or send it to this machine only"
        ]
    );
    let text = WHOLE.to_owned();
    assert_eq!(load(&text).unwrap().conf.listeners[0].management, None);
}
