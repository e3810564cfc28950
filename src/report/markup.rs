//! Text from the wire, made harmless for pages.
//!
//! In: any text. Out: the same with what cannot be seen made visible, or escaped for HTML and SVG.

use std::borrow::Cow;

use crate::fact::value::is_hidden;

/// Shows what acts on text without being seen, control characters, marks of direction, other invisible signs: as `⟨U+202E⟩`.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if is_hidden(c) => out.push_str(&format!("⟨U+{:04X}⟩", u32::from(c))),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Text for HTML and SVG, in elements and attributes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_acts_unseen() {
        assert_eq!(visible("fine, 中文, é"), "fine, 中文, é");
        assert_eq!(visible("a\tb\r\n\0\x1b\x7f"), "a⟨U+0009⟩b⟨U+000D⟩⟨U+000A⟩⟨U+0000⟩⟨U+001B⟩⟨U+007F⟩");
        assert_eq!(visible("a\u{202e}b\u{2066}\u{200b}"), "a⟨U+202E⟩b⟨U+2066⟩⟨U+200B⟩");
        assert_eq!(visible("\u{85}"), "⟨U+0085⟩");
        assert_eq!(escaped("<a href='x'>\"&\u{202e}"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;⟨U+202E⟩");
    }
}
