//! A small HTTP client: every answer is a value, whatever its status.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{HeaderMap, Request};
use ureq::{Agent, Body};

/// Sends requests to one server.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    /// Sent with every request.
    headers: Vec<(String, String)>,
    /// Where the server is, without a slash at the end.
    pub url: String,
}

/// A complete answer.
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null where there is none.
    #[must_use]
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// A header; empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or_default())
    }
}

/// A file of an upload.
pub struct File<'a> {
    /// Its name, as the client claims it.
    pub name: &'a str,
    /// Its type, as the client claims it.
    pub content_type: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its data.
    pub data: Value,
}

impl Client {
    /// A client of the server at a URL.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // A connection that is kept may be closed by the server just when it is used again.
            .max_idle_connections(0)
            .max_idle_connections_per_host(0)
            .timeout_global(Some(Duration::from_secs(300)))
            .build();
        Self { agent: config.into(), headers: Vec::new(), url: url.to_owned() }
    }

    /// The same client, which sends one more header with every request.
    #[must_use]
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// Sends a request with any headers and body.
    #[must_use]
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut answer = self.open(method, path, headers, body);
        let mut bytes = Vec::new();
        answer.body_mut().as_reader().read_to_end(&mut bytes).expect("a complete body");
        Answer { status: answer.status().as_u16(), headers: answer.headers().clone(), body: bytes }
    }

    fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> ureq::http::Response<Body> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(headers.iter().copied()) {
            request = request.header(name, value);
        }
        let answer = if body.is_empty() && method != "POST" {
            self.agent.run(request.body(()).expect("a request"))
        } else {
            self.agent.run(request.body(body).expect("a request"))
        };
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// `GET`.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], &[])
    }

    /// `DELETE`.
    #[must_use]
    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], &[])
    }

    /// `POST` of a JSON value.
    #[must_use]
    pub fn post(&self, path: &str, value: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], value.to_string().as_bytes())
    }

    /// Any method with a JSON value.
    #[must_use]
    pub fn send_json(&self, method: &str, path: &str, value: &Value) -> Answer {
        self.send(method, path, &[("content-type", "application/json")], value.to_string().as_bytes())
    }

    /// Sends the beginning of a JSON body that claims to be `length` bytes long and stops there; returns the
    /// status of the answer. For bodies that no server should read to their end.
    #[must_use]
    pub fn send_start(&self, method: &str, path: &str, length: usize, start: &[u8]) -> u16 {
        let host = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let own = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let own: String = own.collect();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\n{own}content-type: application/json\r\n\
             content-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(start)).expect("it is taken");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("an answer");
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("{method} {path}: {line:?} is no answer"))
    }

    /// Uploads files.
    #[must_use]
    pub fn upload(&self, files: &[File<'_>]) -> Answer {
        const BOUNDARY: &str = "a-boundary-that-no-file-holds";
        let mut body = Vec::new();
        for File { name, content_type, bytes } in files {
            let head = format!(
                "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\
                 content-type: {content_type}\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        self.send("POST", "/api/v1/images", &[("content-type", &content_type)], &body)
    }

    /// Sends a file that is to be imported.
    #[must_use]
    pub fn import(&self, query: &Value, name: &str, bytes: &[u8]) -> Answer {
        const BOUNDARY: &str = "a-boundary-that-no-file-holds";
        let mut body = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"query\"\r\n\r\n{query}\r\n\
             --{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(bytes);
        body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        self.send("POST", "/api/v1/imports", &[("content-type", &content_type)], &body)
    }

    /// Waits for the end of an import or export.
    #[must_use]
    pub fn transferred(&self, begun: &Answer) -> Value {
        assert!(matches!(begun.status, 200 | 202), "{} {}", begun.status, begun.json());
        let path = format!("/api/v1/transfers/{}", text(&begun.json()["id"]));
        for _ in 0..3000 {
            let now = self.get(&path).json();
            if !matches!(now["state"].as_str(), Some("queued" | "running")) {
                return now;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{path} never ends: {}", self.get(&path).json());
    }

    /// Uploads one good file and returns its id.
    #[must_use]
    pub fn add_image(&self, name: &str, bytes: &[u8]) -> String {
        let answer = self.upload(&[File { name, content_type: "application/octet-stream", bytes }]);
        assert_eq!(answer.status, 201, "{}", answer.json());
        text(&answer.json()["files"][0]["image"]["id"])
    }

    /// Opens an event stream.
    #[must_use]
    pub fn events(&self, path: &str, headers: &[(&str, &str)]) -> Events {
        let answer = self.open("GET", path, headers, &[]);
        assert_eq!(answer.status().as_u16(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Events { lines: BufReader::new(Box::new(answer.into_body().into_reader())) }
    }

    /// `POST` of a JSON value; the lines of the answer as they come.
    pub fn post_lines(&self, path: &str, value: &Value) -> impl Iterator<Item = String> + use<> {
        let headers = [("content-type", "application/json")];
        let answer = self.open("POST", path, &headers, value.to_string().as_bytes());
        assert_eq!(answer.status().as_u16(), 200);
        BufReader::new(answer.into_body().into_reader()).lines().map_while(Result::ok)
    }

    /// Asks for an assessment and waits for its end.
    #[must_use]
    pub fn assess(&self, request: &Value) -> Value {
        let created = self.post("/api/v1/assessments", request);
        assert_eq!(created.status, 201, "{}", created.json());
        let path = format!("/api/v1/assessments/{}/events", text(&created.json()["id"]));
        let last = self.events(&path, &[]).last().expect("at least one event");
        assert_eq!(last.name, "done");
        last.data["assessment"].clone()
    }
}

/// The events of a stream, until the server closes it. Dropping it closes it from here.
pub struct Events {
    lines: BufReader<Box<dyn Read + Send>>,
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let mut event = Event { name: String::new(), id: String::new(), data: Value::Null };
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("event", name)) => event.name = name.to_owned(),
                Some(("id", id)) => event.id = id.to_owned(),
                Some(("data", data)) => event.data = serde_json::from_str(data).expect("data is JSON"),
                _ if line.trim_end().is_empty() && !event.name.is_empty() => return Some(event),
                // A heartbeat, or how long to wait before connecting again.
                _ => {}
            }
        }
    }
}

/// A JSON string's text.
#[must_use]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string")).to_owned()
}
