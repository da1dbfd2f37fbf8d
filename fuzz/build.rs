#[path = "driver/scan.rs"]
mod scan;

use std::path::PathBuf;

fn main() {
    let mut arms = String::new();
    for file in scan::FILES {
        println!("cargo::rerun-if-changed={file}.rs");
        let text = std::fs::read_to_string(format!("{file}.rs")).expect("it is there");
        for target in scan::targets(&text) {
            arms += &format!("    (\"{target}\", {file}::{target} as fn(&[u8])),\n");
        }
    }
    let path = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it")).join("targets.rs");
    std::fs::write(path, format!("&[\n{arms}]")).expect("it can be written");
}
