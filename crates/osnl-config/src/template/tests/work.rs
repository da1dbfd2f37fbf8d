use std::time::Duration;

use super::*;

/// One evaluation takes about 0.2 s in a release build at most; this build is ten times slower.
const LONGEST: Duration =
    if cfg!(debug_assertions) { Duration::from_secs(5) } else { Duration::from_millis(900) };

/// The largest body that is accepted with the default `max_body` has 4 MiB.
fn largest() -> Names {
    let texts =
        |count: usize, width: usize| -> Vec<String> { (0..count).map(|n| format!("{n:0width$}")).collect() };
    let nested = (0..100).fold(json!(texts(1000, 8)), |inner, _| json!([inner]));
    let payload = json!({
        "a": texts(30_000, 12), "b": texts(30_000, 13), "tiny": vec![""; 200_000], "n": 25_000_000,
        "slow": vec![format!("{}b", "a".repeat(15)); 30_000], "sized": vec![json!({"gb": "x", "n": 25_000_000}); 5000],
        "text": "é".repeat(500_000), "nested": nested, "look": vec!["a".repeat(32_000); 10],
        "pairs": (0..20_000).map(|n| (n.to_string(), json!(n))).collect::<serde_json::Map<_, _>>(),
        "lists": vec![json!(["x"]); 30_000],
    });
    Names::from(Notification { payload, ..Notification::default() })
}

fn ends(what: &str, evaluate: impl FnOnce() -> Result<bool, EvalError>) -> Result<bool, EvalError> {
    let begun = cpu_time();
    let result = evaluate();
    let took = cpu_time() - begun;
    assert!(took < LONGEST, "{what}: {result:?} after {took:?}");
    result
}

/// Returns the time that this thread has had a processor, because other tests run beside this one.
fn cpu_time() -> Duration {
    std::thread::yield_now();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn no_expression_takes_long_over_the_largest_message() {
    let names = largest();
    for (when, expected) in [
        ("payload.a | select('in', payload.b) | list | length > 0", Err(EvalError::Work)),
        ("payload.a | reject('in', payload.b | list) | list | length > 0", Err(EvalError::Work)),
        ("payload.a | select('in', payload.b | map('lower') | list) | list", Err(EvalError::Work)),
        ("payload.a | select('in', payload.text) | list", Err(EvalError::Work)),
        ("payload.pairs.items() | select('in', payload.pairs.items()) | list", Err(EvalError::Work)),
        ("payload.a | select('==', payload.nested) | list | length == 0", Ok(true)),
        ("payload.a | map('replace', '0', payload.text) | list", Err(EvalError::TooLong)),
        ("payload.a | map('default', payload.text) | map('upper') | list", Ok(true)),
        (
            "payload.slow | select('search', '(?!z)(a|aa|aaa)*(?<=a)c') | list | length > 0",
            Err(EvalError::Work),
        ),
        ("payload.look | select('search', '(?=.*b)c') | list | length > 0", Err(EvalError::Work)),
        ("payload.tiny | map('string') | sort | unique | list | length == 1", Err(EvalError::Work)),
        ("payload.lists | sum(start=[]) | length > 0", Err(EvalError::Work)),
        ("([1] * payload.n) | list | length > 0", Err(EvalError::Work)),
        ("payload.a | unique | list | length == 30000", Ok(true)),
        ("payload.a | sort | last == payload.a | last", Ok(true)),
        ("payload.a == payload.b", Ok(false)),
        ("payload.a[0] in payload.a and payload.a[29999] in payload.a", Ok(true)),
        ("payload.a | join(',') | length > 0", Ok(true)),
        ("payload.a | select('search', '^0+1$') | list | length == 1", Ok(true)),
        ("payload.text | lower | upper | length > 0", Ok(true)),
    ] {
        let expression = Expression::new(when).unwrap_or_else(|error| panic!("{when}: {error}"));
        let result = ends(when, || expression.holds(&names));
        assert_eq!(result, expected, "{when}");
    }
}

#[test]
fn the_parts_of_a_message_share_a_bound() {
    let names = largest();
    let quadratic = Expression::new("payload.a | select('in', payload.a) | list | length > 0").unwrap();
    let list = |length: u32| json!({"a": (0..length).collect::<Vec<_>>()});
    let (small, large) = (names.part(list(10)), names.part(list(1000)));
    assert_eq!(quadratic.holds(&small), Ok(true));
    let undecided = ends("parts", || {
        let decided = (0..10_000).filter(|_| quadratic.holds(&large).is_ok()).count();
        assert!(decided < 20, "{decided}");
        quadratic.holds(&small)
    });
    assert_eq!(undecided, Err(EvalError::Work));
    assert_eq!(quadratic.holds(&Names::for_part(names.notification().clone(), list(10))), Ok(true));
}

#[test]
fn no_template_takes_long_over_the_largest_message() {
    let names = largest();
    for source in [
        "{% for x in payload.a %}{% if x in payload.b %}{{ x }}{% endif %}{% endfor %}",
        "{% set b = payload.b | list %}{% for x in payload.a %}{% if x in b %}{{ x }}{% endif %}{% endfor %}",
        "{% for x in payload.a %}{% if x in payload.text %}{{ x }}{% endif %}{% endfor %}",
        "{% set t = payload.text %}{% for x in payload.a %}{% if x in t %}{{ x }}{% endif %}{% endfor %}",
        "{% set t = payload.text %}{% for x in payload.a %}{% if t[1:] == x %}{{ x }}{% endif %}{% endfor %}",
        "{% for x in payload.sized %}{% if x.gb * x.n == 'y' %}y{% endif %}{% endfor %}",
        "{% for x in payload.a %}{% for y in payload.b %}{% if x == y %}{{ x }}{% endif %}{% endfor %}{% endfor %}",
        "{% for x in payload.a %}{% if payload.nested == payload.b %}y{% endif %}{% endfor %}",
    ] {
        let template = Template::new(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        let result = ends(source, || template.render(&names).map(|_| true));
        assert!(matches!(result, Err(EvalError::Work | EvalError::Fuel)), "{source}: {result:?}");
    }
    // The next evaluation has all of its work.
    assert_eq!(Template::new("{{ payload.a | length }}").unwrap().render(&names).as_deref(), Ok("30000"));
}
