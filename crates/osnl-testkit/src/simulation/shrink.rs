use super::{Played, Story, play};

/// The most plays of one shrinking.
const PLAYS: usize = 600;

/// Removes steps of a story for as long as the same promise is broken, and returns the shorter story with its end.
#[must_use]
pub fn shrink(story: &Story) -> (Story, Played) {
    let (mut story, mut played) = (story.clone(), play(story, false));
    let promise = played.promise().map(str::to_owned);
    let mut plays = 0;
    let mut size = story.steps.len() / 2;
    while size > 0 && promise.is_some() {
        let mut from = 0;
        while from < story.steps.len() && plays < PLAYS {
            let mut shorter = story.clone();
            shorter.steps.drain(from..(from + size).min(story.steps.len()));
            let end = play(&shorter, false);
            plays += 1;
            if end.promise() == promise.as_deref() {
                (story, played) = (shorter, end);
            } else {
                from += size;
            }
        }
        size /= 2;
    }
    (story, played)
}
