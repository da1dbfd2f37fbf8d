use osnl_model::Scrubber;

/// Removes the login's password from the text of a close, a return, or a block: the broker knows it, and the text becomes an
/// error or a log line. Blanks keep the length, so that the frame does not change its form.
pub(super) fn hide(method: &mut [u8], secrets: &Scrubber) {
    let length_at = match method.first_chunk() {
        Some([0, 10, 0, 50] | [0, 20, 0, 40] | [0, 60, 0, 50]) => 6,
        Some([0, 10, 0, 60]) => 4,
        _ => return,
    };
    let Some(end) = method.get(length_at).map(|length| length_at + usize::from(*length)) else { return };
    let Some(text) = method.get_mut(length_at + 1..=end) else { return };
    let said = String::from_utf8_lossy(text).into_owned();
    if let std::borrow::Cow::Owned(scrubbed) = secrets.scrub(&said) {
        let mut scrubbed = scrubbed.bytes();
        text.fill_with(|| scrubbed.next().unwrap_or(b' '));
    }
}
