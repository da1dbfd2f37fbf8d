//! Characters that a reader takes for others: letters of other scripts within names in ASCII letters, and blanks and
//! signs that look like those of ASCII. A name with one is not the name that it shows.

/// A character of a name that reads as another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookAlike {
    /// The byte at which it begins.
    pub at: usize,
    pub character: char,
    pub reads_as: char,
}

/// Returns the characters of names in ASCII letters that read as others. Words of another script are left out.
#[must_use]
pub fn look_alikes(text: &str) -> Vec<LookAlike> {
    let mut found = Vec::new();
    if text.is_ascii() || !text.chars().any(|c| twin(c).is_some()) {
        return found;
    }
    let of_name = |c: char| c.is_alphanumeric() || "._-:/".contains(c) || twin(c).is_some();
    for (at, name) in runs(text, of_name) {
        if !name.contains(|c: char| c.is_ascii_alphabetic()) {
            continue;
        }
        let letters = |c: char| c.is_alphanumeric() || c == '_';
        for (within, part) in runs(name, letters) {
            let is_mixed = part.contains(|c: char| c.is_ascii_alphabetic());
            let is_odd = part.chars().all(|c| twin(c).is_some() || !c.is_alphabetic());
            if is_mixed || is_odd {
                found.extend(twins(at + within, part));
            }
        }
        found.extend(twins(at, name).filter(|one| !one.character.is_alphanumeric()));
    }
    found.sort_unstable_by_key(|one| one.at);
    found
}

fn twins(from: usize, text: &str) -> impl Iterator<Item = LookAlike> {
    let found =
        move |(at, character)| Some(LookAlike { at: from + at, character, reads_as: twin(character)? });
    text.char_indices().filter_map(found)
}

/// Returns the longest parts of a text of characters that hold, with the bytes at which they begin.
fn runs(text: &str, holds: impl Fn(char) -> bool) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut from = None;
    for (at, c) in text.char_indices() {
        match (holds(c), from) {
            (true, None) => from = Some(at),
            (false, Some(begin)) => {
                found.push((begin, &text[begin..at]));
                from = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
    found.extend(from.map(|begin| (begin, &text[begin..])));
    found
}

/// Returns the character of ASCII that a Cyrillic or Greek letter or a sign looks like in most fonts.
fn twin(c: char) -> Option<char> {
    Some(match c {
        '\u{2010}' | '\u{2011}' | '\u{2212}' => '-',
        '\u{2024}' => '.',
        '\u{2044}' | '\u{2215}' => '/',
        '\u{2236}' | '\u{a789}' => ':',
        '\u{430}' | '\u{251}' => 'a',
        '\u{441}' => 'c',
        '\u{501}' => 'd',
        '\u{435}' => 'e',
        '\u{261}' => 'g',
        '\u{4bb}' => 'h',
        '\u{456}' => 'i',
        '\u{458}' => 'j',
        '\u{43e}' | '\u{3bf}' => 'o',
        '\u{440}' | '\u{3c1}' => 'p',
        '\u{51b}' => 'q',
        '\u{455}' => 's',
        '\u{475}' | '\u{3bd}' => 'v',
        '\u{51d}' => 'w',
        '\u{445}' => 'x',
        '\u{443}' => 'y',
        '\u{410}' | '\u{391}' => 'A',
        '\u{412}' | '\u{392}' => 'B',
        '\u{421}' => 'C',
        '\u{415}' | '\u{395}' => 'E',
        '\u{41d}' | '\u{397}' => 'H',
        '\u{406}' | '\u{399}' => 'I',
        '\u{408}' => 'J',
        '\u{41a}' | '\u{39a}' => 'K',
        '\u{41c}' | '\u{39c}' => 'M',
        '\u{39d}' => 'N',
        '\u{41e}' | '\u{39f}' => 'O',
        '\u{420}' | '\u{3a1}' => 'P',
        '\u{405}' => 'S',
        '\u{422}' | '\u{3a4}' => 'T',
        '\u{425}' | '\u{3a7}' => 'X',
        '\u{423}' | '\u{3a5}' => 'Y',
        '\u{396}' => 'Z',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_ascii_letters_have_none_of_other_scripts() {
        let check = |text: &str, expected: &[(usize, char)]| {
            let found: Vec<_> = look_alikes(text).into_iter().map(|one| (one.at, one.reads_as)).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("port.delete.end of p1", &[]);
        check("port.d\u{435}lete.end", &[(6, 'e')]);
        check("port.delete.\u{435}nd", &[(12, 'e')]);
        check("x.\u{441}\u{43e}\u{440}\u{443}", &[(2, 'c'), (4, 'o'), (6, 'p'), (8, 'y')]);
        check("no\u{3bd}a", &[(2, 'v')]);
        check("port\u{2011}1 and a\u{2024}b", &[(4, '-'), (14, '.')]);
        // Words of their own.
        check("\u{441}\u{435}\u{440}\u{432}\u{435}\u{440}-web 1", &[]);
        check("\u{43c}\u{430}\u{440}\u{442}", &[]);
        check("für naïve 仮想 5 \u{2212} 3", &[]);
    }
}
