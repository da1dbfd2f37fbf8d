//! Writes lines to a slow stream on its own thread, so that logging never waits. Lines beyond the
//! buffer are dropped, and a line reports their number as soon as the stream accepts more.
//!
//! The log file has no such thread: a dead letter must be in the file when its outcome returns.
//!
//! tracing-appender 0.2 drops lines without a report, bounds their number and not their bytes, and does not report
//! the end of its thread.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use osnl::ends::EndReports;

const MOST: usize = 1024 * 1024;

/// The pause before writing again to a full non-blocking stream. Another program that shares the
/// descriptor may have made it non-blocking.
const FULL: Duration = Duration::from_millis(10);

pub(super) struct Background {
    shared: Arc<Buffer>,
    ends: EndReports,
}

#[derive(Default)]
struct Buffer {
    queue: Mutex<LineQueue>,
    changed: Condvar,
}

#[derive(Default)]
struct LineQueue {
    waiting: Vec<u8>,
    dropped: u64,
    writing: bool,
    /// Whether the thread has ended, so that a caller must write its line itself.
    ended: bool,
}

impl LineQueue {
    fn write_directly(&mut self) {
        write(&mut io::stderr(), &std::mem::take(&mut self.waiting));
    }
}

impl Background {
    pub(super) fn start(stream: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Buffer::default());
        let ends = EndReports::default();
        let (theirs, reported) = (shared.clone(), ends.clone());
        let run = move || {
            reported.thread("the thread that writes the log to stderr", || theirs.write_all_to(stream));
            theirs.has_ended();
        };
        std::thread::Builder::new().name("log".to_owned()).spawn(run)?;
        Ok(Self { shared, ends })
    }

    pub(super) fn ends(&self) -> EndReports {
        self.ends.clone()
    }

    pub(super) fn push(&self, line: &str) {
        let mut queue = self.shared.lock();
        // After a drop, all lines are dropped until the thread has reported the gap, so that there
        // is one gap in its right place.
        if queue.dropped > 0 || queue.waiting.len() + line.len() > MOST {
            queue.dropped += 1;
            return;
        }
        queue.waiting.extend_from_slice(line.as_bytes());
        if queue.ended {
            return queue.write_directly();
        }
        drop(queue);
        self.shared.changed.notify_all();
    }

    pub(super) fn flush(&self, at_most: Duration) {
        let queue = self.shared.lock();
        let busy = |queue: &mut LineQueue| queue.writing || !queue.waiting.is_empty();
        let waited = self.shared.changed.wait_timeout_while(queue, at_most, busy);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Buffer {
    fn lock(&self) -> MutexGuard<'_, LineQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_ended(&self) {
        let mut queue = self.lock();
        (queue.writing, queue.ended) = (false, true);
        queue.write_directly();
        drop(queue);
        self.changed.notify_all();
    }

    fn write_all_to(&self, mut stream: impl Write) {
        loop {
            let mut queue = self.lock();
            queue.writing = false;
            self.changed.notify_all();
            while queue.waiting.is_empty() {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            queue.writing = true;
            let mut lines = std::mem::take(&mut queue.waiting);
            let dropped = std::mem::take(&mut queue.dropped);
            drop(queue);
            if dropped > 0 {
                let gap = format!("{dropped} log lines were dropped here: stderr was not read\n");
                lines.extend_from_slice(gap.as_bytes());
            }
            write(&mut stream, &lines);
        }
    }
}

/// Writes all bytes. An error loses these lines only, such as of a closed stderr, and does not end
/// the program.
fn write(stream: &mut impl Write, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return,
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::WouldBlock => std::thread::park_timeout(FULL),
                _ => return,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn lines_arrive_in_order() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let background = Background::start(ours).unwrap();
        ["a\n", "b\n", "c\n"].iter().for_each(|line| background.push(line));
        background.flush(LONG);
        let mut text = [0; 6];
        theirs.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"a\nb\nc\n");
    }

    #[test]
    fn a_reader_that_does_not_read_stops_nobody_and_hears_what_it_missed() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let background = Background::start(ours).unwrap();
        let line = format!("{}\n", "x".repeat(1023));
        let pushed = 4 * MOST / line.len();
        // Returns at all only because pushing never waits for the reader.
        (0..pushed).for_each(|_| background.push(&line));
        background.flush(Duration::from_millis(1));

        theirs.set_read_timeout(Some(LONG)).unwrap();
        let mut text = String::new();
        // Sums lines and reported gaps; the report is a line too.
        let heard = |text: &str| {
            let gap = |line: &str| {
                line.strip_suffix(" log lines were dropped here: stderr was not read")?.parse().ok()
            };
            let gaps: Vec<usize> = text.lines().filter_map(gap).collect();
            (text.matches('\n').count() - gaps.len(), gaps.iter().sum::<usize>())
        };
        while heard(&text).0 + heard(&text).1 < pushed {
            let mut bytes = [0; 65536];
            let read = theirs.read(&mut bytes).unwrap();
            text += std::str::from_utf8(&bytes[..read]).unwrap();
        }
        let (lines, dropped) = heard(&text);
        assert!(dropped > 0 && lines > 0);
        assert_eq!(lines + dropped, pushed);
        assert!(text.len() < 3 * MOST, "bounded");
    }

    #[test]
    fn a_thread_that_panics_says_so_and_keeps_nobody_waiting() {
        struct Odd;
        impl Write for Odd {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                panic!("an odd stream")
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let background = Background::start(Odd).unwrap();
        background.push("a\n");
        background.flush(LONG);
        while !background.shared.lock().ended {
            std::thread::yield_now();
        }
        let end = background.ends().reported().unwrap().to_string();
        assert_eq!(end, "the thread that writes the log to stderr ended unexpectedly: an odd stream");
        background.push("b\n");
        assert!(background.shared.lock().waiting.is_empty(), "written by the one that says it");
    }

    #[test]
    fn a_closed_stream_ends_nothing() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let background = Background::start(ours).unwrap();
        for _ in 0..3 {
            background.push("to nobody\n");
            background.flush(LONG);
            assert!(background.shared.lock().waiting.is_empty(), "dropped, and the thread still runs");
        }
    }
}
