//! A headless Chromium, driven over WebDriver as a person would: by what the page shows.
//!
//! Every call blocks until the browser has answered, so that browser tests read like the others. When a
//! test fails, a picture of the page is left in `target/browser-failures`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::wd::{Capabilities, WindowHandle};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::server::root;

/// Headless, with WebGPU in software, and silent on the network.
const FLAGS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
];

/// How long a page may take to show something. Generous, since tests share slow machines; a test that
/// passes never waits this long.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often the page is looked at meanwhile.
const POLL: Duration = Duration::from_millis(100);

/// One tab of a browser.
pub struct Tab(WindowHandle);

/// One browser window.
pub struct Browser {
    runtime: Runtime,
    client: Client,
    driver: Driver,
    /// Names the picture of a failure.
    name: &'static str,
}

impl Browser {
    /// Opens a browser for the test of that name.
    #[must_use]
    pub fn open(name: &'static str) -> Self {
        let driver = Driver::start();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime for the WebDriver client");
        let mut capabilities = Capabilities::new();
        let mut options = json!({ "args": FLAGS });
        if let Some(chromium) = chromium() {
            options["binary"] = json!(chromium);
        }
        capabilities.insert("goog:chromeOptions".to_owned(), options);
        let url = format!("http://127.0.0.1:{}", driver.port);
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = runtime.block_on(builder.capabilities(capabilities).connect(&url));
        let client = client.unwrap_or_else(|error| panic!("no browser session: {error}"));
        Self { runtime, client, driver, name }
    }

    /// Goes to a page.
    pub fn goto(&self, url: &str) {
        self.runtime
            .block_on(self.client.goto(url))
            .unwrap_or_else(|error| panic!("cannot open {url}: {error}"));
    }

    /// Where the browser is.
    #[must_use]
    pub fn url(&self) -> String {
        self.runtime.block_on(self.client.current_url()).expect("the page has an address").to_string()
    }

    /// Kills the browser's process for graphics: every page loses its devices. The browser starts another one.
    pub fn kill_graphics(&self) {
        let graphics = *self.processes("gpu-process").first().expect("a process for graphics");
        let pid = rustix::process::Pid::from_raw(graphics.cast_signed()).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it can be killed");
    }

