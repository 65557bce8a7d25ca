//! A bucket of a server that speaks S3, in a process of its own (`tests/examples/s3.rs`).

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::server::root;

const KEY: &str = "qponder";
const SECRET: &str = "only-for-tests";
/// The bucket, and what its objects begin with.
const BUCKET: &str = "photos";
const PREFIX: &str = "team";

/// The bucket. Its server ends with it.
pub struct Bucket {
    server: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Bucket {
    /// A new bucket in a folder.
    ///
    /// # Panics
    /// When its server does not start.
    #[must_use]
    pub fn open(folder: &Path) -> Self {
        std::fs::create_dir_all(folder.join(BUCKET)).expect("a folder");
        let mut command = Command::new(binary());
        command.arg(folder).args([KEY, SECRET]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut server = command.spawn().expect("it starts");
        let mut line = String::new();
        let stdout = server.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("its address");
        let address = line.trim().trim_start_matches("http://").parse().expect("its address");
        Self { server, address, folder: folder.join(BUCKET).join(PREFIX) }
    }

    /// What `--object-store` wants.
    #[must_use]
    pub fn location(&self) -> String {
        format!("s3://{BUCKET}/{PREFIX}")
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a program needs in its environment to reach it.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        Self::environment_at(self.address)
    }

    /// What a program needs in its environment to reach a bucket at the other end of a cable.
    #[must_use]
    pub fn environment_at(address: SocketAddr) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", format!("http://{address}")),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ]
    }

    /// Files of the objects of a kind.
    ///
    /// # Panics
    /// When a folder cannot be read.
    #[must_use]
    pub fn files(&self, kind: &str) -> Vec<PathBuf> {
        let Ok(shards) = std::fs::read_dir(self.folder.join(kind)) else { return Vec::new() };
        let shards = shards.map(|shard| shard.expect("a folder").path());
        let files = shards.flat_map(|shard| std::fs::read_dir(shard).expect("a folder"));
        files.map(|file| file.expect("a file").path()).collect()
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The server of this build, built once where it is out of date.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            // The selection of `cargo xtask`, as for the server of Q-Ponder.
            .args(["build", "--quiet", "--workspace", "--exclude", "qponder-frontend", "--exclude", "xtask"])
            .args(["--example", "s3"])
            .current_dir(root())
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the example s3 does not build");
        // target/debug/deps/<test> → target/debug/examples/s3
        let test = std::env::current_exe().expect("the path of this test");
        test.ancestors().nth(2).expect("a target directory").join("examples/s3")
    })
}
