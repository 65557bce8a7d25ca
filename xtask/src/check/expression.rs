//! Whether an SPDX licence expression can be met with a list of allowed licences.
//!
//! `OR` offers a choice, `AND` demands both and binds tighter. crates.io still holds manifests that write
//! `MIT/Apache-2.0`, which means `OR`.

/// Whether some choice among the licences of `expression` stays within `allowed`. What cannot be read is
/// not allowed.
pub fn is_met(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { words: &words, allowed };
    reader.alternatives().is_some_and(|met| met && reader.words.is_empty())
}

struct Reader<'a> {
    words: &'a [&'a str],
    allowed: &'a [String],
}

impl Reader<'_> {
    fn alternatives(&mut self) -> Option<bool> {
        let mut met = self.demands()?;
        while self.take("OR") {
            met |= self.demands()?;
        }
        Some(met)
    }

    fn demands(&mut self) -> Option<bool> {
        let mut met = self.single()?;
        while self.take("AND") {
            met &= self.single()?;
        }
        Some(met)
    }

    fn single(&mut self) -> Option<bool> {
        if self.take("(") {
            let met = self.alternatives()?;
            return self.take(")").then_some(met);
        }
        let mut licence = self.next()?.to_owned();
        if self.take("WITH") {
            licence = format!("{licence} WITH {}", self.next()?);
        }
        Some(self.allowed.contains(&licence))
    }

    fn next(&mut self) -> Option<&str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn take(&mut self, word: &str) -> bool {
        let is_next = self.words.first() == Some(&word);
        if is_next {
            self.words = &self.words[1..];
        }
        is_next
    }
}

#[cfg(test)]
mod tests {
    use super::is_met;

    #[test]
    fn choices_and_demands_are_weighed() {
        let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
        let cases = [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("MIT OR GPL-3.0-only", true),
            ("MIT/GPL-2.0", true),
            ("MIT AND GPL-3.0-only", false),
            ("GPL-3.0-only AND MIT OR Apache-2.0", true),
            ("GPL-3.0-only AND (MIT OR Apache-2.0)", false),
            ("(MIT OR AGPL-3.0) AND Apache-2.0", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("MIT WITH other-exception", false),
            ("(MIT", false),
            ("MIT MIT", false),
            ("", false),
        ];
        for (expression, met) in cases {
            assert_eq!(is_met(expression, &allowed), met, "{expression}");
        }
    }
}
