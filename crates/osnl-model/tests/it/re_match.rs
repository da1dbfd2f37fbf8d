use osnl_model::Pattern;
use proptest::prelude::*;
use serde_json::Value;

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/filter/re_match.json");

#[test]
fn patterns_mean_what_they_mean_to_python() {
    let recorded: Value = serde_json::from_slice(&std::fs::read(RECORDED).unwrap()).unwrap();
    let texts: Vec<&str> =
        recorded["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let cases = recorded["cases"].as_array().unwrap();
    assert!(cases.len() > 200);
    let mut wrong = Vec::new();
    for case in cases {
        let text = case["pattern"].as_str().unwrap();
        match (Pattern::new(text), case.get("matches")) {
            (Ok(pattern), Some(expected)) => {
                let expected = expected.as_array().unwrap();
                for (index, text) in texts.iter().enumerate() {
                    let expected = expected.contains(&index.into());
                    if pattern.is_match(text) != expected {
                        wrong.push(format!("{pattern:?} on {text:?}: expected {expected}"));
                    }
                }
            }
            (Err(error), Some(_)) if error.message.contains("not supported") => {}
            (Err(error), Some(_)) => wrong.push(format!("refused: {error}")),
            (Ok(pattern), None) => wrong.push(format!("{pattern:?} should be: {}", case["error"])),
            (Err(error), None) => {
                if error.position.map(Value::from).as_ref() != case.get("position") {
                    wrong.push(format!("{error}, expected {} at {}", case["error"], case["position"]));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

proptest! {
    #[test]
    fn no_pattern_panics(pattern in r"[a-z0-9()\[\]{}?*+|^$\\.:<>=!P,i#& -]{0,20}", text in "\\PC{0,10}\n?") {
        if let Ok(pattern) = Pattern::new(&pattern) {
            pattern.is_match(&text);
        }
    }

    #[test]
    fn an_escaped_text_matches_itself(text in "\\PC{0,30}") {
        let escaped: String = text
            .chars()
            .flat_map(|c| if c.is_ascii_alphanumeric() { vec![c] } else { vec!['\\', c] })
            .collect();
        let pattern = Pattern::new(&format!(r"{escaped}\Z")).unwrap();
        prop_assert!(pattern.is_match(&text));
        let backtracking = Pattern::new(&format!(r"(?=){escaped}\Z")).unwrap();
        prop_assert!(backtracking.is_match(&text));
    }
}
