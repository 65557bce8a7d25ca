//! The OpenAI dialect: whole and streamed answers, real token counts, errors in OpenAI's shape.

use qponder_tests::client::{Answer, text};
use qponder_tests::pictures::png;
use qponder_tests::server::{Server, data_dir};
use serde_json::{Value, json};

use crate::{eventually, rambling_model};

const COMPLETE: &str = "/v1/chat/completions";
/// A PNG of one pixel.
const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg==";

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |group: &[u8], index: usize| {
        let at = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        if index > group.len() { '=' } else { char::from(DIGITS[(bits >> (18 - 6 * index) & 63) as usize]) }
    };
    bytes.chunks(3).flat_map(|group| (0..4).map(move |index| digit(group, index))).collect()
}

fn data_url(bytes: &[u8]) -> String {
    format!("data:image/png;base64,{}", base64(bytes))
}

fn ask(url: &str, words: &str) -> Value {
    json!({ "model": "nano", "max_tokens": 200, "messages": [{ "role": "user", "content": [
        { "type": "text", "text": words },
        { "type": "image_url", "image_url": { "url": url, "detail": "high" } },
    ] }] })
}

/// The data of each event, and the text that they add up to.
fn stream(server: &Server, request: &Value) -> (Vec<String>, String) {
    let answer = server.client.post(COMPLETE, request);
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"));
    let body = String::from_utf8(answer.body).expect("text");
    let data: Vec<String> =
        body.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect();
    let chunks = data.iter().filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let text =
        chunks.filter_map(|c| c["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect();
    (data, text)
}

/// Checks that an answer is an error in OpenAI's shape, and returns its status, code and message.
#[track_caller]
fn error(answer: &Answer) -> (u16, String, String) {
    assert_eq!(answer.header("content-type"), "application/json");
    let error = answer.json()["error"].clone();
    assert!(error["type"].is_string(), "{error}");
    (answer.status, error["param"].as_str().unwrap_or_default().to_owned(), text(&error["message"]))
}

#[test]
fn an_answer_is_the_models_own_and_nothing_is_stored() {
    let data = data_dir();
    let server = Server::start(data.path());
    let picture = png(112, 84, 5);
    let listed = server.client.get("/v1/models").json();
    let name = server.client.get("/api/v1/info").json()["model"]["name"].clone();
    assert_eq!((&listed["object"], &listed["data"][0]["id"]), (&json!("list"), &name));

    let mut request = ask(&data_url(&picture), "");
    request["model"] = name.clone();
    let answer = server.client.post(COMPLETE, &request);
    assert_eq!(answer.status, 200, "{}", answer.json());
    let answer = answer.json();
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], name);
    assert_eq!(answer["choices"].as_array().map(Vec::len), Some(1));
    let content = text(&answer["choices"][0]["message"]["content"]);
    let usage = &answer["usage"];
    let count = |key: &str| usage[key].as_u64().unwrap_or_default();
    assert!(count("prompt_tokens") > 12 && count("completion_tokens") > 0, "{usage}");
    assert_eq!(count("total_tokens"), count("prompt_tokens") + count("completion_tokens"));
    assert_eq!(server.client.get("/api/v1/images").json()["items"], json!([]));

    // Streamed it is the same, in pieces.
    request["stream"] = json!(true);
    request["stream_options"] = json!({ "include_usage": true });
    let (data, streamed) = stream(&server, &request);
    assert_eq!(streamed, content);
    assert_eq!(data.last().map(String::as_str), Some("[DONE]"));
    let counted: Value = serde_json::from_str(&data[data.len() - 2]).expect("a chunk");
    assert_eq!((&counted["usage"], &counted["choices"]), (usage, &json!([])));
    let last: Value = serde_json::from_str(&data[data.len() - 3]).expect("a chunk");
    assert_eq!(last["choices"][0]["finish_reason"], answer["choices"][0]["finish_reason"]);

    // Without words of one's own it is what an assessment says.
    let image = server.client.add_image("a.png", &picture);
    let sampling = json!({ "max_new_tokens": 200 });
    assert_eq!(
        text(&server.client.assess(&json!({ "image_id": image, "sampling": sampling }))["text"]),
        content
    );

    // Own words reach the model: they have their tokens.
    let mut own = ask(&data_url(&picture), "Is it sharp?");
    own["messages"].as_array_mut().expect("messages").insert(0, json!({ "role": "system", "content": "x" }));
    let own = server.client.post(COMPLETE, &own).json();
    assert_ne!(own["usage"]["prompt_tokens"], usage["prompt_tokens"]);

    // An answer that ran out of tokens says so.
    request["stream"] = json!(false);
    request["max_tokens"] = json!(3);
    let short = server.client.post(COMPLETE, &request).json();
    assert_eq!(
        (&short["usage"]["completion_tokens"], &short["choices"][0]["finish_reason"]),
        (&json!(3), &json!("length"))
    );
}

