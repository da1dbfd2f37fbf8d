//! The rate of an action that several daemons keep together.

use std::fmt;

use osnl_config::Rate;
use tokio::sync::watch;
use tokio::time::Instant;

/// The calls that this daemon may make of an action with a rate, as the journal grants them: over all daemons no more than the
/// rate begin within its time.
///
/// A loop [looks](Self::next_at) before it prepares a call, [reserves](Self::reserve) it, and [begins](Self::begin) it at once
/// before its request.
pub trait CallTokens: Send + Sync + fmt::Debug {
    /// Returns when a call may be prepared; `None` is now. Asks for tokens if there are none, for this rate; what they change is
    /// [told](Self::changed), so that the moment is the latest at which to look again.
    fn next_at(&self, rate: Rate, now: Instant) -> Option<Instant>;

    /// The same as it is known, without asking.
    fn known_at(&self, now: Instant) -> Option<Instant>;

    /// A call is prepared.
    fn reserve(&self);

    /// A reserved call begins, with a token that counts at this moment.
    ///
    /// # Errors
    /// There is none: the moment at which to look again at the latest. It has been asked for.
    fn begin(&self, now: Instant) -> Result<(), Instant>;

    /// A reserved call does not begin.
    fn release(&self);

    /// Changes when tokens have come or gone.
    fn changed(&self) -> watch::Receiver<u64>;
}
