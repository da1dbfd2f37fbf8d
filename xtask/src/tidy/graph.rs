//! The imports between the files of a crate: cycles, and imports against the written order.
//!
//! A file imports the file that defines a name: `pub use` is looked through, and an import of a module counts by the
//! names taken out of it. A room is a module with its submodules. Refused are:
//!
//! - a cycle of rooms that are submodules of one module, or of the crate's root; a file and its own submodules may
//!   import each other;
//! - an import of a higher module, where the crate's root has `//! Order, lowest first:` with its modules in
//!   backticks.

mod source;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};

use self::source::{CrateSource, Files};

const ORDER: &str = "//! Order, lowest first:";

#[derive(Debug)]
pub(super) struct Graph {
    files: Vec<String>,
    imports: BTreeMap<(usize, usize), BTreeSet<String>>,
    /// Top-level modules, lowest first; empty if the root gives no order.
    order: Vec<String>,
}

/// The imports of files, by the two rooms of one level that have these files.
type RoomImports<'a> = BTreeMap<(&'a str, &'a str), Vec<(usize, usize)>>;

/// Rooms of one level that import each other in a circle.
#[derive(Debug)]
pub(super) struct Cycle {
    pub(super) rooms: Vec<String>,
    /// The imports between these rooms, a line each.
    pub(super) imports: Vec<String>,
}

impl Graph {
    pub(super) fn read(folder: &Path, root: &str) -> Result<Graph> {
        Graph::from_files(root, &|file| {
            let path = folder.join(file);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        })
    }

    fn from_files(root: &str, files: Files<'_>) -> Result<Graph> {
        let source = CrateSource::read(root, files)?;
        let imports = PathResolver { source: &source }.imports();
        let order = order(&files(root)?);
        Ok(Graph { files: source.files, imports, order })
    }

    /// Returns the cycles of all levels, the outermost first.
    pub(super) fn cycles(&self) -> Vec<Cycle> {
        let mut levels: BTreeMap<&[&str], RoomImports<'_>> = BTreeMap::new();
        let paths: Vec<Vec<&str>> =
            self.files.iter().map(|file| file.trim_end_matches(".rs").split('/').collect()).collect();
        for &(from, to) in self.imports.keys().filter(|(from, to)| *from > 0 && *to > 0) {
            let (one, other) = (&paths[from], &paths[to]);
            let common = one.iter().zip(other).take_while(|(one, other)| one == other).count();
            // Without a room on each side, one of the files is the module of the other.
            if let (Some(&one_room), Some(&other_room)) = (one.get(common), other.get(common)) {
                let rooms = levels.entry(&one[..common]).or_default();
                rooms.entry((one_room, other_room)).or_default().push((from, to));
            }
        }
        levels.iter().flat_map(|(folder, imports)| self.cycles_of_level(folder, imports)).collect()
    }

    fn cycles_of_level(&self, folder: &[&str], imports: &RoomImports<'_>) -> Vec<Cycle> {
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            imports.keys().map(|&(from, _)| (from, reached(imports.keys(), from))).collect();
        let mut cycles = BTreeSet::new();
        for (from, to) in &reached {
            let is_back = |to: &&str| reached.get(to).is_some_and(|back| back.contains(from));
            let cycle: BTreeSet<&str> = to.iter().copied().filter(is_back).collect();
            cycles.extend(Some(cycle).filter(|cycle| !cycle.is_empty()));
        }
        let described = |cycle: BTreeSet<&str>| {
            let within = imports.iter().filter(|((from, to), _)| cycle.contains(from) && cycle.contains(to));
            let imports = within.flat_map(|(_, arrows)| arrows).map(|&arrow| self.line(arrow)).collect();
            let rooms =
                cycle.iter().map(|room| folder.iter().chain([room]).copied().collect::<Vec<_>>().join("/"));
            Cycle { rooms: rooms.collect(), imports }
        };
        cycles.into_iter().map(described).collect()
    }

    pub(super) fn upward(&self) -> Vec<String> {
        let rank = |file: usize| self.order.iter().position(|name| name == top(&self.files[file]));
        let against = self.imports.keys().filter(|(from, to)| match (rank(*from), rank(*to)) {
            (Some(from), Some(to)) => from < to,
            _ => false,
        });
        against.map(|&arrow| self.line(arrow)).collect()
    }

    pub(super) fn misplaced(&self) -> Vec<String> {
        if self.order.is_empty() {
            return Vec::new();
        }
        let modules: BTreeSet<&str> = self.files.iter().skip(1).map(|file| top(file)).collect();
        let order: BTreeSet<&str> = self.order.iter().map(String::as_str).collect();
        modules.symmetric_difference(&order).map(|&name| name.to_owned()).collect()
    }

