//! A chat endpoint that misbehaves as a script says: for tests of what calls one.
//!
//! Plain TCP, one thread a connection, one answer a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

/// What the endpoint does with a call.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers with a text; streamed where the call asks for it.
    Answer(String),
    /// Answers with a status, more headers and a body.
    Status(u16, Vec<(&'static str, String)>, String),
    /// Takes the call and says nothing until the caller goes.
    Stall,
    /// Streams the beginning of a text and closes the connection.
    Cut(String),
    /// Closes the connection without an answer.
    HangUp,
}

/// A call as it came.
#[derive(Clone, Debug)]
pub struct Call {
    /// The header `Authorization`, or nothing.
    pub authorization: String,
    /// The body as JSON.
    pub body: Value,
}

impl Call {
    /// The image's data URL.
    #[must_use]
    pub fn image(&self) -> &str {
        self.body.pointer("/messages/1/content/0/image_url/url").and_then(Value::as_str).unwrap_or_default()
    }
}

/// The endpoint. It ends with the test.
pub struct Faults {
    /// Its base address.
    pub url: String,
    address: std::net::SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    closed: Arc<AtomicBool>,
}

impl Faults {
    /// Starts an endpoint; the script says what it does with call number `n`, from 0.
    #[must_use]
    pub fn start(script: impl Fn(usize, &Call) -> Act + Send + Sync + 'static) -> Self {
        // Not every endpoint lists its models.
        Self::listing(Act::Status(404, Vec::new(), String::new()), script)
    }

    /// As [`Faults::start`], and does `list` whenever it is asked for its models.
    #[must_use]
    pub fn listing(list: Act, script: impl Fn(usize, &Call) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let calls = Arc::new(Mutex::new(Vec::new()));
        let closed = Arc::new(AtomicBool::new(false));
        let (seen, ended, script) = (Arc::clone(&calls), Arc::clone(&closed), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (seen, script, list) = (Arc::clone(&seen), Arc::clone(&script), list.clone());
                // A caller that goes away is no concern of the endpoint's.
                std::thread::spawn(move || drop(serve(stream, &seen, &list, &*script)));
            }
        });
        Self { url: format!("http://{address}/v1"), address, calls, closed }
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        // Wakes the listener, so that it sees.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Call>>,
    list: &Act,
    script: &(dyn Fn(usize, &Call) -> Act + Send + Sync),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut length, mut authorization) = (0, String::new());
    let mut first = String::new();
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "authorization" => value.trim().clone_into(&mut authorization),
            _ => {}
        }
    }
    if first.starts_with("GET") {
        return act(list.clone(), &mut stream, reader, false);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let call = Call { authorization, body: serde_json::from_slice(&body).unwrap_or_default() };
    let number = {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(call.clone());
        seen.len() - 1
    };
    let streams = call.body["stream"] == true;
    act(script(number, &call), &mut stream, reader, streams)
}

fn act(
    act: Act,
    stream: &mut TcpStream,
    mut reader: BufReader<TcpStream>,
    streams: bool,
) -> std::io::Result<()> {
    match act {
        Act::Answer(text) if streams => {
            head(stream, 200, &[("content-type", "text/event-stream".into())])?;
            stream.write_all(events(&text).as_bytes())
        }
        Act::Answer(text) => {
            let answer = json!({
                "id": "1", "object": "chat.completion", "created": 0, "model": "m",
                "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
                "usage": { "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120 },
            });
            head(stream, 200, &[("content-type", "application/json".into())])?;
            stream.write_all(answer.to_string().as_bytes())
        }
        Act::Status(status, headers, body) => {
            head(stream, status, &headers)?;
            stream.write_all(body.as_bytes())
        }
        Act::Stall => reader.read_to_end(&mut Vec::new()).map(drop),
        Act::Cut(text) => {
            head(stream, 200, &[("content-type", "text/event-stream".into())])?;
            let events = events(&text);
            stream.write_all(&events.as_bytes()[..events.len() / 2])
        }
        Act::HangUp => Ok(()),
    }
}

fn head(stream: &mut TcpStream, status: u16, headers: &[(&str, String)]) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status} Status\r\nconnection: close\r\n")?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    write!(stream, "\r\n")
}

/// A text as a stream of chunks, a line each.
fn events(text: &str) -> String {
    let mut events = String::new();
    let mut push = |chunk: Value| events.push_str(&format!("data: {chunk}\n\n"));
    for line in text.split_inclusive('\n') {
        push(json!({ "choices": [{ "index": 0, "delta": { "content": line }, "finish_reason": null }] }));
    }
    push(json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] }));
    push(json!({ "choices": [], "usage": { "prompt_tokens": 100, "completion_tokens": 20 } }));
    events.push_str("data: [DONE]\n\n");
    events
}
