//! An answer that came as server-sent events, put together.
//!
//! A stream ends with `[DONE]`. One that ends before it was cut, and its text is not the whole answer.

use serde::Deserialize;

use super::error::{Cause, message};
use super::reply::{Reply, Usage};

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
}

/// Reads a whole stream.
pub(super) fn reply(body: &str) -> Result<Reply, (Cause, String)> {
    let mut reply = Reply { text: String::new(), finish: String::new(), usage: None, body: body.to_owned() };
    let mut done = false;
    for data in events(body) {
        if data.trim() == "[DONE]" {
            done = true;
            break;
        }
        let chunk: Chunk = match serde_json::from_str(&data) {
            Ok(chunk) => chunk,
            // The last line of a cut stream is a piece of one.
            Err(_) if !body.contains("[DONE]") && body.trim_end().ends_with(data.trim_end()) => break,
            Err(error) => {
                return Err((Cause::Unreadable, format!("an event is no chunk of a completion: {error}")));
            }
        };
        if chunk.choices.is_empty()
            && chunk.usage.is_none()
            && let Some(said) = message(&data)
        {
            return Err((Cause::Unavailable, format!("the endpoint gave up: {said}")));
        }
        if let Some(choice) = chunk.choices.into_iter().next() {
            reply.text.push_str(&choice.delta.content.unwrap_or_default());
            reply.finish = choice.finish_reason.unwrap_or(reply.finish);
        }
        reply.usage = chunk.usage.or(reply.usage);
    }
    // Some endpoints close without [DONE] after the chunk that says why the answer ended.
    if !done && reply.finish.is_empty() {
        return Err((Cause::CutOff, format!("the stream ended after {} bytes of answer", reply.text.len())));
    }
    Ok(reply)
}

/// The data of each event. Lines end in LF or CRLF; several data lines of an event are joined; comments and
/// other fields are left out (HTML standard, section 9.2.6).
fn events(body: &str) -> impl Iterator<Item = String> {
    let mut data = Vec::new();
    let mut events = Vec::new();
    for line in body.lines().chain([""]) {
        if line.is_empty() {
            if !data.is_empty() {
                events.push(std::mem::take(&mut data).join("\n"));
            }
        } else if let Some(value) = line.strip_prefix("data:") {
            data.push(value.strip_prefix(' ').unwrap_or(value));
        }
    }
    events.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n\
        : still here\r\n\r\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"sharp\"},\"finish_reason\":null}],\"usage\":null}\r\n\r\n\
        event: message\ndata: {\"choices\":[{\"delta\":{\"content\":\"ness\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
        data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n\
        data: [DONE]\n\n";

    #[test]
    fn pieces_join() {
        let read = reply(WHOLE).expect("a whole stream");
        assert_eq!((read.text.as_str(), read.finish.as_str()), ("sharpness", "stop"));
        assert_eq!(read.usage, Some(Usage { prompt_tokens: 5, completion_tokens: 2 }));
    }

    #[test]
    fn a_stream_cut_anywhere_before_the_reason_of_its_end_is_no_answer() {
        let end = WHOLE.find("\"stop\"").expect("a reason");
        for cut in 0..end {
            let (cause, said) = reply(&WHOLE[..cut]).expect_err("a cut stream");
            assert_eq!(cause, Cause::CutOff, "{cut}: {said}");
        }
    }

    #[test]
    fn an_error_within_a_stream_and_garbage_are_told_apart() {
        let error = "data: {\"error\":{\"message\":\"worker died\"}}\n\ndata: [DONE]\n\n";
        assert!(
            reply(error)
                .is_err_and(|(cause, said)| cause == Cause::Unavailable && said.contains("worker died"))
        );
        let garbage = "data: {oops\n\ndata: [DONE]\n\n";
        assert!(reply(garbage).is_err_and(|(cause, _)| cause == Cause::Unreadable));
    }
}