    /// The most memory that pages and graphics ever held, in MiB: the peaks of their processes, added up.
    #[must_use]
    pub fn peak_memory(&self) -> f64 {
        let peak = |pid: u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0)
        };
        let processes = [self.processes("renderer"), self.processes("gpu-process")].concat();
        processes.into_iter().map(peak).sum::<f64>() / 1024.0
    }

    /// The browser's processes of a kind.
    fn processes(&self, kind: &str) -> Vec<u32> {
        let read =
            |pid: u32, file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let parent = |pid: u32| {
            let status = read(pid, "status");
            status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse::<u32>().ok())
        };
        let is_ours = |pid: u32| {
            std::iter::successors(Some(pid), |&pid| parent(pid)).any(|pid| pid == self.driver.child.id())
        };
        let flag = format!("--type={kind}");
        let processes = fs::read_dir("/proc").expect("a list of processes").flatten();
        let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        processes.filter(|&pid| read(pid, "cmdline").contains(&flag) && is_ours(pid)).collect()
    }

    /// Picks files in the page's file chooser.
    pub fn pick(&self, files: &[PathBuf]) {
        let names: Vec<_> = files.iter().map(|file| file.to_string_lossy().into_owned()).collect();
        self.runtime.block_on(async {
            let chooser = self.client.wait().at_most(PATIENCE).for_element(Locator::Css("input[type=file]"));
            let chooser = chooser.await.expect("the page has a file chooser");
            chooser.send_keys(&names.join("\n")).await.expect("it takes the files");
        });
    }

    /// Picks a file in the file chooser of that id.
    pub fn pick_in(&self, id: &str, file: &Path) {
        self.runtime.block_on(async {
            let chooser = self.client.wait().at_most(PATIENCE).for_element(Locator::Id(id)).await;
            let chooser = chooser.unwrap_or_else(|error| panic!("there is no file chooser {id}: {error}"));
            chooser.send_keys(&file.to_string_lossy()).await.expect("it takes the file");
        });
    }

    /// Presses a key, wherever the focus is.
    pub fn press(&self, key: &str) {
        self.runtime.block_on(async {
            let body = self.client.find(Locator::Css("body")).await.expect("the page has a body");
            body.send_keys(key).await.expect("it takes a key");
        });
    }

    /// Types into the field of that name, in place of what it holds.
    pub fn fill(&self, name: &str, text: &str) {
        self.runtime.block_on(async {
            let field = self.client.wait().at_most(PATIENCE).for_element(Locator::Id(name)).await;
            let field = field.unwrap_or_else(|error| panic!("there is no field {name}: {error}"));
            field.clear().await.expect("it can be emptied");
            field.send_keys(text).await.expect("it takes the text");
        });
    }

    /// The same for a field that only has a label for those who do not see it.
    pub fn fill_labelled(&self, label: &str, text: &str) {
        self.runtime.block_on(async {
            let css = format!("[aria-label='{label}']");
            let field = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(&css)).await;
            let field = field.unwrap_or_else(|error| panic!("there is no field {label}: {error}"));
            field.clear().await.expect("it can be emptied");
            field.send_keys(text).await.expect("it takes the text");
        });
    }

    /// Clicks the button or link of that text, once it is there and can be used.
    pub fn click(&self, text: &str) {
        let find = "const all = [...document.querySelectorAll('button, a, summary')];\
                    const it = all.findLast((one) => one.innerText?.trim() === arguments[0] && !one.disabled\
                        && one.checkVisibility());\
                    it?.click(); return Boolean(it)";
        self.wait_until(&format!("{text:?} can be clicked"), || self.script(find, &[json!(text)]) == true);
    }

    /// Chooses an option of the list of that name.
    pub fn choose(&self, name: &str, option: &str) {
        self.runtime.block_on(async {
            let list = self.client.wait().at_most(PATIENCE).for_element(Locator::Id(name)).await;
            let list = list.unwrap_or_else(|error| panic!("there is no list {name}: {error}"));
            list.select_by_value(option).await.expect("it has the option");
        });
    }

    /// What a field holds.
    #[must_use]
    pub fn value(&self, css: &str) -> String {
        let read = "return document.querySelector(arguments[0])?.value ?? ''";
        self.script(read, &[json!(css)]).as_str().unwrap_or_default().to_owned()
    }

    /// What a person can read on the page.
    #[must_use]
    pub fn text(&self) -> String {
        self.script("return document.body.innerText", &[]).as_str().unwrap_or_default().to_owned()
    }

    /// Runs a script in the page and returns its value.
    #[must_use]
    pub fn script(&self, script: &str, arguments: &[Value]) -> Value {
        let answer = self.runtime.block_on(self.client.execute(script, arguments.to_vec()));
        answer.unwrap_or_else(|error| panic!("`{script}` failed: {error}"))
    }

    /// Waits until the page shows each of the texts, in capitals or not.
    pub fn wait_for_texts(&self, texts: &[String]) {
        self.wait_until(&format!("the page shows {texts:?}"), || {
            let shown = self.text().to_lowercase();
            texts.iter().all(|text| shown.contains(&text.to_lowercase()))
        });
    }

    /// Waits for a condition; fails with its description and what the page shows instead.
    pub fn wait_until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "never came: {what}; the page shows:\n{}", self.text());
            std::thread::sleep(POLL);
        }
    }

    /// Waits until the page shows a text.
    pub fn shows(&self, text: &str) {
        self.wait_for_texts(&[text.to_owned()]);
    }

    /// Opens another tab of the same browser, with the same session; it is in front now.
    #[must_use]
    pub fn new_tab(&self) -> Tab {
        let tab = self.runtime.block_on(self.client.new_window(true)).expect("a tab");
        self.turn_to(&Tab(tab.handle.clone()));
        Tab(tab.handle)
    }

    /// The tab that is in front.
    #[must_use]
    pub fn tab(&self) -> Tab {
        Tab(self.runtime.block_on(self.client.window()).expect("the page is in a tab"))
    }

    /// Brings a tab to the front.
    pub fn turn_to(&self, tab: &Tab) {
        let turned = self.runtime.block_on(self.client.switch_to_window(tab.0.clone()));
        turned.unwrap_or_else(|error| panic!("the tab is not there: {error}"));
    }

    /// Where the driver takes commands of its own for this browser.
    pub(crate) fn endpoint(&self) -> String {
        let session = self.runtime.block_on(self.client.session_id()).expect("an answer").expect("a session");
        format!("http://127.0.0.1:{}/session/{session}", self.driver.port)
    }

    /// Makes the window as large as a phone, or any size.
    pub fn resize(&self, width: u32, height: u32) {
        let resized = self.runtime.block_on(self.client.set_window_size(width, height));
        resized.unwrap_or_else(|error| panic!("the window stays as it is: {error}"));
    }

    /// Saves a picture of the page, where `QPONDER_PICTURES` names a folder for pictures.
    pub fn picture(&self, name: &str) {
        if let Some(folder) = std::env::var_os("QPONDER_PICTURES") {
            let path = Path::new(&folder).join(format!("{name}.png"));
            self.photograph(&path).unwrap_or_else(|error| panic!("no picture {name}: {error}"));
        }
    }

    /// Saves a picture of the page.
    fn photograph(&self, path: &Path) -> Result<(), String> {
        let png = self.runtime.block_on(self.client.screenshot()).map_err(|error| error.to_string())?;
        let folder = path.parent().ok_or("no folder")?;
        fs::create_dir_all(folder).and_then(|()| fs::write(path, png)).map_err(|error| error.to_string())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let path = root().join("target/browser-failures").join(format!("{}.png", self.name));
            match self.photograph(&path) {
                Ok(()) => eprintln!("the page at that moment: {}", path.display()),
                Err(error) => eprintln!("no picture of the page: {error}"),
            }
        }
        self.driver.stop();
    }
}

/// A running chromedriver.
struct Driver {
    child: Child,
    port: u16,
}

impl Driver {
    fn start() -> Self {
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("chromedriver does not start ({error}); `cargo xtask test` installs it")
            });
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        // Later lines are read too: a full pipe would stop the driver.
        std::thread::spawn(move || lines.for_each(drop));
        let Some(port) = port else {
            let _ = child.kill();
            panic!("chromedriver did not say its port: {:?}", child.wait());
        };
        Self { child, port }
    }

    /// Closes the browser with its driver. Killing the driver would leave the browser behind.
    fn stop(&mut self) {
        if let Err(error) = self.ask_to_shut_down() {
            eprintln!("chromedriver does not listen ({error}); killing it");
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }

    fn ask_to_shut_down(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(
            stream,
            "GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n",
            self.port
        )?;
        // The answer comes once all sessions are closed.
        stream.read_to_end(&mut Vec::new()).map(drop)
    }
}

/// The browser to start. Chrome is found by the driver itself; Chromium goes by several names.
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let candidates =
        names.iter().flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)));
    candidates.into_iter().find(|file| file.is_file())
}
