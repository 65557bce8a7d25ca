//! Guidelines in Markdown. They are drawn as elements made here, so HTML in them is only text.

use leptos::prelude::*;
use pulldown_cmark::{Event, HeadingLevel, Parser, Tag, TagEnd};

/// Draws Markdown: headings, paragraphs, lists, emphasis, code and quotes. Links are shown with their
/// address and lead nowhere; pictures are left out.
#[component]
pub fn Guidelines(
    /// As it was written.
    text: String,
) -> impl IntoView {
    let mut events = Parser::new(&text);
    view! { <div class="guidelines">{draw(&mut events, 0)}</div> }
}

/// Deepest nesting that is drawn; beyond it everything is text.
const DEEPEST: usize = 12;

/// Draws what comes until the element that is open ends.
fn draw<'a>(events: &mut impl Iterator<Item = Event<'a>>, depth: usize) -> AnyView {
    let mut children: Vec<AnyView> = Vec::new();
    while let Some(event) = events.next() {
        let child = match event {
            Event::End(TagEnd::Link) | Event::End(_) => break,
            Event::Start(tag) => start(tag, events, depth),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => text.to_string().into_any(),
            Event::Code(text) => view! { <code>{text.to_string()}</code> }.into_any(),
            Event::SoftBreak => " ".into_any(),
            Event::HardBreak => view! { <br/> }.into_any(),
            Event::Rule => view! { <hr/> }.into_any(),
            _ => continue,
        };
        children.push(child);
    }
    children.into_any()
}

fn start<'a>(tag: Tag<'a>, events: &mut impl Iterator<Item = Event<'a>>, depth: usize) -> AnyView {
    if depth > DEEPEST {
        return draw_flat(events);
    }
    // A trait object keeps the recursion from growing a type at each level.
    let events: &mut dyn Iterator<Item = Event<'a>> = events;
    let mut events = events;
    let inner = draw(&mut events, depth + 1);
    match tag {
        Tag::Paragraph => view! { <p>{inner}</p> }.into_any(),
        Tag::Heading { level: HeadingLevel::H1 | HeadingLevel::H2, .. } => {
            view! { <h3>{inner}</h3> }.into_any()
        }
        Tag::Heading { .. } => view! { <h4>{inner}</h4> }.into_any(),
        Tag::BlockQuote(_) => view! { <blockquote>{inner}</blockquote> }.into_any(),
        Tag::CodeBlock(_) => view! { <pre>{inner}</pre> }.into_any(),
        Tag::List(None) => view! { <ul>{inner}</ul> }.into_any(),
        Tag::List(Some(first)) => view! { <ol start=first>{inner}</ol> }.into_any(),
        Tag::Item => view! { <li>{inner}</li> }.into_any(),
        Tag::Emphasis => view! { <em>{inner}</em> }.into_any(),
        Tag::Strong => view! { <strong>{inner}</strong> }.into_any(),
        Tag::Link { dest_url, .. } => view! { {inner}" ("<code>{dest_url.to_string()}</code>")" }.into_any(),
        Tag::Image { .. } => ().into_any(),
        _ => inner,
    }
}

/// The text of what is nested too deeply.
fn draw_flat<'a>(events: &mut impl Iterator<Item = Event<'a>>) -> AnyView {
    let (mut depth, mut text) = (1, String::new());
    for event in events.by_ref() {
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1,
            Event::Text(piece) => text.push_str(&piece),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    text.into_any()
}
