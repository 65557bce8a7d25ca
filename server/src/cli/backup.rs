//! `qponder backup` and `qponder restore`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;
use tokio::runtime::Runtime;

use super::places;
use super::serve::{DATABASE, open_data_dir};
use crate::backup::{Backup, BackupError, Copied, Index, Target, copy, dump, is_used, load};
use crate::logging::{self, LogFormat};
use crate::postgres::{self, Cluster, Tools};
use crate::store::images::rfc3339;
use crate::store::objects::{Location, Objects};
use crate::store::{self, Store};

/// Back up a server: its database and the files that cannot be made again.
///
/// The server may run meanwhile. A second backup into the same folder copies new files alone. Checkpoints of jobs under
/// way are left out: after a restore such a job begins anew.
#[derive(Args)]
#[command(after_help = "Examples:
  qponder backup --data-dir data --into /backups/qponder
  qponder backup --into /mnt/qponder --database-url postgres://me@db/qponder
  qponder backup --into /mnt/qponder --object-store s3://qponder/team")]
pub struct BackupArgs {
    /// The server's data directory.
    #[arg(long, value_name = "DIR", default_value = "data", env = "QPONDER_DATA_DIR")]
    data_dir: PathBuf,
    /// The server's Postgres, where it is not the embedded one.
    #[arg(long, value_name = "URL", env = "QPONDER_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Where images, models and checkpoints are kept: a directory, or s3://BUCKET/PREFIX of anything that speaks S3
    /// [default: `objects` in the data directory]. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and, for other
    /// servers than Amazon's, AWS_ENDPOINT_URL say how to get there.
    #[arg(long, value_name = "WHERE", env = "QPONDER_OBJECT_STORE")]
    object_store: Option<Location>,
    /// The folder of backups.
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// Dumps of the database that are kept, this one included.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    keep: u32,
}

/// Make a server's data directory of a backup.
#[derive(Args)]
#[command(after_help = "Examples:
  qponder restore --from /backups/qponder --data-dir data
  qponder restore --from /mnt/qponder --data-dir data --database-url postgres://me@db/empty")]
pub struct RestoreArgs {
    /// The folder of backups; the newest one is taken.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// A new data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Restore into this database, an empty one, in the place of an embedded one.
    #[arg(long, value_name = "URL", env = "QPONDER_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Restore files into this object store, a directory or s3://BUCKET/PREFIX [default: `objects` in the data
    /// directory].
    #[arg(long, value_name = "WHERE", env = "QPONDER_OBJECT_STORE")]
    object_store: Option<Location>,
}

/// Backs up.
///
/// # Errors
/// What is not there or failed; backups made before stay as they are.
pub fn back_up(args: &BackupArgs) -> anyhow::Result<()> {
    logging::start(LogFormat::Text);
    let named = || format!("data directory {}", args.data_dir.display());
    let data_dir = args.data_dir.canonicalize().with_context(named)?;
    std::fs::create_dir_all(&args.into).with_context(|| format!("cannot make {}", args.into.display()))?;
    let mut index = Index::read(&args.into)?;
    // The cluster of a server that does not run is started for the backup alone.
    let mut own = None;
    let _lock;
    let (target, options) = match &args.database_url {
        Some(url) => (Target::url(url), store::parse_url(url)?),
        None => {
            let sockets = match postgres::sockets_of_running(&data_dir) {
                Some(sockets) => sockets,
                None => {
                    _lock = open_data_dir(&data_dir)?;
                    own.insert(Cluster::start(&data_dir)?).sockets().to_owned()
                }
            };
            let options = postgres::options_at(&sockets).database(DATABASE);
            (Target::embedded(&sockets, DATABASE), options)
        }
    };
    let at = rfc3339(OffsetDateTime::now_utc());
    let (runtime, folder) = (runtime()?, args.into.join("objects"));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let objects = connect(&runtime, args.object_store.as_ref(), &data_dir)?;
    let kept = Objects::open(&folder)?;
    // Files before the rows that name them, and once more after them: none is missing of what the dump names.
    let first = runtime.block_on(copy(&objects, &kept))?;
    let name = format!("database-{}.dump", at.replace([':', '.'], "-"));
    let rows = rows(&runtime, options)?;
    let sha256 = dump(&Tools::find(&data_dir)?, &target, &args.into.join(&name))?;
    let second = runtime.block_on(copy(&objects, &kept))?;
    index.backups.push(Backup {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        at,
        dump: name,
        sha256,
        rows: rows.clone(),
    });
    let spare = index.backups.len().saturating_sub(args.keep as usize);
    index.backups.drain(..spare);
    index.write(&args.into)?;
    drop(own);
    println!("{} new files, {} were there already", first.new + second.new, first.known);
    println!("{}", counted(&rows));
    println!("backup in {}", args.into.display());
    Ok(())
}

