//! The lease of a stream: the daemon that has it reads the stream for all.

use osnl_transport::BoxFuture;

/// The lease of a stream. It is renewed until it is dropped, which gives it back: another daemon has it within a second.
pub trait StreamLease: Send + Sync {
    /// Returns the position that a daemon has kept last; `None` if none has.
    fn position(&self) -> Option<&str>;

    /// Keeps the position, a text of the listener's own. What a former reader of the stream keeps is dropped.
    fn keep(&self, position: String);

    /// Completes when this daemon has the lease no more: nothing that it appends from the stream is kept.
    fn lost(&self) -> BoxFuture<'static, ()>;
}
