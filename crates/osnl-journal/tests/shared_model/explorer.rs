use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

pub(crate) trait Model: Sized {
    type State: Hash;
    type Step: Copy;

    fn steps(&self, state: &Self::State) -> Vec<Passage<Self>>;

    fn broken(&self, state: &Self::State) -> Option<&'static str>;

    fn is_done(&self, state: &Self::State) -> bool;

    fn is_fault(&self, step: Self::Step) -> bool;
}

pub(crate) type Passage<M> = (<M as Model>::Step, Result<<M as Model>::State, &'static str>);

#[derive(Debug)]
pub(crate) enum Exploration<S> {
    Kept { states: usize },
    Broken { promise: &'static str, way: Vec<S> },
}

pub(crate) const NOTHING_WAITS_FOR_EVER: &str = "from each state all work can end without another fault";

/// Explores breadth first. States are distinguished by a 64-bit hash: with a million states, the probability
/// of any collision is one in 36 million.
pub(crate) fn explore<M: Model>(model: &M, first: M::State) -> Exploration<M::Step> {
    let mut numbers = HashMap::from([(digest(&first), 0_usize)]);
    let mut came_from: Vec<Option<(usize, M::Step)>> = vec![None];
    let mut before: Vec<Vec<usize>> = vec![Vec::new()];
    let mut done = Vec::new();
    let mut next = VecDeque::from([(0, first)]);
    while let Some((here, state)) = next.pop_front() {
        if let Some(promise) = model.broken(&state) {
            return Exploration::Broken { promise, way: way(&came_from, here) };
        }
        if model.is_done(&state) {
            done.push(here);
        }
        for (step, then) in model.steps(&state) {
            let then = match then {
                Ok(then) => then,
                Err(promise) => {
                    let mut way = way(&came_from, here);
                    way.push(step);
                    return Exploration::Broken { promise, way };
                }
            };
            let number = *numbers.entry(digest(&then)).or_insert_with(|| {
                came_from.push(Some((here, step)));
                before.push(Vec::new());
                next.push_back((came_from.len() - 1, then));
                came_from.len() - 1
            });
            if !model.is_fault(step) {
                before[number].push(here);
            }
        }
    }
    let mut ends = vec![false; came_from.len()];
    while let Some(number) = done.pop() {
        if !std::mem::replace(&mut ends[number], true) {
            done.append(&mut before[number]);
        }
    }
    match ends.iter().position(|ends| !ends) {
        Some(stuck) => Exploration::Broken { promise: NOTHING_WAITS_FOR_EVER, way: way(&came_from, stuck) },
        None => Exploration::Kept { states: ends.len() },
    }
}

fn way<S: Copy>(came_from: &[Option<(usize, S)>], mut at: usize) -> Vec<S> {
    let mut way = Vec::new();
    while let Some((from, step)) = came_from[at] {
        way.push(step);
        at = from;
    }
    way.reverse();
    way
}

fn digest(state: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}
