//! Templates: where model and version stand in a value that identifies a product.
//!
//! In: a text with one pair of braces, and a value. Out: the word in the place of the braces. `{}` is a
//! word: the longest run of letters, digits, `.`, `-`, `_` and `/`; `{6}` is exactly six bytes of one.
//! `*` is any run of bytes, as in patterns of text; the text is anchored at both ends.

use std::fmt;

use super::pattern::text_matches;

/// Bytes that `{N}` may ask for.
const COUNT_MAX: usize = 64;

/// A text with one place to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    before: Box<str>,
    count: Option<usize>,
    after: Box<str>,
}

impl Template {
    /// Reads a template as it stands in a file.
    ///
    /// # Errors
    /// In words.
    pub fn parse(text: &str) -> Result<Template, String> {
        let wrong = |why: &str| format!("`{text}`: {why}");
        let (before, rest) = text.split_once('{').ok_or_else(|| wrong("no `{}` marks what to read"))?;
        let (count, after) = rest.split_once('}').ok_or_else(|| wrong("`{` without `}`"))?;
        if [before, after].iter().any(|part| part.contains(['{', '}'])) {
            return Err(wrong("one `{}` only"));
        }
        let count = match count {
            "" => None,
            count => match count.parse() {
                Ok(count @ 1..=COUNT_MAX) => Some(count),
                _ => return Err(wrong("braces hold nothing, or a number of bytes from 1 to 64")),
            },
        };
        if before.ends_with('*') {
            return Err(wrong("known text must stand before `{`, or nothing"));
        }
        Ok(Template { before: before.into(), count, after: after.into() })
    }

    /// The word that a value has in the place of the braces. Time grows with the length of the value.
    pub fn read<'v>(&self, value: &'v str) -> Option<&'v str> {
        // The leftmost place of each piece leaves the most room for those behind it.
        let mut pieces = self.before.split('*');
        let mut rest = value.strip_prefix(pieces.next()?)?;
        for piece in pieces {
            let at = rest.find(piece)?;
            rest = rest.get(at + piece.len()..)?;
        }
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b".-_/".contains(&b);
        let run = rest.bytes().take_while(|b| is_word(*b)).count();
        let taken = match self.count {
            Some(count) if run < count => return None,
            Some(count) => count,
            None => run,
        };
        let (word, after) = rest.split_at_checked(taken).filter(|(word, _)| !word.is_empty())?;
        text_matches(&self.after, after.as_bytes()).then_some(word)
    }
}

impl fmt::Display for Template {
    /// As it is written in a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count.map(|count| count.to_string()).unwrap_or_default();
        write!(f, "{}{{{count}}}{}", self.before, self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'v>(template: &str, value: &'v str) -> Option<&'v str> {
        let template = Template::parse(template).unwrap();
        assert_eq!(Template::parse(&template.to_string()), Ok(template.clone()));
        template.read(value)
    }

    /// Values as rapid7/recog lists them for these products.
    #[test]
    fn words_are_read_where_the_braces_stand() {
        let esx = "VMware ESX 5.0.0 build-623860 VMware, Inc. x86_64";
        assert_eq!(read("VMware ESX {} build-*", esx), Some("5.0.0"));
        assert_eq!(read("VMware ESX * build-{} *", esx), Some("623860"));
        assert_eq!(read("VMware ESX {} build-*", "VMware ESXi 5.0.0 build-623860"), None);
        let subject = "CN=FGT30D3X15038375,OU=FortiGate,O=Fortinet,L=Sunnyvale,ST=California,C=US";
        assert_eq!(read("*CN={6}*,OU=FortiGate,*", subject), Some("FGT30D"));
        assert_eq!(read("*CN={64}*", subject), None, "the word is shorter");
        let series = "Palo Alto Networks PA-2000 series firewall";
        assert_eq!(read("Palo Alto Networks {} series firewall", series), Some("PA-2000"));
        assert_eq!(read("{}", "4.1.0"), Some("4.1.0"));
        assert_eq!(read("{}", "4.1.0 beta"), None, "anchored at the end");
        assert_eq!(read("v{}*", "v"), None, "nothing is no word");
    }

    #[test]
    fn text_that_is_no_template_is_refused() {
        for (text, why) in [
            ("VMware", "no `{}`"),
            ("a{", "without `}`"),
            ("{}{}", "one `{}` only"),
            ("a}{}", "one `{}` only"),
            ("{x}", "number of bytes"),
            ("{0}", "number of bytes"),
            ("{65}", "number of bytes"),
            ("*{}", "known text must stand before"),
        ] {
            let reason = Template::parse(text).unwrap_err();
            assert!(reason.contains(why), "{text}: {reason}");
        }
    }
}
