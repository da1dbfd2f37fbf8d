//! Rates that count over all members, against the time of the database's window.

use osnl_config::Rate;
use osnl_journal::CallTokens;
use tokio::time::Instant;

use super::*;
use crate::member::CommitFault;

const WITHIN: Duration = Duration::from_secs(60);
/// A granted call begins within this time.
const VALID: Duration = Duration::from_secs(5);

/// Blocks of five calls.
fn rate() -> Rate {
    Rate { keys: 100, within: WITHIN }
}

fn tokens(member: &PostgresJournal) -> Arc<dyn CallTokens> {
    member.calls("a").unwrap()
}

/// Begins a call, if that is possible without asking the database.
fn begin_at_once(member: &PostgresJournal) -> bool {
    let tokens = tokens(member);
    let may = tokens.next_at(rate(), Instant::now()).is_none();
    if may {
        tokens.reserve();
        assert!(tokens.begin(Instant::now()).is_ok());
    }
    may
}

/// Begins a call, if the rate allows one now.
async fn begin(member: &PostgresJournal) -> bool {
    for _ in 0..5 {
        if begin_at_once(member) {
            return true;
        }
        // What was asked before is answered then.
        within(member.look()).await;
    }
    false
}

/// Begins as many calls as the rate allows now.
async fn begin_all(member: &PostgresJournal) -> usize {
    let mut begun = 0;
    while begin(member).await {
        begun += 1;
    }
    begun
}

/// A member that has seen the window.
async fn member(stage: &Stage, name: &str) -> PostgresJournal {
    let member = stage.member(name);
    assert!(!begin_at_once(&member));
    within(member.look()).await;
    stage.pass(VALID);
    within(member.look()).await;
    member
}

#[tokio::test]
async fn members_that_race_for_calls_begin_exactly_as_many_as_the_rate_allows() {
    let stage = Stage::new();
    let (a, b, c) = (member(&stage, "a").await, member(&stage, "b").await, member(&stage, "c").await);
    for round in 0..12 {
        let begun = tokio::join!(begin_all(&a), begin_all(&b), begin_all(&c));
        assert_eq!(begun.0 + begun.1 + begun.2, 100, "round {round}: {begun:?}");
        stage.slide(WITHIN + VALID);
    }
}

#[tokio::test]
async fn a_member_alone_comes_near_to_the_whole_rate() {
    // All at once, and more than the rate all the time.
    for (most_of_a_second, least) in [(usize::MAX, 285), (2, 205)] {
        let stage = Stage::new();
        let a = member(&stage, "a").await;
        let mut begun = 0;
        for _ in 0..130 {
            let mut of_this = 0;
            while of_this < most_of_a_second && begin(&a).await {
                of_this += 1;
            }
            begun += of_this;
            stage.slide(Duration::from_secs(1));
        }
        assert!((least..=300).contains(&begun), "{most_of_a_second} each second: {begun} in 130 s");
    }
}

#[tokio::test]
async fn a_dead_member_wastes_no_more_than_a_block() {
    let stage = Stage::new();
    let (a, b) = (member(&stage, "a").await, member(&stage, "b").await);
    assert!(begin(&a).await);
    let dead = pause(&a);
    assert_eq!(begin_all(&b).await, 95);
    stage.slide(WITHIN + Duration::from_secs(1));
    assert_eq!(begin_all(&b).await, 95, "the dead one might have begun its last call later");
    stage.slide(WITHIN + VALID);
    assert_eq!(begin_all(&b).await, 100);
    drop(dead);
}

#[tokio::test]
async fn a_member_that_was_stopped_begins_nothing_with_what_it_was_granted_before() {
    let stage = Stage::new();
    let (a, b) = (member(&stage, "a").await, member(&stage, "b").await);
    assert!(begin(&a).await);
    let stopped = pause(&a);
    stage.slide(VALID - Duration::from_secs(1));
    assert!(begin_at_once(&a));
    // Prepared before it was stopped.
    let prepared = tokens(&a);
    assert!(prepared.next_at(rate(), Instant::now()).is_none());
    prepared.reserve();
    stage.slide(Duration::from_secs(1));
    assert!(!begin_at_once(&a));
    assert!(prepared.begin(Instant::now()).is_err());
    assert_eq!(begin_all(&b).await, 95);
    drop(stopped);
    prepared.release();
    within(a.look()).await;
    stage.slide(Duration::from_secs(1));
    // It has told that it used two.
    assert_eq!(begin_all(&b).await + begin_all(&a).await, 3);
}

#[tokio::test]
async fn unused_calls_go_back_when_they_are_void_and_when_a_member_ends() {
    let stage = Stage::new();
    let (a, b) = (member(&stage, "a").await, member(&stage, "b").await);
    assert!(begin(&a).await);
    stage.slide(VALID);
    within(a.look()).await;
    assert_eq!(begin_all(&b).await, 99);
    stage.slide(WITHIN + VALID);
    assert!(begin(&a).await);
    within(a.close()).await;
    assert_eq!(begin_all(&b).await, 99);
}

