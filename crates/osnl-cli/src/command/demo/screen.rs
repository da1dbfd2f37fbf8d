//! The live screen: the flow with its counts, the last events, and what K2HR3 knows.
//!
//! It uses the terminal's second screen, so what was there before comes back, and leaves it with every end:
//! when the demo is over, after Ctrl-C, when an error ends it, and before a panic is reported.
//!
//! | file | what |
//! | --- | --- |
//! | `view.rs` | what a screen of some size shows: pure |
//! | `crate::terminal` | whether and how large; entering and leaving |

mod view;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(super) use self::view::Picture;
use super::board::DemoBoard;
use super::voice::DemoVoice;
use crate::terminal::{self, Keys, Size, Terminal};

/// Between two pictures.
const FRAME: Duration = Duration::from_millis(80);

/// See the [module](self).
pub(super) struct Screen {
    /// None: as large as the terminal is at the moment.
    fixed: Option<Size>,
    colour: bool,
    board: Arc<Mutex<DemoBoard>>,
}

impl Screen {
    /// A screen on stdout, if stdout can be drawn on, or has this size whatever it is.
    pub(super) fn on_stdout(fixed: Option<Size>, colour: bool) -> Option<Self> {
        if fixed.is_none() {
            terminal::drawable()?;
        }
        Some(Self { fixed, colour, board: Arc::default() })
    }

    /// The voice that fills it.
    pub(super) fn voice(&self) -> DemoVoice {
        DemoVoice::Board(self.board.clone())
    }

    /// Draws until `work` is done, and once more.
    pub(super) async fn show<T>(&self, picture: impl Fn() -> Picture, work: impl Future<Output = T>) -> T {
        let terminal = Terminal::enter(if self.fixed.is_none() { Keys::Silent } else { Keys::None });
        let mut ticks = tokio::time::interval(FRAME);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    self.draw(&terminal, &picture());
                    return done;
                }
                _ = ticks.tick() => self.draw(&terminal, &picture()),
            }
        }
    }

    fn draw(&self, terminal: &Terminal, picture: &Picture) {
        // Asked each time: the window may have changed.
        let Some(size) = self.fixed.or_else(terminal::size) else { return };
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        terminal.draw(&view::lines(picture, &board, size, self.colour));
    }
}
