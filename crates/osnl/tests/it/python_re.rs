//! `Pattern` against the real `re.match` of the tests' Python: 300 patterns, each on 50 texts.
//!
//! The first patterns are picked by hand; the rest are combined from parts, the same in every run. Patterns that
//! Python accepts and osnl refuses must be in the table of `docs/patterns.md`.

use osnl::Pattern;
use osnl_testkit::python;
use serde_json::{Value, json};

const PATTERNS: usize = 300;

const BY_HAND: &[&str] = &[
    r"^(?!compute\.instance\.exists).*$",
    r"^(?!compute\.(instance|libvirt)\.).*",
    r"^port\.delete\.end$",
    r"^network.*$",
    r"^compute\.instance\.(create|delete)\.(start|end)$",
    r"^.*\.(end|error)$",
    r"^(?:port|floatingip)\..*\.end$",
    r"(?!.*\.start$)",
    r"^(?=.*delete)(?=.*end$)",
    r"^nova-(compute|api):.*$",
    r"^network\..*example\.com$",
    r"^(?i)PORT\.",
    r"(?i)PORT\.DELETE\.END",
    r"(?i:PORT)\.delete",
    r"(?i)^[A-Z]+\.delete",
    r"port",
    r"port|network",
    r"(port|network)",
    r".*",
    r".+",
    r"",
    r"^$",
    r"[a-z]+\.[a-z]+\.[a-z]+$",
    r"(?P<what>\w+)\.(?P<how>\w+)\.(?P<when>start|end)",
    r"(?P<a>\w)(?P=a)",
    r"instance|",
    r"(?<!x)port",
    r"p(?<=p)ort",
    r"(?<=^)port",
    r"po(?<!o)",
    r"port$",
    r"port\Z",
    r"port\n",
    r"port\n$",
    r"port$\n",
    r"port\s$",
    r".*\n",
    r"(?s).*\n",
    r"(?s).+\Z",
    r"(?m)^net",
    r"(?m)port$\n^net",
    r"(?m)$",
    r"\A\Z",
    r"$",
    r"(?:$|x)",
    r"port(?=\n?\Z)",
    r"(port$)",
    r"[^\n]+$",
    r"[^\n]+\Z",
    r"\w+$",
    r"\w+\Z",
    r"\W",
    r"\d+",
    r"\D+\Z",
    r"\s",
    r"\S+\Z",
    r"(?a)\w+\Z",
    r"(?a)\d+",
    r"(?a)\s",
    r"(?a)\W",
    r"(?a:\w+)\Z",
    r"[\w.]+\Z",
    r"[^\W\d_]+\Z",
    r"[\d\s]+\Z",
    r"\bport\b",
    r"\b\w+\b$",
    r"\B",
    r"\b",
    r".\b",
    r".\B",
    r"..\b",
    r"..\B",
    r"(?a).\b",
    r"(?a).\B",
    r"(?a)\bport\b",
    r"(?a)(?=.)\b.",
    r"\B\Z",
    r"e\b",
    r"e\B",
    r"\w\b.",
    r"(?=.)\B.",
    r".",
    r"..\Z",
    r"[😀-😎]",
    r"[^a]\Z",
    r"😀\Z",
    r"\U0001F600",
    r"[\U0001F600-\U0001F64F]",
    r"\u4eee",
    r"[一-龥]+",
    r"é",
    r"e\u0301",
    r"[à-ü]+",
    r"(?i)i",
    r"(?i)I",
    r"(?i)İ",
    r"(?i)ı",
    r"(?i)[a-z]\Z",
    r"(?i)[A-Z]\Z",
    r"(?i)[^a-z]\Z",
    r"(?i)[i]\Z",
    r"(?i)[^i]\Z",
    r"(?ai)[a-z]\Z",
    r"(?ai)i\Z",
    r"(?ai)k\Z",
    r"(?ai)É",
    r"(?i)k",
    r"(?i)K",
    r"(?i)s\Z",
    r"(?i)ſ",
    r"(?i)ß",
    r"(?i)ẞ",
    r"(?i)σ",
    r"(?i)ς",
    r"(?i)Σ",
    r"(?i)µ",
    r"(?i)ÉTÉ",
    r"(?i)été\b",
    r"(?i)\W\Z",
    r"(?i)[\W]\Z",
    r"(?i)[^\W]\Z",
    r"(?i)\x49",
    r"(?i)[\d-z]|i",
    r"(?i)ǆ",
    r"(?i)[ǅ]",
    r"(?i:i)I|x",
    r"(?i)(?-i:i)",
    r"(?i)(?=İ)",
    r"(?i)straße",
    r"a*",
    r"a+?b",
    r"a{2}\Z",
    r"a{2,}",
    r"a{,2}\Z",
    r"a{1,2}?\Z",
    r"a??b",
    r"(a|aa)+\Z",
    r"(?:ab)*\Z",
    r"(a*)*\Z",
    r"(a*)+\Z",
    r"(a|b)*?\Z",
    r"(?:)*a",
    r"(a?)*b",
    r"a{0}b",
    r"x*",
    r"a{,}",
    r"a{ 2}",
    r"{",
    r"a{1,2",
    r"a++a",
    r"a*+b",
    r"a?+a",
    r"(?>a+)b",
    r"(?>a|ab)b?\Z",
    r"(?:a+)+\Z",
    r"(.)\1",
    r"(..)\1\Z",
    r"(a)?\1b",
    r"(a)|\1b",
    r"(?:(a)|b)\1",
    r"(a)?(?(1)a|b)",
    r"(?P<q>a)?(?(q)a)\Z",
    r"(a*)b?\1\Z",
    r"((a)|(b))\2",
    r"(?=(a+))\1\Z",
    r"(\w)(\w)\2\1",
    r"(?i)(a)(?-i:\1)",
    r"(?x) p o r t  # the port",
    r"(?x)a\ b",
    r"(?x)[ ]",
    r"po(?#comment)rt",
    r"\x70ort",
    r"\160ort",
    r"\tx|\t",
    r"[\b]",
    r"[]a]",
    r"[^]a]",
    r"[a&&b]",
    r"[[a]",
    r"[a-]",
    r"[\]]",
    r"\.\-|a\.b",
    r"\0",
    r"(",
    r")",
    r"[",
    r"*",
    r"a**",
    r"\q",
    r"(?<=a+)b",
    r"(?<=a|bb)b",
    r"(?<!a{1,2})b",
    r"(?<=(a)\1)b",
    r"(?<=a|b)b",
    r"(?<=a{2})b",
    r"(?<=(?:ab|cd))c",
    r"(a)(?<=\1)b",
    r"(?<=(?=aa*))a|a",
    r"(?P<n>a)(?P<n>b)",
    r"a(?i)b",
    r"[z-a]",
    r"(?P=x)",
    r"\N{BULLET}",
    r"(?=a)*a",
    r"(?!b)+a",
    r"(?i)(a)\1",
    r"(a)(?i:\1)",
    r"(?:\b\b){2}",
    r"(?:^)*a",
    r"(?:\b)+p",
];

