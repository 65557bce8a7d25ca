//! A teacher's answer: the text, why it ended, what it took, and what was really sent.

use serde::{Deserialize, Serialize};

use super::error::{Cause, message};

/// Tokens read and written, as the endpoint counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    #[serde(default)]
    pub prompt_tokens: u64,
    #[serde(default)]
    pub completion_tokens: u64,
}

/// A complete answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub text: String,
    /// `stop` where the model ended it, `length` where it ran out of tokens, or the endpoint's own word.
    pub finish: String,
    /// `None` where the endpoint does not count.
    pub usage: Option<Usage>,
    /// The body as it was sent.
    pub body: String,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
}

/// Reads a completion that came in one piece.
pub(super) fn reply(body: &str) -> Result<Reply, (Cause, String)> {
    let completion: Completion = serde_json::from_str(body).map_err(|error| {
        let said = message(body).unwrap_or_else(|| format!("the answer is no chat completion: {error}"));
        (Cause::Unreadable, said)
    })?;
    let first = completion.choices.into_iter().next();
    let choice = first.ok_or_else(|| (Cause::Unreadable, "the answer has no choice".to_owned()))?;
    Ok(Reply {
        text: choice.message.content.unwrap_or_default(),
        finish: choice.finish_reason.unwrap_or_default(),
        usage: completion.usage,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_is_read_and_anything_else_is_named() {
        let body = r#"{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},
            "finish_reason":"length"}],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#;
        let read = reply(body).expect("a completion");
        assert_eq!((read.text.as_str(), read.finish.as_str()), ("hello", "length"));
        assert_eq!(read.usage, Some(Usage { prompt_tokens: 7, completion_tokens: 2 }));
        assert_eq!(read.body, body);
        for (body, words) in [
            ("", "no chat completion"),
            ("<html>", "no chat completion"),
            (r#"{"choices":[]}"#, "no choice"),
            (r#"{"error":{"message":"out of memory"}}"#, "out of memory"),
            (&body[..40], "no chat completion"),
        ] {
            let (cause, said) = reply(body).expect_err(body);
            assert!(cause == Cause::Unreadable && said.contains(words), "{said}");
        }
    }
}
