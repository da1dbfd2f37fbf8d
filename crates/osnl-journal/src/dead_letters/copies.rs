//! Several messages for one dead letter: a letter that replaces another has its number, and is behind it in the queue. A
//! broken connection, a daemon that is killed, and two daemons that have one message leave further ones.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use osnl_model::BodyDigest;
use osnl_transport::QueuedMessage;

use super::{
    ACTION, BYTES, DIGEST, EXCHANGE, ID, IDEMPOTENCY_KEY, KEY, KIND, LetterWait, ON_FAILURE, PLACE, REASON,
    RESOURCE, ROUTING_KEY, RULE, UNREADABLE, WAITS, bytes_of, hash, header, id_of,
};

/// The letters whose deliveries have been carried out and are dead, by number with the reason, of queues with more letters
/// than one reading takes: a new letter would be behind those, and until it is read nothing would hold the resource. Such
/// a letter stays in its place, and for the readings of this program holds its resource as a dead one. A new daemon
/// carries out again what was not waiting for an operator.
#[derive(Clone, Debug, Default)]
pub struct RefusedLetters(Arc<Mutex<HashMap<u64, String>>>);

impl RefusedLetters {
    pub(crate) fn lock(&self) -> MutexGuard<'_, HashMap<u64, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The letters of one reading of a dead letter queue. Messages with one number and one content are copies of one letter,
/// which has the place of its first copy, and the state of one of them, the current one.
///
/// A copy that only waits behind another letter may be of a daemon that did not see the letter: more waited than one
/// reading takes, and its guard let the delivery pass. So the current copy is the last of the others, if there are any.
///
/// A waiting letter whose delivery was given up stays behind its dead letter until the action of `on_failure` has ended.
/// Listings and commands show the dead letter. A daemon has the waiting one: the daemon before may not have made that call.
#[derive(Debug, Default)]
pub struct LetterCopies {
    /// By number.
    letters: HashMap<u64, Letter>,
    refused: RefusedLetters,
    /// By the place of a message in the reading, the place of the current copy of its letter.
    current: Vec<usize>,
    /// By the place of a message in the reading, the place of the copy that a daemon has.
    waiting: Vec<usize>,
}

/// A letter of which one or several copies were read.
#[derive(Debug)]
struct Letter {
    content: BodyDigest,
    /// The first place of a copy among the letters that wait; `None` if no copy waits.
    place: Option<u64>,
}

impl LetterCopies {
    #[must_use]
    pub fn new(refused: RefusedLetters) -> Self {
        Self { refused, ..Self::default() }
    }

    /// Takes osnl's headers from a message whose bytes are not those that the headers name: another program has written
    /// these. Gives a message another number if an earlier one of other content has its number, and a letter the place of
    /// an earlier copy. The message has its body.
    pub fn admit(&mut self, message: &mut QueuedMessage) {
        let (bytes, digest) = match message.cut {
            Some(cut) => (cut.bytes, cut.digest),
            None => (message.body.len() as u64, BodyDigest::new(&message.body)),
        };
        let text = |name: &str| message.headers.get(name).map(String::as_str);
        let told = bytes_of(message);
        let is_own = if told == bytes {
            text(DIGEST).is_some_and(|told| told == digest.to_string())
        } else {
            // Only the beginning of an unreadable message is kept.
            told > bytes && text(KIND) == Some(UNREADABLE)
        };
        if !is_own {
            message.headers.retain(|name, _| !name.starts_with("osnl-"));
            message.headers.extend([header(BYTES, &bytes.to_string()), header(DIGEST, &digest.to_string())]);
        }
        let content = [KIND, IDEMPOTENCY_KEY, RULE, ACTION, RESOURCE, KEY, EXCHANGE, ROUTING_KEY];
        let content = content.map(|name| message.headers.get(name));
        let content = BodyDigest::new(format!("{digest}{content:?}").as_bytes());
        let id = id_of(message);
        let mut number = id;
        let place = message.headers.get(PLACE).and_then(|place| place.parse::<u64>().ok());
        while self.letters.entry(number).or_insert(Letter { content, place }).content != content {
            number = hash(&format!("{number}/{content}")).into();
        }
        if let (Some(place), Some(Letter { place: Some(first), .. })) = (place, self.letters.get_mut(&number))
        {
            *first = place.min(*first);
            message.headers.extend([header(PLACE, &first.to_string())]);
        }
        if number != id {
            message.headers.extend([header(ID, &number.to_string())]);
        }
        if let Some(reason) = self.refused.lock().get(&number).filter(|_| message.headers.contains_key(WAITS))
        {
            message.headers.extend([header(WAITS, LetterWait::HoldKey.name()), header(REASON, reason)]);
        }
    }

    /// Finds the current copy of each letter among all messages of the reading, in the order of the queue.
    pub fn arrange(&mut self, messages: &[QueuedMessage]) {
        self.current = current_copies(messages, |_| true);
        self.waiting = current_copies(messages, |message| !message.headers.contains_key(ON_FAILURE));
    }

    /// Returns the place of the current copy of the letter of the message at a place.
    #[must_use]
    pub fn current_of(&self, at: usize) -> usize {
        self.current[at]
    }

    /// Whether the message at a place is the current copy of its letter.
    #[must_use]
    pub fn is_current(&self, at: usize) -> bool {
        self.current[at] == at
    }

    /// Whether a daemon has the message at a place as a letter, if it is one that waits.
    #[must_use]
    pub fn is_waiting(&self, at: usize) -> bool {
        self.waiting[at] == at
    }
}

/// Returns for each message of a reading the place of the current copy among those that are meant; its own without one.
fn current_copies(messages: &[QueuedMessage], is_meant: impl Fn(&QueuedMessage) -> bool) -> Vec<usize> {
    let is_behind =
        |at: usize| messages[at].headers.get(WAITS).is_some_and(|why| *why == LetterWait::Behind.name());
    let mut current: HashMap<_, usize> = HashMap::new();
    for (at, message) in messages.iter().enumerate().filter(|(_, message)| is_meant(message)) {
        let Some(copy) = copy_of(message) else { continue };
        let known = current.entry(copy).or_insert(at);
        if is_behind(*known) || !is_behind(at) {
            *known = at;
        }
    }
    let current_of =
        |(at, message)| copy_of(message).and_then(|copy| current.get(&copy)).copied().unwrap_or(at);
    messages.iter().enumerate().map(current_of).collect()
}

/// Returns the mark shared by all copies of one dead letter; `None` for an unreadable message or a message of another
/// program.
pub(crate) fn copy_of(message: &QueuedMessage) -> Option<(u64, &str)> {
    Some((id_of(message), message.headers.get(IDEMPOTENCY_KEY)?))
}