const TEXTS: [&str; 50] = [
    "",
    "\n",
    "port",
    "port\n",
    "port\n\n",
    "port\nnet",
    "port.delete.end",
    "port.delete.start",
    "PORT.DELETE.END",
    "network.node1.example.com",
    "nova-compute:host",
    "compute.instance.exists",
    "compute.instance.delete.end",
    "compute.instance.exists.extra",
    "a",
    "aa",
    "aaa",
    "ab",
    "aab",
    "abab",
    "abba",
    "b",
    "i",
    "I",
    "İ",
    "ı",
    "k",
    "\u{212a}",
    "ſ",
    "s",
    "ß",
    "ẞ",
    "σ",
    "ς",
    "µ",
    "été",
    "ÉTÉ",
    "e\u{301}",
    "\u{301}",
    "ͅ",
    "٣",
    "²",
    "仮想",
    "😀",
    "a😀",
    "_",
    " \t",
    "\u{1c}",
    "Ⓐ",
    "STRASSE",
];

const SCRIPT: &str = r#"
import json, re, sys, warnings
warnings.simplefilter("ignore")
asked = json.load(sys.stdin)
answers = []
for pattern in asked["patterns"]:
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError) as error:
        answers.append({"error": str(error)})
    else:
        answers.append({"matches": [compiled.match(text) is not None for text in asked["texts"]]})