#[test]
fn what_cannot_be_asked_is_refused_in_openais_shape() {
    let data = data_dir();
    let server = Server::start(data.path());
    let base = ask(PIXEL, "How is it?");
    let with = |key: &str, value: Value| {
        let mut request = base.clone();
        request[key] = value;
        request
    };
    let user = |content: Value| json!([{ "role": "user", "content": content }]);
    let image = |url: &str| json!({ "type": "image_url", "image_url": { "url": url } });
    let cut = data_url(&png(40, 30, 1)[..60]);
    for (request, status, param, words) in [
        (with("model", json!("gpt-4o")), 404, "model", "no model \"gpt-4o\""),
        (with("n", json!(2)), 400, "n", "one answer"),
        (with("stop", json!(["."])), 400, "stop", "not supported"),
        (with("tools", json!([{ "type": "function" }])), 400, "tools", "not supported"),
        (with("logprobs", json!(true)), 400, "logprobs", "not given"),
        (with("response_format", json!({ "type": "json_object" })), 400, "response_format", "text"),
        (with("temperature", json!(-1)), 400, "temperature", "between 0 and 10"),
        (with("max_tokens", json!(100_000)), 400, "max_tokens", "between 1 and 4096"),
        (with("temperature", json!("hot")), 400, "", "no request"),
        (with("messages", json!([])), 400, "messages", "no user message"),
        (with("messages", user(json!("words only"))), 400, "messages", "one image"),
        (with("messages", user(json!([image(PIXEL), image(PIXEL)]))), 400, "messages", "one image"),
        (
            with("messages", user(json!([image("http://127.0.0.1:1/a.png")]))),
            400,
            "messages",
            "never fetched",
        ),
        (with("messages", user(json!([image("file:///etc/passwd")]))), 400, "messages", "never fetched"),
        (with("messages", user(json!([image("data:image/png;base64,!!")]))), 400, "messages", "damaged"),
        (with("messages", user(json!([image(&cut)]))), 400, "messages", "the image:"),
        (
            with("messages", user(json!([image("data:image/png;base64,aGVsbG8K")]))),
            400,
            "messages",
            "text file",
        ),
        (
            with("messages", json!([{ "role": "assistant", "content": "Hello." }])),
            400,
            "messages",
            "only a system",
        ),
        (with("messages", json!([{ "role": "robot", "content": "Hello." }])), 400, "", "robot"),
        (with("messages", user(json!([{ "type": "video_url" }]))), 400, "", "no request"),
        // A place for a second image that is not there.
        (ask(&data_url(&png(60, 60, 1)), "see <|image_pad|>"), 400, "messages", "2 places for 1 images"),
    ] {
        for streamed in [false, true] {
            let mut request = request.clone();
            request["stream"] = json!(streamed);
            let answer = server.client.post(COMPLETE, &request);
            let (found, about, message) = error(&answer);
            assert_eq!((found, about.as_str()), (status, param), "{message}");
            assert!(message.contains(words), "{message}");
        }
    }
    assert_eq!(error(&server.client.get("/v1/nothing")).0, 404);
    let foreign = [("content-type", "application/json"), ("origin", "https://evil.example")];
    assert_eq!(server.client.send("POST", COMPLETE, &foreign, b"{}").status, 403);
}

#[test]
fn who_goes_is_not_answered_further() {
    let data = data_dir();
    let server = Server::start_with(data.path(), &["--model", &rambling_model()]);
    let model = server.client.get("/v1/models").json()["data"][0]["id"].clone();
    let mut request = ask(&data_url(include_bytes!("../../fixtures/photographs/moose.png")), "");
    request["model"] = model;
    request["max_tokens"] = json!(4096);
    request["stream"] = json!(true);
    let unfinished = || {
        let metrics = String::from_utf8(server.client.get("/metrics").body).expect("text");
        let found = metrics.lines().find_map(|line| line.strip_prefix("qponder_unfinished_assessments "));
        found.map(str::to_owned)
    };
    let mut events = server.client.post_lines(COMPLETE, &request);
    assert!(events.next().is_some(), "it begins");
    assert_eq!(unfinished().as_deref(), Some("1"));
    drop(events);
    eventually(|| (unfinished().as_deref() == Some("0")).then_some(()));
    let metrics = String::from_utf8(server.client.get("/metrics").body).expect("text");
    assert!(metrics.contains("qponder_assessments_total{status=\"cancelled\"} 1"), "{metrics}");
}
