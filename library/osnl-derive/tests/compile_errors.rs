//! Declarations that do not compile, with the compiler's messages. They are grouped, because each file costs
//! a run of the compiler.
//!
//! After a change of the wording: `TRYBUILD=overwrite cargo test -p osnl-derive`, and read the difference.

#[test]
fn errors_read_like_advice() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/attributes.rs");
    cases.compile_fail("tests/ui/schema.rs");
    cases.compile_fail("tests/ui/since.rs");
    cases.compile_fail("tests/ui/types.rs");
}
