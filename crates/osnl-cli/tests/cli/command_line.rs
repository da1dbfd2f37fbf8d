//! What is answered without a configuration: version, help, usage errors.

use std::path::Path;

use crate::harness::{PROMPTLY, Place};

const OSNL: &str = env!("CARGO_BIN_EXE_osnl");

/// Status, standard output, standard error.
fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let mut osnl = Place::new().run(Path::new(OSNL), args);
    (osnl.wait(PROMPTLY).code(), osnl.stdout(), osnl.stderr())
}

#[test]
fn the_version_is_that_of_the_program_replaced_and_ours() {
    let expected = format!("k2hr3-osnl 1.0.8 (osnl {})\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["k2hr3-osnl", "-v"]), (Some(0), expected, String::new()));
    let ours = format!("osnl {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["--version"]), (Some(0), ours, String::new()));
}

#[test]
fn help_goes_to_standard_output_and_names_what_there_is() {
    let check = |args: &[&str], expected: &[&str]| {
        let (code, stdout, stderr) = run(args);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}");
        for word in expected {
            assert!(stdout.contains(word), "{args:?} lacks {word}\n{stdout}");
        }
        stdout
    };
    let flags = ["-c, --config-file <FILE>", "-d <LEVEL>", "-l <LEVEL>", "-f <FILE>", "-v", "-h, --help"];
    for args in [["k2hr3-osnl", "-h"], ["k2hr3-osnl", "--help"], ["k2hr3_osnl", "--help"]] {
        check(&args, &flags);
        check(&args, &["Usage: ", "Example:\n  k2hr3-osnl -c /etc/k2hr3/k2hr3-osnl.conf", "critical"]);
    }
    for flag in ["--help", "-h"] {
        check(&[flag], &["Usage: osnl <COMMAND>", "Examples:\n  osnl ", "k2hr3-osnl", "demo"]);
    }
}

#[test]
fn a_usage_error_is_2_and_says_what_and_where_to_look() {
    let check = |args: &[&str], expected: &[&str]| {
        let (code, stdout, stderr) = run(args);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{args:?}");
        for word in expected {
            assert!(stderr.contains(word), "{args:?} lacks {word}\n{stderr}");
        }
    };
    const LEGACY: &str = "Usage: osnl k2hr3-osnl";
    check(&["--nonsense"], &["unexpected argument '--nonsense'", "Usage: osnl", "--help"]);
    check(&["k2hr3-osnl", "--nonsense"], &["unexpected argument '--nonsense'", LEGACY, "--help"]);
    check(&["k2hr3-osnl", "--version"], &["unexpected argument '--version'", LEGACY]);
    check(&["k2hr3-osnl", "k.conf"], &["unexpected argument 'k.conf'", LEGACY]);
    check(&["k2hr3-osnl", "-x"], &["unexpected argument '-x'", LEGACY]);
    check(&["k2hr3-osnl", "-c"], &["a value is required for '--config-file <FILE>'", "--help"]);
    check(&["k2hr3-osnl", "-f", ""], &["a value is required for '-f <FILE>'", "--help"]);
    check(&["k2hr3-osnl", "-d", "loud"], &["'loud' for '-d <LEVEL>'", "debug, info, warn, error, critical"]);
    check(
        &["k2hr3-osnl", "-l", "DEBUG"],
        &["'DEBUG' for '-l <LEVEL>'", "debug, info, warn, error, critical"],
    );
    check(&["nonsense"], &["unrecognized subcommand 'nonsense'", "Usage: osnl", "--help"]);
    check(&[], &["Usage: osnl <COMMAND>", "Examples:"]);
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
