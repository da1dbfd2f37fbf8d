/// Returns the beginning of a text, with at most so many bytes.
pub fn cut(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

/// Returns the beginning of a text, with `…` behind it if the text is longer.
pub fn cut_marked(text: &str, longest: usize) -> String {
    if text.len() <= longest { text.to_owned() } else { format!("{}…", cut(text, longest)) }
}

/// Returns the first 200 characters of a value that is shown, and counts the rest.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(200) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}... ({} characters more)", &text[..end], text[end..].chars().count()),
    }
}
