use std::path::Path;

use osnl::native::{Reference, reference};

use crate::oss::drivers;

fn all() -> Reference {
    reference(drivers())
}

#[test]
fn every_section_and_option_has_its_words() {
    let reference = all();
    assert!(reference.sections.iter().any(|section| section.form == "[action:NAME]"));
    for section in &reference.sections {
        assert!(!section.about.is_empty(), "{} has no words", section.form);
        for option in &section.options {
            let place = format!("{} {}", section.form, option.name);
            assert!(!option.kind.is_empty(), "{place} has no type");
            assert!(option.meaning.ends_with('.'), "{place}: {:?} is no sentence", option.meaning);
        }
    }
}

#[test]
fn variables_are_spelt_as_they_are_read() {
    let variables: Vec<String> = all().sections.into_iter().map(|section| section.variable).collect();
    assert_eq!(
        variables,
        [
            "OS_DEFAULT__<OPTION>",
            "OS_VALUES__<OPTION>",
            "OS_JOURNAL__<OPTION>",
            "OS_ADMIN__<OPTION>",
            "OS_CANARY__<OPTION>",
            "OS_INCIDENTS__<OPTION>",
            "OS_OSLO_MESSAGING_RABBIT__<OPTION>",
            "OS_LISTENER_<NAME>__<OPTION>",
            "OS_RULE_<NAME>__<OPTION>",
            "OS_ACTION_<NAME>__<OPTION>",
            "OS_ENRICH_<NAME>__<OPTION>",
        ]
    );
}

#[test]
fn the_page_is_current() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/configuration.md");
    let found = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        found == all().markdown(),
        "docs/reference/configuration.md is not what this build has: cargo xtask docs writes it"
    );
}

#[test]
fn the_three_forms_have_every_option() {
    let reference = all();
    let forms = [reference.text(), reference.markdown(), reference.roff().replace("\\-", "-")];
    for option in reference.sections.iter().flat_map(|section| &section.options) {
        for form in &forms {
            assert!(form.contains(&option.name), "{} is missing in\n{form}", option.name);
        }
    }
    assert!(forms[0].lines().all(|line| line.chars().count() <= 160), "{}", forms[0]);
    assert!(
        forms[0].contains(
            "  retention (duration, 0 to 3650d; default 7d)\n      Time for which ended deliveries"
        ),
        "{}",
        forms[0]
    );
}
