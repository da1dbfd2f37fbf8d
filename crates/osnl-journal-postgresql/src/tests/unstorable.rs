//! Messages that PostgreSQL refuses to store.

use osnl_journal::query::{Bodies, Change, Filter, JournalQueries as _, UnreadableFilter};

use super::*;

const REFUSE: &str = "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
     $$ BEGIN RAISE EXCEPTION 'the row is poison'; END $$";

fn refuse(stage: &Stage, table: &str, event: &str, condition: &str) {
    stage.rows(REFUSE);
    stage.rows(&format!(
        "CREATE TRIGGER refuse BEFORE {event} ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()"
    ));
}

pub(super) async fn keep_all(member: &PostgresJournal, ids: &[String]) -> Vec<Settle> {
    let paused = pause(member);
    let mut receipts = Vec::new();
    for id in ids {
        receipts.push(append(member, entry(id, "k", false)).await);
    }
    drop(paused);
    let mut settled = Vec::new();
    for receipt in receipts {
        settled.push(within(receipt).await);
    }
    settled
}

async fn delivered_in_order(member: &PostgresJournal) -> Vec<String> {
    let mut all = Vec::new();
    while let [one] = &claimable(member, "a").await[..] {
        all.extend(names(std::slice::from_ref(one)).into_iter().map(str::to_owned));
        member.end(one.id, Outcome::Delivered.into());
        within(member.check()).await;
    }
    all
}

fn numbered(poison: &[usize]) -> Vec<String> {
    (0..20).map(|n| if poison.contains(&n) { format!("poison{n}") } else { format!("m{n:02}") }).collect()
}

#[tokio::test]
async fn a_refused_message_is_set_aside_and_the_rest_keeps_its_order() {
    let stage = Stage::new();
    let options = stage.options("a").bounded(|bounds| bounds.max_pending = 20);
    let member = PostgresJournal::open(options, Arc::default()).unwrap();
    refuse(&stage, "osnl_arrival", "INSERT", "NEW.unique_id LIKE 'poison%'");
    let ids = numbered(&[0, 7, 8]);
    assert_eq!(keep_all(&member, &ids).await, vec![Settle::Acknowledge; 20]);

    let found = within(member.quarantined(UnreadableFilter::default(), -1, 10, Bodies::Left)).await.unwrap();
    let reasons: Vec<&str> = found.iter().map(|found| found.reason.as_str()).collect();
    assert_eq!(reasons, ["PostgreSQL cannot store it: the row is poison (SQLSTATE P0001)"; 3]);
    let rest: Vec<String> = ids.iter().filter(|id| !id.starts_with("poison")).cloned().collect();
    assert_eq!(delivered_in_order(&member).await, rest);
    assert_eq!(stage.tally(), "4|17");
    let more: Vec<String> = (20..40).map(|n| n.to_string()).collect();
    assert_eq!(keep_all(&member, &more).await, vec![Settle::Acknowledge; 20]);
}

/// Returns a member whose user owns no table, so that policies hold for it, and the user's name.
fn narrow_member(stage: &Stage) -> (PostgresJournal, String) {
    drop(stage.member("owner"));
    let role = format!("{}_narrow", stage.url.rsplit_once('/').unwrap().1);
    stage.rows(&format!("CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"));
    let url = ConnectionUrl::parse(&stage.url.replace("osnl@", &format!("{role}@"))).unwrap();
    let options = Options { url, migrate: false, ..stage.options("a") };
    (PostgresJournal::open(options, Arc::default()).unwrap(), role)
}

/// The cause may be a constraint, an index of the DBA, a policy, a faulty trigger, a trigger with any SQLSTATE,
/// or a constraint that is deferred until COMMIT.
#[tokio::test]
async fn any_refusal_of_a_row_is_about_that_row() {
    let policy = "ALTER TABLE osnl_arrival ENABLE ROW LEVEL SECURITY; \
        CREATE POLICY others ON osnl_arrival USING (true) WITH CHECK (unique_id <> 'poison1')";
    let trigger = "TRIGGER AFTER INSERT ON osnl_arrival FOR EACH ROW WHEN (NEW.unique_id = 'poison1') EXECUTE FUNCTION refuse()";
    let raised = |code| {
        let raises = trigger.replace("TRIGGER", "CREATE TRIGGER raised");
        (code, raises.replace("refuse()", &format!("raised('{code}')")))
    };
    for (code, sql) in [
        ("42501", policy.to_owned()),
        raised("42501"),
        raised("0A000"),
        raised("55000"),
        raised("57014"),
        raised("XX000"),
        (
            "23514",
            "ALTER TABLE osnl_arrival ADD CONSTRAINT not_this CHECK (unique_id <> 'poison1')".to_owned(),
        ),
        ("23505", "CREATE UNIQUE INDEX ON osnl_arrival ((1)) WHERE unique_id LIKE 'poison%'".to_owned()),
        (
            "22012",
            "CREATE INDEX ON osnl_arrival ((1 / length(replace(unique_id, 'poison1', ''))))".to_owned(),
        ),
        ("42883", trigger.replace("TRIGGER", "CREATE TRIGGER defect").replace("refuse()", "defect()")),
        (
            "P0001",
            trigger
                .replace("TRIGGER", "CREATE CONSTRAINT TRIGGER late")
                .replace("FOR EACH", "DEFERRABLE INITIALLY DEFERRED FOR EACH"),
        ),
    ] {
        let stage = Stage::new();
        let (member, _) = narrow_member(&stage);
        keep(&member, "poison0", "k").await;
        stage.rows(REFUSE);
        stage.rows(
            "CREATE FUNCTION defect() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM no_such_function(); END $$; \
             CREATE FUNCTION raised() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'the row is poison' USING ERRCODE = TG_ARGV[0]; END $$",
        );
        stage.rows(&sql);
        assert_eq!(keep_all(&member, &numbered(&[1])).await, vec![Settle::Acknowledge; 20], "{code}");
        let all =
            within(member.quarantined(UnreadableFilter::default(), -1, 10, Bodies::Left)).await.unwrap();
        assert!(all.len() == 1 && all[0].reason.contains(code), "{code}: {all:?}");
        assert_eq!(*member.state().borrow(), JournalState::Working, "{code}");
    }
}

