//! The one reader of paths, `a.b.c` in a tree of JSON: of `when`, templates, `key`, and `payload.KEY`.
//!
//! Keys may contain dots (`nova_object.data`), so at each object the longest key that leads to a value
//! counts. A key equal to the whole rest has precedence. Digits are an index of an array.

use serde_json::{Map, Value};

use crate::redact::is_secret_key;

pub fn walk<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    match value {
        Value::Object(object) => walk_object(object, path),
        Value::Array(items) => {
            let (place, rest) =
                path.split_once('.').map_or((path, None), |(place, rest)| (place, Some(rest)));
            let item = items.get(index(place)?)?;
            rest.map_or(Some(item), |rest| walk(item, rest))
        }
        _ => None,
    }
}

pub fn walk_object<'a>(object: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = object.get(path) {
        return Some(value);
    }
    path.rmatch_indices('.').find_map(|(dot, _)| walk(object.get(&path[..dot])?, &path[dot + 1..]))
}

/// Whether a secret may stand at a path. A lone `payload.key` is one, as in designate's zone transfers.
#[must_use]
pub fn is_secret_path(path: &str) -> bool {
    path == "payload.key" || path.split('.').any(is_secret_key)
}

/// Returns the place in a list that a word of a path selects.
#[must_use]
pub(crate) fn index(word: &str) -> Option<usize> {
    if word.bytes().all(|byte| byte.is_ascii_digit()) { word.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_longest_key_that_leads_to_a_value_counts() {
        let tree = json!({
            "a": {"b": {"c": 1}, "b.c": 2, "x": null, "list": [{"id": "i"}, [7]]},
            "a.x": 3,
            "nova_object.data": {"host": "h", "ip.v4": "v"},
            "a.z": {"deep": 4},
            "": {"": 5},
        });
        let check = |path: &str, expected: Option<Value>| {
            assert_eq!(walk(&tree, path), expected.as_ref(), "{path}");
        };
        check("a.b.c", Some(json!(2)));
        check("a.b", Some(json!({"c": 1})));
        check("a.x", Some(json!(3)));
        check("a.z.deep", Some(json!(4)));
        check("nova_object.data.host", Some(json!("h")));
        check("nova_object.data.ip.v4", Some(json!("v")));
        check("nova_object", None);
        check("a.list.0.id", Some(json!("i")));
        check("a.list.1.0", Some(json!(7)));
        check("a.list.2", None);
        check("a.list.-1", None);
        check("a.list.+1", None);
        check("a.list.*", None);
        check("a.list.length", None);
        check("a.b.c.d", None);
        check(".", Some(json!(5)));
        check("a.", None);
        check("", Some(json!({"": 5})));
    }
}
