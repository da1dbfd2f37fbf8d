//! Reads the modules of one crate from its tokens: definitions, re-exports, and used names.
//!
//! Test modules, attributes and documentation are left out. Macro calls are read like code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

#[derive(Debug)]
pub(super) struct Alias {
    pub(super) name: String,
    pub(super) path: Vec<String>,
    /// Whether other modules may take the name from here: such a `use` is a facade, not an import.
    pub(super) is_facade: bool,
}

#[derive(Debug, Default)]
pub(super) struct Module {
    pub(super) file: usize,
    pub(super) parent: Option<usize>,
    pub(super) children: BTreeMap<String, usize>,
    pub(super) definitions: BTreeSet<String>,
    pub(super) aliases: Vec<Alias>,
    pub(super) globs: Vec<Vec<String>>,
    pub(super) paths: BTreeSet<Vec<String>>,
    /// Single names in code that can mean a type, a function or a macro.
    pub(super) words: BTreeSet<String>,
}

pub(super) type Files<'a> = &'a dyn Fn(&str) -> Result<String>;

#[derive(Debug, Default)]
pub(super) struct CrateSource {
    pub(super) files: Vec<String>,
    pub(super) modules: Vec<Module>,
}

impl CrateSource {
    pub(super) fn read(root: &str, files: Files<'_>) -> Result<CrateSource> {
        let mut source = CrateSource::default();
        source.read_file(files, root, None, Path::new(""))?;
        Ok(source)
    }

    fn read_file(
        &mut self,
        files: Files<'_>,
        file: &str,
        parent: Option<usize>,
        below: &Path,
    ) -> Result<usize> {
        let tokens: TokenStream = files(file)?.parse().map_err(|error| anyhow!("{file}: {error}"))?;
        self.files.push(file.to_owned());
        let module = Module { file: self.files.len() - 1, parent, ..Module::default() };
        self.read_module(files, module, tokens, below)
    }

    fn read_module(
        &mut self,
        files: Files<'_>,
        module: Module,
        tokens: TokenStream,
        below: &Path,
    ) -> Result<usize> {
        self.modules.push(module);
        let at = self.modules.len() - 1;
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut children = Vec::new();
        ModuleScanner { module: &mut self.modules[at], children: &mut children }.scan(&tokens, true);
        for (name, body) in children {
            let folder = below.join(&name);
            let child = match body {
                Some(body) => {
                    let file = self.modules[at].file;
                    let module = Module { file, parent: Some(at), ..Module::default() };
                    self.read_module(files, module, body, &folder)?
                }
                None => {
                    let file = below.join(format!("{name}.rs"));
                    self.read_file(files, &file.to_string_lossy(), Some(at), &folder)?
                }
            };
            self.modules[at].children.insert(name, child);
        }
        Ok(at)
    }
}

struct ModuleScanner<'a> {
    module: &'a mut Module,
    children: &'a mut Vec<(String, Option<TokenStream>)>,
}

