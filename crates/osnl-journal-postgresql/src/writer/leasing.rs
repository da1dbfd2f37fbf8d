//! The leases of streams: taken, kept with positions, given back.

use tokio_postgres::Error;

use super::PostgresWriter;
use crate::command::PostgresCommand;
use crate::job::TransactionJob;
use crate::member::ReaderEpoch;
use crate::reader::QueueReader;
use crate::results::JobResult;
use crate::session::words;
use crate::stream_lease::{READERS, ReaderRow};

impl PostgresWriter {
    /// Carries out commands about leases of streams, behind the group that was queued with them.
    pub(super) async fn lease_as_asked(&mut self, commands: Vec<PostgresCommand>) {
        let (mut positions, mut has_requests) = (Vec::<(QueueReader, String)>::new(), false);
        for command in commands {
            match command {
                PostgresCommand::Lease(request) => {
                    self.streams.request(request);
                    has_requests = true;
                }
                PostgresCommand::Position(reader, epoch, position) if self.has_lease(&reader, epoch) => {
                    positions.retain(|(known, _)| *known != reader);
                    positions.push((reader, position));
                }
                PostgresCommand::GiveBack(reader, epoch) if self.has_lease(&reader, epoch) => {
                    self.keep_positions(std::mem::take(&mut positions)).await;
                    self.give_streams_back(vec![reader]).await;
                    has_requests = true;
                }
                _ => {}
            }
        }
        self.keep_positions(positions).await;
        if has_requests {
            self.lease_streams().await;
        }
    }

    fn has_lease(&self, reader: &QueueReader, epoch: i64) -> bool {
        let reading = self.member.reading.get(reader);
        self.member.leased.contains(reader) && reading.is_some_and(|reading| reading.epoch == epoch)
    }

    async fn keep_positions(&mut self, mut positions: Vec<(QueueReader, String)>) {
        while !positions.is_empty() {
            match self.transact(&TransactionJob::Keep(positions.clone())).await {
                Ok(_) => return,
                Err(refusal) => {
                    if !self.bear(refusal).await {
                        return;
                    }
                    let leased = &self.member.leased;
                    let before = positions.len();
                    positions.retain(|(reader, _)| leased.contains(reader));
                    if positions.len() == before {
                        return;
                    }
                }
            }
        }
    }

    /// Gives these back; another member takes them with its next look.
    pub(super) async fn give_streams_back(&mut self, readers: Vec<QueueReader>) {
        if readers.is_empty() {
            return;
        }
        for reader in &readers {
            self.lose_stream(reader);
            self.member.reading.remove(reader);
            self.member.fenced.insert(reader.clone());
        }
        if let Err(refusal) = self.transact(&TransactionJob::GiveBack(readers)).await {
            _ = self.bear(refusal).await;
        }
    }

    /// The member has the lease no more.
    pub(super) fn lose_stream(&mut self, reader: &QueueReader) {
        self.member.leased.remove(reader);
        self.streams.lose(reader);
    }

    /// Looks at the streams that are asked for, and takes those that are free.
    pub(super) async fn lease_streams(&mut self) {
        if let Err(error) = self.take_free_streams().await {
            self.session = None;
            self.failed(&words(&error));
        }
    }

    async fn take_free_streams(&mut self) -> Result<(), Error> {
        let wanted = self.streams.wanted();
        if wanted.is_empty() || self.closing {
            return Ok(());
        }
        let Some(session) = &mut self.session else { return Ok(()) };
        let names: Vec<Vec<u8>> = wanted.iter().map(QueueReader::name).collect();
        let asked = self.options.clock.now();
        let mut rows = Vec::new();
        for row in session.query(READERS, &[&names]).await? {
            let name: Vec<u8> = row.try_get(0)?;
            let (epoch, beat, token) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            rows.push((name, ReaderRow { epoch, beat, token }));
        }
        let moments = (asked, self.options.clock.now());
        for (reader, name) in wanted.into_iter().zip(names) {
            let row = rows.iter().find(|(known, _)| *known == name).map(|(_, row)| row);
            let seen = row.map(|row| (row.epoch, row.beat));
            if !self.streams.is_free((&reader, &self.member.token), row, moments, self.options.lease) {
                continue;
            }
            match self.transact(&TransactionJob::Lease(reader.clone(), seen)).await {
                Ok((JobResult::Leased(Some((epoch, position))), _)) => {
                    self.member.fenced.remove(&reader);
                    self.member.reading.insert(reader.clone(), ReaderEpoch { epoch, numbers: 0..0 });
                    self.member.leased.insert(reader.clone());
                    self.streams.grant(&reader, epoch, position);
                }
                Ok(_) => {}
                Err(refusal) => _ = self.bear(refusal).await,
            }
        }
        Ok(())
    }
}
