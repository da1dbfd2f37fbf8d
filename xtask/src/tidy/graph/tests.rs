use super::*;

fn graph(files: &[(&str, &str)]) -> Graph {
    Graph::from_files(files[0].0, &|wanted| {
        let file = files.iter().find(|(name, _)| *name == wanted);
        Ok(file.with_context(|| format!("no {wanted}"))?.1.to_owned())
    })
    .unwrap()
}

fn imports(files: &[(&str, &str)]) -> Vec<String> {
    let graph = graph(files);
    graph.imports.keys().map(|&arrow| graph.line(arrow)).collect()
}

#[test]
fn every_form_of_import_leads_to_the_defining_file() {
    let check = |user: &str, expected: &[&str]| {
        let files = [
            ("lib.rs", "mod user; mod room; pub use room::Deep as Alias;"),
            ("user.rs", user),
            (
                "room.rs",
                "mod deep; pub use self::deep::{Deep, go, Kind}; pub(crate) fn near() {} struct Own;",
            ),
            (
                "room/deep.rs",
                "pub struct Deep; pub fn go() {} pub enum Kind { One } macro_rules! act { () => {} } pub(crate) use act;",
            ),
        ];
        assert_eq!(imports(&files), expected, "{user}");
    };
    check("use crate::room::Deep;", &["user.rs -> room/deep.rs: Deep"]);
    check("use crate::Alias;", &["user.rs -> room/deep.rs: Deep"]);
    check("use super::room::{self, near};", &["user.rs -> room.rs: near"]);
    check("use crate::room; fn f() { room::go(); }", &["user.rs -> room/deep.rs: go"]);
    check("use crate::room as place; fn f() { place::near() }", &["user.rs -> room.rs: near"]);
    check("fn f() { crate::room::near(); x.near() }", &["user.rs -> room.rs: near"]);
    check("fn f(k: u8) { use crate::room::Kind; }", &["user.rs -> room/deep.rs: Kind"]);
    check("fn f() { crate::room::Kind::One; }", &["user.rs -> room/deep.rs: Kind"]);
    check("use super::room::*; fn f() { near() }", &["user.rs -> room.rs: near"]);
    check("macro_rules! m { () => { $crate::room::near() } }", &["user.rs -> room.rs: near"]);
    check("say! { crate::room::Own }", &["user.rs -> room.rs: Own"]);
    check("mod inner { use super::super::room::Own; }", &["user.rs -> room.rs: Own"]);
    check("pub(crate) use crate::room::Own;", &[]);
    check("pub(crate) use crate::room::Own; fn f(_: Own) {}", &["user.rs -> room.rs: Own"]);
    check("use crate::room;", &[]);
    check("use std::room::Own; /// [`crate::room::Own`]\nfn f() {}", &[]);
    check("#[cfg(test)] mod tests { use crate::room::Own; }", &[]);
    check("#[cfg(any(test, feature = \"x\"))] mod tests { use crate::room::Own; }", &[]);
    check("#[cfg(not(test))] mod real { use crate::room::Own; }", &["user.rs -> room.rs: Own"]);
    check("#[cfg(test)] mod tests; use crate::room::Own;", &["user.rs -> room.rs: Own"]);
}

#[test]
fn cycles_of_rooms_are_refused_at_every_level() {
    let check = |files: &[(&str, &str)], expected: &[&[&str]]| {
        let graph = graph(files);
        let cycles: Vec<Vec<String>> = graph.cycles().into_iter().map(|cycle| cycle.rooms).collect();
        assert_eq!(cycles, expected, "{files:?}");
    };
    let two = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "use crate::a::A; pub struct B;"),
    ];
    check(&two, &[&["a", "b"]]);
    let family = [
        ("lib.rs", "mod a;"),
        ("a.rs", "mod b; mod c; use b::B; pub struct A;"),
        ("a/b.rs", "use super::A; use super::c::C; pub struct B;"),
        ("a/c.rs", "use super::A; pub struct C;"),
    ];
    check(&family, &[]);
    let ring = |last| {
        [
            ("lib.rs", "mod a; use a::X; pub struct L;"),
            ("a.rs", "mod b; mod c; mod d; mod e; pub struct X(crate::L);"),
            ("a/b.rs", "use super::c::C; pub struct B;"),
            ("a/c.rs", "use super::d::D; pub struct C;"),
            ("a/d.rs", last),
            ("a/e.rs", "use super::b::B; pub struct E;"),
        ]
    };
    check(&ring("pub struct D;"), &[]);
    check(&ring("use super::b::B; pub struct D;"), &[&["a/b", "a/c", "a/d"]]);
    check(&ring("use super::e::E; pub struct D;"), &[&["a/b", "a/c", "a/d", "a/e"]]);
    check(&[("lib.rs", "mod a; mod b;"), two[1], ("b.rs", "pub struct B;")], &[]);
    // No file is in a cycle, but the two rooms are.
    let rooms = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "mod c; use crate::b::d::D;"),
        ("a/c.rs", "pub struct C;"),
        ("b.rs", "pub mod d; use crate::a::c::C;"),
        ("b/d.rs", "pub struct D;"),
    ];
    check(&rooms, &[&["a", "b"]]);
}

#[test]
fn the_order_of_the_root_is_held() {
    let check = |order: &str, upward: &[&str], misplaced: &[&str]| {
        let root = format!("//! A crate.\n//!\n{order}\nmod a; mod b;");
        let files = [("lib.rs", root.as_str()), ("a.rs", "use crate::b::B;"), ("b.rs", "pub struct B;")];
        let graph = graph(&files);
        assert_eq!(graph.upward(), upward, "{order}");
        assert_eq!(graph.misplaced(), misplaced, "{order}");
    };
    check("//! Order, lowest first: `a`, `b`.", &["a.rs -> b.rs: B"], &[]);
    check("//! Order, lowest first:\n//! `b`,\n//! `a`.\n//!\n//! And `c`.", &[], &[]);
    check("//! Order, lowest first: `b`, `c`.", &[], &["a", "c"]);
    check("//! No order of `a` or `b`.", &[], &[]);
}
