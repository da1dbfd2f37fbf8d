//! The imports between the files of a crate: cycles, and imports against the written order.
//!
//! A file imports the file that defines a name: `pub use` is looked through, and an import of a module counts by the
//! names taken out of it. Refused are:
//!
//! - a cycle of files of different top-level modules;
//! - a cycle of more than three files, because a file and its own submodules may import each other;
//! - an import of a higher module, where the crate's root has `//! Order, lowest first:` with its modules in
//!   backticks.

mod source;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};

use self::source::{CrateSource, Files};

const LARGEST_CYCLE: usize = 3;
const ORDER: &str = "//! Order, lowest first:";

#[derive(Debug)]
pub(super) struct Graph {
    files: Vec<String>,
    imports: BTreeMap<(usize, usize), BTreeSet<String>>,
    /// Top-level modules, lowest first; empty if the root gives no order.
    order: Vec<String>,
}

impl Graph {
    pub(super) fn read(folder: &Path, root: &str) -> Result<Graph> {
        Graph::of(root, &|file| {
            let path = folder.join(file);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        })
    }

    fn of(root: &str, files: Files<'_>) -> Result<Graph> {
        let source = CrateSource::read(root, files)?;
        let imports = PathResolver { source: &source }.imports();
        let order = order(&files(root)?);
        Ok(Graph { files: source.files, imports, order })
    }

    pub(super) fn cycles(&self) -> Vec<Vec<usize>> {
        let mut cycles = self.components(|_| true);
        cycles.retain(|cycle| {
            let rooms = cycle.iter().filter(|&&file| file > 0).map(|&file| top(&self.files[file]));
            rooms.collect::<BTreeSet<_>>().len() > 1
        });
        let large = self.components(|(from, to)| !self.is_family(from, to));
        cycles.extend(large.into_iter().filter(|cycle| cycle.len() > LARGEST_CYCLE));
        let whole = cycles.clone();
        cycles.retain(|cycle| {
            !whole
                .iter()
                .any(|other| other.len() > cycle.len() && cycle.iter().all(|file| other.contains(file)))
        });
        cycles.sort_by_key(|cycle| std::cmp::Reverse(cycle.len()));
        cycles.dedup();
        cycles
    }

    fn is_family(&self, one: usize, other: usize) -> bool {
        let is_in = |inner: usize, outer: usize| {
            let folder = self.files[outer].trim_end_matches(".rs");
            outer == 0 || self.files[inner].strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
        };
        is_in(one, other) || is_in(other, one)
    }

    fn components(&self, is_counted: impl Fn((usize, usize)) -> bool) -> Vec<Vec<usize>> {
        let mut next = vec![Vec::new(); self.files.len()];
        for &(from, to) in self.imports.keys().filter(|&&arrow| is_counted(arrow)) {
            next[from].push(to);
        }
        let reached: Vec<BTreeSet<usize>> = (0..self.files.len()).map(|from| reached(&next, from)).collect();
        let component = |from: usize| -> Vec<usize> {
            reached[from].iter().copied().filter(|&to| reached[to].contains(&from)).collect()
        };
        (0..self.files.len())
            .map(|from| (from, component(from)))
            .filter(|(from, found)| found.first() == Some(from))
            .map(|(_, found)| found)
            .collect()
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

    pub(super) fn arrows(&self, cycle: &[usize]) -> Vec<String> {
        let within = |file: &usize| cycle.contains(file);
        let arrows = self.imports.keys().filter(|(from, to)| within(from) && within(to));
        arrows.map(|&arrow| self.line(arrow)).collect()
    }

    fn line(&self, arrow: (usize, usize)) -> String {
        let names: Vec<&str> = self.imports[&arrow].iter().map(String::as_str).collect();
        format!("{} -> {}: {}", self.files[arrow.0], self.files[arrow.1], names.join(", "))
    }
}

fn top(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

fn reached(next: &[Vec<usize>], from: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut waiting = next[from].clone();
    while let Some(file) = waiting.pop() {
        if found.insert(file) {
            waiting.extend(&next[file]);
        }
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