/// Restores.
///
/// # Errors
/// What is damaged or in the way. A data directory that was begun is left for a look at it.
pub fn restore(args: &RestoreArgs) -> anyhow::Result<()> {
    logging::start(LogFormat::Text);
    let index = Index::read(&args.from)?;
    let newest = index.newest(&args.from)?;
    if is_used(&args.data_dir) {
        bail!(BackupError::NotEmpty(args.data_dir.clone()));
    }
    let (data_dir, _lock) = open_data_dir(&args.data_dir)?;
    let runtime = runtime()?;
    let objects = connect(&runtime, args.object_store.as_ref(), &data_dir)?;
    // A backup of a server without any file has no such folder, where an earlier version made it.
    let kept = args.from.join("objects");
    let copied = match kept.is_dir() {
        true => runtime.block_on(copy(&Objects::open(&kept)?, &objects))?,
        false => Copied::default(),
    };
    let file = args.from.join(&newest.dump);
    let cluster;
    let (target, options) = match &args.database_url {
        Some(url) => (Target::url(url), store::parse_url(url)?),
        None => {
            cluster = Cluster::start(&data_dir)?;
            let options = cluster.options();
            runtime.block_on(store::create_database(&options, DATABASE))?;
            (Target::embedded(cluster.sockets(), DATABASE), options.database(DATABASE))
        }
    };
    load(&Tools::find(&data_dir)?, &target, &file)?;
    let found = rows(&runtime, options.clone())?;
    let missing = runtime.block_on(missing(options, &objects))?;
    println!("restored the backup of {} by version {}", newest.at, newest.version);
    println!("{} files; {}", copied.new, counted(&found));
    if let Some(first) = missing.first() {
        bail!(
            "{} files that the database names are not in the backup, the first: {first}; everything else is restored",
            missing.len()
        );
    }
    println!("start it with: qponder serve --data-dir {}", args.data_dir.display());
    Ok(())
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn connect(runtime: &Runtime, named: Option<&Location>, data_dir: &Path) -> anyhow::Result<Objects> {
    let location = places::objects(named, data_dir);
    runtime.block_on(Objects::connect(&location)).with_context(|| format!("object store {location}"))
}

fn rows(runtime: &Runtime, options: PgConnectOptions) -> anyhow::Result<BTreeMap<String, i64>> {
    Ok(runtime.block_on(async {
        let store = Store::beside(options, 1);
        let rows = store.table_rows().await;
        store.close().await;
        rows
    })?)
}

/// Hashes that rows name and of which there is no file.
async fn missing(options: PgConnectOptions, objects: &Objects) -> anyhow::Result<Vec<String>> {
    let store = Store::beside(options, 1);
    let named = store.named_objects().await;
    store.close().await;
    let mut missing = Vec::new();
    for (kind, hash) in named? {
        if objects.size(kind, &hash).await?.is_none() {
            missing.push(format!("{}/{hash}", kind.folder()));
        }
    }
    Ok(missing)
}

fn counted(rows: &BTreeMap<String, i64>) -> String {
    let counted: Vec<String> = rows.iter().map(|(name, count)| format!("{count} {name}")).collect();
    counted.join(", ")
}
