//! Refusals at the start that need a broker, by the exact text; `fixtures/errors` has all others.

use osnl_testkit::Broker;

use crate::harness::{Place, conf};

const PASSWORD: &str = "hunter2";

#[track_caller]
fn said(text: impl AsRef<[u8]>, flags: &[&str]) -> String {
    let place = Place::new();
    place.write("k.conf", text);
    let mut osnl = place.osnl(&[&["-c", "k.conf"], flags].concat());
    let (code, stderr) = osnl.refused();
    assert_eq!(code, Some(1), "{flags:?}\n{stderr}");
    assert_eq!(osnl.stdout(), "", "{flags:?}");
    for word in [PASSWORD, "panicked"] {
        assert!(!stderr.contains(word), "{word} in\n{stderr}");
    }
    stderr
}

#[test]
fn a_login_or_virtual_host_that_the_broker_refuses() {
    let broker = Broker::shared();
    let vhost = Broker::shared().vhost("refused");
    let host = format!("127.0.0.1:{}", broker.port());
    let check = |url: &str, expected: &str, remedy: &str| {
        for flags in [&[][..], &["-d", "debug", "-l", "debug"]] {
            let said = said(conf(url, "http://127.0.0.1:9/", ""), flags);
            // The log also has the start, and lines of the client's own thread, so errors are
            // filtered.
            let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("k2hr3-osnl: ")).collect();
            let expected = format!("k2hr3-osnl: error: k.conf: refused by the broker: {expected}; ");
            let [error] = errors[..] else { panic!("{said}") };
            let advice = error.strip_prefix(&expected).unwrap_or_else(|| panic!("{error}"));
            assert!(advice.starts_with(remedy), "{advice}");
        }
    };
    check(
        &vhost.url().replace("guest:guest", "guest:hunter2"),
        &format!(
            "{host}: login refused for user \"guest\": 403 ACCESS_REFUSED - Login was refused using authentication \
             mechanism AMQPLAIN. For details see the broker logfile."
        ),
        "to test user and password of transport_url: rabbitmqctl authenticate_user guest; ",
    );
    check(
        &vhost.url().replace(vhost.name(), "no-such-host"),
        &format!(
            "{host}: virtual host \"no-such-host\" refused: 530 NOT_ALLOWED - vhost no-such-host not found"
        ),
        "choose one of rabbitmqctl list_vhosts, or create it: rabbitmqctl add_vhost no-such-host; rabbitmqctl \
         set_permissions -p no-such-host guest ",
    );
}