json.dump(answers, sys.stdout)
"#;

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn one_of(&mut self, words: &[&str]) -> String {
        words[self.below(words.len())].to_owned()
    }

    fn pattern(&mut self, depth: usize) -> String {
        const ATOMS: &[&str] = &[
            "a", "b", "port", r"\.", ".", r"\w", r"\W", r"\d", r"\s", r"\S", "[a-z]", "[^a-z]", r"[\w.]",
            "[iİ]", "é", "😀", r"\b", r"\B", "^", "$", r"\Z", "i", "s", "net", r"\n", "delete", "(?:)",
        ];
        const QUANTIFIERS: &[&str] =
            &["", "", "", "", "*", "+", "?", "*?", "+?", "{2}", "{0,2}", "{1,}", "*+"];
        const GROUPS: &[&str] =
            &["(", "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?a:", "(?s:", "(?m:", "(?-i:"];
        let mut pattern = String::new();
        for _ in 0..=self.below(4) {
            if depth > 0 && self.below(3) == 0 {
                let inner = self.pattern(depth - 1);
                pattern += &format!("{}{inner}", self.one_of(GROUPS));
                if self.below(3) == 0 {
                    pattern += &format!("|{}", self.pattern(depth - 1));
                }
                pattern.push(')');
            } else {
                pattern += &self.one_of(ATOMS);
            }
            pattern += &self.one_of(QUANTIFIERS);
        }
        pattern
    }
}

fn patterns(seed: u64, how_many: usize) -> Vec<String> {
    let mut patterns: Vec<String> = BY_HAND.iter().map(|&pattern| pattern.to_owned()).collect();
    let mut numbers = Numbers(seed);
    while patterns.len() < how_many {
        let flags = numbers.one_of(&["", "", "", "(?i)", "(?ai)", "(?s)", "(?m)", "(?a)"]);
        let body = numbers.pattern(2);
        let reference = numbers.one_of(&["", "", "", r"\1"]);
        patterns.push(format!("{flags}{body}{reference}"));
    }
    patterns
}

fn listed() -> Vec<String> {
    let manual = include_str!("../../../../docs/patterns.md");
    let rows = manual.lines().filter(|line| line.starts_with("| `") && line.contains("| \""));
    rows.map(|row| row.split('"').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn patterns_mean_what_they_mean_to_the_real_python() {
    let how_many = std::env::var("OSNL_PATTERNS").ok().and_then(|n| n.parse().ok()).unwrap_or(PATTERNS);
    let patterns = patterns(4, how_many);
    let answers = python(SCRIPT, &json!({"patterns": patterns, "texts": TEXTS.as_slice()}).to_string());
    let answers: Vec<Value> = serde_json::from_str(&answers).unwrap();
    assert_eq!(answers.len(), patterns.len());
    let listed = listed();
    let mut wrong = Vec::new();
    let mut met = std::collections::BTreeSet::new();
    let (mut compared, mut refused) = (0, 0);
    for (text, answer) in patterns.iter().zip(&answers) {
        match (Pattern::new(text), answer["matches"].as_array()) {
            (Ok(pattern), Some(expected)) => {
                for (text, expected) in TEXTS.iter().zip(expected) {
                    compared += 1;
                    if pattern.matches(text).ok() != expected.as_bool() {
                        wrong.push(format!("{pattern} on {text:?}: Python says {expected}"));
                    }
                }
            }
            (Err(error), Some(_)) => match listed.iter().find(|message| error.message.contains(&**message)) {
                Some(message) => {
                    refused += 1;
                    met.insert(message.clone());
                }
                None => wrong.push(format!("refused and not in the manual: {error}")),
            },
            (Ok(_), None) => wrong.push(format!("{text}: Python refuses it: {}", answer["error"])),
            (Err(_), None) => {}
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 10_000, "{compared}");
    assert!(refused < how_many / 15, "{refused} of {how_many} refused");
    let missed: Vec<_> = listed.iter().filter(|message| !met.contains(*message)).collect();
    assert!(missed.is_empty(), "no pattern here meets {missed:?}");
}
