use std::time::SystemTime;

use osnl_core::attempt::ErrorClass;
use osnl_core::epoch::simulated;
use osnl_core::received::ReceivedMessage;
use osnl_journal::UsedLimits;
use osnl_model::Notification;

use super::super::DeliveryLimits;
use super::super::schedule::tests::worded;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn settings(hold_max: Option<Duration>) -> DeliverySettings {
    let limits = DeliveryLimits { hold_max, ..DeliveryLimits::default() };
    DeliverySettings { timeout: SECOND, limits, ..DeliverySettings::sample(6, SECOND, 60 * SECOND) }
}

struct Steps {
    course: Course,
    now: Instant,
}

impl Steps {
    fn new(settings: DeliverySettings) -> Self {
        let schedule = Schedule::new(settings.policy, settings.when_exhausted, settings.concurrency)
            .with_limits(settings.limits);
        let now = Instant::now();
        Self { course: Course::new(schedule, now), now }
    }

    fn step(&mut self, wake: Wake) -> Vec<String> {
        let mut out = Vec::new();
        self.course.step(wake, self.now, &mut out);
        out.iter().map(worded).collect()
    }

    fn event() -> Event {
        Event::new(ReceivedMessage::sample("", false), Notification::default(), "r", "a")
    }

    fn claimed(id: u64) -> ClaimedDelivery {
        ClaimedDelivery {
            id: DeliveryId(id),
            key: Some(format!("key{id}")),
            event: Self::event(),
            used: UsedLimits::default(),
            since: None,
            began: None,
            newest: false,
        }
    }

    fn claims(&mut self, ids: std::ops::RangeInclusive<u64>) -> Vec<String> {
        self.step(Wake::Claimed(ids.map(|id| (Self::claimed(id), None)).collect()))
    }

    fn ends(&mut self, id: u64, result: Result<(), ErrorClass>) -> Vec<String> {
        let result = match result {
            Ok(()) => Ok(Completion::Delivered(String::new())),
            Err(class) => Err(ActionError::new(class, "x")),
        };
        let verdict = AttemptResult {
            id: DeliveryId(id),
            event: Event { began: Some(SystemTime::UNIX_EPOCH), ..Self::event() },
            host: None,
            answered: Vec::new(),
            result,
            sent: None,
        };
        self.step(Wake::Attempted(vec![verdict]))
    }
}

/// A reload may correct the target, so the probe must precede every giving up.
#[test]
fn a_changed_target_is_probed_before_anything_behind_it_is_given_up() {
    let mut steps = Steps::new(settings(None));
    assert_eq!(steps.claims(1..=16), ["begins [1]", "begins [2]", "begins [3]", "begins [4]"]);
    for id in 1..=4 {
        steps.ends(id, Err(ErrorClass::Connect));
    }
    steps.now += 8 * SECOND;
    steps.step(Wake::Allowed { writable: true, paused: true });
    assert_eq!(steps.step(Wake::Changed(settings(Some(5 * SECOND)))), ["all due"]);
    steps.now += 3600 * SECOND;
    assert_eq!(steps.step(Wake::Allowed { writable: true, paused: false }), ["begins [5]"]);
    assert_eq!(steps.ends(5, Ok(())), ["target closed", "5 delivered", "begins [6]"]);

    let mut steps = Steps::new(settings(Some(5 * SECOND)));
    steps.claims(1..=1);
    steps.ends(1, Err(ErrorClass::Connect));
    steps.now += 2 * SECOND;
    assert_eq!(steps.claims(2..=3), ["begins [2]"]);
    assert_eq!(steps.step(Wake::Changed(settings(Some(5 * SECOND)))), ["all due", "begins [3]"]);
    steps.now += 60 * SECOND;
    steps.claims(4..=4);
    // The probe under way decides, however long it takes; then deliveries that waited too long are given up.
    assert_eq!(steps.step(Wake::Due), [""; 0]);
    let dead = "4 dead: the target was down for 60 s, and hold_max is over";
    assert_eq!(steps.ends(3, Err(ErrorClass::Connect)), ["3 held 1", dead]);
}

