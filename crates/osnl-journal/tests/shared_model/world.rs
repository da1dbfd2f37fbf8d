//! One queue, one lane, one partition, two daemons, and a database, in small steps.
//!
//! A transaction begins with a daemon's knowledge and commits later; any step may happen between. On Galera a
//! reader of another node may see the state before the latest commit.

use crate::database::{Arrival, BrokenPromise, Change, CommitEnd, Refusal, Role, State, Tables, Transaction};
use crate::explorer::{Model, Passage};
use crate::setting::{Faults, Setting};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    tables: Tables,
    former: Option<Box<Tables>>,
    /// Transactions of broken connections, which the database may still commit.
    orphans: Vec<Transaction>,
    daemons: [Daemon; 2],
    broker: Broker,
    target: Target,
    left: Faults,
    reader_changes_done: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Daemon {
    token: u8,
    owned: Option<u8>,
    lease_holds: bool,
    lane: Vec<State>,
    attempt: Option<Attempt>,
    owner_work: Work,
    reader_epoch: Option<u8>,
    next_number: u8,
    received: Vec<u8>,
    reader_work: Work,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum Work {
    #[default]
    None,
    Commits(Transaction),
    /// The connection broke; the flag is whether the commit happened.
    Unknown(Transaction, bool),
}

/// An attempt: its lease was checked, and then its request was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Attempt {
    arrival: u8,
    epoch: u8,
    written: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Broker {
    active: u8,
    ready: Vec<u8>,
    unacknowledged: Vec<u8>,
    acknowledged: u8,
}

/// A target that refuses a request with a lower fence than an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Target {
    fence: u8,
    latest: u8,
    told: u8,
    late: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Receive(u8),
    Begin(u8, Task),
    Commit(u8, Role),
    LearnsTheEnd(u8, Role),
    OrphanCommits(u8),
    OrphanIsDropped(u8),
    SeesArrivals(u8),
    ChecksTheLease(u8),
    WritesTheRequest(u8),
    LeaseRunsOut(u8),
    Dies(u8),
    ConnectionBreaks(u8, Role),
    OtherReader,
    LatestCommitIsLost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    TakePartition,
    /// Takes the partition with a lane read from a node that lags by one commit.
    TakePartitionByStaleRead,
    Renew,
    Admit,
    End,
    TakeQueue,
    Append,
}

impl Setting {
    pub(crate) fn first(&self) -> World {
        let numbers = (1..).take(self.messages.len()).collect();
        World {
            tables: Tables::default(),
            former: None,
            orphans: Vec::new(),
            daemons: [Daemon { token: 1, ..Daemon::default() }, Daemon { token: 101, ..Daemon::default() }],
            broker: Broker { ready: numbers, ..Broker::default() },
            target: Target::default(),
            left: self.faults,
            reader_changes_done: 0,
        }
    }

    fn commit(&self, world: &mut World, work: &Transaction) -> CommitEnd {
        let before = world.tables.clone();
        let done = self.apply(&mut world.tables, world.target.told, work)?;
        match done {
            Ok(()) if self.keeps_former() => world.former = Some(Box::new(before)),
            Ok(()) => {}
            Err(_) => world.tables = before,
        }
        Ok(done)
    }

