//! The `osnl` command. Under the names `k2hr3_osnl` and `k2hr3-osnl`, `oss_watcher` and `oss-watcher` it
//! takes those programs' flags.

mod app;
mod args;
mod command;
mod exit;
mod logging;
mod output;
mod terminal;

use std::process::ExitCode;

fn main() -> ExitCode {
    match args::parse(std::env::args_os()) {
        args::Invocation::K2hr3Osnl(flags) => command::k2hr3_osnl::run(&flags),
        args::Invocation::OssWatcher(flags) => command::oss_watcher::run(&flags),
        args::Invocation::Demo(flags) => command::demo::run(&flags),
        args::Invocation::Run(flags) => command::run::run(&flags),
        args::Invocation::Check(flags) => command::check::run(&flags),
        args::Invocation::Send(flags) => command::send::run(&flags),
        args::Invocation::Tap(flags) => command::tap::run(&flags),
        args::Invocation::Status(flags) => command::status::run(&flags),
        args::Invocation::Reload(flags) => command::reload::run(&flags),
        args::Invocation::Deliveries(flags) => command::deliveries::run(&flags),
        args::Invocation::Quarantine(flags) => command::quarantine::run(&flags),
        args::Invocation::Explain(flags) => command::explain::run(&flags),
        args::Invocation::Test(flags) => command::test::run(&flags),
        args::Invocation::Replay(flags) => command::replay::run(&flags),
        args::Invocation::ConfigShow(flags) => command::config::show(&flags),
        args::Invocation::Events(flags) => command::events::run(&flags),
        args::Invocation::ConfigReference(flags) => command::config::reference(&flags),
        args::Invocation::Man(flags) => command::man::man(&flags),
        args::Invocation::Completions(flags) => command::man::completions(&flags),
    }
    .into()
}
