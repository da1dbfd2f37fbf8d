//! The tables, and the end of a transaction that changes them.
//!
//! The condition of a transaction is evaluated at its commit. On Galera, a row that changed since the start
//! of the transaction makes it fail too (certification).

use crate::setting::{Database, Setting};

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tables {
    pub(crate) lease: Row,
    pub(crate) reader: Row,
    pub(crate) arrivals: Vec<Arrival>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) epoch: u8,
    pub(crate) token: u8,
    pub(crate) beat: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Arrival {
    pub(crate) message: u8,
    /// The order of the queue: the reader's epoch, and the number within.
    pub(crate) place: (u8, u8),
    pub(crate) state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Arrived,
    Waiting,
    Ready,
    Ended,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Transaction {
    pub(crate) daemon: u8,
    pub(crate) token: u8,
    pub(crate) role: Role,
    /// The beats of lease and reader at the start, for Galera's certification.
    pub(crate) lease_beat: u8,
    pub(crate) reader_beat: u8,
    pub(crate) change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Owner,
    Reader,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    TakePartition { from: Row, seen: Vec<State> },
    Renew { epoch: u8 },
    Admit { epoch: u8, arrival: u8, to: State },
    End { epoch: u8, arrival: u8, promoted: Option<u8> },
    TakeQueue { from: Row },
    Append { epoch: u8, number: u8, message: u8, state: State },
}

pub(crate) enum Refusal {
    Fenced,
    Conflict,
}

pub(crate) type BrokenPromise = &'static str;

pub(crate) type CommitEnd = Result<Result<(), Refusal>, BrokenPromise>;

impl Setting {
    pub(crate) fn apply(&self, tables: &mut Tables, told: u8, work: &Transaction) -> CommitEnd {
        let fence = match work.change {
            Change::Admit { epoch, .. } | Change::End { epoch, .. } => {
                self.writes_the_lease(tables, epoch, work)
            }
            Change::Append { epoch, .. } => self.writes_the_reader(tables, epoch, work),
            Change::TakePartition { .. } | Change::Renew { .. } | Change::TakeQueue { .. } => Ok(()),
        };
        if fence.is_err() {
            return Ok(fence);
        }
        match &work.change {
            Change::TakePartition { from, .. } => Ok(self.take_partition(tables, *from, work)),
            // The renewal is the write itself, so a condition that only reads does not exist here.
            Change::Renew { epoch } => {
                let same = tables.lease.epoch == *epoch && tables.lease.token == work.token;
                tables.lease.beat += 1;
                Ok(if same { Ok(()) } else { Err(Refusal::Fenced) })
            }
            Change::Admit { arrival, to, .. } => Ok(tables.change(*arrival, State::Arrived, *to)),
            Change::End { arrival, promoted, .. } => tables.end(told, *arrival, *promoted),
            Change::TakeQueue { from } if tables.reader != *from => Ok(Err(Refusal::Fenced)),
            Change::TakeQueue { from } => {
                tables.reader = Row { epoch: from.epoch + 1, token: work.token, beat: from.beat + 1 };
                Ok(Ok(()))
            }
            Change::Append { epoch, number, message, state } => {
                let is_there = tables.arrivals.iter().any(|arrival| arrival.message == *message);
                if is_there && self.has_id(*message) {
                    return Ok(Ok(()));
                }
                let place = (*epoch, *number);
                if tables.arrivals.iter().any(|arrival| arrival.place >= place) {
                    return Err("nothing arrives before what has arrived");
                }
                tables.arrivals.push(Arrival { message: *message, place, state: *state });
                Ok(Ok(()))
            }
        }
    }

    fn writes_the_lease(&self, tables: &mut Tables, epoch: u8, work: &Transaction) -> Result<(), Refusal> {
        if !self.rules.owners_write_the_lease {
            return Ok(());
        }
        self.writes(&mut tables.lease, epoch, work.token, work.lease_beat)
    }

    fn writes_the_reader(&self, tables: &mut Tables, epoch: u8, work: &Transaction) -> Result<(), Refusal> {
        if !self.rules.readers_write_their_epoch {
            return Ok(());
        }
        self.writes(&mut tables.reader, epoch, work.token, work.reader_beat)
    }

    /// `UPDATE … SET beat = beat + 1 WHERE epoch = ? AND token = ?`.
    fn writes(&self, row: &mut Row, epoch: u8, token: u8, beat: u8) -> Result<(), Refusal> {
        if row.epoch != epoch || row.token != token {
            return Err(Refusal::Fenced);
        }
        self.certifies(*row, beat)?;
        row.beat += 1;
        Ok(())
    }

    fn certifies(&self, row: Row, beat: u8) -> Result<(), Refusal> {
        if self.database == Database::Galera && row.beat != beat { Err(Refusal::Conflict) } else { Ok(()) }
    }

    fn take_partition(&self, tables: &mut Tables, from: Row, work: &Transaction) -> Result<(), Refusal> {
        let same = match self.rules.take_over_names_the_beat {
            true => tables.lease == from,
            false => tables.lease.epoch == from.epoch,
        };
        if !same {
            return Err(Refusal::Fenced);
        }
        self.certifies(tables.lease, work.lease_beat)?;
        tables.lease = Row { epoch: from.epoch + 1, token: work.token, beat: tables.lease.beat + 1 };
        Ok(())
    }
}

impl Tables {
    fn change(&mut self, arrival: u8, from: State, to: State) -> Result<(), Refusal> {
        let state = &mut self.arrivals[usize::from(arrival)].state;
        if *state != from {
            return Err(Refusal::Conflict);
        }
        *state = to;
        Ok(())
    }

    fn end(&mut self, told: u8, arrival: u8, promoted: Option<u8>) -> CommitEnd {
        let ended = self.change(arrival, State::Ready, State::Ended);
        let promoted =
            promoted.map_or(Ok(()), |promoted| self.change(promoted, State::Waiting, State::Ready));
        if let Err(refusal) = ended.and(promoted) {
            return Ok(Err(refusal));
        }
        let Arrival { message, place, .. } = self.arrivals[usize::from(arrival)];
        if told & (1 << message) == 0 {
            return Err("what is recorded as delivered had its effect");
        }
        if self.arrivals.iter().any(|other| other.place < place && other.state != State::Ended) {
            return Err("records of a resource are in the order of the queue");
        }
        Ok(Ok(()))
    }
}