    /// Informs a daemon of the end of its transaction. A lease counts from before its transaction was sent,
    /// so after an unknown end it must be renewed.
    fn learn(&self, world: &mut World, work: &Transaction, end: Result<(), Refusal>, at_once: bool) {
        let states =
            |known: usize| world.tables.arrivals.iter().take(known).map(|arrival| arrival.state).collect();
        let daemon = &mut world.daemons[usize::from(work.daemon)];
        *daemon.work(work.role) = Work::None;
        match (&work.change, end) {
            (Change::TakePartition { from, seen }, Ok(())) => {
                daemon.owned = Some(from.epoch + 1);
                daemon.lease_holds = at_once;
                daemon.lane = match self.rules.owners_read_after_their_take_over {
                    true => states(usize::MAX),
                    false => seen.clone(),
                };
            }
            (Change::Renew { .. }, Ok(())) => daemon.lease_holds = at_once,
            (Change::Admit { arrival, to, .. }, Ok(())) => daemon.lane[usize::from(*arrival)] = *to,
            (Change::End { arrival, promoted, .. }, Ok(())) => {
                daemon.lane[usize::from(*arrival)] = State::Ended;
                if let Some(promoted) = promoted {
                    daemon.lane[usize::from(*promoted)] = State::Ready;
                }
                daemon.attempt = None;
            }
            (Change::TakeQueue { from }, Ok(())) => {
                daemon.reader_epoch = Some(from.epoch + 1);
                daemon.next_number = 1;
            }
            (Change::Append { message, .. }, Ok(())) => {
                daemon.next_number += 1;
                daemon.received.retain(|received| received != message);
                if world.broker.active == work.daemon && world.broker.unacknowledged.contains(message) {
                    world.broker.unacknowledged.retain(|unacknowledged| unacknowledged != message);
                    world.broker.acknowledged |= 1 << message;
                }
            }
            (Change::Renew { .. } | Change::Admit { .. } | Change::End { .. }, Err(Refusal::Fenced)) => {
                daemon.owned = None;
                daemon.lease_holds = false;
                daemon.attempt = None;
                daemon.lane.clear();
            }
            (Change::Append { .. }, Err(Refusal::Fenced)) => {
                daemon.reader_epoch = None;
                if world.broker.active != work.daemon {
                    daemon.received.clear();
                }
            }
            (Change::TakePartition { .. } | Change::TakeQueue { .. }, Err(_))
            | (Change::Renew { .. } | Change::Append { .. }, Err(Refusal::Conflict)) => {}
            (Change::Admit { .. } | Change::End { .. }, Err(Refusal::Conflict)) => {
                daemon.lane = states(daemon.lane.len());
                let lane = &daemon.lane;
                daemon.attempt =
                    daemon.attempt.filter(|attempt| lane[usize::from(attempt.arrival)] == State::Ready);
            }
        }
    }

    fn begin(&self, world: &World, daemon: u8, doing: Task) -> Option<(Role, Change)> {
        let at = &world.daemons[usize::from(daemon)];
        let arrivals = &world.tables.arrivals;
        let first = |state: State| {
            let of_state =
                (0..).zip(&at.lane).filter(|(_, known)| **known == state).map(|(number, _)| number);
            of_state.min_by_key(|number: &u8| arrivals.get(usize::from(*number)).map(|arrival| arrival.place))
        };
        let is_open = |state: &State| matches!(state, State::Waiting | State::Ready);
        let change = match doing {
            Task::TakePartition | Task::TakePartitionByStaleRead => {
                let lease = world.tables.lease;
                let holds = world.daemons.iter().any(|daemon| {
                    daemon.lease_holds && daemon.owned == Some(lease.epoch) && daemon.token == lease.token
                });
                let read = match doing {
                    Task::TakePartitionByStaleRead => world.former.as_deref()?,
                    _ => &world.tables,
                };
                let seen = read.arrivals.iter().map(|arrival| arrival.state).collect();
                (at.owned.is_none() && !holds).then_some(Change::TakePartition { from: lease, seen })?
            }
            Task::Renew => Change::Renew { epoch: at.owned.filter(|_| !at.lease_holds)? },
            Task::Admit => {
                let (epoch, arrival) = (at.owned?, first(State::Arrived)?);
                let to = if at.lane.iter().any(is_open) { State::Waiting } else { State::Ready };
                Change::Admit { epoch, arrival, to }
            }
            Task::End => {
                let (epoch, attempt) = (at.owned?, at.attempt.filter(|attempt| attempt.written)?);
                Change::End { epoch, arrival: attempt.arrival, promoted: first(State::Waiting) }
            }
            Task::TakeQueue => {
                let is_new = world.broker.active == daemon && at.reader_epoch.is_none();
                is_new.then_some(Change::TakeQueue { from: world.tables.reader })?
            }
            Task::Append => {
                let state = match self.rules.appends_only_insert {
                    true => State::Arrived,
                    false if arrivals.iter().any(|arrival| is_open(&arrival.state)) => State::Waiting,
                    false => State::Ready,
                };
                let (epoch, message) = (at.reader_epoch?, *at.received.first()?);
                Change::Append { epoch, number: at.next_number, message, state }
            }
        };
        let role = match doing {
            Task::TakeQueue | Task::Append => Role::Reader,
            _ => Role::Owner,
        };
        Some((role, change))
    }

