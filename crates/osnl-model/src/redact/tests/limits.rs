use std::time::Duration;

use serde_json::json;

use super::super::*;

#[path = "../../../../osnl-testkit/src/hostile.rs"]
#[expect(dead_code, unreachable_pub, reason = "a module of another crate, of which texts and trees are used")]
mod hostile;

const STACK: usize = 256 * 1024;

fn on_a_small_stack<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().unwrap()
}

fn nested(levels: usize, inmost: Value) -> Value {
    (0..levels).fold(inmost, |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({"a": inner}) })
}

fn both(value: &Value) -> String {
    let copied = mask_secrets(value).to_string();
    assert_eq!(format!("{:?}", MaskedJson::value(value)), copied);
    copied
}

#[test]
fn one_count_of_levels_for_arrays_objects_and_texts() {
    let shown = |value: &Value| both(value).contains("shown");
    assert!(shown(&nested(128, json!("shown"))));
    assert!(!shown(&nested(129, json!("shown"))));
    let text = |levels: usize| json!(nested(levels, json!("shown")).to_string());
    assert!(shown(&nested(60, text(67))));
    assert!(!shown(&nested(60, text(68))));
    // Text that exceeds the depth of a Python literal and is no JSON is hidden too.
    assert!(!shown(&json!(format!("{}'shown'{}", "(".repeat(70), ")".repeat(70)))));
    assert!(!shown(&json!("[".repeat(100_000) + "shown")));
    let texts = |texts: usize| (0..texts).fold(json!(["shown"]), |inner, _| json!([inner.to_string()]));
    assert!(shown(&texts(4)));
    assert!(!shown(&texts(5)));
    assert_eq!(both(&texts(5)).matches("***").count(), 1);
}

#[test]
fn texts_within_texts_need_little_stack() {
    for (texts, brackets) in [(4, 30), (5, 20), (20, 60), (100, 126), (170, 126), (400, 1)] {
        let text = hostile::texts_within_texts(texts, brackets);
        on_a_small_stack(move || {
            let value = json!({"display_name": text, "connection_info": text});
            both(&value);
        });
    }
    on_a_small_stack(|| {
        for depth in [120, 127] {
            both(&nested(depth, json!("x")));
            both(&json!(nested(depth, json!("x")).to_string()));
        }
    });
}

#[test]
fn a_long_text_is_its_length() {
    let long = "x".repeat(256 * 1024 + 1);
    assert_eq!(mask_text(&long), "*** (a text of 262145 bytes)");
    assert_eq!(mask_text(&long[1..]), long[1..]);
    assert_eq!(mask_secrets(&json!({"connection_info": long})), json!({"connection_info": "***"}));
    let objects = format!("[{}0]", r#"{"":0},"#.repeat(20_000));
    assert_eq!(mask_text(&objects), "***");
}

fn cpu_time() -> Duration {
    std::thread::yield_now();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// With optimization a megabyte takes less than 200 ms. A debug build may take 1.5 s for an eighth of that. Quadratic
/// time would take minutes.
#[test]
fn a_megabyte_of_anything_is_masked_in_linear_time() {
    let (bytes, most) = if cfg!(debug_assertions) { (1 << 17, 1500) } else { (1 << 20, 200) };
    let most = Duration::from_millis(most);
    let mut slowest = (Duration::ZERO, "");
    let mut timed = |name: &'static str, run: &mut dyn FnMut()| {
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let begun = cpu_time();
            run();
            best = best.min(cpu_time() - begun);
            if best < most {
                break;
            }
        }
        assert!(best < most, "{name}: {best:?}");
        slowest = slowest.max((best, name));
    };
    for (name, text) in hostile::texts(bytes) {
        timed(name, &mut || drop(text::running(&text)));
        timed(name, &mut || drop(crate::parse_python_literal(&text)));
        let mut pieces: Vec<Value> = Vec::new();
        let mut rest = &text[..];
        while !rest.is_empty() {
            let at = rest.floor_char_boundary(250 * 1024);
            let (piece, behind) = rest.split_at(at);
            pieces.push(json!({"name": piece}));
            rest = behind;
        }
        let value = Value::Array(pieces);
        timed(name, &mut || drop(mask_secrets(&value)));
        timed(name, &mut || drop(serde_json::to_string(&MaskedJson::value(&value))));
    }
    for (name, tree) in hostile::trees(bytes) {
        let value = crate::parse_python_json(&tree).unwrap();
        timed(name, &mut || drop(mask_secrets(&value)));
        timed(name, &mut || drop(mask_text(&tree[..tree.len().min(262_144)])));
    }
    assert!(slowest.0 < most, "{slowest:?}");
}
