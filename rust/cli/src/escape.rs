//! Text that cannot take a terminal over.

use std::borrow::Cow;

/// Whether a terminal would do something else than show it: control characters, and those that turn the direction of
/// writing, by which one text can be made to look like another.
fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn push(to: &mut String, character: char) {
    match character {
        '\n' => to.push_str("\\n"),
        '\r' => to.push_str("\\r"),
        '\t' => to.push_str("\\t"),
        c if c.is_ascii() => to.push_str(&format!("\\x{:02x}", u32::from(c))),
        c => to.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
    }
}

/// A text in one line.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_hostile(character) {
            push(&mut escaped, character);
        } else {
            escaped.push(character);
        }
    }
    escaped.into()
}

/// A value, which may be no text. Its line breaks and tabs stay as they are if `keep_lines` says so.
pub(crate) fn bytes(bytes: &[u8], keep_lines: bool) -> String {
    let mut escaped = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' | '\t' if keep_lines => escaped.push(character),
                character if is_hostile(character) => push(&mut escaped, character),
                character => escaped.push(character),
            }
        }
        for byte in chunk.invalid() {
            escaped.push_str(&format!("\\x{byte:02x}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_spelt_out() {
        assert_eq!(text("grüße 日本 \\ \""), "grüße 日本 \\ \"");
        assert_eq!(
            text("a\x1b[2J\n\r\t\x07\x7f\u{9b}\u{202e}"),
            "a\\x1b[2J\\n\\r\\t\\x07\\x7f\\u{9b}\\u{202e}"
        );
        assert_eq!(bytes(b"a\xffb\xc3\n\tc\x00", false), "a\\xffb\\xc3\\n\\tc\\x00");
        assert_eq!(bytes(b"a\n\tb\r", true), "a\n\tb\\r");
    }
}
