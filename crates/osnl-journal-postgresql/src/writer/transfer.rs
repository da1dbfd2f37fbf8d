//! Bodies that are too large for one statement are sent and read in parts, each a statement of its own.
//!
//! Between two parts, the member renews leases and other commands run. A large message on a slow network delays only
//! the later messages of its queue; a body that is read in parts delays further claims of its action. The transaction
//! that stores the message moves the parts into its row without sending them again.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use osnl_core::quarantine::HEAD;
use osnl_transport::Cut;
use tokio::time::Instant;
use tokio_postgres::types::ToSql;

use super::PostgresWriter;
use crate::command::{NewUnreadable, PostgresCommand, SentBody};
use crate::load;
use crate::reader::QueueReader;
use crate::results::AppendResult;
use crate::session::{LARGE, words};
use crate::transaction::is_of_a_row;

const SMALLEST: usize = 4 << 10;
const LARGEST: usize = 1 << 20;
/// A part that takes less time is followed by a longer one.
const QUICK: Duration = Duration::from_millis(100);
/// The most messages that are kept without a fetch for them.
const MOST_READ: usize = 64;
/// The time for parts before other commands have their turn.
const TURN: Duration = Duration::from_millis(50);

/// The server's clock dates a transfer for its later removal, because the machines' clocks may differ.
const PART: &str = "INSERT INTO osnl_part (transfer, part, at, bytes) \
     VALUES ($1, $2, (extract(epoch FROM now()) * 1000)::bigint, $3) \
     ON CONFLICT (transfer, part) DO UPDATE SET bytes = excluded.bytes";

struct Upload {
    reader: QueueReader,
    command: PostgresCommand,
    transfer: Vec<u8>,
    body: Bytes,
    sent: usize,
    parts: i32,
    behind: VecDeque<PostgresCommand>,
}

pub(super) struct Transfers {
    uploads: VecDeque<Upload>,
    downloads: BTreeMap<i64, Vec<u8>>,
    fetches: Vec<PostgresCommand>,
    size: usize,
}

impl Default for Transfers {
    fn default() -> Self {
        Self { uploads: VecDeque::new(), downloads: BTreeMap::new(), fetches: Vec::new(), size: LARGE }
    }
}

impl Transfers {
    pub(super) fn is_empty(&self) -> bool {
        self.uploads.is_empty() && self.downloads.is_empty()
    }
}

impl PostgresWriter {
    /// Keeps back a command that has a large body or waits behind one; returns any other command.
    pub(super) fn detain(&mut self, command: PostgresCommand) -> Option<PostgresCommand> {
        let reader = match &command {
            PostgresCommand::BeginReading(reader) => Some(reader),
            other => other.reader(),
        };
        let Some(reader) = reader else { return Some(command) };
        if let Some(upload) = self.transfers.uploads.iter_mut().find(|upload| upload.reader == *reader) {
            upload.behind.push_back(command);
            return None;
        }
        // The append will be refused, so its body is not sent.
        if self.member.fenced.contains(reader) {
            return Some(command);
        }
        let reader = reader.clone();
        let Some(body) = command.unsent_body() else { return Some(command) };
        let transfer = std::iter::repeat_with(|| fastrand::u8(..)).take(16).collect();
        let behind = VecDeque::new();
        self.transfers.uploads.push_back(Upload {
            reader,
            command,
            transfer,
            body,
            sent: 0,
            parts: 0,
            behind,
        });
        None
    }

    pub(super) fn detain_fetches(&mut self, fetches: Vec<PostgresCommand>) -> Vec<PostgresCommand> {
        if self.transfers.downloads.is_empty() {
            return fetches;
        }
        let waits = |fetch: &PostgresCommand| match fetch {
            PostgresCommand::Fetch(action, ..) => self.member.wanted_by.contains(action),
            _ => false,
        };
        let (wait, go_on): (Vec<_>, Vec<_>) = fetches.into_iter().partition(waits);
        self.transfers.fetches.extend(wait);
        go_on
    }

    pub(super) fn begin_downloads(&mut self) {
        if self.member.large.len() > MOST_READ {
            self.member.large.clear();
        }
        for arrival in std::mem::take(&mut self.member.wanted) {
            self.transfers.downloads.entry(arrival).or_default();
        }
    }

    /// Sends and reads parts for at most [`TURN`]. `false` when the program ends.
    pub(super) async fn transfer(&mut self) -> bool {
        let until = Instant::now() + TURN;
        while Instant::now() < until && !self.closing && !self.transfers.is_empty() {
            if let Err(refusal) = self.connected().await {
                self.failed(&refusal.to_string());
                return self.pause().await;
            }
            let begun = Instant::now();
            let moved = match self.send_part().await {
                Ok(()) => self.read_part().await,
                Err(error) => Err(error),
            };
            let size = &mut self.transfers.size;
            match moved {
                Ok(()) if begun.elapsed() < QUICK => *size = (*size * 2).min(LARGEST),
                Ok(()) if begun.elapsed() > self.options.patience / 2 => *size = (*size / 2).max(SMALLEST),
                Ok(()) => {}
                Err(error) if is_of_a_row(&error) => self.cut_first(&words(&error)),
                Err(error) => {
                    *size = (*size / 2).max(SMALLEST);
                    self.session = None;
                    self.failed(&words(&error));
                    return self.pause().await;
                }
            }
        }
        true
    }

