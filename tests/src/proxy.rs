//! A proxy between a browser and the server that loses answers: the server does what it was asked to do, and
//! whoever asked never hears of it.
//!
//! Plain TCP, one thread a connection, one request a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The proxy. Its threads end with the test's process.
pub struct Proxy {
    /// Where the browser finds the server.
    pub url: String,
    /// Requests whose next answer gets lost.
    losing: Arc<Mutex<Vec<String>>>,
    /// Bytes of all answers so far.
    carried: Arc<AtomicU64>,
}

impl Proxy {
    /// Starts a proxy of the server at a URL.
    #[must_use]
    pub fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let losing = Arc::new(Mutex::new(Vec::new()));
        let carried = Arc::new(AtomicU64::new(0));
        let (shared, upstream) = (Arc::clone(&losing), server.trim_start_matches("http://").to_owned());
        let count = Arc::clone(&carried);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (losing, upstream, count) = (Arc::clone(&shared), upstream.clone(), Arc::clone(&count));
                // A browser or a server that goes away is no concern of the proxy's.
                std::thread::spawn(move || drop(pass(stream, &upstream, &losing, &count)));
            }
        });
        Self { url, losing, carried }
    }

    /// Bytes of all answers that have arrived, their heads included.
    #[must_use]
    pub fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// Loses the answer to the next such request: a method and a path, in which a star stands for anything.
    pub fn lose(&self, request: &str) {
        self.losing.lock().unwrap_or_else(PoisonError::into_inner).push(request.to_owned());
    }

    /// Whether everything that should get lost is lost.
    #[must_use]
    pub fn has_lost_all(&self) -> bool {
        self.losing.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

fn pass(
    mut browser: TcpStream,
    upstream: &str,
    losing: &Mutex<Vec<String>>,
    carried: &AtomicU64,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(browser.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let (mut head, mut length) = (first.clone(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "connection" => continue,
            _ => {}
        }
        if line.trim_end().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut server = TcpStream::connect(upstream)?;
    write!(server, "{head}connection: close\r\n\r\n")?;
    std::io::copy(&mut reader.by_ref().take(length), &mut server)?;
    if is_lost(&first, losing) {
        // The whole answer: then the server is through with it.
        return server.read_to_end(&mut Vec::new()).map(drop);
    }
    let mut part = vec![0; 1 << 16];
    loop {
        let count = server.read(&mut part)?;
        if count == 0 {
            return Ok(());
        }
        browser.write_all(&part[..count])?;
        carried.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// Whether an answer gets lost; it is struck off the list.
fn is_lost(first: &str, losing: &Mutex<Vec<String>>) -> bool {
    let request = first.trim_end().trim_end_matches(" HTTP/1.1");
    let matches = |wanted: &String| match wanted.split_once('*') {
        Some((start, end)) => request.starts_with(start) && request.ends_with(end),
        None => request == wanted,
    };
    let mut losing = losing.lock().unwrap_or_else(PoisonError::into_inner);
    losing.iter().position(matches).map(|at| losing.swap_remove(at)).is_some()
}
