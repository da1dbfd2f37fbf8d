use osnl_model::{Priority, TransportUrl};
use osnl_testkit::{Broker, Notice, OsloListener, OsloPublisher, PublisherOptions, Vhost, python};
use osnl_transport::{Declare, OutgoingMessage, QueueKind, QueueType, TransportError};
use serde_json::{Value, json};

use crate::session::{Session, options, rabbit, targets, transport, within};

const QUEUE: &str = "notifications.info";

fn queue_type(vhost: &Vhost, name: &str) -> String {
    vhost.list_queues().into_iter().find(|queue| queue.name == name).unwrap().queue_type
}

fn arguments(vhost: &Vhost, name: &str) -> Value {
    vhost.list_queues().into_iter().find(|queue| queue.name == name).unwrap().arguments
}

async fn declare(vhost: &Vhost, query: &str, pool: Option<&str>, kind: Option<QueueKind>) -> Session {
    let url = TransportUrl::parse(&format!("{}{query}", vhost.url())).unwrap();
    let transport = transport(&url).unwrap();
    let kind = kind.unwrap_or_else(|| transport.oslo_queue());
    let options = options(pool, 10, Declare::Create, kind);
    Session::open(&*transport, &targets(&["neutron"], &[Priority::Info]), &options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn issue_46_oslo_declares_the_same_queue_before_and_after_in_a_vhost_of_any_default_type() {
    for default in [None, Some("quorum")] {
        for query in ["", "?amqp_durable_queues=1", "?rabbit_quorum_queue=1", "?rabbit_ha_queues=1"] {
            let story = format!("{default:?} {query}");
            let theirs_first = Broker::shared().vhost_of_type("first", default);
            let ours_first = Broker::shared().vhost_of_type("second", default);
            let notify = |vhost: &Vhost| {
                let mut peer =
                    OsloPublisher::start(&format!("{}{query}", vhost.url()), PublisherOptions::default());
                peer.notify(&Notice::default());
                peer
            };
            let ours = declare(&ours_first, query, None, None).await;
            let _theirs = notify(&ours_first);
            let _listens = OsloListener::start(
                &format!("{}{query}", ours_first.url()),
                &[("neutron", "notifications")],
                None,
                false,
            );
            let _before = notify(&theirs_first);
            let found = declare(&theirs_first, query, None, None).await;
            let [ours, found] = [&ours, &found].map(|session| &session.consumer.subscription().open[0]);
            assert_eq!((ours.created, found.created), (true, false), "{story}");
            assert_eq!((&ours.differs, &found.differs), (&None, &None), "{story}");
            let seen = ours.queue_type.unwrap().as_str();
            assert_eq!(queue_type(&ours_first, QUEUE), queue_type(&theirs_first, QUEUE), "{story}");
            assert_eq!(
                (seen, ours.queue_type),
                (&*queue_type(&ours_first, QUEUE), found.queue_type),
                "{story}"
            );
            assert_eq!(arguments(&ours_first, QUEUE), arguments(&theirs_first, QUEUE), "{story}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn issue_46_a_queue_of_our_own_has_its_type_in_a_vhost_of_any_default_type() {
    let vhost = Broker::shared().vhost_of_type("own", Some("quorum"));
    let is_old = vhost.greeting()[1].starts_with("3.");
    let quorum = QueueKind { queue_type: QueueType::Quorum, ..QueueKind::DURABLE };
    for (pool, kind) in [("classic", QueueKind::DURABLE), ("quorum", quorum)] {
        let session = declare(&vhost, "", Some(pool), Some(kind.clone())).await;
        let open = &session.consumer.subscription().open[0];
        assert_eq!(
            (open.created, open.queue_type, &open.drops),
            (true, Some(kind.queue_type), &None),
            "{pool}"
        );
        assert_eq!(queue_type(&vhost, pool), pool);
        let limit = arguments(&vhost, pool).get("x-delivery-limit").cloned();
        assert_eq!(limit, (pool == "quorum" && !is_old).then(|| json!(-1)), "{pool}");
        let late = arguments(&vhost, pool).get("x-consumer-disconnected-timeout").cloned();
        assert_eq!(late, (pool == "quorum").then(|| json!(20_000)), "{pool}");
    }
}

const NAMES_NO_TYPE: &str = r#"
import sys
import kombu

url = sys.stdin.read().replace("rabbit://", "amqp://", 1)
try:
    kombu.Connection(url).default_channel.queue_declare("named", durable=True, auto_delete=False)
except Exception as error:
    print(error)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn issue_46_a_named_type_refuses_a_program_that_names_none_where_the_default_is_another() {
    let kind = QueueKind { single_active_consumer: false, ..QueueKind::DURABLE };
    for (default, is_refused) in [(None, false), (Some("quorum"), true)] {
        let vhost = Broker::shared().vhost_of_type("named", default);
        declare(&vhost, "", Some("named"), Some(kind.clone())).await.close().await;
        let said = python(NAMES_NO_TYPE, &vhost.url());
        assert_eq!(said.contains("inequivalent arg 'x-queue-type'"), is_refused, "{default:?}: {said}");
        assert_eq!(said.is_empty(), !is_refused, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn issue_46_a_type_that_the_broker_chose_is_seen_and_its_limit_is_said() {
    let vhost = Broker::shared().vhost_of_type("chosen", Some("quorum"));
    let is_old = vhost.greeting()[1].starts_with("3.");
    for created in [true, false] {
        let session = declare(&vhost, "?amqp_durable_queues=1", Some("theirs"), None).await;
        let found = session.consumer.subscription();
        let open = &found.open[0];
        assert_eq!((open.created, open.queue_type), (created, Some(QueueType::Quorum)));
        assert_eq!(found.remarks, ["queue \"theirs\" is a quorum queue by the broker's default type"]);
        let said =
            "it is a quorum queue by the broker's default type, and has the broker's delivery limit, 20";
        assert_eq!(open.loses.as_deref().is_some_and(|loses| loses.starts_with(said)), !is_old, "{open:?}");
        assert_eq!(open.loses.is_some(), !is_old);
    }
    let session = declare(
        &vhost,
        "",
        Some("theirs"),
        Some(QueueKind { single_active_consumer: false, ..QueueKind::DURABLE }),
    )
    .await;
    let open = &session.consumer.subscription().open[0];
    assert_eq!(open.differs.as_deref(), Some("x-queue-type: configured classic, found quorum"));
    assert_eq!(open.loses.is_some(), !is_old, "{open:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn issue_46_a_queue_of_a_service_is_not_made_otherwise_than_its_exchange_shows() {
    for durable in [false, true] {
        let vhost = Broker::shared().vhost("service");
        let mut peer = OsloPublisher::start(&vhost.url(), PublisherOptions { durable });
        peer.notify(&Notice::default());
        for asked in [!durable, durable] {
            let kind = QueueKind { durable: asked, ..QueueKind::OSLO };
            let options = options(None, 10, Declare::Passive, kind);
            let to = targets(&["neutron"], &[Priority::Error]);
            let opened = Session::open(&*rabbit(&vhost), &to, &options).await;
            let refused = match opened {
                Ok(session) => {
                    session.close().await;
                    false
                }
                Err(TransportError::Refused { reason, .. }) => {
                    let named =
                        if durable { "set amqp_durable_queues" } else { "remove amqp_durable_queues" };
                    assert!(reason.contains(named), "{reason}");
                    true
                }
                Err(error) => panic!("{error}"),
            };
            assert_eq!(refused, asked != durable, "{durable} {asked}");
        }
        peer.notify(&Notice { priority: "error".to_owned(), ..Notice::default() });
    }
}

/// A queue or an exchange of another durability would refuse the service's own declaration, and so its RPC.
#[tokio::test(flavor = "multi_thread")]
async fn neither_a_publisher_nor_a_listener_makes_what_refuses_a_service() {
    for durable in [false, true] {
        let vhost = Broker::shared().vhost("refuses");
        let notify = |priority: &str| {
            let mut peer = OsloPublisher::start(&vhost.url(), PublisherOptions { durable });
            peer.notify(&Notice { priority: priority.to_owned(), ..Notice::default() });
        };
        notify("info");
        let other = format!("{}?amqp_durable_queues={}", vhost.url(), !durable);
        let transport = transport(&TransportUrl::parse(&other).unwrap()).unwrap();
        let options = options(None, 10, Declare::Create, transport.oslo_queue());
        let (there, missing) = (["exchange \"neutron\"", "queue \"notifications.info\""], ["error", "info"]);
        for (there, priority) in there.into_iter().zip(missing) {
            if priority == "info" {
                vhost.delete_exchange("neutron");
            }
            let to = targets(&["neutron"], &[Priority::parse(priority)]);
            let listened = Session::open(&*transport, &to, &options).await.map(drop);
            let sent = transport.send(&to[0].0, &to[0].1, OutgoingMessage::json(b"{}".to_vec())).await;
            // Beside a durable one, a publisher's queue and each exchange become durable too.
            for (tried, is_refused) in [(listened, !durable || priority == "error"), (sent, !durable)] {
                match tried {
                    Err(TransportError::Refused { reason, code: Some(406), .. }) if is_refused => {
                        let is = if durable { "durable" } else { "transient" };
                        assert!(reason.starts_with(&format!("{there} is {is}, so its service")), "{reason}");
                    }
                    Ok(()) if !is_refused => {}
                    other => panic!("durable: {durable}, {there}: {other:?}"),
                }
            }
        }
        if !durable {
            let queues: Vec<String> = vhost.list_queues().into_iter().map(|queue| queue.name).collect();
            assert_eq!((queues, vhost.list_exchanges().len()), (vec![QUEUE.to_owned()], 0));
        }
        notify("error");
    }
}

/// An exchange that is deleted takes its bindings along, and nothing tells its queues so.
#[tokio::test(flavor = "multi_thread")]
async fn bindings_are_made_again_and_a_refusal_ends_nothing() {
    let vhost = Broker::shared().vhost("rebound");
    let user = format!("{}-user", vhost.name());
    vhost.set_password(&user, "S3CRET");
    let permit = |read: &str| vhost.set_permissions(&user, [".*", ".*", read]);
    let service =
        || OsloPublisher::start(&vhost.url(), PublisherOptions::default()).notify(&Notice::default());
    let bound = || vhost.list_bindings().into_iter().filter(|one| one.queue == "p").count();
    permit(".*");
    service();
    let transport = transport(&TransportUrl::parse(&vhost.url_for(&user, "S3CRET")).unwrap()).unwrap();
    let to = targets(&["neutron"], &[Priority::Info, Priority::Error]);
    for declare in [Declare::Passive, Declare::Create] {
        let options = options(Some("p"), 10, declare, QueueKind::DURABLE);
        let mut session = Session::open(&*transport, &to, &options).await.unwrap();
        let bindings = session.consumer.subscription().bindings.clone();
        let mut watch = session.consumer.binding_watch().unwrap();
        let mut look = async || within(watch.look(&bindings)).await.unwrap().unwrap();

        vhost.delete_exchange("neutron");
        let seen = look().await;
        if declare == Declare::Create {
            assert_eq!((seen.made, bound()), (vec!["neutron".to_owned()], 2));
        } else {
            assert_eq!((seen.missing, bound()), (bindings.clone(), 0));
            permit("^p$");
            service();
            let refused = look().await.refused;
            assert_eq!(refused.len(), 2);
            assert!(refused[0].1.to_string().contains("403 ACCESS_REFUSED"), "{refused:?}");
            permit(".*");
        }
        let seen = look().await;
        assert!(seen.missing.is_empty() && seen.refused.is_empty() && seen.made.is_empty(), "{seen:?}");
        assert_eq!(bound(), 2);
        service();
        assert_eq!(session.read(1).await[0].exchange, "neutron");
        let found = session.consumer.subscription().clone();
        session.close().await;

        // Without a subscription as well.
        vhost.delete_exchange("neutron");
        let mut watch = transport.watch_bindings(&options, &found).unwrap().await.unwrap();
        let seen = within(watch.look(&bindings)).await.unwrap().unwrap();
        match declare {
            Declare::Create => assert_eq!((seen.made, bound()), (vec!["neutron".to_owned()], 2)),
            Declare::Passive | Declare::Nothing => assert_eq!((seen.missing, bound()), (bindings.clone(), 0)),
        }
        service();
        vhost.delete_queue("p");
        let seen = within(watch.look(&bindings)).await.unwrap().unwrap();
        assert!(seen.gone.contains("p") && seen.missing.is_empty() && seen.refused.is_empty(), "{seen:?}");
    }
}
