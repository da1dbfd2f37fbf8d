//! `cargo xtask`: all tasks for this repository, in Rust.
//!
//! `cargo xtask help` lists the commands; the module of each describes it. CONTRIBUTING.md lists the commands by
//! purpose.
//!
//! Exit status: 0 done, 1 failed, 2 usage; `test` ends with the status of the runner.
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
mod publish;
mod release;
mod setup;
mod simulate;
mod soak;
mod spine;
mod stage;
mod step;
mod test;
mod tidy;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  setup                    bring what the tests need: RabbitMQ, Chromium, a Python environment
  test [ARGS…]             run the tests with a private broker; ARGS as of `cargo test`, and --runner libtest|nextest
  test --doc               run the examples in documentation comments
  test --broker 4|4.3      run what needs a broker, against a newer RabbitMQ in a root directory of Debian
  test --kafka|--mock-kafka|--library|--cloud|--spine [ARGS…]
                           run the tests on Kafka; of library/; against Keystone, Neutron, Ironic
  ci                       the gate: all that must hold before a change lands
  ci --long [PART…]        the parts that take too long for the gate, recorded in docs/long-runs.toml
  tidy [--graph]           check files by rules that no compiler has; print imports and the budget's rows
  deny, advisories         check dependencies: licences and origins, offline; known vulnerabilities
  docs [--html|--pages]    write docs/reference; build the book; take pictures of the admin page for it
  catalogue                write crates/osnl-model/data from fixtures/emission
  package KIND [OPTIONS]   make and try packages: see CONTRIBUTING.md
  package release [--sign KEY]
                           make all files of a release from a clean tree, with checksums and a bill of materials
  release X.Y.Z [--dry-run]
                           prepare the commit of a release: gather the changelog, set versions
  publish --repository URL [OPTIONS] [--dry-run] | --check
                           write the addresses of the project to all places; print what they have
  bench [SECTION…] [--quick|--full] [--against PATH]
                           measure what a message costs (docs/benchmarks.md)
  fuzz [--minutes N] [TARGET…]
                           give every reader malformed inputs, and save those that break something
  simulate [--seed N] [--seeds N] [--minutes M] [--from N] | --faults [NAME...]
                           play stories under a seed: kills, losses, outages in one thread; or find planted faults
  soak [--minutes N] [--seed S] [--huge N]
                           send hostile messages among normal ones to a daemon with bounded memory
  stage night [--events N] [--plain]
                           start a daemon with eight faults, for a look at page and terminal; Ctrl-C ends it
  chaos [--minutes N] [--seed S] [--alone] [--plain] [--upstream] | --cluster
  chaos --standby|--outage […]
                           kill and break everything while events come, and count what is lost

Example: cargo xtask test -p osnl-testkit sink";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_else(|| "--help".to_owned());
    let rest: Vec<String> = args.collect();
    let takes_arguments = [
        "test", "bench", "ci", "chaos", "docs", "fuzz", "package", "publish", "release", "simulate", "soak",
        "stage", "tidy",
    ]
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
        "simulate" => simulate::run(&rest),
        "soak" => soak::run(&rest),
        "package" => package::run(&rest),
        "publish" => publish::run(&rest),
        "stage" => stage::run(&rest),
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
