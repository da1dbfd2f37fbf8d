//! A JSON array of texts, for words with commas or blanks around; otherwise an oslo.config list:
//! words separated by commas, without surrounding blanks. There are no quotes and no shell.

use osnl_config::typed;
use serde_json::Value;

pub(super) fn read(text: &str) -> Result<Vec<String>, &'static str> {
    if text.trim_start().starts_with('[') {
        let Ok(Value::Array(items)) = serde_json::from_str(text) else {
            return Err("begins like a JSON array, but is not one");
        };
        let word = |item| match item {
            Value::String(word) => Ok(word),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                Err("has an item that is not a string")
            }
        };
        let words: Vec<String> = items.into_iter().map(word).collect::<Result<_, _>>()?;
        return check(words);
    }
    let words = typed::list(text);
    if words.iter().any(String::is_empty) {
        return Err("has an empty item");
    }
    check(words)
}

fn check(words: Vec<String>) -> Result<Vec<String>, &'static str> {
    match words.iter().any(|word| word.contains('\0')) {
        true => Err("contains a NUL character, which no program can receive"),
        false => Ok(words),
    }
}

pub(super) fn variable(word: &str) -> Result<(String, String), &'static str> {
    match word.split_once('=') {
        Some(("", _)) => Err("has an item without a name"),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err("has an item without ="),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_from_either_form() {
        for (text, expected) in [
            ("/bin/x", Ok(&["/bin/x"][..])),
            ("/bin/x, --flag , a b", Ok(&["/bin/x", "--flag", "a b"])),
            ("/bin/x, \"q\", $HOME, -v, -v", Ok(&["/bin/x", "\"q\"", "$HOME", "-v", "-v"])),
            (r#"["/bin/x", "a, b", " c "]"#, Ok(&["/bin/x", "a, b", " c "])),
            ("", Ok(&[])),
            ("/bin/x,,a", Err("has an empty item")),
            ("[\"/bin/x\"", Err("begins like a JSON array, but is not one")),
            ("[1]", Err("has an item that is not a string")),
            (r#"["a\u0000"]"#, Err("contains a NUL character, which no program can receive")),
        ] {
            let found = read(text);
            assert_eq!(
                found.as_deref().map_err(|problem| *problem),
                expected
                    .map(|words| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
                    .as_deref()
                    .map_err(|p| *p),
                "{text}"
            );
        }
        assert_eq!(variable("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert!(variable("A").is_err() && variable("=b").is_err());
    }
}
