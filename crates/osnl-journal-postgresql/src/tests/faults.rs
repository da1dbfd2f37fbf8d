//! Random faults: members that are paused beyond their leases and resume, readers that change, commits
//! without an answer. `OSNL_STORIES=100` runs 100 stories.

use super::*;
use crate::member::CommitFault;

const KEYS: u8 = 4;
const MESSAGES: usize = 40;
const STEPS: usize = 120;

struct Actor {
    journal: PostgresJournal,
    paused: Option<Sender<()>>,
    claimed: Vec<DeliveryId>,
}

/// A broker with one queue that redelivers unacknowledged messages in order to the chosen reader.
struct Story {
    stage: Stage,
    actors: Vec<Actor>,
    chance: fastrand::Rng,
    reader: usize,
    /// The next message to be acknowledged, and those that were appended without an answer.
    acknowledged: usize,
    under_way: Vec<Receipt>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let stage = Stage::new();
        let actors = ["a", "b", "c"].map(|name| Actor {
            journal: stage.member(name),
            paused: None,
            claimed: Vec::new(),
        });
        let chance = fastrand::Rng::with_seed(seed);
        Self { stage, actors: actors.into(), chance, reader: 0, acknowledged: 0, under_way: Vec::new() }
    }

    async fn append(&mut self) {
        if self.acknowledged == MESSAGES {
            return;
        }
        let reader = &self.actors[self.reader];
        let key = (self.acknowledged % usize::from(KEYS)).to_string();
        let new = entry(&self.acknowledged.to_string(), &key, self.chance.bool());
        let receipt = append(&reader.journal, new).await;
        if reader.paused.is_some() {
            self.under_way.push(receipt);
        } else if within(receipt).await == Settle::Acknowledge {
            self.acknowledged += 1;
        } else {
            self.change_reader();
        }
    }

    fn change_reader(&mut self) {
        let awake: Vec<usize> = (0..self.actors.len()).filter(|n| self.actors[*n].paused.is_none()).collect();
        self.reader = awake[self.chance.usize(..awake.len())];
        let origin = ReceivedMessage::sample("", false).origin;
        self.actors[self.reader].journal.begin_reading(&origin.listener, &origin.queue);
    }

    async fn claim(&mut self, n: usize) {
        let actor = &mut self.actors[n];
        if actor.paused.is_none() {
            let claimed = claimable(&actor.journal, "a").await;
            actor.claimed.extend(claimed.iter().map(|claimed| claimed.id));
        }
    }

    fn end(&mut self, n: usize, always: bool) {
        let actor = &mut self.actors[n];
        for id in std::mem::take(&mut actor.claimed) {
            match self.chance.u8(..4) {
                0 if !always => actor.claimed.push(id),
                1 if !always => actor.journal.end(id, Outcome::Returned.into()),
                _ => actor.journal.end(id, Outcome::Delivered.into()),
            }
        }
    }

    async fn pass(&mut self) {
        self.stage.pass(Duration::from_secs(self.chance.u64(1..20)));
        for actor in self.actors.iter().filter(|actor| actor.paused.is_none()) {
            within(actor.journal.check()).await;
        }
    }

    async fn step(&mut self) {
        let n = self.chance.usize(..self.actors.len());
        match self.chance.u8(..12) {
            0..=3 => self.append().await,
            4 | 5 => self.claim(n).await,
            6 | 7 => self.end(n, false),
            8 => self.pass().await,
            9 if self.actors.iter().filter(|actor| actor.paused.is_none()).count() > 1 => {
                let actor = &mut self.actors[n];
                if actor.paused.is_none() {
                    actor.paused = Some(pause(&actor.journal));
                }
            }
            10 => self.actors[n].paused = None,
            11 => {
                let faults = [CommitFault::AnswerLost, CommitFault::CommitLost];
                let fault = faults[self.chance.usize(..2)];
                self.actors[n]
                    .journal
                    .send(PostgresCommand::Do(Box::new(move |member| member.fault = fault)));
                self.change_reader();
            }
            _ => {}
        }
    }

    async fn play(&mut self) {
        for _ in 0..STEPS {
            self.step().await;
        }
        self.actors.iter_mut().for_each(|actor| actor.paused = None);
        let left = "SELECT count(*) FROM osnl_delivery WHERE state < 4";
        for round in 0.. {
            assert!(round < 100, "{} are left", self.stage.rows(left));
            self.append().await;
            self.pass().await;
            for n in 0..self.actors.len() {
                self.claim(n).await;
                self.end(n, true);
                within(self.actors[n].journal.check()).await;
            }
            if self.acknowledged == MESSAGES && self.stage.rows(left) == "0" {
                break;
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_lost_and_records_keep_their_order_whatever_happens_to_members() {
    let stories = std::env::var("OSNL_STORIES").ok().and_then(|stories| stories.parse().ok()).unwrap_or(3);
    for seed in 0..stories {
        let mut story = Story::new(seed);
        story.play().await;
        let stage = &story.stage;
        assert_eq!(stage.tally(), format!("4|{MESSAGES}"), "story {seed}");
        let order = "SELECT string_agg(unique_id, ' ' ORDER BY id) FROM osnl_arrival";
        let expected: Vec<String> = (0..MESSAGES).map(|n| n.to_string()).collect();
        assert_eq!(stage.rows(order), expected.join(" "), "story {seed}");
        let overtaken = "SELECT count(*) FROM osnl_delivery a JOIN osnl_delivery b USING (key) WHERE a.id < b.id AND a.ended > b.ended";
        assert_eq!(stage.rows(overtaken), "0", "story {seed}");
        let recorded: u64 =
            story.actors.iter().map(|actor| actor.journal.shared.counters.delivered.get()).sum();
        assert_eq!(recorded, MESSAGES as u64, "story {seed}: each end is counted once");
    }
}
