//! What makes an address, a name or a password acceptable. The page asks before it sends, the server
//! before it stores.

/// Longest e-mail address (RFC 5321), in characters.
pub const MAX_EMAIL: usize = 254;
/// Longest name of a person or token, in characters.
pub const MAX_NAME: usize = 100;
/// Shortest password, in characters. Length is the only rule: NIST SP 800-63B advises against others.
pub const MIN_PASSWORD: usize = 12;
/// Longest password, in bytes: hashing costs time in proportion.
pub const MAX_PASSWORD: usize = 1024;

/// Why a text is not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unacceptable {
    /// Not of the form somebody@somewhere.
    #[error("the e-mail address must look like name@example.org and have at most {MAX_EMAIL} characters")]
    Email,
    /// Empty, too long, or with characters that cannot be seen.
    #[error("a name must have 1 to {MAX_NAME} characters and be one line of visible text")]
    Name,
    /// Too short.
    #[error("the password must have at least {MIN_PASSWORD} characters")]
    ShortPassword,
    /// Too long.
    #[error("the password must have at most {MAX_PASSWORD} bytes")]
    LongPassword,
    /// The first thing that somebody else would try.
    #[error("the password must not be the e-mail address or the name, nor one character repeated")]
    ObviousPassword,
}

/// An address as it is stored: without spaces around it, in lower case.
///
/// # Errors
/// When it is none. Whether mail arrives there is not asked: none is sent.
pub fn email(text: &str) -> Result<String, Unacceptable> {
    let text = text.trim();
    let is_plain = text.chars().all(|letter| !letter.is_control() && !letter.is_whitespace());
    let has_parts = text.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && !host.is_empty() && !host.contains('@') && !host.starts_with('.')
    });
    if !is_plain || !has_parts || text.chars().count() > MAX_EMAIL {
        return Err(Unacceptable::Email);
    }
    Ok(text.to_lowercase())
}

/// The name of a person or token as it is stored: without spaces around it.
///
/// # Errors
/// When it is empty, too long, or has control or direction characters, which could make one name look
/// like another.
pub fn name(text: &str) -> Result<String, Unacceptable> {
    let text = text.trim();
    let length = text.chars().count();
    if length == 0 || length > MAX_NAME || text.chars().any(is_invisible) {
        return Err(Unacceptable::Name);
    }
    Ok(text.to_owned())
}

/// Whether a character cannot be seen, or turns the direction of those around it: with such, one name can
/// look like another. The joiner of emoji (U+200D) counts too.
#[must_use]
pub fn is_invisible(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Checks a new password of a user with that address and name.
///
/// # Errors
/// Says which rule it breaks.
pub fn password(password: &str, email: &str, name: &str) -> Result<(), Unacceptable> {
    if password.len() > MAX_PASSWORD {
        return Err(Unacceptable::LongPassword);
    }
    if password.chars().count() < MIN_PASSWORD {
        return Err(Unacceptable::ShortPassword);
    }
    let lower = password.to_lowercase();
    let mut letters = lower.chars();
    let first = letters.next();
    let repeats = letters.all(|letter| Some(letter) == first);
    if repeats || lower == email.to_lowercase() || lower == name.to_lowercase() {
        return Err(Unacceptable::ObviousPassword);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_trimmed_and_lowered() {
        for (text, expected) in [
            (" Ada@Example.ORG ", Some("ada@example.org")),
            ("a@b", Some("a@b")),
            ("<script>@x", Some("<script>@x")),
            ("ada", None),
            ("@example.org", None),
            ("ada@", None),
            ("a@b@c", None),
            ("a@.b", None),
            ("a b@c.d", None),
            ("a\u{0}@c.d", None),
            ("", None),
        ] {
            assert_eq!(email(text).ok().as_deref(), expected, "{text:?}");
        }
        assert!(email(&format!("{}@b.c", "a".repeat(250))).is_ok());
        assert_eq!(email(&format!("{}@b.c", "a".repeat(251))), Err(Unacceptable::Email));
    }

    #[test]
    fn names_are_one_visible_line() {
        for (text, expected) in [
            ("  Ada Lovelace ", Some("Ada Lovelace")),
            ("<script>alert(1)</script>", Some("<script>alert(1)</script>")),
            ("李", Some("李")),
            ("", None),
            ("   ", None),
            ("two\nlines", None),
            ("evil\u{202e}gnp", None),
            ("in\u{200b}visible", None),
        ] {
            assert_eq!(name(text).ok().as_deref(), expected, "{text:?}");
        }
        assert_eq!(name(&"x".repeat(MAX_NAME + 1)), Err(Unacceptable::Name));
    }

    #[test]
    fn passwords_are_long_and_not_obvious() {
        let check = |text: &str| password(text, "ada@example.org", "Ada Lovelace");
        for (text, expected) in [
            ("correct horse", Ok(())),
            ("🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀x", Ok(())),
            ("elevenchars", Err(Unacceptable::ShortPassword)),
            ("", Err(Unacceptable::ShortPassword)),
            ("aaaaaaaaaaaaaaaa", Err(Unacceptable::ObviousPassword)),
            ("ADA@example.org", Err(Unacceptable::ObviousPassword)),
            ("ada lovelace", Err(Unacceptable::ObviousPassword)),
        ] {
            assert_eq!(check(text), expected, "{text:?}");
        }
        assert_eq!(check(&"xy".repeat(513)), Err(Unacceptable::LongPassword));
    }
}
