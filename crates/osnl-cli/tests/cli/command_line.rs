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
    let (code, _, stderr) = run(&["man", "tab"]);
    assert!(
        code == Some(2) && stderr.contains("no page tab") && stderr.contains("did you mean tap"),
        "{stderr}"
    );
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&["completions", shell]);
        assert!(script.contains("k2hr3-osnl") && script.contains("config-file"), "{shell}\n{script}");
    }
}
