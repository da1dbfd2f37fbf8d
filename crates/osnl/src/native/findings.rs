use osnl_config::Finding;
use osnl_config::sections::RawSection;

pub(super) fn finding_at(section: Option<&RawSection>, option: &str, problem: &str) -> Finding {
    let finding = Finding::new("configuration", problem);
    // Names of headers are lower-case once read.
    let entry = section
        .and_then(|section| section.entries.iter().find(|entry| entry.option.eq_ignore_ascii_case(option)));
    let option = entry.map_or(option, |entry| &entry.option);
    let finding = if option.is_empty() { finding } else { finding.option(option) };
    match section {
        None => finding,
        Some(section) => {
            let place = entry.map_or(&section.place, |entry| &entry.origin);
            finding.group(&section.heading()).from_origin(place)
        }
    }
}
