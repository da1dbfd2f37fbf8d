use crate::hostile::{Stream, bodies, texts_within_texts};

#[test]
fn texts_within_texts_are_what_they_say() {
    let mut text = texts_within_texts(30, 3);
    for level in 0..30 {
        assert!(text.starts_with("[[["), "{level}: {text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        text = value[0][0][0].as_str().unwrap().to_owned();
    }
    assert_eq!(text, "");
}

#[test]
fn bodies_are_of_the_size_that_was_asked_for() {
    let found = bodies("x.y", 10_000);
    assert!(found.len() > 80, "{}", found.len());
    for body in &found {
        let a_bomb = body.name.contains("bomb");
        let most = if a_bomb { 200_000 } else { 100_000 };
        let is_deep = body.name.starts_with("nested") || body.name == "texts within texts";
        assert!(is_deep || body.plain < most, "{}: {}", body.name, body.plain);
        assert!(!a_bomb || body.bytes.len() < 1000, "{}: {}", body.name, body.bytes.len());
    }
    let seen: std::collections::BTreeSet<String> =
        Stream::new("x.y", 5000, 7).take(400).map(|body| body.name).collect();
    assert!(seen.len() > 80, "{seen:?}");
    let again: Vec<usize> = Stream::new("x.y", 5000, 7).take(9).map(|body| body.bytes.len()).collect();
    let once: Vec<usize> = Stream::new("x.y", 5000, 7).take(9).map(|body| body.bytes.len()).collect();
    assert_eq!(again, once);
}
