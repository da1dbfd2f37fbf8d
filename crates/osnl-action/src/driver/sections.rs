use osnl_config::sections::SectionReader;
use osnl_config::typed;

/// The kinds of sections that drivers name.
pub const RULE: &str = "rule";
pub const ACTION: &str = "action";
pub const ENRICH: &str = "enrich";

pub(super) fn enrichments(reader: &SectionReader<'_>) -> Vec<String> {
    let text = reader.layers.resolve(reader.section, "enrich").ok().flatten();
    text.map_or_else(Vec::new, |text| typed::list(&text))
}

pub(super) fn all_enrichments<'a>(reader: &SectionReader<'a>) -> Vec<&'a str> {
    let sections = reader.layers.sections.iter().filter(|section| section.def.kind == ENRICH);
    sections.map(|section| section.name.as_str()).collect()
}
