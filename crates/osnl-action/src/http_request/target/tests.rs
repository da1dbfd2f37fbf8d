use osnl_model::Notification;
use serde_json::json;

use super::*;

fn rendered(url: &str, value: &str) -> Result<String, String> {
    let target = UrlTarget::parse(url, &[]).map_err(|error| error.to_string())?;
    let payload = json!({"v": value, "yes": true});
    let names = Names::from(Notification { payload, ..Notification::default() });
    let url = target.render(&names, &[("q".to_owned(), "a b".to_owned())])?;
    Ok(target.shown(&url))
}

#[test]
fn a_service_of_the_catalogue_is_named_with_what_is_below_it() {
    let check = |url: &str, shown: &str, below: &str| {
        let target = UrlTarget::parse(url, &[]).unwrap();
        assert_eq!((target.origin(), target.is_event_s()), (None, false));
        let names = Names::from(Notification { payload: json!({"v": "a/b"}), ..Notification::default() });
        let rendered = target.render(&names, &[]).unwrap();
        assert_eq!(target.shown(&rendered), shown, "{url}");
        assert_eq!(target.below_service(&rendered), below, "{url}");
    };
    check("catalog:dns/v2/zones", "catalog:dns/v2/zones", "/v2/zones");
    check("catalog:dns/v2/{{ payload.v }}?a=1", "catalog:dns/v2/a%2Fb?a=1", "/v2/a%2Fb?a=1");
    check("catalog:dns", "catalog:dns", "");
    check("catalog:dns?a={{ payload.v }}", "catalog:dns?a=a%2Fb", "?a=a%2Fb");
    check("catalog:block-storage/", "catalog:block-storage/", "/");
}

#[test]
fn a_value_makes_no_steps_within_its_segment() {
    let check = |url: &str, value: &str, expected: Result<&str, &str>| match (rendered(url, value), expected)
    {
        (Ok(url), Ok(expected)) => assert!(url.starts_with(expected), "{value}: {url}"),
        (Err(why), Err(expected)) => assert!(why.contains(expected), "{value}: {why}"),
        (found, _) => panic!("{url} {value}: {found:?}"),
    };
    let hosts = "https://h/hosts/{{ payload.v }}";
    let (steps, empty) = ("leads elsewhere", "leaves a step of the path empty");
    for value in ["vm/../../x", "..\\x", "a/.", "./a", "a\\..\\..\\b", "../", "/.."] {
        check(hosts, value, Err(steps));
    }
    for value in ["/x", "x/", "a//b", "\\", "a\\\\b"] {
        check(hosts, value, Err(empty));
    }
    check(hosts, "a/b", Ok("https://h/hosts/a%2Fb"));
    check(hosts, "a..b/c.", Ok("https://h/hosts/a..b%2Fc."));
    check("https://h/{% if payload.yes %}a/{% endif %}{{ payload.v }}", "x//y", Err(empty));
    check("https://h/a%2F..%2Fb/{{ payload.v }}", "x", Ok("https://h/a%2F..%2Fb/x"));
    check("https://h/a?b={{ payload.v }}", "../..//", Ok("https://h/a?b=..%2F..%2F%2F&q="));
}

#[test]
fn the_type_of_a_service_is_written_out() {
    for url in [
        "catalog:",
        "catalog:/v2",
        "catalog:{{ payload.v }}/v2",
        "catalog:dns{{ payload.v }}/v2",
        "catalog:dns{% if true %}/v2{% endif %}",
        "catalog:dns@evil.example/v2",
        "catalog:dns:80/v2",
        "catalog://dns/v2",
        "catalog:d ns/",
    ] {
        assert!(matches!(UrlTarget::parse(url, &[]), Err(TargetError::Service)), "{url}");
    }
    assert!(rendered("{{ payload.v }}", "catalog:dns/v2").unwrap_err().contains("scheme"));
}

#[test]
fn no_value_leads_out_of_its_place() {
    let fine = |url: &str, value: &str, expected: &str| {
        assert_eq!(rendered(url, value).unwrap(), expected, "{url} {value}");
    };
    let refused = |url: &str, value: &str, expected: &str| {
        let error = rendered(url, value).unwrap_err();
        assert!(error.contains(expected), "{url} {value}: {error}");
    };
    for base in ["https://h", "catalog:dns"] {
        let url = |rest: &str| format!("{base}{rest}");
        fine(&url("/v/{{ payload.v }}"), "a.b", &url("/v/a.b?q=a+b"));
        fine(&url("/v/{{ payload.v }}"), "...", &url("/v/...?q=a+b"));
        refused(&url("/v/{{ payload.v }}/x"), "../..", "leads elsewhere");
        fine(&url("/v/x{{ payload.v }}"), "", &url("/v/x?q=a+b"));
        fine(&url("/v/?a={{ payload.v }}"), "..", &url("/v/?a=..&q=a+b"));
        fine(&url("/../{{ payload.v }}//"), "a", &url("/../a//?q=a+b"));
        fine(&url("/v{% if payload.yes %}/{{ payload.v }}{% endif %}"), "", &url("/v/?q=a+b"));
        fine(&url("/{{ payload.v|urlencode }}"), "T0/B0", &url("/T0/B0?q=a+b"));
        refused(&url("/v/{{ payload.v }}"), "..", "leads elsewhere");
        refused(&url("/v/{{ payload.v }}/x"), ".", "leads elsewhere");
        refused(&url("/v/.{{ payload.v }}/x"), ".", "leads elsewhere");
        refused(&url("/v/{{ payload.v|urlencode }}"), "a/../../b", "leads elsewhere");
        refused(&url("/v/%2e{{ payload.v }}"), ".", "leads elsewhere");
        refused(&url("/v{% if payload.yes %}/{{ payload.v }}{% endif %}"), "..", "leads elsewhere");
        refused(&url("/v/{{ payload.v }}"), "", "empty");
        refused(&url("/v/{{ payload.v }}/x"), "", "empty");
    }
}