    fn step(&self, world: &World, step: Step) -> Option<Result<World, BrokenPromise>> {
        let mut then = world.clone();
        let broken = match step {
            Step::Begin(daemon, doing) => {
                let (role, change) = self.begin(world, daemon, doing)?;
                let at = &mut then.daemons[usize::from(daemon)];
                let work = Transaction {
                    daemon,
                    token: at.token,
                    role,
                    lease_beat: world.tables.lease.beat,
                    reader_beat: world.tables.reader.beat,
                    change,
                };
                let place = at.work(role);
                (*place == Work::None).then(|| *place = Work::Commits(work))?;
                Ok(())
            }
            Step::Commit(daemon, role) => {
                let Work::Commits(work) = then.daemons[usize::from(daemon)].work(role).clone() else {
                    return None;
                };
                self.commit(&mut then, &work).map(|end| self.learn(&mut then, &work, end, true))
            }
            Step::ConnectionBreaks(daemon, role) => {
                then.left.unknown_commits = then.left.unknown_commits.checked_sub(1)?;
                let place = then.daemons[usize::from(daemon)].work(role);
                let Work::Commits(work) = place.clone() else { return None };
                *place = Work::Unknown(work.clone(), false);
                then.orphans.push(work);
                Ok(())
            }
            Step::LearnsTheEnd(daemon, role) => {
                let Work::Unknown(work, committed) = then.daemons[usize::from(daemon)].work(role).clone()
                else {
                    return None;
                };
                self.learn_unknown(&mut then, work, committed)
            }
            Step::OrphanCommits(number) => {
                (usize::from(number) < then.orphans.len()).then_some(())?;
                let work = then.orphans.remove(usize::from(number));
                self.commit(&mut then, &work).map(|end| {
                    let place = then.daemons[usize::from(work.daemon)].work(work.role);
                    match place {
                        Work::Unknown(unknown, committed) if *unknown == work => *committed = end.is_ok(),
                        _ => {}
                    }
                })
            }
            Step::OrphanIsDropped(number) => {
                (usize::from(number) < then.orphans.len())
                    .then(|| then.orphans.remove(usize::from(number)))?;
                Ok(())
            }
            Step::LatestCommitIsLost => {
                then.left.unknown_commits = then.left.unknown_commits.checked_sub(1)?;
                (!self.rules.commits_are_durable).then_some(())?;
                then.tables = *then.former.take()?;
                Ok(())
            }
            Step::WritesTheRequest(daemon) => then.writes_the_request(daemon)?,
            other => {
                then.moves(other)?;
                Ok(())
            }
        };
        Some(broken.map(|()| then))
    }

    fn learn_unknown(
        &self,
        world: &mut World,
        work: Transaction,
        committed: bool,
    ) -> Result<(), BrokenPromise> {
        if committed {
            self.learn(world, &work, Ok(()), false);
            return Ok(());
        }
        if !self.rules.unknown_ends_are_repeated_under_their_number {
            self.learn(world, &work, Err(Refusal::Conflict), false);
            return Ok(());
        }
        // Only one of the two can insert the number, so the other never commits.
        world.orphans.retain(|orphan| *orphan != work);
        let again = Transaction {
            lease_beat: world.tables.lease.beat,
            reader_beat: world.tables.reader.beat,
            ..work
        };
        let end = self.commit(world, &again)?;
        self.learn(world, &again, end, false);
        Ok(())
    }
}

