//! Answers without a configuration: versions, manual pages, completions. `manners` and
//! `fixtures/errors` test help and usage errors.

use std::path::Path;

use crate::harness::{PROMPTLY, Place};

const OSNL: &str = env!("CARGO_BIN_EXE_osnl");

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let mut osnl = Place::new().run(Path::new(OSNL), args);
    (osnl.wait(PROMPTLY).code(), osnl.stdout(), osnl.stderr())
}

#[test]
fn the_version_is_that_of_the_program_replaced_and_ours() {
    let expected = "k2hr3-osnl 1.0.8\n".to_owned();
    assert_eq!(run(&["k2hr3-osnl", "-v"]), (Some(0), expected, String::new()));
    let ours = format!("osnl {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["-V"]), (Some(0), format!("{ours}\n"), String::new()));
    let kafka = if cfg!(feature = "kafka") { ", kafka" } else { "" };
    let brokers = format!("rabbit{kafka}{}", if cfg!(feature = "amqp1") { ", amqp" } else { "" });
    assert_eq!(run(&["--version"]), (Some(0), format!("{ours} (transports: {brokers})\n"), String::new()));
}

/// The exit codes and outputs of the programs in Python, whose parsers end each of these command lines.
const PARSERS: &str = r#"
import contextlib, io, json, sys
import k2hr3_osnl
from oslo_config import cfg

def k2hr3(args):
    sys.argv = ['k2hr3-osnl', *args]
    k2hr3_osnl.main()

def oss(args):
    cfg.ConfigOpts()(args, project='oss_watcher', prog='oss_watcher', version='1')

def ended(program, args):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            {'k2hr3-osnl': k2hr3, 'oss-watcher': oss}[program](args)
            code = None
        except SystemExit as end:
            code = end.code or 0
    return code, out.getvalue(), err.getvalue()

print(json.dumps([ended(line.split()[0], line.split()[1:]) for line in json.load(sys.stdin)]))
"#;

#[test]
fn flags_end_the_drop_ins_as_argparse_ends_the_programs_replaced() {
    let k2hr3 = "-v | -v x | x -v | x | -v -d bad | -d bad -v | -d debug -v | -d bad | -v -c | -c -v | -vx | -vh | \
        -hv | -v -h | -h x | -h -d bad | -d bad -h | -x -h | -v --nope | --nope -v | --hel -d | \
        --version | --version -v | --config-file= -v | --conf a -v | --conf | -- -v | -v -- x | \
        -c -- -v | -v=1 | --help=1 | -vdbad | -ddebug -v | -dbad -v | -f -v | -c - -v | -c -x -h";
    let oss = "--version x | x --version | --nope -h | x | --version --config-file | --config -h | --vers";
    let of = |program: &str, lines: &str| -> Vec<String> {
        lines.split(" | ").map(|args| format!("{program} {args}")).collect()
    };
    let lines = [of("k2hr3-osnl", k2hr3), of("oss-watcher", oss)].concat();
    let real = osnl_testkit::python(PARSERS, &serde_json::json!(lines).to_string());
    let real: Vec<(Option<i32>, String, String)> = serde_json::from_str(&real).unwrap();
    for (line, real) in lines.iter().zip(real) {
        let ours = run(&line.split(' ').collect::<Vec<_>>());
        let empty = |(_, stdout, stderr): &(_, String, String)| (stdout.is_empty(), stderr.is_empty());
        assert_eq!((ours.0, empty(&ours)), (real.0, empty(&real)), "{line}: {ours:?}, Python {real:?}");
        if real.1.starts_with("k2hr3-osnl") {
            assert_eq!(ours.1, real.1, "{line}");
        }
    }
}

#[test]
fn help_and_version_are_understood_as_words() {
    for (words, flags) in [
        (&["help"][..], &["--help"][..]),
        (&["help", "deliveries", "list"], &["deliveries", "list", "--help"]),
        (&["version"], &["--version"]),
        (&["-v"], &["-V"]),
    ] {
        assert_eq!(run(words), run(flags), "{words:?}");
        assert_eq!(run(words).0, Some(0), "{words:?}");
    }
}

#[test]
fn manual_pages_and_completions_come_from_the_flags() {
    let stdout = |args: &[&str]| {
        let (code, stdout, stderr) = run(args);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}");
        stdout
    };
    let page = stdout(&["man"]);
    for part in [".TH osnl 1", "config", "demo", ".SH EXIT STATUS", ".SH SIGNALS"] {
        assert!(page.contains(part), "{part} in\n{page}");
    }
    let page = stdout(&["man", "k2hr3-osnl"]);
    for part in [".TH k2hr3-osnl 1", "config\\-file", "/etc/k2hr3/k2hr3_osnl.conf", ".SH ENVIRONMENT"] {
        assert!(page.contains(part), "{part} in\n{page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&["completions", shell]);
        assert!(script.contains("k2hr3-osnl") && script.contains("config-file"), "{shell}\n{script}");
    }
}