impl ModuleScanner<'_> {
    fn scan(&mut self, tokens: &[TokenTree], is_top: bool) {
        let mut at = 0;
        let mut is_public = false;
        while let Some(token) = tokens.get(at) {
            let next = tokens.get(at + 1);
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    at = after_attribute(tokens, at);
                    continue;
                }
                TokenTree::Group(group) => {
                    let is_macro = is_top && at > 0 && is_punct(&tokens[at - 1], '!');
                    self.scan(&group.stream().into_iter().collect::<Vec<_>>(), is_macro);
                }
                TokenTree::Ident(word) => {
                    let word = word.to_string();
                    let is_field = at > 0
                        && is_punct(&tokens[at - 1], '.')
                        && !(at > 1 && is_punct(&tokens[at - 2], '.'));
                    match (word.as_str(), next) {
                        ("pub", _) => is_public = true,
                        ("use", Some(TokenTree::Ident(_))) | ("use", Some(TokenTree::Group(_))) => {
                            let end = end_of(tokens, at);
                            self.take_use(&tokens[at + 1..end], &[], is_public);
                            is_public = false;
                            at = end;
                            continue;
                        }
                        ("use", Some(TokenTree::Punct(punct))) if punct.as_char() == ':' => {
                            at = end_of(tokens, at);
                            continue;
                        }
                        ("mod", Some(TokenTree::Ident(name))) if is_top => {
                            let body = match tokens.get(at + 2) {
                                Some(TokenTree::Group(body)) => Some(body.stream()),
                                _ => None,
                            };
                            self.children.push((name.to_string(), body));
                            is_public = false;
                            at += 3;
                            continue;
                        }
                        (
                            "struct" | "enum" | "union" | "trait" | "type" | "fn" | "const" | "static",
                            Some(TokenTree::Ident(name)),
                        ) if is_top => {
                            self.module.definitions.insert(name.to_string());
                            is_public = false;
                            at += 2;
                            continue;
                        }
                        ("macro_rules", _) => {
                            if let Some(TokenTree::Ident(name)) = tokens.get(at + 2) {
                                self.module.definitions.insert(name.to_string());
                                at += 3;
                                continue;
                            }
                        }
                        _ if !is_field => {
                            at = self.take_path(tokens, at);
                            continue;
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn take_path(&mut self, tokens: &[TokenTree], start: usize) -> usize {
        let mut path = Vec::new();
        let mut at = start;
        while let Some(TokenTree::Ident(word)) = tokens.get(at) {
            path.push(word.to_string());
            at += 1;
            if !(is_colons(tokens, at) && matches!(tokens.get(at + 2), Some(TokenTree::Ident(_)))) {
                break;
            }
            at += 2;
        }
        if path.len() > 1 {
            self.module.paths.insert(path);
        } else if let Some(word) = path.pop() {
            let is_called = match tokens.get(at) {
                Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Parenthesis,
                Some(TokenTree::Punct(punct)) => punct.as_char() == '!' || is_colons(tokens, at),
                _ => false,
            };
            if is_called || word.starts_with(char::is_uppercase) {
                self.module.words.insert(word);
            }
        }
        at
    }

    fn take_use(&mut self, tokens: &[TokenTree], prefix: &[String], is_facade: bool) {
        let mut path = prefix.to_vec();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Ident(word) if *word == "as" => {
                    if let Some(TokenTree::Ident(name)) = tokens.get(at + 1) {
                        self.alias(name.to_string(), path, is_facade);
                    }
                    return;
                }
                TokenTree::Ident(word) => path.push(word.to_string()),
                TokenTree::Punct(punct) if punct.as_char() == '*' => {
                    self.module.globs.push(path);
                    return;
                }
                TokenTree::Group(group) => {
                    for part in parts(group) {
                        self.take_use(&part, &path, is_facade);
                    }
                    return;
                }
                _ => {}
            }
            at += 1;
        }
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        if let Some(name) = path.last().cloned() {
            self.alias(name, path, is_facade);
        }
    }

    fn alias(&mut self, name: String, mut path: Vec<String>, is_facade: bool) {
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        self.module.aliases.push(Alias { name, path, is_facade });
    }
}

fn parts(group: &Group) -> Vec<Vec<TokenTree>> {
    let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
    tokens
        .split(|token| is_punct(token, ','))
        .filter(|part| !part.is_empty())
        .map(<[TokenTree]>::to_vec)
        .collect()
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    [at, at + 1].iter().all(|&at| tokens.get(at).is_some_and(|token| is_punct(token, ':')))
}

fn end_of(tokens: &[TokenTree], from: usize) -> usize {
    (from..tokens.len()).find(|&at| is_punct(&tokens[at], ';')).unwrap_or(tokens.len())
}

fn after_attribute(tokens: &[TokenTree], hash: usize) -> usize {
    let is_inner = tokens.get(hash + 1).is_some_and(|token| is_punct(token, '!'));
    let bracket = hash + 1 + usize::from(is_inner);
    let Some(TokenTree::Group(attribute)) = tokens.get(bracket) else { return hash + 1 };
    let mut at = bracket + 1;
    if !is_for_tests(attribute) && !is_elsewhere(attribute) {
        return at;
    }
    if is_inner {
        return tokens.len();
    }
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            TokenTree::Punct(punct) if matches!(punct.as_char(), ';' | ',') => break,
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => break,
            _ => {}
        }
    }
    at
}

fn is_for_tests(attribute: &Group) -> bool {
    let mut tokens = attribute.stream().into_iter();
    let is_cfg = matches!(tokens.next(), Some(TokenTree::Ident(name)) if name == "cfg");
    let Some(TokenTree::Group(condition)) = tokens.next().filter(|_| is_cfg) else { return false };
    let words: Vec<String> = condition.stream().into_iter().map(|token| token.to_string()).collect();
    match words.first().map(String::as_str) {
        Some("test") => true,
        Some("all" | "any") => words.get(1).is_some_and(|inner| {
            inner.trim_start_matches('(').trim_end_matches(')').split(',').any(|word| word.trim() == "test")
        }),
        _ => false,
    }
}

fn is_elsewhere(attribute: &Group) -> bool {
    matches!(attribute.stream().into_iter().next(), Some(TokenTree::Ident(name)) if name == "path")
}