    fn line(&self, arrow: (usize, usize)) -> String {
        let names: Vec<&str> = self.imports[&arrow].iter().map(String::as_str).collect();
        format!("{} -> {}: {}", self.files[arrow.0], self.files[arrow.1], names.join(", "))
    }
}

fn top(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

fn reached<'a>(
    imports: impl Iterator<Item = &'a (&'a str, &'a str)> + Clone,
    from: &'a str,
) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(room) = waiting.pop() {
        let next = imports.clone().filter(|(from, _)| *from == room).map(|&(_, to)| to);
        waiting.extend(next.filter(|to| found.insert(*to)));
    }
    found
}

fn order(root: &str) -> Vec<String> {
    let mut paragraph = root.lines().skip_while(|line| !line.starts_with(ORDER));
    let lines: Vec<&str> = paragraph.by_ref().take_while(|line| line.starts_with("//! ")).collect();
    lines.join(" ").split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PathEnd {
    Module(usize),
    Definition(usize),
}

impl PathEnd {
    fn module(self) -> Option<usize> {
        match self {
            PathEnd::Module(module) => Some(module),
            PathEnd::Definition(_) => None,
        }
    }
}

struct PathResolver<'a> {
    source: &'a CrateSource,
}

impl PathResolver<'_> {
    fn imports(&self) -> BTreeMap<(usize, usize), BTreeSet<String>> {
        let mut imports: BTreeMap<(usize, usize), BTreeSet<String>> = BTreeMap::new();
        for (at, module) in self.source.modules.iter().enumerate() {
            let mut found = BTreeSet::new();
            for alias in &module.aliases {
                if !alias.is_facade || module.words.contains(&alias.name) {
                    self.definitions(at, &alias.path, &mut found);
                }
            }
            for path in &module.paths {
                self.definitions(at, path, &mut found);
            }
            for glob in &module.globs {
                for word in &module.words {
                    let path: Vec<String> = glob.iter().chain([word]).cloned().collect();
                    self.definitions(at, &path, &mut found);
                }
            }
            for (file, name) in found {
                if file != module.file {
                    imports.entry((module.file, file)).or_default().insert(name);
                }
            }
        }
        imports
    }

    fn definitions(&self, from: usize, path: &[String], found: &mut BTreeSet<(usize, String)>) {
        for (place, name) in self.resolve(from, path, &mut BTreeSet::new()) {
            if let PathEnd::Definition(module) = place {
                found.insert((self.source.modules[module].file, name));
            }
        }
    }

    /// Returns all meanings of a path in a module, because a module and a function may share a name. `seen` ends
    /// circles of `use`.
    fn resolve(
        &self,
        from: usize,
        path: &[String],
        seen: &mut BTreeSet<(usize, Vec<String>)>,
    ) -> Vec<(PathEnd, String)> {
        if !seen.insert((from, path.to_vec())) {
            return Vec::new();
        }
        let mut current = vec![from];
        for (at, name) in path.iter().enumerate() {
            let is_last = at + 1 == path.len();
            let mut next = Vec::new();
            for module in current {
                let places = match name.as_str() {
                    "crate" if at == 0 => vec![(PathEnd::Module(0), name.clone())],
                    "self" if at == 0 => vec![(PathEnd::Module(module), name.clone())],
                    "super" => {
                        let parent = self.source.modules[module].parent.map(PathEnd::Module);
                        parent.map(|parent| (parent, name.clone())).into_iter().collect()
                    }
                    _ => self.lookup(module, name, seen),
                };
                next.extend(places);
            }
            current = next.iter().filter_map(|(place, _)| place.module()).collect();
            if is_last || current.is_empty() {
                return next;
            }
        }
        Vec::new()
    }

    fn lookup(
        &self,
        at: usize,
        name: &str,
        seen: &mut BTreeSet<(usize, Vec<String>)>,
    ) -> Vec<(PathEnd, String)> {
        let module = &self.source.modules[at];
        let mut places = Vec::new();
        if module.definitions.contains(name) {
            places.push((PathEnd::Definition(at), name.to_owned()));
        }
        if let Some(&child) = module.children.get(name) {
            places.push((PathEnd::Module(child), name.to_owned()));
        }
        for alias in module.aliases.iter().filter(|alias| alias.name == name) {
            places.extend(self.resolve(at, &alias.path, seen));
        }
        if places.is_empty() {
            for glob in &module.globs {
                let path: Vec<String> = glob.iter().cloned().chain([name.to_owned()]).collect();
                places.extend(self.resolve(at, &path, seen));
            }
        }
        places
    }
}