/// With this setting of the DBA, the server says a context for errors of the member's own statements too.
#[tokio::test]
async fn a_missing_permission_is_about_every_row() {
    let stage = Stage::new();
    let database = stage.url.rsplit_once('/').unwrap().1;
    stage.rows(&format!("ALTER DATABASE {database} SET log_parameter_max_length_on_error = -1"));
    let (member, role) = narrow_member(&stage);
    keep(&member, "1", "k").await;
    stage.rows(&format!("REVOKE INSERT ON osnl_arrival FROM {role}"));
    let receipt = append(&member, entry("2", "k", false)).await;
    let failed = |state: &JournalState| matches!(state, JournalState::Failed { .. });
    let state = within(member.state().wait_for(failed)).await.unwrap().clone();
    assert!(format!("{state:?}").contains("42501"), "{state:?}");
    stage.rows(&format!("GRANT INSERT ON osnl_arrival TO {role}"));
    assert_eq!(within(receipt).await, Settle::Acknowledge);
    assert_eq!(stage.rows("SELECT unique_id FROM osnl_arrival ORDER BY id"), "1\n2");
}

fn refused(member: &PostgresJournal) -> Vec<(String, bool)> {
    let all = member.shared.refused.lock().unwrap();
    all.iter().map(|of| (format!("{}: {} {}", of.subject, of.record, of.reason), of.is_given_up)).collect()
}

async fn until_taken(member: &PostgresJournal) {
    let all = async {
        while !refused(member).is_empty() {
            within(member.check()).await;
            tokio::task::yield_now().await;
        }
    };
    within(all).await;
}

/// Repeats checks until the query returns this answer: halved groups continue with a later check.
async fn until_rows(stage: &Stage, member: &PostgresJournal, sql: &str, expected: &str) {
    let seen = async {
        while stage.rows(sql) != expected {
            within(member.check()).await;
        }
    };
    within(seen).await;
}

#[tokio::test]
async fn a_message_that_is_refused_in_the_quarantine_too_waits_alone_and_is_named() {
    let stage = Stage::new();
    let member = stage.member("a");
    refuse(&stage, "osnl_arrival", "INSERT", "NEW.unique_id LIKE 'poison%'");
    refuse(&stage, "osnl_unreadable", "INSERT", "true");
    let mut poison = std::pin::pin!(append(&member, entry("poison3", "k", false)).await);
    assert_eq!(keep_all(&member, &numbered(&[])).await, vec![Settle::Acknowledge; 20]);
    assert_eq!(delivered_in_order(&member).await.len(), 20);
    assert!(poison.as_mut().now_or_never().is_none());
    let named = refused(&member);
    let expected =
        "listener l: a message of queue q, in the quarantine too the row is poison (SQLSTATE P0001)";
    assert_eq!(named, [(expected.to_owned(), false)]);
    stage.rows("DROP TRIGGER refuse ON osnl_unreadable");
    assert_eq!(within(poison).await, Settle::Acknowledge);
    until_taken(&member).await;
}

#[tokio::test]
async fn an_end_that_is_refused_holds_up_its_resource_alone() {
    let stage = Stage::new();
    let member = stage.member("a");
    for id in ["1", "2"] {
        keep(&member, id, "poison").await;
    }
    let ids: Vec<String> = (3..23).map(|n| n.to_string()).collect();
    for id in &ids {
        keep(&member, id, id).await;
    }
    refuse(&stage, "osnl_delivery", "UPDATE", "NEW.state = 4 AND NEW.key = 'poison'");
    let claimed = claimable(&member, "a").await;
    assert_eq!(claimed.len(), 21);
    let paused = pause(&member);
    claimed.iter().for_each(|claimed| member.end(claimed.id, Outcome::Delivered.into()));
    drop(paused);
    let ended = async {
        while stage.rows("SELECT count(*) FROM osnl_delivery WHERE state = 4") != "20"
            || refused(&member).is_empty()
        {
            within(member.check()).await;
        }
    };
    within(ended).await;
    assert_eq!(stage.tally(), "0|1 1|1 4|20", "the others are recorded");
    let expected =
        format!("action a: the end of delivery {} the row is poison (SQLSTATE P0001)", claimed[0].id);
    assert_eq!(refused(&member), [(expected, false)]);
    assert_eq!(*member.state().borrow(), JournalState::Working);
    assert!(claimable(&member, "a").await.is_empty(), "neither it nor what is behind it is attempted");
    stage.rows("DROP TRIGGER refuse ON osnl_delivery");
    until_taken(&member).await;
    assert_eq!(names(&claimable(&member, "a").await), ["2"]);
    assert_eq!(stage.tally(), "1|1 4|21");
}

