mod change;
#[path = "../../tests/it/log.rs"]
mod log;
mod quarantine;

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_core::attempt::{Action, ActionError, Completion};
use osnl_core::epoch;
use osnl_core::event::Event;
use osnl_core::metrics::Counters;
use osnl_core::received::ReceivedMessage;
use osnl_core::rule::{GuardHold, GuardName};
use osnl_core::shutdown::Shutdown;
use osnl_journal::memory::{MemoryJournal, MemoryLimits};
use osnl_journal::sqlite::{SqliteJournal, SqliteOptions};
use osnl_journal::{
    Begin, ClaimLimits, Entry, Journal as _, NewDelivery, Obstacle, Receipt, Settle, UsedLimits,
};
use osnl_model::{Head, Priority, Target};
use osnl_transport::{BoxFuture, Declare, ListenOptions, MemoryBroker, QueueKind};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::*;
use crate::daemon::Daemon;
use crate::delivery::{DeliveryLoop, DeliverySettings};
use crate::intake::Intake;
use crate::listener::{Listener, ListenerConfig};

fn place(state_dir: &Path) -> SocketPlace {
    SocketPlace { state_dir: state_dir.to_owned(), group: None }
}

#[tokio::test]
async fn the_socket_is_ours_alone_and_goes_with_us() {
    let folder = tempfile::tempdir().unwrap();
    let state_dir = folder.path().join("made/here");
    let socket = place(&state_dir).bind().unwrap();
    let path = socket_path(&state_dir);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&state_dir)), (0o600, 0o700));
    drop(socket);
    assert!(!path.exists());
    assert_eq!(std::fs::read_dir(&state_dir).unwrap().count(), 0);
    let own = rustix::process::getegid().as_raw().to_string();
    let group = Some(crate::group::SystemGroup::find(&own).unwrap());
    let _socket = SocketPlace { group, ..place(&state_dir) }.bind().unwrap();
    assert_eq!((mode(&path), mode(&state_dir)), (0o660, 0o710));
}

#[tokio::test]
async fn a_socket_has_its_mode_before_it_has_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let _socket = bind_private(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(bind_private(&path).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    let long = folder.path().join("x".repeat(200));
    assert_eq!(bind_private(&long).unwrap_err().kind(), std::io::ErrorKind::InvalidFilename);
}

#[tokio::test]
async fn one_that_nobody_answers_is_replaced_and_one_that_answers_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket_path(folder.path());
    // A killed daemon leaves such a socket.
    drop(UnixListener::bind(&path).unwrap());
    let first = place(folder.path()).bind().unwrap();
    assert!(matches!(place(folder.path()).bind(), Err(BindError::InUse)));
    // Another daemon has taken the name: its socket must stay.
    std::fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(first);
    assert!(std::fs::metadata(&path).unwrap().file_type().is_socket());

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(socket_path(folder.path()), "a file of somebody's").unwrap();
    assert!(matches!(place(folder.path()).bind(), Err(BindError::NoSocket)));
    assert_eq!(std::fs::read_to_string(socket_path(folder.path())).unwrap(), "a file of somebody's");
}

#[tokio::test]
async fn a_folder_whose_path_is_longer_than_an_address_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let state_dir = folder.path().join("d".repeat(90)).join("e".repeat(90));
    let socket = place(&state_dir).bind().unwrap();
    assert!(ControlClient::connect(&state_dir, Duration::from_secs(5)).is_ok());
    // A second daemon finds that the place is taken, through the same short path.
    assert!(matches!(place(&state_dir).bind(), Err(BindError::InUse)));
    drop(socket);
    assert!(!socket_path(&state_dir).exists());
}

#[tokio::test]
async fn queries_leave_the_journal_of_a_stopped_daemon_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let options = SqliteOptions::new(path.clone()).bounded(|bounds| bounds.allow_volatile = true);
    let journal = SqliteJournal::open(options, Arc::default()).unwrap();
    quarantine::put(&journal, "{", "no JSON").await;
    drop(journal);
    let stopped = ControlHandler::for_file(path.clone(), None);
    let before = std::fs::read(&path).unwrap();
    for (request, expected) in [
        (json!({"verb": "status"}), "1 message is in quarantine"),
        (json!({"verb": "list"}), "\"deliveries\":[]"),
        (json!({"verb": "quarantine-list"}), "no JSON"),
        (json!({"verb": "quarantine-show", "id": 1, "raw": true}), "body_base64"),
    ] {
        let request: ControlRequest = serde_json::from_value(request).unwrap();
        let answer = stopped.answer(&request).await.unwrap().to_string();
        assert!(answer.contains(expected), "{answer}");
        assert_eq!(SqliteJournal::holder(&path), None);
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let discard = json!({"verb": "quarantine-discard", "filter": {}, "by": "root"});
    stopped.answer(&serde_json::from_value(discard).unwrap()).await.unwrap();
    assert_ne!(std::fs::read(&path).unwrap(), before);
}

