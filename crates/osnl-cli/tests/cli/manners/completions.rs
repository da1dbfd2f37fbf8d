use std::path::Path;
use std::process::{Command, Stdio};

use super::OSNL;
use super::tree;
use crate::harness::Place;

fn offered(place: &Place, program: &str, words: &[&str]) -> Vec<String> {
    all_offered(place, program, &[words.to_vec()]).remove(0)
}

/// Completes several lines in one bash, since reading the script takes most of its time.
fn all_offered(place: &Place, program: &str, lines: &[Vec<&str>]) -> Vec<Vec<String>> {
    let script = r#"
        source "$1" || exit 1
        program=$2
        shift 2
        complete -p "$program" >/dev/null || exit 1
        function=$(complete -p "$program" | sed 's/.*-F \([^ ]*\).*/\1/')
        COMP_WORDS=("$program")
        for word; do
            if [ "$word" != END ]; then
                COMP_WORDS+=("$word")
                continue
            fi
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            COMP_LINE="${COMP_WORDS[*]}"
            COMP_POINT=${#COMP_LINE}
            COMPREPLY=()
            "$function" "$program" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" 2>/dev/null
            printf '%s\n' "${COMPREPLY[@]}" END
            COMP_WORDS=("$program")
        done
    "#;
    let scripts = place.path("scripts");
    let file = scripts.join(format!("{program}.bash"));
    if !file.exists() {
        std::fs::create_dir_all(scripts).unwrap();
        let script = completions("bash", program);
        std::fs::write(&file, script).unwrap();
    }
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script, "bash"]).arg(&file).arg(program);
    for words in lines {
        bash.args(words).arg("END");
    }
    let path = std::env::var("PATH").unwrap_or_default();
    bash.env("PATH", format!("{}:{path}", Path::new(OSNL).parent().unwrap().display()));
    let output = bash.current_dir(place.path("")).stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{program} {lines:?}: {stderr}");
    let text = String::from_utf8(output.stdout).unwrap();
    let told: Vec<&str> = text.lines().collect();
    let told = told.split(|line| *line == "END").take(lines.len());
    let found: Vec<Vec<String>> = told
        .map(|offers| {
            let mut found: Vec<String> =
                offers.iter().filter(|line| !line.is_empty()).map(|line| (*line).to_owned()).collect();
            found.sort();
            found
        })
        .collect();
    assert_eq!(found.len(), lines.len(), "{text}");
    found
}

fn completions(shell: &str, program: &str) -> String {
    let output = Command::new(OSNL).args(["completions", shell, "--program", program]).output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]), "{shell} {program}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_offers_commands_options_values_and_files() {
    let place = Place::new();
    for name in ["a.conf", "a b.conf", "b.jsonl"] {
        place.write(name, "");
    }
    std::fs::create_dir(place.path("conf.d")).unwrap();
    let check = |words: &[&str], expected: &[&str]| {
        assert_eq!(offered(&place, "osnl", words), expected, "osnl {words:?}");
    };
    check(&["dem"], &["demo"]);
    check(&["re"], &["reload", "replay"]);
    check(&["deliveries", "re"], &["release", "retry"]);
    check(&["config", "s"], &["show"]);
    check(&["status", "--st"], &["--state-dir"]);
    check(&["deliveries", "retry", "--out"], &["--out-of-order"]);
    check(&["check", "--format", ""], &["json", "text"]);
    check(&["test", "--format", "j"], &["json", "junit"]);
    check(&["man", "--format", "m"], &["markdown"]);
    check(&["completions", "z"], &["zsh"]);
    check(&["explain", "--state", "de"], &["dead", "delivered"]);
    check(&["deliveries", "retry", "--state", ""], &["dead"]);
    check(&["deliveries", "release", "--state", ""], &["waiting-for-release"]);
    check(&["run", "-c", "a"], &["a b.conf", "a.conf"]);
    check(&["status", "--config-file", "a.c"], &["a.conf"]);
    check(&["tap", "--save", "b"], &["b.jsonl"]);
    // No file is a rule's name, a number or a time.
    for words in
        [&["explain", "--rule", "a"][..], &["tap", "-n", "a"], &["deliveries", "list", "--since", "a"]]
    {
        check(words, &["a"]);
    }
}

