/// Returns the beginning of a text, with at most so many bytes.
pub fn cut(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

/// Returns the beginning of a text, with `…` behind it if the text is longer.
pub fn cut_marked(text: &str, longest: usize) -> String {
    if text.len() <= longest { text.to_owned() } else { format!("{}…", cut(text, longest)) }
}
