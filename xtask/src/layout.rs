//! `layout`: writes `crates/osnl-cli/layout.ld`, by which the linker puts the functions that every daemon runs beside
//! each other.
//!
//! A release build is linked with a map of its sections, and runs under valgrind's callgrind from its start to its end,
//! in several [kinds of operation](DAEMONS). Each function has a section of its own; those of the functions that ran are
//! written down: first what all daemons need, so that each has little else resident.
//!
//! A name in the script has no hash where it can, so that it outlives other versions of osnl, its dependencies, and the
//! compiler. Where too many functions share such a name, the crate stands beside it, or the hash stays: generic functions
//! have the same name for all types. To be run again when `package test --release` says that the daemon has become large.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use osnl_testkit::{Broker, Reply, RestartableProgram, Sink, Vhost, wait_until};

use crate::{package, setup, step};

/// valgrind takes fifty times as long.
const SOON: Duration = Duration::from_secs(120);

/// The least parts of the bytes that a pattern finds which are used, in percent: by the name, by crate and name.
const USED: [u64; 2] = [80, 50];

/// The time in which a daemon has done what it repeats.
const REPEATED: Duration = Duration::from_secs(5);

/// The sections of what runs before `main`, which callgrind does not name.
const ENTRIES: [&str; 2] = ["*crt1.o(.text)", "*crtbegin*.o(.text)"];

/// Configurations of daemons, behind their listener on the exchange `nova`.
const DAEMONS: [&str; 4] = [
    "declare = create\n\
     [rule:all]\nevent_type = ^compute\\.\nactions = web, file\n\
     [action:web]\ndriver = http\nmethod = PUT\nurl = TARGET/hosts/{{ payload.instance_id }}\n\
     [action:file]\ndriver = file\npath = FOLDER/events.jsonl\n",
    "declare = create\n\
     [rule:gone]\nevent_type = ^compute\\.instance\\.delete\\.end$\npublisher_id = ^.*$\nactions = roles\n\
     [action:roles]\ndriver = k2hr3\napi_url = TARGET/v1/role\n",
    "declare = create\n\
     [admin]\nlisten = unix:FOLDER/admin.socket\n\
     [rule:all]\nevent_type = ^(compute|port)\\.\nwhen = payload.instance_id != \"\"\nactions = program, web\n\
     [action:program]\ndriver = exec\ncommand = /bin/true\n\
     [action:web]\ndriver = http\nurl = TARGET/events\n",
    UNBOUND,
];

/// As before a service has declared its exchange: nothing can be sent.
const UNBOUND: &str = "[rule:gone]\nevent_type = ^port\\.delete\\.end$\nactions = roles\n\
     [action:roles]\ndriver = k2hr3\napi_url = TARGET/v1/role\n";

/// A section of an object, and where it is in the program.
#[derive(Debug, PartialEq, Eq)]
struct MappedSection {
    address: u64,
    size: u64,
    /// The path of the object, with `(MEMBER)` behind that of a library.
    object: String,
    name: String,
}

/// The lines of the script: patterns, and in how many runs at most a section of each was used.
type LayoutLines = BTreeMap<String, u32>;

/// Builds, runs, and writes.
pub(crate) fn run() -> Result<ExitCode> {
    setup::broker_only()?;
    setup::kafka()?;
    setup::valgrind()?;
    let folder = step::target_dir().join("layout");
    let _ = fs::remove_dir_all(&folder);
    let broker = Broker::start();
    let mut lines = LayoutLines::new();
    for (name, features) in [("default", ""), ("all", package::FEATURES)] {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        // A name that no build has had: with the same arguments, cargo would not link again.
        let map = folder.join(format!("{}.map", std::process::id()));
        let mut build = step::cargo();
        build.args(["rustc", "--release", "--locked", "-p", "osnl-cli", "--bin", "osnl"]);
        build.args(["--features", features, "--", "-C"]);
        build.arg(format!("link-arg=-Wl,-Map={}", map.display()));
        step::run(build.stdin(Stdio::null()))?;
        let program = step::target_dir().join("release/osnl");
        let sections = sections(&fs::read_to_string(&map)?);
        ensure!(!sections.is_empty(), "{} is not a map of LLD", map.display());
        let symbols = step::output(Command::new("nm").arg("--defined-only").arg(&program))?;
        let mut runs = BTreeMap::<u64, u32>::new();
        for (number, daemon) in DAEMONS.iter().enumerate() {
            let folder = folder.join(number.to_string());
            fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
            let profile = profile(&program, &folder, daemon, &broker.vhost(&format!("{name}-{number}")))?;
            let addresses = addresses(&symbols, &functions(&fs::read_to_string(profile)?));
            ensure!(!addresses.is_empty(), "{} has no symbol that callgrind names", program.display());
            for section in used(&sections, &addresses) {
                *runs.entry(section).or_default() += 1;
            }
        }
        println!("layout: {} functions ran, {name} features", runs.len());
        add(&mut lines, &sections, &runs);
    }
    let path = step::root().join("crates/osnl-cli/layout.ld");
    fs::write(&path, script(&lines)).with_context(|| path.display().to_string())?;
    println!("layout: {} lines in {}", lines.len(), path.display());
    Ok(ExitCode::SUCCESS)
}