#[test]
fn bash_offers_names_of_the_configuration_and_the_journal() {
    let rig = super::rig::Rig::start("completions");
    let check = |words: &[&str], expected: &[&str]| {
        assert_eq!(offered(&rig.place, "osnl", words), expected, "osnl {words:?}");
    };
    check(&["actions", "pause", "-c", "a.conf", "ro"], &["roles"]);
    check(&["actions", "-c"], &[]);
    check(&["actions", "probe", "-c", "a.conf", ""], &["audit", "cmdb", "roles"]);
    check(&["explain", "--config-file=a.conf", "--rule", ""], &["forget-ports", "new-ports", "tell"]);
    // bash splits a word at `=`.
    check(&["explain", "--config-file", "=", "a.conf", "--rule", "=", "te"], &["tell"]);
    check(
        &["explain", "--config-file", "=", "'a.conf'", "--rule", "="],
        &["forget-ports", "new-ports", "tell"],
    );
    check(&["tap", "-c", "a.conf", "--listener", "neu"], &["neutron"]);
    check(&["deliveries", "list", "-c", "a.conf", "--action", "ro"], &["roles"]);
    check(&["deliveries", "move", "-c", "a.conf", "--to", "au"], &["audit"]);
    check(&["deliveries", "retry", "-c", "a.conf", ""], &["1.0"]);
    check(&["deliveries", "show", "-c", "a.conf", "--", "1"], &["1.0", "1.1"]);
    check(&["deliveries", "show", "--state-dir", "state", "1."], &["1.0", "1.1"]);
    check(&["quarantine", "show", "-c", "a.conf", "2"], &["2"]);
    check(&["journal", "backup", "-c", "a.conf", "eve"], &[]);
    rig.place.write("wrong.conf", "[action:x]\ndriver = none\n");
    for conf in ["none.conf", "wrong.conf"] {
        check(&["actions", "pause", "-c", conf, "ro"], &[]);
    }
}

#[test]
fn bash_offers_all_that_there_is() {
    let place = Place::new();
    let lines = |last: &'static str| -> Vec<Vec<&'static str>> {
        tree::all().iter().map(|node| [&node.words()[..], &[last]].concat()).collect()
    };
    let all_commands = all_offered(&place, "osnl", &lines(""));
    let all_options = all_offered(&place, "osnl", &lines("-"));
    for ((node, commands), options) in tree::all().iter().zip(all_commands).zip(all_options) {
        for name in &node.below {
            assert!(commands.contains(name), "osnl {} offers {commands:?}, not {name}", node.name);
        }
        for option in node.options() {
            assert!(
                options.iter().any(|offered| offered == option),
                "osnl {}: {option} in {options:?}",
                node.name
            );
        }
    }
}

#[test]
fn other_names_have_scripts_of_their_own() {
    let place = Place::new();
    place.write("k.conf", "");
    for name in ["k2hr3-osnl", "k2hr3_osnl"] {
        assert_eq!(offered(&place, name, &["--conf"]), ["--config-file"]);
        assert_eq!(offered(&place, name, &["-c", "k"]), ["k.conf"]);
        assert_eq!(offered(&place, name, &["-d", "d"]), ["debug"]);
    }
    for name in ["oss-watcher", "oss_watcher"] {
        assert_eq!(offered(&place, name, &["--config-f"]), ["--config-file"]);
        for shell in ["zsh", "fish", "bash"] {
            assert!(completions(shell, name).contains(name), "{shell} {name}");
        }
    }
}
