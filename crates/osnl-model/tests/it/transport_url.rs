use osnl_model::{TransportHost, TransportUrl};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn logins(url: &TransportUrl) -> Vec<String> {
    let login = |host: &TransportHost| {
        let (user, password) = host.credentials();
        format!("{user} {password} {} {}", host.hostname, host.port_or(5672))
    };
    url.hosts().iter().map(login).collect()
}

#[test]
fn hosts_and_credentials() {
    let check = |url: &str, expected: &[&str]| {
        assert_eq!(logins(&TransportUrl::parse(url).unwrap()), expected, "{url}");
    };
    check("", &["guest guest localhost 5672"]);
    check("rabbit://", &["guest guest localhost 5672"]);
    check("rabbit:///vh", &["guest guest localhost 5672"]);
    check("rabbit://u:p@/vh", &["u p localhost 5672"]);
    check("rabbit://h", &["guest guest h 5672"]);
    check("rabbit://h:5671?ssl=1", &["guest guest h 5671"]);
    check("rabbit://u@h", &["u guest h 5672"]);
    check("rabbit://u:@h", &["u guest h 5672"]);
    check("rabbit://:p@h", &["guest p h 5672"]);
    check("rabbit://@h", &["guest guest h 5672"]);
    check("rabbit://u:p%40%2Fx@h", &["u p@/x h 5672"]);
    check("rabbit://a+b:c+d@h", &["a+b c+d h 5672"]);
    check("rabbit://u@x:p@h", &["u@x p h 5672"]);
    check("rabbit://u:p:q@h", &["u p:q h 5672"]);
    check("rabbit://u:p@x;y@h", &["u p@x;y h 5672"]);
    check("rabbit://u:p;q r:s@h", &["u p;q r:s h 5672"]);
    check("rabbit://u:100%@h", &["u 100% h 5672"]);
    check("rabbit://u:p%2Cq@h", &["u p,q h 5672"]);
    check("rabbit://u:%C3%A9@h", &["u é h 5672"]);
    check("rabbit://u:p@h1:5672,v:q@h2:5673/vh", &["u p h1 5672", "v q h2 5673"]);
    check("rabbit://u:p@h1,h2/vh", &["u p h1 5672", "guest guest h2 5672"]);
    check("rabbit://,h2", &["guest guest h2 5672"]);
    check("rabbit://u:p@,u:p@h2", &["u p h2 5672"]);
    check("rabbit://,,", &["guest guest localhost 5672"]);
    check("rabbit://[::1]:5673,u:p@[fe80::1]", &["guest guest ::1 5673", "u p fe80::1 5672"]);
    check("rabbit://h:0,h:65535", &["guest guest h 0", "guest guest h 65535"]);
    check("AMQPS://u:p@h1,h2:5672/vh", &["u p h1 5671", "guest guest h2 5672"]);
    check("amqp://h?ssl=1", &["guest guest h 5672"]);
}

