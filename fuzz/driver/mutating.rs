//! Without a C++ compiler: inputs of the corpus, mutated at random. Takes the options of libFuzzer that
//! `cargo xtask fuzz` uses, and prints the same figures.

mod targets;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| args.iter().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='));
    let number = |name: &str| option(name).and_then(|text| text.parse::<u64>().ok());
    let time = Duration::from_secs(number("-max_total_time").unwrap_or(10));
    let longest = number("-max_len").unwrap_or(4096) as usize;
    let prefix = option("-artifact_prefix").unwrap_or("finding-").to_owned();
    let mut corpus = corpus(args.iter().filter(|arg| !arg.starts_with('-')).map(Path::new));
    corpus.push(Vec::new());
    // The input under way is on the disk: an abort or a stack that overflows leaves it there.
    let current = PathBuf::from(format!("{prefix}crash-current"));
    let (began, mut done) = (Instant::now(), 0_u64);
    while began.elapsed() < time {
        let input = mutated(&corpus, longest);
        std::fs::write(&current, &input).expect("the folder of findings");
        let before = Instant::now();
        targets::run(&input);
        done += 1;
        let took = before.elapsed();
        assert!(took < Duration::from_secs(10), "took {took:?}: {}", current.display());
    }
    std::fs::remove_file(&current).expect("it was written");
    eprintln!("stat::number_of_executed_units: {done}");
}

fn corpus<'a>(folders: impl Iterator<Item = &'a Path>) -> Vec<Vec<u8>> {
    let entries = folders.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten());
    entries.filter_map(|entry| std::fs::read(entry.ok()?.path()).ok()).collect()
}

fn mutated(corpus: &[Vec<u8>], longest: usize) -> Vec<u8> {
    let mut input = corpus[fastrand::usize(..corpus.len())].clone();
    for _ in 0..fastrand::usize(1..6) {
        let at = fastrand::usize(..=input.len());
        let piece = &corpus[fastrand::usize(..corpus.len())];
        match fastrand::u8(..5) {
            0 if at < input.len() => input[at] = fastrand::u8(..),
            1 => input.insert(at, fastrand::u8(..)),
            2 => drop(input.drain(at..(at + fastrand::usize(..16)).min(input.len()))),
            3 => input.truncate(at),
            _ if !piece.is_empty() => {
                let from = fastrand::usize(..piece.len());
                let to = (from + fastrand::usize(1..64)).min(piece.len());
                input.splice(at..at, piece[from..to].iter().copied());
            }
            _ => {}
        }
    }
    input.truncate(longest);
    input
}
