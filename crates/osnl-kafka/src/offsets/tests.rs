use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn at(offset: i64) -> Offsets {
    Offsets::resume(&Position { offset, metadata: String::new() })
}

fn handed_out(offsets: std::ops::Range<i64>) -> Offsets {
    let mut all = at(offsets.start);
    for offset in offsets {
        assert_eq!(all.admit(offset), Some(false));
        all.hand_out(offset);
    }
    all
}

#[test]
fn the_text_of_a_position() {
    let mut offsets = handed_out(100..110);
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
    assert_eq!(at(i64::MAX - 1).admit(i64::MAX), Some(false));
}

#[test]
fn offsets_that_never_come_hold_nothing_up() {
    let mut offsets = at(5);
    assert_eq!(offsets.admit(9), Some(false));
    assert_eq!(offsets.position().offset, 9, "a compacted topic begins later");
    assert_eq!(offsets.admit(12), Some(false));
    offsets.finish(9);
    assert_eq!(offsets.position().offset, 12);
}

#[test]
fn ranges_without_room_are_redelivered() {
    let mut offsets = handed_out(0..4000);
    for offset in (1..4000).step_by(2) {
        offsets.finish(offset);
    }
    let position = offsets.position();
    assert!(position.metadata.len() <= MOST, "{}", position.metadata.len());
    let unfinished = Offsets::resume(&position).unfinished(4000);
    assert!((2001..3500).contains(&unfinished), "{unfinished}");
}

proptest! {
    /// Compares with a model that keeps every offset, over many restarts: nothing unfinished is below the committed
    /// offset or in a range, finished messages never come again, and repeated ones are marked.
    #[test]
    fn nothing_unfinished_is_ever_committed(
        steps in proptest::collection::vec((0..6_u8, 0..12_usize), 0..120)
    ) {
        const END: i64 = 40;
        let (mut offsets, mut cursor) = (at(0), 0_i64);
        let (mut handed, mut handed_before) = (0, 0);
        let mut finished = BTreeSet::new();
        let mut open: Vec<i64> = Vec::new();
        for (step, which) in steps {
            match step {
                0..=2 if cursor < END => {
                    let is_new = !finished.contains(&cursor) && !open.contains(&cursor);
                    prop_assert_eq!(offsets.admit(cursor), is_new.then_some(cursor < handed_before), "{}", cursor);
                    if is_new {
                        offsets.hand_out(cursor);
                        handed = handed.max(cursor + 1);
                        open.push(cursor);
                    }
                    cursor += 1;
                }
                3 if !open.is_empty() => {
                    let offset = open.remove(which % open.len());
                    offsets.finish(offset);
                    finished.insert(offset);
                }
                4 | 5 => {
                    offsets = Offsets::resume(&offsets.position());
                    (cursor, handed_before) = (offsets.position().offset, handed);
                    open.clear();
                }
                _ => {}
            }
            let position = offsets.position();
            let low = (0..END).find(|offset| !finished.contains(offset)).unwrap_or(END);
            prop_assert_eq!(position.offset, low);
            prop_assert_eq!(Offsets::resume(&position).unfinished(END), (END as u64) - finished.len() as u64);
        }
    }
}