async fn with_deliveries(folder: &Path, messages: &[(&str, usize, Begin)]) -> ControlHandler {
    ControlHandler::for_store(Store::for_sqlite(journal_with(folder, messages).await))
}

async fn journal_with(folder: &Path, messages: &[(&str, usize, Begin)]) -> Arc<SqliteJournal> {
    let options = SqliteOptions::new(folder.join("journal.db"));
    let options = options.bounded(|bounds| bounds.allow_volatile = true);
    let journal = Arc::new(SqliteJournal::open(options, Arc::default()).unwrap());
    for (n, (action, count, begin)) in messages.iter().enumerate() {
        let body = json!({"message_id": format!("m{n}"), "event_type": "e", "payload": {}}).to_string();
        let received = Arc::new(ReceivedMessage::sample(body, false));
        let notification = Arc::new(received.decode().unwrap());
        let new = NewDelivery { begin: begin.clone(), ..NewDelivery::new("r", *action, None) };
        let mut permit = journal.reserve(&[(*action).into()], 1).await;
        let entry = Entry { received, notification, deliveries: vec![new; *count] };
        assert_eq!(journal.append(&mut permit, entry).await, Settle::Acknowledge);
    }
    journal
}

#[tokio::test]
async fn deliveries_that_were_not_compared_are_of_no_group() {
    let folder = tempfile::tempdir().unwrap();
    let dead = |reason: &str| Begin::Dead(reason.to_owned());
    let messages = [
        ("hook", 1, dead("status 404")),
        ("hook", 1200, dead("status 500")),
        ("dns", 1100, dead("status 404")),
        ("mail", 2, dead("status 404")),
        ("log", 1, Begin::Shadow),
    ];
    let handler = with_deliveries(folder.path(), &messages).await;
    let found = async |most: Option<u64>| {
        let groups = handler.groups(&Which::default(), most).await.unwrap().groups;
        let of = |of: DeliveryGroup| (of.newest.action, of.newest.reason.unwrap(), of.count, of.has_more);
        groups.into_iter().map(of).collect::<Vec<_>>()
    };
    let row = |action: &str, status: &str, count: u64, has_more: bool| {
        (action.to_owned(), format!("status {status}"), count, has_more)
    };
    let mail = row("mail", "404", 2, false);
    let all = [
        mail.clone(),
        row("dns", "404", 1100, false),
        row("hook", "500", 1200, false),
        row("hook", "404", 1, false),
    ];
    assert_eq!(found(None).await, all);
    let bounded = [mail, row("dns", "404", 1000, true), row("hook", "500", 1000, true)];
    assert_eq!(found(Some(1000)).await, bounded);
}

#[tokio::test]
async fn each_guard_that_keeps_deliveries_of_an_action_back_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let hold =
        |section: &str, exceeded: &str| GuardHold::new(GuardName::from_section(section).unwrap(), exceeded);
    let holds = [("rule:r", "more than 1"), ("action:hook", "more than 2"), ("rule:s", "more than 3")]
        .map(|(section, exceeded)| hold(section, &format!("{exceeded} per 1m")));
    let [first, second, third] = holds.clone().map(|hold| hold.why);
    let [one, two, three] = holds.map(Begin::Held);
    let messages = [("hook", 150, one), ("hook", 1, two), ("hook", 150, three)];
    let status = with_deliveries(folder.path(), &messages).await.status().await.unwrap();
    let of_guards = status.incidents.iter().find(|one| one.kind == IncidentKind::WaitingForRelease).unwrap();
    assert_eq!(of_guards.why.as_deref(), Some(&*format!("{first}; {second}; {third}")));
}

struct Idle;

impl Action for Idle {
    fn run<'a>(&'a self, _: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn target(&self) -> String {
        "nowhere".to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_of_the_system_clock_neither_hides_nor_ages_what_waits() {
    let minute = Duration::from_secs(60);
    let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    for after in [noon - 540 * minute, noon + 540 * minute] {
        epoch::simulated::set(Some(noon));
        let counters = Arc::<Counters>::default();
        let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(9), counters.clone()));
        let settings = DeliverySettings::sample(9, minute, minute);
        let action = DeliveryLoop::new("hook", Arc::new(Idle), journal.clone(), settings, counters.clone());
        let daemon = Daemon::new(Vec::new(), vec![action], journal.clone());
        let store = Store::for_memory(journal.clone(), Default::default());
        let handler = ControlHandler::for_daemon(store, daemon.state(), counters);
        tokio::time::advance(minute).await;
        let mut received = ReceivedMessage::sample(r#"{"event_type": "e", "payload": {}}"#, false);
        received.origin.received = epoch::now();
        let notification = Arc::new(received.decode().unwrap());
        let deliveries = vec![NewDelivery::new("r", "hook", None)];
        let mut permit = journal.reserve(&["hook".into()], 1).await;
        let entry = Entry { received: Arc::new(received), notification, deliveries };
        let _receipt = journal.append(&mut permit, entry);
        let claimed = journal.claim("hook", ClaimLimits::in_order(1)).await;
        let fails = |made| {
            let used = UsedLimits { made, ..UsedLimits::default() };
            journal.attempted(claimed[0].id, used, "status 500");
        };
        fails(1);
        tokio::time::advance(minute).await;
        epoch::simulated::set(Some(after));
        handler.status().await.unwrap();
        tokio::time::advance(minute).await;
        (2..=5).for_each(fails);
        let target = handler.status().await.unwrap().targets.remove(0);
        assert_eq!((target.oldest_pending_seconds, target.since_seconds), (Some(120), Some(180)));
        let failing: Vec<u64> = target.failing.iter().map(|failing| failing.since_seconds).collect();
        assert_eq!(failing, [120]);
    }
    epoch::simulated::set(None);
}

/// An intake without room, so that messages wait in their queue.
struct NoRoom;

impl Intake for NoRoom {
    fn reserve(&self, _: usize) -> BoxFuture<'_, usize> {
        Box::pin(std::future::pending())
    }