/// By the system clock, which has jumped since, the message of each arrived in 1970.
#[test]
fn a_jump_of_the_system_clock_ends_no_wait_of_which_the_journal_knows_the_beginning() {
    let dead = "3 dead: the target was down for 6 s, and hold_max is over";
    for (is_known, given_up) in [(true, vec!["2 held 1"]), (false, vec!["2 held 1", dead])] {
        let mut steps = Steps::new(settings(Some(5 * SECOND)));
        steps.claims(1..=1);
        steps.ends(1, Err(ErrorClass::Connect));
        steps.now += 4 * SECOND;
        let claimed = |id| ClaimedDelivery { since: is_known.then_some(steps.now), ..Steps::claimed(id) };
        let claimed = Vec::from([2, 3].map(|id| (claimed(id), None)));
        assert_eq!(steps.step(Wake::Claimed(claimed)), ["begins [2]"]);
        steps.now += 2 * SECOND;
        assert_eq!(steps.ends(2, Err(ErrorClass::Connect)), given_up);
    }
}

/// The message of each arrived in 1970; an operator has just retried them.
#[test]
fn what_is_retried_while_its_target_is_down_waits_for_as_long_as_hold_max_again() {
    let dead = |id: u64, seconds: u64| {
        format!("{id} dead: the target was down for {seconds} s, and hold_max is over")
    };
    for is_retried in [true, false] {
        let mut steps = Steps::new(settings(Some(5 * SECOND)));
        steps.claims(1..=1);
        steps.ends(1, Err(ErrorClass::Connect));
        steps.now += 60 * SECOND;
        let began = is_retried.then(SystemTime::now);
        let claimed = Vec::from([2, 3].map(|id| (ClaimedDelivery { began, ..Steps::claimed(id) }, None)));
        let words = steps.step(Wake::Claimed(claimed));
        if !is_retried {
            assert_eq!(words, [dead(2, 60), dead(3, 60)]);
            continue;
        }
        assert_eq!(words, ["begins [2]"]);
        assert_eq!(steps.ends(2, Err(ErrorClass::Connect)), ["2 held 1"]);
        steps.now += 5 * SECOND;
        assert_eq!(steps.step(Wake::Due), [dead(3, 65)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_of_the_system_clock_neither_ends_nor_prolongs_a_wait_whose_beginning_a_file_has() {
    let (noon, hour) = (SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000), 3600 * SECOND);
    let dead = "3 dead: the target was down for 6 s, and hold_max is over";
    let early = (Duration::from_millis(500), vec!["2 held 1", dead]);
    let late = (3 * SECOND, vec!["2 held 1"]);
    for after in [noon - hour, noon + hour] {
        for (came, given_up) in [&early, &late] {
            simulated::set(Some(noon));
            let mut steps = Steps::new(settings(Some(5 * SECOND)));
            steps.claims(1..=1);
            steps.ends(1, Err(ErrorClass::Connect));
            tokio::time::advance(4 * SECOND).await;
            steps.now += 4 * SECOND;
            simulated::set(Some(after));
            let claimed = Vec::from([2, 3].map(|id| {
                let mut claimed = Steps::claimed(id);
                let mut received = ReceivedMessage::sample("", false);
                received.origin.received = noon + *came;
                claimed.event = Event::new(received, Notification::default(), "r", "a");
                (claimed, None)
            }));
            assert_eq!(steps.step(Wake::Claimed(claimed)), ["begins [2]"]);
            steps.now += 2 * SECOND;
            assert_eq!(&steps.ends(2, Err(ErrorClass::Connect)), given_up, "{came:?}");
        }
    }
    simulated::set(None);
}

#[test]
fn nothing_begins_while_its_outcome_could_not_be_kept_or_somebody_has_paused_it() {
    for (writable, paused) in [(false, false), (true, true)] {
        let mut steps = Steps::new(settings(Some(5 * SECOND)));
        steps.step(Wake::Allowed { writable, paused });
        assert_eq!(steps.claims(1..=2), [""; 0]);
        steps.now += 3600 * SECOND;
        assert_eq!(steps.step(Wake::Due), [""; 0]);
        assert_eq!(steps.course.wake_at(None, steps.now), steps.course.sweep);
        let allowed = Wake::Allowed { writable: true, paused: false };
        assert_eq!(steps.step(allowed), ["begins [1]", "begins [2]"]);
    }
}

#[test]
fn the_age_of_a_wait_for_a_host_is_saved_each_minute_and_before_other_settings() {
    let limits = DeliveryLimits { max_age: Some(3600 * SECOND), ..DeliveryLimits::default() };
    let settings = DeliverySettings { limits, ..settings(None) };
    let mut steps = Steps::new(settings);
    let claimed = |id| Wake::Claimed(vec![(Steps::claimed(id), Some("gone:80".into()))]);
    assert_eq!(steps.step(claimed(1)), ["begins [1]"]);
    assert_eq!(steps.ends(1, Err(ErrorClass::Connect)), ["gone:80 opened 1", "1 held 1"]);
    assert_eq!(steps.step(claimed(2)), [""; 0]);
    let mut saved = Vec::new();
    for second in 1..=120 {
        steps.now += SECOND;
        let mut out = Vec::new();
        steps.course.sweeps(steps.now, &mut out);
        saved.extend(out.iter().map(|one| (second, worded(one))));
    }
    assert_eq!(saved, [(50, "2 aged 50".to_owned()), (100, "2 aged 100".to_owned())]);
    assert_eq!(steps.step(Wake::Changed(settings)), ["2 aged 120", "all due", "begins [2]"]);
}

#[test]
fn a_wait_for_a_host_ages_although_pauses_are_less_than_a_minute_apart() {
    let limits = DeliveryLimits { max_age: Some(3600 * SECOND), ..DeliveryLimits::default() };
    let mut steps = Steps::new(DeliverySettings { limits, ..settings(None) });
    let claimed = |id| Wake::Claimed(vec![(Steps::claimed(id), Some("gone:80".into()))]);
    assert_eq!(steps.step(claimed(1)), ["begins [1]"]);
    assert_eq!(steps.ends(1, Err(ErrorClass::Connect)), ["gone:80 opened 1", "1 held 1"]);
    assert_eq!([steps.step(claimed(2)), steps.step(claimed(3))], [[""; 0]; 2]);
    let mut saved = Vec::new();
    for _ in 0..3 {
        for _ in 0..40 {
            steps.now += SECOND;
            let mut out = Vec::new();
            steps.course.sweeps(steps.now, &mut out);
            saved.extend(out.iter().map(worded));
        }
        for paused in [true, false] {
            saved.extend(steps.step(Wake::Allowed { writable: true, paused }));
            steps.now += 20 * SECOND;
        }
        steps.now -= 20 * SECOND;
    }
    // The first that waits is the probe, which stays under way.
    assert_eq!(saved, ["2 aged 40", "3 aged 40", "begins [2]", "3 aged 80", "3 aged 120"]);
}

#[test]
fn what_is_withdrawn_goes_back_unless_an_attempt_is_under_way() {
    let mut steps = Steps::new(settings(None));
    steps.claims(1..=6);
    let ids = vec![DeliveryId(2), DeliveryId(5), DeliveryId(77)];
    assert_eq!(steps.step(Wake::Withdrawn(ids)), ["5 returns"]);
    assert_eq!(steps.ends(1, Ok(())), ["1 delivered", "begins [6]"]);
}

#[test]
fn what_drains_begins_nothing_and_ends_with_what_is_under_way() {
    let mut steps = Steps::new(settings(None));
    steps.claims(1..=6);
    assert_eq!(steps.step(Wake::Draining), [""; 0]);
    for id in 1..=4 {
        assert!(!steps.course.has_ended());
        assert_eq!(steps.ends(id, Ok(())), [format!("{id} delivered")]);
    }
    assert!(steps.course.has_ended());
}
