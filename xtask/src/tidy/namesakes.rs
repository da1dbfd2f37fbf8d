//! Counts types that share their name with a type of another file: a search for such a name ends in two places.
//!
//! Tests, and types within functions, are left out.

use std::collections::{BTreeMap, BTreeSet};

/// Names that more than one type may have, and the reason.
const CONVENTIONS: [(&str, &str); 4] = [
    (
        "Allocation EventType FixedIp FloatingIp Flavor Image Node NotificationPublisher Payload Port",
        "OpenStack's names: each service, and each form of its payloads, has one",
    ),
    ("BuildError Conf LoadedConf", "each form of a configuration, and each builder of the library, has one"),
    (
        "AppendResult LoadedPiece NewEntry OpenError",
        "the same step of a journal, in a file and in a database",
    ),
    ("Arguments Result", "the arguments of one command of xtask; the result of one module's functions"),
];

/// The places of each type's name: the folder of the crate, and the file in it.
#[derive(Debug, Default)]
pub(super) struct Namesakes(BTreeMap<String, BTreeSet<(String, String)>>);

impl Namesakes {
    /// Adds a type.
    pub(super) fn add(&mut self, name: &str, folder: &str, file: &str) {
        self.0.entry(name.to_owned()).or_default().insert((folder.to_owned(), file.to_owned()));
    }

    /// The names in more than one place, without those that may be.
    fn shared(&self) -> impl Iterator<Item = (&str, &BTreeSet<(String, String)>)> {
        let may =
            |name: &str| CONVENTIONS.iter().any(|(names, _)| names.split(' ').any(|other| other == name));
        self.0
            .iter()
            .filter(move |(name, places)| places.len() > 1 && !may(name))
            .map(|(name, places)| (name.as_str(), places))
    }

    /// The folder of the crate, once for each of its types that is counted.
    pub(super) fn folders(&self) -> impl Iterator<Item = &str> {
        self.shared().flat_map(|(_, places)| places.iter().map(|(folder, _)| folder.as_str()))
    }

    /// The counted names with their places, as lines to print.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.shared().map(|(name, places)| {
            let places: Vec<String> =
                places.iter().map(|(folder, file)| format!("{folder}/src/{file}")).collect();
            format!("namesakes: {name}: {}", places.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Namesakes;

    #[test]
    fn types_of_the_same_name_in_two_files_count() {
        let check = |types: &[(&str, &str, &str)], expected: &[&str]| {
            let mut namesakes = Namesakes::default();
            types.iter().for_each(|(name, folder, file)| namesakes.add(name, folder, file));
            assert_eq!(namesakes.folders().collect::<Vec<_>>(), expected, "{types:?}");
        };
        check(&[("State", "a", "x.rs"), ("Kind", "b", "x.rs")], &[]);
        check(&[("State", "a", "x.rs"), ("State", "a", "x.rs")], &[]);
        check(&[("State", "a", "x.rs"), ("State", "a", "y.rs"), ("State", "b", "x.rs")], &["a", "a", "b"]);
        check(&[("Payload", "a", "nova.rs"), ("Payload", "a", "ironic.rs")], &[]);
    }

    #[test]
    fn a_line_names_the_places() {
        let mut namesakes = Namesakes::default();
        namesakes.add("State", "xtask", "x.rs");
        namesakes.add("State", "crates/a", "y/z.rs");
        let lines: Vec<String> = namesakes.lines().collect();
        assert_eq!(lines, ["namesakes: State: crates/a/src/y/z.rs, xtask/src/x.rs"]);
    }
}
