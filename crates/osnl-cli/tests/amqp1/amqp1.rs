use osnl_testkit::{Amqp1Peer, Sink, wait_until};
use serde_json::json;

use crate::running::{Place, SOON};

fn publish(oslo: &Amqp1Peer, driver: &str, project: &str) {
    let (event, payload) = ("compute.instance.delete.end", json!({"driver": driver}));
    let event = json!({"driver": driver, "event_type": event, "project": project, "payload": payload, "exchange": "nova"});
    oslo.ask(&event);
}

#[test]
fn osnl_acts_on_what_oslo_publishes() {
    for (product, address) in [
        ("", "unicast.nova.notifications.info"),
        ("qpid-dispatch-router", "openstack.org/om/notify/anycast/nova/notifications.info"),
    ] {
        let (broker, place, sink) = (Amqp1Peer::broker(product), Place::new(), Sink::start());
        let conf = format!(
            "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = yes\n[listener:n]\ntransport_url = {}\nexchange = nova\n\
             priorities = info\npool = osnl\n[rule:r]\nevent_type = ^compute\\.\ncontext.project_id = ^p1$\nactions = a\n\
             [action:a]\ndriver = http\nurl = {}\n",
            place.path("state").display(),
            broker.url(),
            sink.url("/"),
        );
        place.write("a.conf", &conf);
        let (code, stdout, stderr) = place.run(&["check", "-c", "a.conf", "--connect"]);
        assert!(stdout.contains("answers") && code != Some(2), "{stdout}{stderr}");
        assert!(format!("{stdout}{stderr}").contains("each message goes to one reader"), "{stdout}{stderr}");
        let osnl = place.start(&["run", "-c", "a.conf"]);
        osnl.wait_for("listening");
        let oslo = Amqp1Peer::publisher(&broker.url());
        for driver in ["messaging", "messagingv2"] {
            publish(&oslo, driver, "p1");
            publish(&oslo, driver, "p2");
        }
        let requests = sink.wait_for(2, SOON);
        wait_until(SOON, "all are accepted", || broker.depth(address) == (0, 0));
        let (code, stdout, stderr) = place.run(&["status", "-c", "a.conf"]);
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        // The listener reconnects after a lost connection.
        broker.ask(&json!({"do": "cut"}));
        publish(&oslo, "messagingv2", "p1");
        sink.wait_for(3, SOON);
        let log = osnl.stop();
        let bodies: String = requests.iter().map(|request| String::from_utf8_lossy(&request.body)).collect();
        assert!(bodies.contains("\"messaging\"") && bodies.contains("\"messagingv2\""), "{bodies}\n{log}");
        assert_eq!(sink.requests().len(), 3, "the context decides\n{log}");
        assert!(log.contains("a router keeps none") && log.contains("has no effect"), "{log}");
    }
}

#[test]
fn a_configuration_of_k2hr3_osnl_runs_with_one_warning() {
    let (broker, place) = (Amqp1Peer::broker(""), Place::new());
    let (section, url) = ("oslo_messaging_notifications", broker.url());
    let conf = format!(
        "[{section}]\ntransport_url = {url}\nexchange = neutron\n[k2hr3]\napi_url = http://127.0.0.1:1/\n"
    );
    place.write("k2hr3.conf", &conf);
    let (code, stdout, stderr) = place.run(&["check", "--k2hr3-osnl", "k2hr3.conf"]);
    let warnings = format!("{stdout}{stderr}").matches("AMQP 1.0 has no pools").count();
    assert_eq!((code, warnings), (Some(0), 1), "{stdout}{stderr}");
    let address = "unicast.neutron.notifications.info";
    broker.publish(address, b"{}", &json!({}));
    let osnl = place.start(&["k2hr3-osnl", "-c", "k2hr3.conf"]);
    wait_until(SOON, "the address to be read", || broker.depth(address) == (0, 0));
    osnl.kill();
}