impl World {
    fn moves(&mut self, step: Step) -> Option<()> {
        match step {
            Step::Receive(daemon) => {
                let at = &mut self.daemons[usize::from(daemon)];
                (self.broker.active == daemon && at.received.len() < 2 && !self.broker.ready.is_empty())
                    .then_some(())?;
                let message = self.broker.ready.remove(0);
                self.broker.unacknowledged.push(message);
                at.received.push(message);
            }
            Step::SeesArrivals(daemon) => {
                let at = &mut self.daemons[usize::from(daemon)];
                (at.owned.is_some() && at.lane.len() < self.tables.arrivals.len()).then_some(())?;
                at.lane.extend(self.tables.arrivals[at.lane.len()..].iter().map(|arrival| arrival.state));
            }
            Step::ChecksTheLease(daemon) => {
                let at = &mut self.daemons[usize::from(daemon)];
                (at.lease_holds && at.attempt.is_none()).then_some(())?;
                let arrival = at.lane.iter().position(|state| *state == State::Ready)?;
                at.attempt =
                    Some(Attempt { arrival: u8::try_from(arrival).ok()?, epoch: at.owned?, written: false });
            }
            Step::LeaseRunsOut(daemon) => {
                self.left.expiries = self.left.expiries.checked_sub(1)?;
                let holds = &mut self.daemons[usize::from(daemon)].lease_holds;
                std::mem::take(holds).then_some(())?;
            }
            Step::OtherReader => {
                self.left.reader_changes = self.left.reader_changes.checked_sub(1)?;
                self.changes_reader();
            }
            Step::Dies(daemon) => {
                self.left.crashes = self.left.crashes.checked_sub(1)?;
                let at = &mut self.daemons[usize::from(daemon)];
                let died = std::mem::replace(at, Daemon { token: at.token + 1, ..Daemon::default() });
                for work in [died.owner_work, died.reader_work] {
                    if let Work::Commits(work) = work {
                        self.orphans.push(work);
                    }
                }
                if self.broker.active == daemon {
                    self.changes_reader();
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn changes_reader(&mut self) {
        self.reader_changes_done += 1;
        self.broker.active = 1 - self.broker.active;
        let mut ready = std::mem::take(&mut self.broker.unacknowledged);
        ready.append(&mut self.broker.ready);
        self.broker.ready = ready;
        self.daemons[usize::from(self.broker.active)].received.clear();
    }

    fn writes_the_request(&mut self, daemon: u8) -> Option<Result<(), BrokenPromise>> {
        let at = &mut self.daemons[usize::from(daemon)];
        let attempt = at.attempt.as_mut().filter(|attempt| !attempt.written)?;
        attempt.written = true;
        let Attempt { arrival, epoch, .. } = *attempt;
        let Arrival { message, place, .. } = *self.tables.arrivals.get(usize::from(arrival))?;
        let lease = self.tables.lease;
        if lease.epoch != epoch || lease.token != at.token {
            self.target.late += 1;
            if self.target.late >= lease.epoch {
                return Some(Err("late requests are at most those under way"));
            }
        } else if self.tables.arrivals.iter().any(|other| other.place < place && other.state != State::Ended)
        {
            return Some(Err("nothing is attempted before what came before it has ended"));
        }
        if epoch >= self.target.fence {
            self.target.fence = epoch;
            self.target.told |= 1 << message;
            if message < self.target.latest {
                return Some(Err("a target that refuses lower fences is told in the order of the queue"));
            }
            self.target.latest = message;
        }
        Some(Ok(()))
    }
}

impl Daemon {
    fn work(&mut self, role: Role) -> &mut Work {
        match role {
            Role::Owner => &mut self.owner_work,
            Role::Reader => &mut self.reader_work,
        }
    }
}

impl Model for Setting {
    type State = World;
    type Step = Step;

    fn steps(&self, world: &World) -> Vec<Passage<Self>> {
        let mut steps = vec![Step::OtherReader, Step::LatestCommitIsLost];
        for number in (0..).take(world.orphans.len()) {
            steps.extend([Step::OrphanCommits(number), Step::OrphanIsDropped(number)]);
        }
        for daemon in 0..2 {
            steps.extend([
                Step::Receive(daemon),
                Step::SeesArrivals(daemon),
                Step::ChecksTheLease(daemon),
                Step::WritesTheRequest(daemon),
                Step::LeaseRunsOut(daemon),
                Step::Dies(daemon),
            ]);
            for doing in [
                Task::TakePartition,
                Task::TakePartitionByStaleRead,
                Task::Renew,
                Task::Admit,
                Task::End,
                Task::TakeQueue,
                Task::Append,
            ] {
                steps.push(Step::Begin(daemon, doing));
            }
            for role in [Role::Owner, Role::Reader] {
                let work = [
                    Step::Commit(daemon, role),
                    Step::ConnectionBreaks(daemon, role),
                    Step::LearnsTheEnd(daemon, role),
                ];
                steps.extend(work);
            }
        }
        steps.into_iter().filter_map(|step| Some((step, self.step(world, step)?))).collect()
    }

    fn broken(&self, world: &World) -> Option<BrokenPromise> {
        let copies =
            |message: u8| world.tables.arrivals.iter().filter(|arrival| arrival.message == message).count();
        for (message, has_id) in (1..).zip(&self.messages) {
            if world.broker.acknowledged & (1 << message) != 0 && copies(message) == 0 {
                return Some("what is acknowledged is in the journal");
            }
            let allowed = if *has_id { 1 } else { 1 + usize::from(world.reader_changes_done) };
            if copies(message) > allowed {
                return Some("a message arrives once, or without an id once for each reader");
            }
        }
        let holders =
            world.daemons.iter().filter(|daemon| daemon.owned.is_some() && daemon.lease_holds).count();
        (holders > 1).then_some("at most one daemon has a lease that holds")
    }

    fn is_done(&self, world: &World) -> bool {
        (1..).zip(&self.messages).all(|(message, _)| world.broker.acknowledged & (1 << message) != 0)
            && world.tables.arrivals.iter().all(|arrival| arrival.state == State::Ended)
    }

    fn is_fault(&self, step: Step) -> bool {
        matches!(
            step,
            Step::LeaseRunsOut(_)
                | Step::Dies(_)
                | Step::ConnectionBreaks(..)
                | Step::OtherReader
                | Step::LatestCommitIsLost
        )
    }
}
