use std::collections::VecDeque;
use std::io::{Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use osnl::journal::sqlite::{SqliteJournal, SqliteOptions};
use osnl::journal::{Entry, Journal, NewDelivery, Receipt, Settle};
use osnl::received::{Origin, ReceivedMessage};
use osnl_transport::Properties;

use crate::clock::print_span;
use crate::messages::Messages;

pub(crate) const OPEN: usize = 200;
pub(crate) const ACTION: &str = "roles";
const WRITTEN: usize = 2 * (4096 + 24);

pub(crate) fn open(file: &str) -> Result<SqliteJournal> {
    let mut options = SqliteOptions::new(PathBuf::from(file));
    options.bounds.allow_volatile = true;
    options.bounds.max_pending = u64::from(u32::MAX);
    SqliteJournal::open(options, Arc::default()).with_context(|| file.to_owned())
}

pub(crate) fn received(bodies: impl IntoIterator<Item = Vec<u8>>) -> impl Iterator<Item = ReceivedMessage> {
    bodies.into_iter().map(|body| ReceivedMessage {
        noted: Default::default(),
        body: body.into(),
        properties: Properties {
            content_type: Some("application/json".into()),
            content_encoding: Some("utf-8".into()),
            compression: None,
        },
        origin: Origin {
            listener: "neutron".into(),
            queue: "k2hr3_osnl".into(),
            exchange: "neutron".to_owned(),
            routing_key: "notifications.info".to_owned(),
            redelivered: false,
            received: std::time::SystemTime::now(),
        },
    })
}

/// Appends `count` messages about `keys` resources. Prints the start of appending and the time at which the last
/// message was safe.
pub(crate) async fn append(file: &str, count: u64, keys: u64, size: u64) -> Result<()> {
    let journal = open(file)?;
    let messages = Messages::new(0)?;
    let (mut took, mut n) = (Duration::ZERO, 1);
    while n <= count {
        let bodies = (n..=count).take(10_000).map(|n| body(&messages, n, keys, size));
        let entries: Vec<Entry> = received(bodies).map(entry).collect::<Result<_>>()?;
        n += entries.len() as u64;
        let began = Instant::now();
        append_all(&journal, entries, OPEN).await?;
        took += began.elapsed();
    }
    print_span(took);
    Ok(())
}

fn body(messages: &Messages, n: u64, keys: u64, size: u64) -> Vec<u8> {
    if size == 0 {
        messages.matching(n)
    } else {
        messages.small(n, n % keys, usize::try_from(size).unwrap_or(0))
    }
}

pub(crate) fn entry(received: ReceivedMessage) -> Result<Entry> {
    let notification = received.decode()?;
    let key = osnl_model::resource_key(&notification);
    let delivery = NewDelivery::new("deleted", ACTION, key);
    Ok(Entry { received: received.into(), notification: notification.into(), deliveries: vec![delivery] })
}

pub(crate) async fn append_all(journal: &dyn Journal, entries: Vec<Entry>, window: usize) -> Result<()> {
    let actions: [Arc<str>; 1] = [ACTION.into()];
    let mut open: VecDeque<Receipt> = VecDeque::new();
    for entry in entries {
        if open.len() >= window {
            safe(open.pop_front()).await?;
            // The other open messages may belong to the same commit.
            while open.len() > window / 2 {
                safe(open.pop_front()).await?;
            }
        }
        let mut permit = journal.reserve(&actions, 1).await;
        open.push_back(journal.append(&mut permit, entry));
    }
    while !open.is_empty() {
        safe(open.pop_front()).await?;
    }
    Ok(())
}

async fn safe(receipt: Option<Receipt>) -> Result<()> {
    if let Some(receipt) = receipt {
        ensure!(receipt.await == Settle::Acknowledge, "the journal ended");
    }
    Ok(())
}

pub(crate) fn sync(file: &str, count: u64) -> Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(file)?;
    // A reused WAL has its blocks allocated, and so has this file.
    file.write_all(&vec![0; WRITTEN * 512])?;
    file.sync_all()?;
    let mut times = String::new();
    for n in 0..count {
        file.seek(std::io::SeekFrom::Start((n % 512) * WRITTEN as u64))?;
        file.write_all(&[u8::try_from(n % 251).unwrap_or(0); WRITTEN])?;
        let began = Instant::now();
        file.sync_data()?;
        times += &format!("{n}:{} ", began.elapsed().as_nanos());
    }
    println!("{times}");
    Ok(())
}
