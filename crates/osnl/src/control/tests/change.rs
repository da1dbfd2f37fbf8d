use std::pin::{Pin, pin};
use std::sync::mpsc;

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{advance, pause, resume};

use super::*;

fn discard() -> ControlRequest {
    serde_json::from_value(json!({"verb": "discard", "filter": {}, "by": "root"})).unwrap()
}

async fn journal_with_dead_letters(folder: &Path) -> (Arc<SqliteJournal>, ControlHandler) {
    let journal = journal_with(folder, &[("hook", 3, Begin::Dead("status 500".to_owned()))]).await;
    let handler = ControlHandler::for_store(Store::for_sqlite(journal.clone()));
    (journal, handler)
}

/// Polls once; `None` while there is no answer.
async fn poll<T>(asked: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    tokio::select! {
        biased;
        answer = asked => Some(answer),
        () = std::future::ready(()) => None,
    }
}

/// Waits until the writer has answered all that it was asked before.
async fn has_answered(journal: &SqliteJournal) {
    // It answers a barrier at the end of a turn, and the second call is not in the turn of the first.
    for _ in 0..2 {
        let (done, told) = oneshot::channel();
        journal.on_writer(move || {
            let _ = done.send(());
        });
        told.await.unwrap();
    }
}

/// The scan waits here for the only thread of blocking work, as it would for a slow disk.
#[test]
fn a_selection_may_take_longer_than_a_commit() {
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let (journal, handler) = journal_with_dead_letters(folder.path()).await;
        let (free, taken) = mpsc::channel::<()>();
        let busy = spawn_blocking(move || taken.recv());
        pause();
        let request = discard();
        let mut asked = pin!(handler.answer(&request));
        assert!(poll(asked.as_mut()).await.is_none(), "the writer is asked");
        has_answered(&journal).await;
        assert!(poll(asked.as_mut()).await.is_none(), "the selection begins");
        advance(Duration::from_secs(60)).await;
        let answer = poll(asked.as_mut()).await;
        assert!(answer.is_none(), "{answer:?}");
        resume();
        free.send(()).unwrap();
        assert_eq!(asked.await.unwrap()["changed"], 3);
        busy.await.unwrap().unwrap();
    });
}

#[tokio::test]
async fn a_change_that_the_writer_does_not_begin_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, handler) = journal_with_dead_letters(folder.path()).await;
    let (free, taken) = mpsc::channel::<()>();
    journal.on_writer(move || {
        let _ = taken.recv();
    });
    pause();
    let refused = handler.answer(&discard()).await.unwrap_err().message;
    let why =
        "the journal cannot be written now; nothing was changed: look at it with osnl status, then ask again";
    assert_eq!(refused, why);
    resume();
    free.send(()).unwrap();
    assert_eq!(handler.answer(&discard()).await.unwrap()["changed"], 3);
}
