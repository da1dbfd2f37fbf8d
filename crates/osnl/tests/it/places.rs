use osnl_testkit::{Broker, Notice, OsloPublisher, PublisherOptions, Sink, Vhost};

use crate::harness::{DaemonRig, SOON};
use crate::native::native;
use crate::rabbit::ports;

fn text(vhost: &Vhost, sink: &Sink, folder: &std::path::Path, journal: &str, prefetch: u32) -> String {
    let listener = |name: &str, exchange: &str| {
        format!(
            "[listener:{name}]\ntransport_url = {}\nexchange = {exchange}\npool = {name}\ndeclare = create\n\
             prefetch = {prefetch}\n",
            vhost.url()
        )
    };
    format!(
        "[DEFAULT]\nstate_dir = {}\n[journal]\nconnection = sqlite:///{}/journal.db\nallow_volatile = yes\n{journal}\n{}{}\
         [rule:r]\nevent_type = ^port\\.delete\\.end$\nactions = roles\n\
         [action:roles]\ndriver = k2hr3\napi_url = {}\n",
        folder.display(),
        folder.display(),
        listener("one", "neutron"),
        listener("two", "nova"),
        sink.url("/v1/role"),
    )
}

#[test]
fn an_idle_listener_does_not_make_another_one_deaf() {
    for (journal, prefetch) in [("max_pending = 150", 200), ("", 20_000)] {
        let vhost = Broker::shared().vhost(&format!("places-{prefetch}"));
        let (folder, sink) = (tempfile::tempdir().unwrap(), Sink::start());
        let conf = native(&text(&vhost, &sink, folder.path(), journal, prefetch));
        let counters = std::sync::Arc::new(osnl::metrics::Counters::default());
        let daemon = conf.daemon(&osnl::action::http::HttpOptions::default(), &counters).unwrap();
        let daemon = DaemonRig::start_daemon(daemon, counters, SOON);
        osnl_testkit::wait_until(SOON, "both listen", || {
            let queues = vhost.list_queues();
            ["one", "two"].iter().all(|name| queues.iter().any(|q| q.name == *name && q.consumers == 1))
        });
        let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        for (n, exchange) in ["neutron", "nova", "neutron", "nova"].into_iter().enumerate() {
            let notices: Vec<Notice> = ports(n..n + 1)
                .into_iter()
                .map(|notice| Notice { exchange: exchange.to_owned(), ..notice })
                .collect();
            publisher.notify_all(&notices);
            let done = n as u64 + 1;
            daemon.wait_until(&format!("{exchange} is heard"), |c| c.delivered.get() == done);
        }
        daemon.stop().unwrap();
    }
}