    fn keep(&self, _: usize) {}

    fn obstacle(&self) -> Option<Obstacle> {
        None
    }

    fn wants(&self, _: &Head<'_>) -> bool {
        true
    }

    fn notify(&self, _: ReceivedMessage) -> Receipt {
        Receipt::complete(Settle::Requeue)
    }

    fn unreadable(&self, _: ReceivedMessage, _: String) -> Receipt {
        Receipt::complete(Settle::Requeue)
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_of_the_system_clock_neither_hides_nor_ages_what_waits_at_the_broker() {
    let minute = Duration::from_secs(60);
    let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let to = [(Target::new("x", "notifications"), Priority::Info)];
    for after in [noon - 60 * minute, noon + 60 * minute] {
        epoch::simulated::set(Some(noon));
        let (broker, counters) = (MemoryBroker::new(), Arc::<Counters>::default());
        let options = ListenOptions::new(Some("p"), 4, Declare::Create, QueueKind::DURABLE);
        let conf = ListenerConfig::new("l".into(), to.clone().into(), options);
        let listener = Listener::new(conf, Arc::new(broker.transport()), Arc::new(NoRoom), counters.clone());
        let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(9), counters.clone()));
        let listeners = vec![listener.silent_after(Some(minute))];
        let daemon = Daemon::new(listeners, Vec::new(), journal.clone());
        let handler = ControlHandler::for_daemon(
            Store::for_memory(journal, Default::default()),
            daemon.state(),
            counters,
        );
        let shutdown = Shutdown::new();
        let ends = shutdown.clone();
        let running = TaskTracker::new().spawn(async move { daemon.run(&ends, minute).await });
        let waits = async |time: Duration| {
            sleep(time).await;
            let found = handler.status().await.unwrap().listeners.remove(0);
            (found.queue_messages, found.queue_waiting_seconds, found.never_received_seconds)
        };
        assert_eq!(waits(Duration::from_millis(500)).await, (Some(0), None, None));
        broker.publish(&to[0].0, &to[0].1, "{}");
        let (messages, begun, never) = waits(Duration::from_secs(20)).await;
        assert_eq!((messages, never), (Some(1), None));
        epoch::simulated::set(Some(after));
        let later = begun.map(|seconds| seconds + minute.as_secs());
        assert_eq!(waits(minute).await, (Some(1), later, Some(80)));
        shutdown.drain.cancel();
        running.await.unwrap().unwrap();
    }
    epoch::simulated::set(None);
}

#[tokio::test]
async fn a_retry_of_a_pending_delivery_names_the_stopped_daemon_the_pause_or_the_missing_action() {
    let folder = tempfile::tempdir().unwrap();
    let handler = with_deliveries(folder.path(), &[("hook", 1, Begin::Live)]).await;
    let why = async |handler: &ControlHandler| {
        let retry = json!({"verb": "retry", "filter": {"ids": ["1.0"]}, "by": "root"});
        let answer = handler.answer(&serde_json::from_value(retry).unwrap()).await.unwrap();
        answer["refusals"][0]["why"].as_str().unwrap().to_owned()
    };
    let start =
        "it is ready, and osnl attempts it once it runs: systemctl start osnl; only dead letters are retried";
    assert_eq!(why(&handler).await, start);
    // Without a configuration nothing tells whether the action deletes.
    assert_eq!(handler.status().await.unwrap().targets[0].deletes, None);
    let pause = json!({"verb": "pause", "action": "hook", "by": "root"});
    handler.answer(&serde_json::from_value(pause).unwrap()).await.unwrap();
    let resume =
        "it is ready, and hook is paused; to go on: osnl actions resume hook; only dead letters are retried";
    assert_eq!(why(&handler).await, resume);
    drop(handler);
    let names = Some(Arc::new(ConfiguredNames::default()));
    let stopped = ControlHandler::for_file(folder.path().join("journal.db"), names);
    let gone = "it is orphaned, and there is no action hook; osnl deliveries move 1.0 --to ACTION; only dead letters are \
                retried";
    assert_eq!(why(&stopped).await, gone);
}
