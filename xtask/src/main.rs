//! `cargo xtask`: everything that is done to this repository, in one place and in Rust.
//!
//! | command | what it does |
//! | --- | --- |
//! | `setup` | brings what the tests need: RabbitMQ by package, a Python environment under `target/` |
//! | `test --kafka [ARGS…]` | the tests on Kafka, against the mock cluster of its client library and against tansu |
//! | `test --postgresql [ARGS…]` | the tests of the program with a journal that daemons share, on a private PostgreSQL |
//! | `test --cloud [ARGS…]` | the tests against Keystone, Neutron and Ironic from PyPI, on SQLite and loopback |
//! | `test [--broker 4] [ARGS…]` | `setup`, a private RabbitMQ node, `cargo test --workspace --locked ARGS…`, the count of tests |
//! | `ci` | the gate: format, lints, `test`, docs, `tidy`, `deny` |
//! | `tidy [--graph]` | the rules about files that no compiler checks, imports and English among them |
//! | `deny` | licences, duplicate versions and origins of the dependencies, by cargo-deny, offline |
//! | `advisories` | what is known against the dependencies, and as of which date; needs the network |
//! | `docs [--html] [--pages]` | writes the pages of `docs/reference` that are made from the code; or the book as HTML, or pictures for it |
//! | `chaos --cluster` | a RabbitMQ cluster whose nodes are killed under a running osnl: effects against events |
//! | `chaos --shared [--minutes N] [--seed S] [--other PATH]` | four daemons on a PostgreSQL with a standby, everything around them broken: effects and records against events |
//! | `fuzz [--minutes N] [TARGET…]` | gives every reader malformed inputs, and saves those that break something |
//! | `soak [--minutes N] [--seed S] [--huge N]` | hostile messages among normal ones, at the end `N` of 128 MiB, under a bound of memory: every normal one has its effect in time |
//! | `package deb\|rpm\|wheel\|lint\|test\|wheel-test\|systemd-test\|ansible-test` | packages for Debian, RPM distributions, and Python; what lintian says; tries in fresh places |
//! | `release X.Y.Z [--sign KEY] [--dry-run]` | changelog, versions, packages built twice, bill of materials, checksums |
//! | `catalogue` | writes what the binary knows about notifications, from `fixtures/emission` |
//! | `bench [--quick] [a b c d]` | what a message costs, as a table: see docs/benchmarks.md |
//! | `chaos [--minutes N] [--seed S] [--alone] [--plain] [--upstream]` | kills and breaks everything while events come, and counts what is lost |
//!
//! Exit status: 0 done, 1 failed, 2 usage; `test` ends with the status of `cargo test`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool: its output is its purpose"
)]

mod bench;
mod catalogue;
mod chaos;
mod ci;
mod debian;
mod deny;
mod docs;
mod fuzz;
mod package;
mod release;
mod setup;
mod soak;
mod step;
mod test;
mod tidy;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  setup          bring what the tests need: RabbitMQ by package, a Python environment under target/
  test [ARGS…]   setup, start a private broker, run `cargo test --workspace --locked ARGS…`;
                 with --broker 4 what needs a broker, against RabbitMQ 4 in a root directory of Debian trixie;
                 with --kafka those on Kafka, against its client library's mock cluster and tansu;
                 with --postgresql those of the program with a journal that daemons share;
                 with --cloud the tests against Keystone, Neutron, and Ironic from PyPI
  ci             the gate: format, clippy, test, docs, tidy, deny
  tidy [--graph] check the rules about files that no compiler checks; with --graph print imports and the budget's rows
  deny           check licences, duplicate versions and origins of the dependencies, offline
  advisories     check the dependencies against the RustSec database, and print its date
  docs           write the pages of docs/reference from the code
  docs --html    build the book as HTML into target/book, with mdBook
  docs --pages   take pictures of the admin page for the book, in Chromium
  chaos [--minutes N] [--seed S] [--alone] [--plain] [--upstream] | --cluster
                 kill and break everything while events come, and count what is lost
  chaos --shared [--minutes N] [--seed S] [--other PATH]
                 the same of four daemons on one PostgreSQL, and of the database
  fuzz [--minutes N] [TARGET…]
                 give every reader inputs that nobody meant, and save those that break something
  soak [--minutes N] [--seed S] [--huge N]
                 send hostile messages among normal ones to a daemon with bounded memory, and time the normal ones
  package deb|rpm|wheel|lint
                 make the packages of the release build in target/package; lint asks lintian
  package test [--suite trixie] [--release]
                 install, upgrade, remove, and purge them in a fresh root directory of Debian
  package wheel-test [--python PROGRAM] [--release]
                 install the wheels in a fresh environment of Python, and run the manual of k2hr3_osnl there
  package systemd-test, package ansible-test [--suite trixie]
                 the same under a systemd of its own; and the role of packaging/ansible there
  release X.Y.Z [--sign KEY] [--dry-run]
                 gather the changelog, set versions, build packages twice, and write checksums; tags nothing
  catalogue      write crates/osnl-model/data from fixtures/emission
  bench [a b …]  measure what a message costs; --quick for a short run, --full for a long one (docs/benchmarks.md)

Example: cargo xtask test -p osnl-testkit sink";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_else(|| "--help".to_owned());
    let rest: Vec<String> = args.collect();
    let takes_arguments =
        ["test", "bench", "ci", "chaos", "docs", "fuzz", "package", "release", "soak", "tidy"]
            .contains(&command.as_str());
    if !takes_arguments && !rest.is_empty() {
        eprintln!("xtask: `{command}` takes no arguments: {}\n\n{HELP}", rest.join(" "));
        return ExitCode::from(2);
    }

    let result = match command.as_str() {
        "setup" => setup::all().map(|()| ExitCode::SUCCESS),
        "test" => test::run(&rest),
        "ci" => ci::run(&rest),
        "tidy" => tidy::run(&rest),
        "deny" => deny::run(),
        "advisories" => deny::advisories(),
        "docs" => docs::run(&rest),
        "catalogue" => catalogue::run(),
        "bench" => bench::run(&rest),
        "chaos" => chaos::run(&rest),
        "fuzz" => fuzz::run(&rest),
        "soak" => soak::run(&rest),
        "package" => package::run(&rest),
        "release" => release::run(&rest),
        "help" | "-h" | "--help" => {
            println!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        unknown => {
            eprintln!("xtask: no command `{unknown}`\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("xtask {command}: {error:#}");
        ExitCode::FAILURE
    })
}