#[tokio::test]
async fn a_block_counts_from_its_last_call() {
    let stage = Stage::new();
    let (a, b) = (member(&stage, "a").await, member(&stage, "b").await);
    assert!(begin(&a).await);
    stage.slide(VALID - Duration::from_secs(1));
    for _ in 0..4 {
        assert!(begin_at_once(&a));
    }
    within(a.look()).await;
    assert_eq!(begin_all(&b).await, 95);
    stage.slide(WITHIN - Duration::from_secs(2));
    assert_eq!(begin_all(&b).await + begin_all(&a).await, 0, "four of five began within this time");
    stage.slide(Duration::from_secs(3));
    assert_eq!(begin_all(&b).await, 100);
}

/// A grant without an answer is void, and goes back.
#[tokio::test]
async fn a_grant_without_an_answer_is_one_or_none() {
    for fault in [CommitFault::AnswerLost, CommitFault::CommitLost] {
        let stage = Stage::new();
        let (a, b) = (member(&stage, "a").await, member(&stage, "b").await);
        a.send(PostgresCommand::Do(Box::new(move |member| member.fault = fault)));
        assert!(begin(&a).await, "{fault:?}");
        assert_eq!(begin_all(&b).await + begin_all(&a).await, 99, "{fault:?}");
        // The end of a block is lost.
        stage.slide(WITHIN + VALID);
        for _ in 0..4 {
            assert!(begin(&a).await);
        }
        a.send(PostgresCommand::Do(Box::new(move |member| member.fault = fault)));
        assert_eq!(begin_all(&a).await + begin_all(&b).await, 96, "{fault:?}");
    }
}

/// A member, as the story knows it.
struct Actor {
    journal: PostgresJournal,
    paused: Option<Sender<()>>,
    is_dead: bool,
}

/// A call that began, by the members' clock, between two moments.
struct BegunCall {
    before: Duration,
    after: Duration,
    /// The time of the machine since the story began: it passes in the database, and not for the members.
    real: Duration,
}

/// Random steps: calls, time, members that are stopped and go on, one that dies, answers that are lost. In no minute do more calls
/// begin than the rate allows.
#[tokio::test]
async fn no_time_of_the_rate_has_more_calls_whatever_happens_to_members() {
    let stories = std::env::var("OSNL_STORIES").ok().and_then(|stories| stories.parse().ok()).unwrap_or(3);
    for seed in 0..stories {
        let (stage, chance) = (Stage::new(), fastrand::Rng::with_seed(seed));
        tell(&stage, chance, seed).await;
    }
}

async fn tell(stage: &Stage, mut chance: fastrand::Rng, seed: u64) {
    let mut actors = Vec::new();
    for name in ["a", "b", "c"] {
        actors.push(Actor { journal: member(stage, name).await, paused: None, is_dead: false });
    }
    stage.slide(WITHIN + VALID);
    let mut begun: Vec<BegunCall> = Vec::new();
    let (start, began) = (stage.clock.now(), Instant::now());
    for step in 0..250 {
        let n = chance.usize(..3);
        match chance.u8(..10) {
            0..=4 => {
                for _ in 0..chance.usize(1..30) {
                    let Actor { journal, paused, is_dead } = &actors[n];
                    let before = stage.clock.now();
                    // A stopped one goes on before its thread does.
                    let begins = match paused {
                        _ if *is_dead => false,
                        Some(_) => begin_at_once(journal),
                        None => begin(journal).await,
                    };
                    if !begins {
                        break;
                    }
                    begun.push(BegunCall { before, after: stage.clock.now(), real: began.elapsed() });
                }
            }
            5 | 6 => stage.slide(Duration::from_millis(chance.u64(1..9000))),
            7 if actors[n].paused.is_none()
                && actors.iter().filter(|actor| actor.paused.is_none()).count() > 1 =>
            {
                actors[n].paused = Some(pause(&actors[n].journal));
            }
            8 if !actors[n].is_dead => actors[n].paused = None,
            9 if actors[n].paused.is_none() => {
                let fault = [CommitFault::AnswerLost, CommitFault::CommitLost][chance.usize(..2)];
                actors[n].journal.send(PostgresCommand::Do(Box::new(move |member| member.fault = fault)));
            }
            _ => {}
        }
        if step == 120
            && let Some(dying) = actors.iter_mut().find(|actor| actor.paused.is_some())
        {
            dying.is_dead = true;
        }
    }
    actors.iter_mut().for_each(|actor| actor.paused = None);
    for (n, (first, later)) in begun.iter().zip(begun.iter().skip(100)).enumerate() {
        // The grant of the first call came after the last call that began more than `VALID` before.
        let ungranted = begun[..n].iter().rev().find(|call| call.after + VALID < first.before);
        let real = later.real - ungranted.map_or(Duration::ZERO, |call| call.real);
        assert!(
            later.after + real >= first.before + WITHIN,
            "story {seed}: 101 calls from {:?} to {:?}, and {real:?} of the machine",
            first.before,
            later.after
        );
    }
    let minutes = (stage.clock.now() - start).as_secs() / 60;
    assert!(begun.len() as u64 > minutes * 50, "story {seed}: {} calls in {minutes} minutes", begun.len());
}
