//! Writing HTML in which nothing that a model or a file said can become markup.

use std::fmt::{self, Display, Write};

use super::super::Estimate;

/// HTML under construction. Markup is only what stands in this program's own text.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    /// Appends markup; being `'static`, it cannot come from anywhere else.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Appends text, also within a quoted attribute.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Self {
        // Writing to a string cannot fail.
        let _ = write!(Escaped(&mut self.0), "{text}");
        self
    }

    /// A table that scrolls sideways where it is too wide; `rows` writes its rows.
    pub(super) fn table(&mut self, caption: impl Display, columns: &[&str], rows: impl FnOnce(&mut Self)) {
        self.raw("<div class=\"wide\" tabindex=\"0\"><table><caption>")
            .text(caption)
            .raw("</caption><thead><tr>");
        for column in columns {
            self.raw("<th scope=\"col\">").text(column).raw("</th>");
        }
        self.raw("</tr></thead><tbody>");
        rows(self);
        self.raw("</tbody></table></div>\n");
    }

    /// Begins a row with its name.
    pub(super) fn row(&mut self, name: impl Display) -> &mut Self {
        self.raw("<tr><th scope=\"row\"><bdi>").text(name).raw("</bdi></th>")
    }

    /// One cell of text.
    pub(super) fn cell(&mut self, text: impl Display) -> &mut Self {
        self.raw("<td>").text(text).raw("</td>")
    }

    /// One cell of a statistic with its interval.
    pub(super) fn estimate(&mut self, estimate: Option<Estimate>) -> &mut Self {
        self.estimate_as(estimate, |value| format!("{value:.3}"))
    }

    /// One cell of a share in per cent.
    pub(super) fn share(&mut self, estimate: Option<Estimate>) -> &mut Self {
        self.estimate_as(estimate, |value| format!("{:.1} %", 100.0 * value))
    }

    fn estimate_as(&mut self, estimate: Option<Estimate>, shown: fn(f64) -> String) -> &mut Self {
        let Some(Estimate { value, interval }) = estimate else {
            return self.raw("<td class=\"none\">none</td>");
        };
        self.raw("<td>").text(shown(value));
        if let Some(interval) = interval {
            self.raw(" <small>")
                .text(shown(interval.low))
                .raw(" to ")
                .text(shown(interval.high))
                .raw("</small>");
        }
        self.raw("</td>")
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// Replaces what HTML gives a meaning to, and control characters, which it forbids.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(character),
                _ if character.is_control() => self.0.push('\u{FFFD}'),
                _ => self.0.push(character),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_never_becomes_markup() {
        let mut html = Html::default();
        html.raw("<p title=\"").text("\"><script>alert('x')</script>&\0").raw("\">");
        assert_eq!(
            html.finish(),
            "<p title=\"&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;\u{FFFD}\">"
        );
    }
}