/// Runs a daemon from its start to its end, and returns the file that callgrind has written.
fn profile(program: &Path, folder: &Path, behind: &str, vhost: &Vhost) -> Result<PathBuf> {
    let sink = Sink::start();
    sink.reply_with(Reply::Status(204));
    let (file, profile) = (folder.join("osnl.conf"), folder.join("callgrind.out"));
    let text = format!(
        "[DEFAULT]\nstate_dir = FOLDER/state\nlog_file = FOLDER/log\n[journal]\nallow_volatile = true\n\
         [listener:nova]\ntransport_url = {}\nexchange = nova\npool = layout\n{behind}",
        vhost.url()
    );
    fs::write(&file, text.replace("FOLDER", &folder.display().to_string()).replace("TARGET", &sink.url("")))?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--demangle=no"]);
    command.arg(format!("--callgrind-out-file={}", profile.display())).arg(program).args(["run", "-c"]);
    command.arg(&file);
    let mut daemon = RestartableProgram::start(command);
    let listens = || vhost.list_queues().iter().any(|queue| queue.name == "layout" && queue.consumers > 0);
    wait_until(SOON, "the queue to be consumed", listens);
    if behind != UNBOUND {
        let mut send = Command::new(program);
        send.args(["send", "--transport-url", &vhost.url(), "--exchange", "nova"]);
        send.args(["--event-type", "compute.instance.delete.end"]);
        send.args(["--payload", r#"{"instance_id": "5a2fe3b4-7d5f-4f2c-9a5e-0d3bb1f2a3c4"}"#]);
        step::run(send.stdin(Stdio::null()).stdout(Stdio::null()))?;
        sink.wait_for(1, SOON);
    }
    let mut status = Command::new(program);
    // Its exit status says what needs attention.
    status.args(["status", "-c"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    std::thread::park_timeout(REPEATED);
    daemon.signal("TERM");
    let ended = daemon.wait(SOON);
    ensure!(ended.success(), "the daemon ended with {ended}:\n{}", daemon.output());
    Ok(profile)
}

/// The names of functions in what callgrind writes: `fn=(ID) NAME`, and `cfn=` for one that is called.
fn functions(profile: &str) -> HashSet<&str> {
    let named = profile.lines().filter_map(|line| {
        let (_, name) = line.strip_prefix("cfn=(").or(line.strip_prefix("fn=("))?.split_once(") ")?;
        // A function that calls itself has a number behind it.
        name.split('\'').next()
    });
    named.collect()
}

/// The addresses of functions in what `nm` prints. Functions that are the same have one, by several names.
fn addresses(symbols: &str, names: &HashSet<&str>) -> BTreeSet<u64> {
    let address = |line: &str| {
        let mut words = line.split(' ');
        let (address, kind, name) = (words.next()?, words.next()?, words.next()?);
        (matches!(kind, "t" | "T" | "w" | "W") && names.contains(name))
            .then(|| u64::from_str_radix(address, 16).ok())?
    };
    symbols.lines().filter_map(address).collect()
}

/// The sections of functions in a map of LLD: address, load address, size, alignment, and `OBJECT:(SECTION)`.
fn sections(map: &str) -> Vec<MappedSection> {
    let section = |line: &str| {
        let mut words = line.split_whitespace();
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        let size = u64::from_str_radix(words.nth(1)?, 16).ok()?;
        let (object, name) = words.nth(1)?.strip_suffix(')')?.rsplit_once(":(")?;
        // A section without a name of its own has everything that is in its object.
        (name.starts_with(".text.") && size > 0).then(|| MappedSection {
            address,
            size,
            object: object.to_owned(),
            name: name.to_owned(),
        })
    };
    map.lines().filter_map(section).collect()
}

/// The addresses of the sections that one of `addresses` is in.
fn used(sections: &[MappedSection], addresses: &BTreeSet<u64>) -> HashSet<u64> {
    let has_one = |section: &&MappedSection| {
        addresses.range(section.address..section.address + section.size).next().is_some()
    };
    sections.iter().filter(has_one).map(|section| section.address).collect()
}

/// Adds a pattern for each section that was used in a run: the widest that finds little else.
fn add(lines: &mut LayoutLines, sections: &[MappedSection], runs: &BTreeMap<u64, u32>) {
    let wide = |section: &MappedSection| {
        let name = without_hash(&section.name);
        [format!("*({name})"), format!("{}({name})", objects(&section.object))]
    };
    // All bytes that a pattern finds, and those that were used.
    let mut found = HashMap::<String, (u64, u64)>::new();
    for section in sections {
        for pattern in wide(section) {
            let (all, used) = found.entry(pattern).or_default();
            *all += section.size;
            *used += if runs.contains_key(&section.address) { section.size } else { 0 };
        }
    }
    for (section, runs) in sections.iter().filter_map(|section| Some((section, runs.get(&section.address)?)))
    {
        let mut candidates = wide(section).into_iter().zip(USED);
        let has_enough = |(pattern, least): &(String, u64)| {
            found.get(pattern).is_some_and(|(all, used)| used * 100 >= all * least)
        };
        let pattern = candidates
            .find(has_enough)
            .map_or_else(|| format!("*({}*)", without_llvm(&section.name)), |(pattern, _)| pattern);
        let known = lines.entry(pattern).or_default();
        *known = (*known).max(*runs);
    }
}

/// The linker script: what most runs use comes first.
fn script(lines: &LayoutLines) -> String {
    let mut lines: Vec<(Reverse<u32>, &str)> = lines
        .iter()
        .map(|(line, runs)| (Reverse(*runs), line.as_str()))
        .chain(ENTRIES.map(|entry| (Reverse(u32::MAX), entry)))
        .collect();
    lines.sort_unstable();
    let mut script =
        "/* Written by `cargo xtask layout`. */\nSECTIONS\n{\n    .text.daemon :\n    {\n".to_owned();
    for (_, line) in lines {
        let _ = writeln!(script, "        {line}");
    }
    script + "    }\n}\nINSERT BEFORE .text;\n"
}

/// A pattern for the objects of the crate or library that an object is of.
///
/// With link-time optimisation, a crate's object is named after the program, `osnl-HASH.CRATE-HASH.…`, and the program's
/// own `osnl-HASH.osnl.…`.
fn objects(object: &str) -> String {
    let file = object.rsplit('/').find(|part| part.contains('-')).unwrap_or(object);
    let stem = |name: &str| name.split(['-', '.']).next().unwrap_or_default().to_owned();
    if let Some((library, _)) = file.split_once(".rlib(") {
        return format!("*{}-*:*", stem(library));
    }
    match file.split_once('.') {
        Some((_, rest)) if rest.starts_with("osnl.") => "*.osnl.*".to_owned(),
        Some((program, rest)) if program.starts_with("osnl-") => format!("*.{}-*", stem(rest)),
        _ => "*".to_owned(),
    }
}

/// A name without the number that link-time optimisation puts behind some.
fn without_llvm(name: &str) -> &str {
    name.split_once(".llvm.").map_or(name, |(name, _)| name)
}

/// A section's name as a pattern, without what the compiler adds to tell versions of crates apart.
fn without_hash(name: &str) -> String {
    // Mangled as `_ZN…17hHASHE`.
    if name.contains("._ZN")
        && let Some((path, _)) = name.rsplit_once("17h")
    {
        return format!("{path}17h*");
    }
    // Mangled as `_R…`, maybe with `.llvm.NUMBER` behind it, where `CsHASH_` stands before the name of a crate.
    let Some((before, mangled)) = name.split_once("._R") else { return name.to_owned() };
    let (mangled, end) = mangled.split_once(".llvm.").map_or((mangled, ""), |(mangled, _)| (mangled, "*"));
    let mut parts = mangled.split("Cs");
    let mut pattern = format!("{before}._R{}", parts.next().unwrap_or_default());
    for part in parts {
        match part.split_once('_') {
            Some((hash, rest)) if hash.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                pattern.push_str("Cs*_");
                pattern.push_str(rest);
            }
            _ => pattern.push_str(&format!("Cs{part}")),
        }
    }
    pattern + end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_hash() {
        let check = |name: &str, expected: &str| assert_eq!(without_hash(name), expected, "{name}");
        check(".text.sqlite3VdbeExec", ".text.sqlite3VdbeExec");
        check(".text._ZN4core3fmt5write17h0123456789abcdefE", ".text._ZN4core3fmt5write17h*");
        check(".text.unlikely._ZN5regex3new17h0123456789abcdefE.llvm.88", ".text.unlikely._ZN5regex3new17h*");
        check(
            ".text._RNvMs3_NtCslNYArtu3iFV_5alloc7raw_vecNtCsjrH_3std.llvm.17",
            ".text._RNvMs3_NtCs*_5alloc7raw_vecNtCs*_3std*",
        );
    }

    #[test]
    fn objects_are_named_by_their_crate() {
        let check = |object: &str, expected: &str| assert_eq!(objects(object), expected, "{object}");
        check("/t/release/deps/osnl-0519.lapin-47160e.lapin.3d0f-cgu.0.rcgu.o.rcgu.o", "*.lapin-*");
        check("/t/release/deps/osnl-0519.osnl-772.osnl.28-cgu.0.rcgu.o.rcgu.o", "*.osnl-*");
        check("/t/release/deps/osnl-0519.osnl.7772-cgu.0.rcgu.o", "*.osnl.*");
        check("/usr/lib/rustlib/lib/libstd-ab12.rlib(std-ab12.std.1-cgu.0.rcgu.o)", "*libstd-*:*");
        check("/t/deps/liblibsqlite3_sys-ab.rlib(ab-sqlite3.o)", "*liblibsqlite3_sys-*:*");
        check("/usr/lib/crti.o", "*");
    }

    #[test]
    fn what_ran_is_found_by_its_address() {
        let profile = "fl=(1) a.rs\nfn=(1) _ZN1a1b17h0E\n0 5\ncfn=(2) twice'2\ncalls=1 0\nfn=(1)\n0 7\n";
        let ran = functions(profile);
        assert_eq!(ran, HashSet::from(["_ZN1a1b17h0E", "twice"]));
        let symbols = "0000000000000010 t other\n0000000000000010 T twice\n0000000000000040 b _ZN1a1b17h0E\n";
        assert_eq!(addresses(symbols, &ran), BTreeSet::from([16]));
    }

    #[test]
    fn sections_that_ran_are_in_the_script() {
        let map = "VMA LMA Size Align Out     In      Symbol\n\
            10 10 100 16 .text\n\
            10 10 40 16         /t/osnl-1.lapin-2.lapin.3-cgu.0.rcgu.o:(.text._ZN1a17h11E)\n\
            10 10 40 1                 _ZN1a17h11E\n\
            50 50 40 16         /t/osnl-1.tokio-2.tokio.3-cgu.0.rcgu.o:(.text._ZN1a17h22E)\n\
            90 90 8 16         /t/osnl-1.tokio-2.tokio.3-cgu.0.rcgu.o:(.text._ZN1b17h33E)\n\
            98 98 8 16         /t/osnl-1.tokio-2.tokio.3-cgu.0.rcgu.o:(.text._ZN1c17h44E)\n\
            b0 b0 8 16         /t/osnl-1.tokio-2.tokio.3-cgu.0.rcgu.o:(.text._ZN1d17h55E.llvm.7)\n\
            b8 b8 40 16         /t/osnl-1.tokio-2.tokio.3-cgu.0.rcgu.o:(.text._ZN1d17h66E)\n\
            a0 a0 8 16         /t/libring-1.rlib(x.o):(.text)\n";
        let sections = sections(map);
        assert_eq!(sections.len(), 6, "{sections:?}");
        let runs = [(0x11, 2), (0x90, 1), (0xa0, 1), (0xb0, 3)].into_iter().flat_map(|(address, runs)| {
            used(&sections, &BTreeSet::from([address])).into_iter().map(move |section| (section, runs))
        });
        let mut lines = LayoutLines::new();
        add(&mut lines, &sections, &runs.collect());
        let script = script(&lines);
        let lines: Vec<&str> = script.lines().filter(|line| line.contains('(')).map(str::trim).collect();
        let [entry, start] = ENTRIES;
        let expected = ["*(.text._ZN1d17h55E*)", "*.lapin-*(.text._ZN1a17h*)", "*(.text._ZN1b17h*)"];
        assert_eq!(lines, [&[entry, start][..], &expected].concat());
    }
}
