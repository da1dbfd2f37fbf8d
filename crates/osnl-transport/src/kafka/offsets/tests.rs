//! The lowest unfinished offset, exhaustively for small partitions and against a plain model for larger ones.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn at(offset: i64) -> Offsets {
    Offsets::resume(&Position { offset, metadata: String::new() })
}

/// Reads a message, and keeps it if it is new.
fn read(offsets: &mut Offsets, offset: i64) -> Admission {
    let admitted = offsets.admit(offset);
    if admitted != Admission::Known {
        offsets.keep(offset);
    }
    admitted
}

fn opened(redelivered: bool) -> Admission {
    Admission::Open { redelivered }
}

/// The position after five messages from 10 on of which these are finished.
#[test]
fn only_what_is_below_the_lowest_unfinished_message_is_committed() {
    for finished in 0..32_u32 {
        let mut offsets = at(10);
        for offset in 10..15 {
            assert_eq!(read(&mut offsets, offset), opened(false));
            offsets.hand_out(offset);
        }
        let done: Vec<i64> = (0..5).filter(|bit| finished & (1 << bit) != 0).map(|bit| 10 + bit).collect();
        // In every order of three kinds: forward, backward, and the middle first.
        let mut middle = done.clone();
        middle.rotate_left(done.len() / 2);
        for order in [done.clone(), done.iter().rev().copied().collect(), middle] {
            let mut offsets = offsets.clone();
            for offset in order {
                offsets.finish(offset);
                offsets.finish(offset);
            }
            let low = (10..15).find(|offset| !done.contains(offset)).unwrap_or(15);
            let position = offsets.position();
            assert_eq!(position.offset, low, "{done:?}");
            // A later owner reads on from there, and skips what was finished.
            let mut later = Offsets::resume(&position);
            assert_eq!(later.unfinished(15), 5 - done.len() as u64, "{done:?} {position:?}");
            for offset in low..17 {
                let expected = match offset {
                    15.. => opened(false),
                    _ if done.contains(&offset) => Admission::Known,
                    _ => opened(true),
                };
                assert_eq!(read(&mut later, offset), expected, "{done:?} {offset}");
            }
        }
    }
}

#[test]
fn the_text_of_a_position() {
    let mut offsets = at(100);
    for offset in 100..110 {
        read(&mut offsets, offset);
        offsets.hand_out(offset);
    }
    assert_eq!(offsets.position(), Position { offset: 100, metadata: "osnl1 10".to_owned() });
    for offset in [101, 103, 104, 109] {
        offsets.finish(offset);
    }
    assert_eq!(offsets.position().metadata, "osnl1 10 1+1 1+2 4+1");
    offsets.finish(100);
    assert_eq!(offsets.position(), Position { offset: 102, metadata: "osnl1 8 1+2 4+1".to_owned() });
}

#[test]
fn metadata_that_is_not_ours_is_not_read() {
    for metadata in [
        "",
        "x",
        "osnl1",
        "osnl2 3",
        "osnl1 -3",
        "osnl1 3 1",
        "osnl1 3 0+1",
        "osnl1 3 1+0",
        "osnl1 3 1+-1",
        "osnl1 3  1+1",
        "osnl1 99999999999999999999",
        "consumer-1-b4a2",
    ] {
        let position = Position { offset: 7, metadata: metadata.to_owned() };
        assert_eq!(Offsets::resume(&position), at(7), "{metadata:?}");
    }
    // No offset is so large that a sum overflows.
    let position = Position { offset: i64::MAX - 1, metadata: "osnl1 4000000000 1+4000000000".to_owned() };
    assert_eq!(Offsets::resume(&position).position().offset, i64::MAX - 1);
    assert_eq!(read(&mut at(i64::MAX - 1), i64::MAX), opened(false));
}

#[test]
fn a_message_that_is_given_back_is_read_again_and_no_other() {
    let mut offsets = at(0);
    for offset in 0..4 {
        read(&mut offsets, offset);
        offsets.hand_out(offset);
    }
    offsets.finish(2);
    offsets.give_back(1);
    offsets.give_back(2);
    assert_eq!(offsets.first_again(), Some(1));
    offsets.finish(1);
    assert_eq!(offsets.position().offset, 0, "it is not open until it is read again");
    let seen: Vec<Admission> = (1..5).map(|offset| read(&mut offsets, offset)).collect();
    assert_eq!(seen, [opened(true), Admission::Known, Admission::Known, opened(false)]);
    assert_eq!(offsets.first_again(), None);
}

#[test]
fn offsets_that_never_come_hold_nothing_up() {
    let mut offsets = at(5);
    assert_eq!(read(&mut offsets, 9), opened(false));
    assert_eq!(offsets.position().offset, 9, "a compacted topic begins later");
    assert_eq!(read(&mut offsets, 12), opened(false));
    offsets.finish(9);
    assert_eq!(offsets.position().offset, 12);
    read(&mut offsets, 13);
    offsets.give_back(12);
    // It was removed before it was read again.
    assert_eq!(read(&mut offsets, 13), Admission::Known);
    assert_eq!(offsets.position().offset, 13);
}

#[test]
fn islands_without_room_come_again() {
    let mut offsets = at(0);
    for offset in 0..4000 {
        read(&mut offsets, offset);
    }
    for offset in (1..4000).step_by(2) {
        offsets.finish(offset);
    }
    let position = offsets.position();
    assert!(position.metadata.len() <= MOST, "{}", position.metadata.len());
    let unfinished = unfinished(&position, 4000);
    assert!((2001..3500).contains(&unfinished), "{unfinished}");
}

proptest! {
    /// Against a model that keeps every offset: nothing unfinished is ever below the committed offset or an island,
    /// also over many restarts, and what is finished never comes again.
    #[test]
    fn nothing_unfinished_is_ever_committed(
        steps in proptest::collection::vec((0..6_u8, 0..12_usize), 0..120)
    ) {
        const END: i64 = 40;
        let (mut offsets, mut cursor) = (at(0), 0_i64);
        let mut finished = BTreeSet::new();
        let mut open: Vec<i64> = Vec::new();
        for (step, which) in steps {
            match step {
                0..=2 if cursor < END => {
                    let admitted = offsets.admit(cursor);
                    prop_assert_eq!(
                        matches!(admitted, Admission::Open { .. }),
                        !finished.contains(&cursor) && !open.contains(&cursor),
                        "{} {:?}", cursor, admitted
                    );
                    if admitted != Admission::Known && which % 2 == 0 {
                        offsets.pass(cursor);
                        finished.insert(cursor);
                    } else if admitted != Admission::Known {
                        offsets.keep(cursor);
                        offsets.hand_out(cursor);
                        open.push(cursor);
                    }
                    cursor += 1;
                }
                3 if !open.is_empty() => {
                    let offset = open.remove(which % open.len());
                    offsets.finish(offset);
                    finished.insert(offset);
                }
                4 if !open.is_empty() => {
                    offsets.give_back(open.remove(which % open.len()));
                    cursor = offsets.first_again().unwrap_or(cursor).min(cursor);
                }
                5 => {
                    offsets = Offsets::resume(&offsets.position());
                    cursor = offsets.position().offset;
                    open.clear();
                }
                _ => {}
            }
            let position = offsets.position();
            let low = (0..END).find(|offset| !finished.contains(offset)).unwrap_or(END);
            prop_assert_eq!(position.offset, low);
            prop_assert_eq!(unfinished(&position, END), (END as u64) - finished.len() as u64);
        }
    }
}