#[tokio::test]
async fn answers_that_are_refused_are_given_up_and_the_retry_is_kept() {
    let stage = Stage::new();
    let member = stage.member("a");
    keep(&member, "1", "k").await;
    keep(&member, "2", "other").await;
    refuse(&stage, "osnl_attempt", "INSERT", "true");
    let claimed = claimable(&member, "a").await;
    let used = osnl_journal::conformance::attempts(1);
    let due = Instant::now() + Duration::from_secs(3600);
    member.attempted(claimed[0].id, used, "status 503");
    member.retry_at(claimed[0].id, AttemptRetry { due, used, answer: "status 503".into() });
    member.end(claimed[1].id, Outcome::Delivered.into());
    let states = "SELECT state, attempts, due > 0 FROM osnl_delivery ORDER BY id";
    until_rows(&stage, &member, states, "1|1|t\n4|0|f").await;
    let expected = format!(
        "action a: the answer of a failed attempt of delivery {} the row is poison (SQLSTATE P0001)",
        claimed[0].id
    );
    assert_eq!(refused(&member), [(expected, true)]);
}

#[tokio::test]
async fn what_cannot_be_admitted_holds_up_its_lane_until_the_cause_is_gone() {
    let stage = Stage::new();
    let (owner, reader) = (stage.member("a"), stage.member("b"));
    refuse(&stage, "osnl_delivery", "UPDATE", "OLD.state = -1 AND OLD.key = 'poison'");
    for (id, key) in [("0", "poison"), ("1", "poison"), ("2", "k")] {
        keep(&reader, id, key).await;
    }
    assert_eq!(names(&claimable(&owner, "a").await), ["2"]);
    let [(named, false)] = &refused(&owner)[..] else { panic!("{:?}", refused(&owner)) };
    assert!(named.starts_with("journal: the admission of delivery "), "{named}");
    stage.rows("DROP TRIGGER refuse ON osnl_delivery");
    until_taken(&owner).await;
    assert_eq!(names(&claimable(&owner, "a").await), ["0"]);
}

#[tokio::test]
async fn chores_and_changes_that_are_refused_stop_nothing() {
    let stage = Stage::new();
    let options = stage.options("a").bounded(|bounds| bounds.retention = Duration::ZERO);
    let member = PostgresJournal::open(options, Arc::default()).unwrap();
    keep(&member, "1", "k").await;
    refuse(&stage, "osnl_delivery", "DELETE", "true");
    member.end(claim(&member, "a", 1).await[0].id, Outcome::Delivered.into());
    stage.pass(Duration::from_secs(2));
    let named = async {
        while refused(&member).is_empty() {
            stage.pass(Duration::from_secs(2));
            within(member.check()).await;
        }
    };
    within(named).await;
    assert!(refused(&member).iter().all(|(_, is_given_up)| *is_given_up), "{:?}", refused(&member));
    stage.rows("DROP TRIGGER refuse ON osnl_delivery");
    keep(&member, "2", "k").await;
    refuse(&stage, "osnl_delivery", "UPDATE", "NEW.state = 2");
    let ids = within(member.select(&hold())).await.unwrap();
    let changed = within(member.change(&hold(), ids, false)).await.unwrap();
    assert!(
        format!("{changed:?}").contains("PostgreSQL refuses the change: the row is poison"),
        "{changed:?}"
    );
    assert_eq!(names(&claim(&member, "a", 1).await), ["2"]);
    // Not even the refusal can be written.
    stage.rows("DROP TRIGGER refuse ON osnl_delivery");
    refuse(&stage, "osnl_change", "UPDATE", "true");
    keep(&member, "3", "k3").await;
    let ids = within(member.select(&hold())).await.unwrap();
    let is_named = |(record, _): &(String, bool)| record.contains("the answer to an operator's change");
    let named = async {
        while !refused(&member).iter().any(is_named) {
            stage.pass(Duration::from_secs(2));
            within(member.check()).await;
        }
    };
    let hold = hold();
    tokio::select! {
        changed = member.change(&hold, ids, false) => panic!("{changed:?}"),
        () = within(named) => {}
    }
}

pub(super) fn hold() -> Change {
    Change::Hold { which: Filter::default(), why: "maintenance".into() }
}