    async fn send_part(&mut self) -> Result<(), tokio_postgres::Error> {
        let size = self.transfers.size;
        let fenced = &self.member.fenced;
        if let Some(upload) = self.transfers.uploads.pop_front_if(|upload| fenced.contains(&upload.reader)) {
            // The append is refused without its body.
            self.hand_over(upload.command, upload.behind);
            return Ok(());
        }
        let (Some(upload), Some(session)) = (self.transfers.uploads.front_mut(), &mut self.session) else {
            return Ok(());
        };
        let part = upload.body.slice(upload.sent..upload.body.len().min(upload.sent + size));
        let (transfer, number, bytes) = (&upload.transfer, upload.parts, &part[..]);
        let values: [&(dyn ToSql + Sync); 3] = [transfer, &number, &bytes];
        session.execute(PART, &values).await?;
        upload.sent += part.len();
        upload.parts += 1;
        if upload.sent < upload.body.len() {
            self.transfers.uploads.rotate_left(1);
        } else if let Some(mut upload) = self.transfers.uploads.pop_front() {
            let bytes = upload.body.len() as i64;
            upload.command.set_sent(Some(SentBody { transfer: upload.transfer, bytes }));
            self.hand_over(upload.command, upload.behind);
        }
        Ok(())
    }

    /// Queues a command, and the commands that waited behind its body, before all others.
    fn hand_over(&mut self, command: PostgresCommand, behind: VecDeque<PostgresCommand>) {
        behind.into_iter().rev().for_each(|command| self.backlog.push_front(command));
        self.backlog.push_front(command);
    }

    /// Sends bodies with lost parts again. Later messages of the same queues wait behind such a body, whether
    /// they are in the group, returned from a halved group, or being sent.
    pub(super) fn send_again(&mut self, batch: &mut Vec<PostgresCommand>) {
        let sent = batch.iter().filter(|command| command.has_sent());
        let readers: HashSet<QueueReader> = sent.filter_map(|command| command.reader().cloned()).collect();
        tracing::warn!(
            "the database has lost parts of a large message, as after a restore: it is sent again"
        );
        let is_of_them =
            |command: &PostgresCommand| command.reader().is_some_and(|reader| readers.contains(reader));
        let (mut again, rest): (Vec<_>, Vec<_>) = std::mem::take(batch).into_iter().partition(is_of_them);
        *batch = rest;
        let (later, rest): (Vec<_>, Vec<_>) = self.returned.drain(..).partition(is_of_them);
        self.returned.extend(rest);
        again.extend(later);
        for upload in std::mem::take(&mut self.transfers.uploads) {
            if readers.contains(&upload.reader) {
                again.push(upload.command);
                again.extend(upload.behind);
            } else {
                self.transfers.uploads.push_back(upload);
            }
        }
        for mut command in again.into_iter().rev() {
            command.set_sent(None);
            if let Some((id, _)) = command.number() {
                *id = 0;
            }
            self.backlog.push_front(command);
        }
    }

    /// The database refuses a part of the first body, so only the body's beginning is quarantined.
    fn cut_first(&mut self, reason: &str) {
        let Some(Upload { command, behind, .. }) = self.transfers.uploads.pop_front() else { return };
        let reason = format!("PostgreSQL cannot store it: {reason}");
        let command = match command {
            PostgresCommand::Append(new, receipt) => {
                self.answer_appended(&new, AppendResult::Refused);
                let received = (*new.entry.received).clone();
                let new = NewUnreadable { received, reason, reader: new.reader, id: 0, sent: None };
                PostgresCommand::SetAside(Box::new(cut(new)), receipt)
            }
            PostgresCommand::SetAside(new, receipt) => {
                PostgresCommand::SetAside(Box::new(cut(*new)), receipt)
            }
            other => other,
        };
        self.hand_over(command, behind);
    }

    async fn read_part(&mut self) -> Result<(), tokio_postgres::Error> {
        let size = self.transfers.size;
        let Some(session) = &mut self.session else { return Ok(()) };
        let Some((arrival, mut body)) = self.transfers.downloads.pop_first() else { return Ok(()) };
        let read = load::part(session, arrival, (body.len(), size)).await;
        let read = match read {
            Ok(part) if part.len() == size => {
                body.extend_from_slice(&part);
                Ok(None)
            }
            Ok(part) => {
                body.extend_from_slice(&part);
                load::large(session, arrival, body.clone()).await.map(Some)
            }
            Err(error) => Err(error),
        };
        match read {
            Ok(Some(message)) => self.member.read_large(arrival, message),
            unfinished => {
                self.transfers.downloads.insert(arrival, body);
                return unfinished.map(drop);
            }
        }
        if self.transfers.downloads.is_empty() {
            self.member.wanted_by.clear();
            self.backlog.extend(std::mem::take(&mut self.transfers.fetches));
        }
        Ok(())
    }
}

pub(super) fn cut(mut new: NewUnreadable) -> NewUnreadable {
    let received = &mut new.received;
    if received.noted.cut.is_none() && received.body.len() > HEAD {
        received.noted.cut = Some(Cut { bytes: received.bytes(), digest: received.digest() });
        received.body = received.body.slice(..HEAD);
    }
    new.sent = None;
    new
}
