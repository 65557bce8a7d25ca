//! A server that speaks S3, with a folder for buckets: what tests keep objects in beside a directory. It prints its
//! address. Not ours: the crates s3s and s3s-fs.

use std::io::Write as _;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, key, secret] = &arguments[..] else {
        anyhow::bail!("give a folder, an access key and its secret");
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let files = FileSystem::new(folder).map_err(|error| anyhow::anyhow!("{folder}: {error:?}"))?;
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(key.as_str(), secret.as_str()));
        let service = service.build();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
        loop {
            let (socket, _) = listener.accept().await?;
            let service = service.clone();
            tokio::spawn(async move {
                let http = Builder::new(TokioExecutor::new());
                // A client that goes away is its own affair.
                let _ = http.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    })
}