#[test]
fn every_form_that_was_measured_with_oslo_messaging() {
    let check = |url: &str, driver: &str, hosts: &[&str], virtual_host: &str| {
        let read = TransportUrl::parse(url).unwrap();
        assert_eq!(
            (read.driver(), &*logins(&read), read.virtual_host()),
            (driver, &*owned(hosts), virtual_host),
            "{url}"
        );
    };
    let one = |url: &str, host: &str, virtual_host: &str| check(url, "rabbit", &[host], virtual_host);
    for url in ["rabbit://h", "rabbit://h/", "rabbit://h//", "rabbit://h/%2F"] {
        one(url, "guest guest h 5672", "/");
    }
    one("rabbit://h/a%2Fb", "guest guest h 5672", "a/b");
    one("rabbit://h/a/b", "guest guest h 5672", "a/b");
    one("rabbit://u:p%40%2Fx@h", "u p@/x h 5672", "/");
    one("rabbit://u+v:p+q@h", "u+v p+q h 5672", "/");
    one("rabbit://u@x:p@h", "u@x p h 5672", "/");
    one("rabbit://u@h", "u guest h 5672", "/");
    check("rabbit://u:p@h1:5672,u:p@h2:5673/vh", "rabbit", &["u p h1 5672", "u p h2 5673"], "vh");
    check("rabbit://u:p@h1,h2/vh", "rabbit", &["u p h1 5672", "guest guest h2 5672"], "vh");
    let inherits = |url: &str, expected: &[&str]| {
        let read = TransportUrl::parse(url).unwrap();
        let seen: Vec<&str> = read.hosts_without_login().map(|host| host.hostname.as_str()).collect();
        assert_eq!(seen, expected, "{url}");
    };
    inherits("rabbit://u:p@h1,h2,:p@h3,u@h4", &["h2"]);
    inherits("rabbit://h1,h2", &[]);
    inherits("rabbit://h", &[]);
    one("rabbit://[::1]:5672", "guest guest ::1 5672", "/");
    one("rabbit://[fe80::1]", "guest guest fe80::1 5672", "/");
    one("rabbit://h/?ssl=1", "guest guest h 5672", "/");
    for url in ["rabbit://h:x", "rabbit://h:99999"] {
        // oslo.messaging does not check that a number is a port.
        assert!(TransportUrl::parse(url).unwrap_err().to_string().starts_with("invalid port of host 1"));
    }
    one("rabbit://,h2", "guest guest h2 5672", "/");
    // In oslo.messaging the first of these hosts has no name and is unreachable.
    one("rabbit://u:p@,u:p@h2", "u p h2 5672", "/");
    one("rabbit://h/vh#fragment", "guest guest h 5672", "vh");
    check("RabBit://h", "rabbit", &["guest guest h 5672"], "/");
    check("kombu+amqp://h", "kombu+amqp", &["guest guest h 5672"], "/");
    one("", "guest guest localhost 5672", "/");
    check("amqp://h", "amqp", &["guest guest h 5672"], "/");
    let query = |url: &str, expected: &[(&str, &str)]| {
        let read = TransportUrl::parse(url).unwrap();
        let seen: Vec<_> = read.query().iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(seen, expected, "{url}");
    };
    query("rabbit://h/?ssl=1&ssl=0", &[("ssl", "1"), ("ssl", "0")]);
    query(
        "rabbit://h?rabbit_qos_prefetch_count=x&nosuch=1",
        &[("rabbit_qos_prefetch_count", "x"), ("nosuch", "1")],
    );
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn drivers_virtual_hosts_and_queries() {
    let check = |url: &str, driver: &str, virtual_host: &str, query: &[(&str, &str)]| {
        let read = TransportUrl::parse(url).unwrap();
        let read_query: Vec<_> =
            read.query().iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(
            (read.driver(), read.virtual_host(), &*read_query),
            (driver, virtual_host, query),
            "{url}"
        );
    };
    for root in ["rabbit://h", "rabbit://h/", "rabbit://h//", "rabbit://h/%2F", "RABBIT://h/#vh", ""] {
        check(root, "rabbit", "/", &[]);
    }
    check("kombu+memory://h/a%2Fb", "kombu+memory", "a/b", &[]);
    check("Kafka://h/a/b", "kafka", "a/b", &[]);
    check("rabbit://h/%20+#f", "rabbit", " +", &[]);
    check("rabbit://h?ssl=1&&ssl=0&x", "rabbit", "/", &[("ssl", "1"), ("ssl", "0"), ("x", "")]);
    check("rabbit://h/vh?a=b%26c+d=e#f?g", "rabbit", "vh", &[("a", "b&c d=e")]);
    check("rabbit://h?a/b@c:d", "rabbit", "/", &[("a/b@c:d", "")]);
}

#[test]
fn errors_name_the_part() {
    let check = |url: &str, part: &str| {
        let message = TransportUrl::parse(url).unwrap_err().to_string();
        assert!(message.starts_with(part), "{url}: {message}");
    };
    for url in ["h", "rabbit:h", "rabbit:/h", "://h", "1x://h", "ra bbit://h", "h:5672/vh"] {
        check(url, "invalid scheme");
    }
    check("rabbit://h:x", "invalid port of host 1");
    check("rabbit://h:", "invalid port of host 1");
    check("rabbit://h:+1", "invalid port of host 1");
    check("rabbit://h1,h2:65536", "invalid port of host 2");
    check("rabbit://::1", "invalid port of host 1");
    check("rabbit://[::1]:", "invalid port of host 1");
    check("rabbit://u:a/b@h", "invalid port of host 1");
    check("rabbit://[::1", "invalid host 1");
    check("rabbit://h1,[::1]x:1", "invalid host 2");
    check("rabbit://h]", "invalid host 1");
    for list in [
        "h1;h2",
        "h1 h2",
        "h1:5672;h2:5672",
        "h1:5672 h2:5672",
        "u:p@h1;u:p@h2",
        "u:p@h1:5672;u:p@h2:5672",
        "u:p@h1:5672; u:p@h2:5672",
        "u:p@h1:5672 u:p@h2:5672",
        "u:p@h1:5672;u:p@h2:5672;u:p@h3:5672",
        "u:p@[::1]:5672;u:p@[::2]:5672",
        "u:p@h1|u:p@h2",
        "u:p@h1\n u:p@h2",
    ] {
        check(&format!("rabbit://{list}/vh"), "invalid host 1: hosts are separated by commas alone");
    }
    check("rabbit://h1, h2", "invalid host 2: hosts are separated by commas alone");
    check("rabbit://u:p@h1, u:p@h2", "invalid host 2: hosts are separated by commas alone");
    check("rabbit://u:p@h1,u:p@h2 ,u:p@h3", "invalid host 2: hosts are separated by commas alone");
    check("rabbit://h\"", "invalid host 1: brackets");
    for escaped in ["h1%3Bh2", "u:p@h1%20h2", "h1%2Ch2:5672", "u:p@h%"] {
        check(&format!("rabbit://{escaped}/vh"), "invalid host 1: brackets");
    }
    assert!(TransportUrl::parse("rabbit://u:p@[fe80::1%eth0]:5672/").is_ok());
    check("rabbit://%ff@h", "invalid percent escape in the user");
    check("rabbit://u:%ff@h", "invalid percent escape in the password");
    check("rabbit://h/%ff", "invalid percent escape in the virtual host");
    check("rabbit://h?%ff", "invalid percent escape in the query");
}

#[test]
fn passwords_are_hidden() {
    let url =
        TransportUrl::parse("rabbit://u:S3CRET@h1:1,v:S3CRET@[::1]/a%2Fb?ssl_key_password=S3CRET&ssl=1")
            .unwrap();
    assert_eq!(url.to_string(), "rabbit://u:***@h1:1,v:***@[::1]/a%2Fb?ssl_key_password=***&ssl=1");
    for shown in [
        format!("{url:?}"),
        format!("{:?}", url.hosts()),
        url.hosts()[0].password.as_ref().unwrap().to_string(),
    ] {
        assert!(!shown.contains("S3CRET") && shown.contains("***"), "{shown}");
    }
    assert!(url.to_string_with_secrets().contains(":S3CRET@"));
    // A wrong sign makes the password a part of the user.
    for (text, expected) in [
        ("rabbit://u;S3CRET@h/", "rabbit://***@h/"),
        ("rabbit://u=S3CRET@h/", "rabbit://***@h/"),
        ("rabbit://u@S3CRET@h/", "rabbit://***@h/"),
        ("rabbit://u;S3CRET:1@h/", "rabbit://***:***@h/"),
        ("rabbit://u,S3CRET@h/", "rabbit://u,***@h/"),
        ("rabbit://svc%40corp:S3CRET@h/", "rabbit://svc%40corp:***@h/"),
        ("rabbit://os-nl_1.x@h/", "rabbit://os-nl_1.x@h/"),
    ] {
        let url = TransportUrl::parse(text).unwrap();
        assert_eq!(url.to_string(), expected, "{text}");
        let users: Vec<&str> = url.hosts().iter().map(TransportHost::shown_user).collect();
        let hosts = format!("{:?} {users:?}", url.hosts());
        assert!(!hosts.contains("S3CRET"), "{hosts}");
        assert_eq!(TransportUrl::parse(&url.to_string_with_secrets()), Ok(url), "{text}");
    }
    assert_eq!(TransportUrl::parse("").unwrap().to_string(), "rabbit://localhost/");
}

const MARK: &str = "S3CRET";

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

prop_compose! {
    fn host()(
        user in option::of("\\PC{1,8}"),
        password in option::of("\\PC{0,8}"),
        hostname in prop_oneof!["[a-z0-9.-]{1,12}", "[0-9a-f:]{0,6}::[0-9a-f]{1,4}"],
        port in option::of(any::<u16>()),
    ) -> String {
        let user = user.map(|user| encoded(&user)).unwrap_or_default();
        let password = password.map(|password| format!(":{}", encoded(&format!("{MARK}{password}"))));
        let hostname = if hostname.contains(':') { format!("[{hostname}]") } else { hostname };
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{user}{}@{hostname}{port}", password.unwrap_or_default())
    }
}

prop_compose! {
    fn url()(
        driver in "[a-zA-Z][a-zA-Z0-9+.-]{0,6}",
        hosts in vec(host(), 1..4),
        virtual_host in "\\PC{0,8}",
        query in vec(("[a-z_]{1,8}", "\\PC{0,8}"), 0..3),
    ) -> String {
        let query: Vec<_> = query.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
        format!("{driver}://{}/{}?{}", hosts.join(","), encoded(&virtual_host), query.join("&"))
    }
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(url in url()) {
        let read = TransportUrl::parse(&url).unwrap();
        let printed = read.to_string_with_secrets();
        prop_assert_eq!(TransportUrl::parse(&printed).unwrap(), read);
    }

    #[test]
    fn passwords_show_nowhere(url in url(), cut in any::<prop::sample::Index>(), put in "[/?#@:,\\[\\]%]{0,2}") {
        let url = url.replace(&encoded(MARK), MARK);
        let read = TransportUrl::parse(&url).unwrap();
        for shown in [read.to_string(), format!("{read:?}"), format!("{:?}", read.hosts())] {
            prop_assert!(!shown.contains(MARK), "{}", shown);
        }
        let mut damaged = url;
        let at = (0..=cut.index(damaged.len())).rev().find(|&at| damaged.is_char_boundary(at)).unwrap_or(0);
        damaged.insert_str(at, &put);
        if let Err(error) = TransportUrl::parse(&damaged) {
            let shown = format!("{error} {error:?}");
            prop_assert!(!shown.contains(MARK), "{}", shown);
        }
    }
}
