//! A program on a terminal of its own.
//!
//! The terminal is the program's controlling terminal, so that Ctrl-C (`"\x03"`) becomes a signal. A picture, which
//! has no colours, is complete when the cursor is hidden, as ratatui does after each.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::process::{Guard, send};
use crate::wait::reached;

const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";
const DRAWN: &[u8] = b"\x1b[?25l";

pub struct Pty {
    child: Child,
    master: File,
    before: Termios,
    text: Arc<Mutex<Vec<u8>>>,
    screen: Mutex<Screen>,
    reader: Option<JoinHandle<()>>,
    _guard: Guard,
}

struct Screen {
    parser: vt100::Parser,
    parsed: usize,
}

impl Pty {
    /// Starts a program in a folder, with all three streams on a terminal of this many columns and lines.
    #[must_use]
    pub fn start(program: &Path, args: &[&str], folder: &Path, size: (u16, u16)) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = || Stdio::from(ioctl_tiocgptpeer(&master, flags).unwrap());
        tcsetwinsize(&master, winsize(size)).unwrap();
        let before = tcgetattr(&master).unwrap();
        // `setsid` makes a session, which the standard library cannot. The program replaces `setsid`, so the id
        // stays.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program).args(args).current_dir(folder);
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        command.stdin(slave()).stdout(slave()).stderr(slave());
        let child = command.spawn().unwrap();
        let guard = Guard::over(&[child.id()], None);
        // Only the program holds the terminal now, so that reading ends with the program.
        drop(command);
        let master = File::from(master);
        let text = Arc::new(Mutex::new(Vec::new()));
        let (mut read, gathered) = (master.try_clone().unwrap(), Arc::clone(&text));
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Linux returns EIO when all holders have closed the other side.
            while let Ok(count @ 1..) = read.read(&mut bytes) {
                gathered.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        let (rows, columns) = rows_and_columns(size);
        let screen = Mutex::new(Screen { parser: vt100::Parser::new(rows, columns, 0), parsed: 0 });
        Self { child, master, before, text, screen, reader: Some(reader), _guard: guard }
    }

    pub fn type_in(&self, keys: &str) {
        (&self.master).write_all(keys.as_bytes()).unwrap();
    }

    pub fn resize(&self, size: (u16, u16)) {
        let (rows, columns) = rows_and_columns(size);
        self.drawn().parser.set_size(rows, columns);
        tcsetwinsize(&self.master, winsize(size)).unwrap();
    }

    pub fn signal(&self, name: &str) {
        send(name, &self.child.id().to_string());
    }

    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    #[must_use]
    pub fn picture(&self) -> String {
        let drawn = self.drawn();
        let (_, columns) = drawn.parser.screen().size();
        drawn.parser.screen().rows(0, columns.get()).collect::<Vec<_>>().join("\n")
    }

    fn drawn(&self) -> MutexGuard<'_, Screen> {
        let mut screen = self.screen.lock().unwrap();
        let text = self.text.lock().unwrap();
        let new = &text[screen.parsed..];
        if let Some(at) = new.windows(DRAWN.len()).rposition(|bytes| bytes == DRAWN) {
            let end = at + DRAWN.len();
            screen.parser.process(&new[..end]);
            screen.parsed += end;
        }
        screen
    }

    #[track_caller]
    pub fn shows(&self, deadline: Duration, text: &str) {
        let shown = reached(deadline, &mut || self.picture().contains(text));
        assert!(shown, "waited {deadline:?} for \"{text}\" in\n{}", self.picture());
    }

    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let ended = reached(deadline, &mut || self.child.try_wait().unwrap().is_some());
        assert!(ended, "not ended after {deadline:?}:\n{}", self.text());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.child.wait().unwrap()
    }

    #[must_use]
    pub fn has_its_modes(&self) -> bool {
        let modes = |of: &Termios| (of.local_modes, of.input_modes, of.output_modes);
        modes(&tcgetattr(&self.master).unwrap()) == modes(&self.before)
    }

    /// Returns the first screen after the end of the second: the text that a user sees after the program's end.
    ///
    /// # Panics
    /// When the second screen is still shown, or the keyboard's modes are not restored.
    #[track_caller]
    #[must_use]
    pub fn left_behind(&self) -> String {
        let text = self.text();
        let (drawn, after) =
            text.rsplit_once(LEAVE).unwrap_or_else(|| panic!("the screen was not left:\n{text}"));
        assert!(drawn.contains(ENTER) && !after.contains(ENTER), "{text}");
        assert!(drawn.ends_with("\x1b[?25h"), "the cursor is back");
        assert!(self.has_its_modes(), "the keyboard's modes are not restored");
        plain(after).replace("\r\n", "\n")
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // The child is not reaped yet, so that the id is still its own.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn winsize((ws_col, ws_row): (u16, u16)) -> Winsize {
    Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 }
}

fn rows_and_columns((columns, rows): (u16, u16)) -> (NonZeroU16, NonZeroU16) {
    (NonZeroU16::new(rows).unwrap(), NonZeroU16::new(columns).unwrap())
}

fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, sequence)) = rest.split_once("\x1b[") {
        out.push_str(before);
        let end = sequence.find(|c: char| c.is_ascii_alphabetic()).map_or(sequence.len(), |at| at + 1);
        rest = &sequence[end..];
    }
    out + rest
}
