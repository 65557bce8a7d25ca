//! `qponder user`: help for whoever can reach the database when nobody can sign in.
//!
//! It works beside a running server: it claims nothing and makes no schema.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use qponder_shared::account::check;
use sqlx::postgres::PgConnectOptions;

use super::serve::DATABASE;
use crate::accounts::secret::Secret;
use crate::api::{LINK_PATH, PublicUrl};
use crate::postgres::{self, Cluster};
use crate::store::audit::{By, Via};
use crate::store::invites::Purpose;
use crate::store::{self, Store};

/// Users on a page of the listing.
const PAGE: usize = 200;

/// Arguments of `qponder user`.
#[derive(Args)]
#[command(after_help = "Examples:
  qponder user list
  qponder user reset-link ada@example.org
  qponder user reset-link ada@example.org --public-url https://q.example.org
  qponder user list --database-url postgres://me@db/qponder")]
pub struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
    /// The data directory of the server, which may be running or not.
    #[arg(long, value_name = "DIR", default_value = "data", env = "QPONDER_DATA_DIR", global = true)]
    data_dir: PathBuf,
    /// The server's Postgres, where it is not the embedded one.
    #[arg(long, value_name = "URL", env = "QPONDER_DATABASE_URL", hide_env_values = true, global = true)]
    database_url: Option<String>,
}

#[derive(Subcommand)]
enum UserCommand {
    /// Print every user: address, role, state, name.
    List,
    /// Print a link with which a user sets a new password. It works once, for a day.
    ResetLink {
        /// Their e-mail address.
        email: String,
        /// Where people find the server.
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000", env = "QPONDER_PUBLIC_URL")]
        public_url: PublicUrl,
    },
}

/// Runs the command.
///
/// # Errors
/// When the database cannot be reached, or there is no such user.
pub fn run(args: &UserArgs) -> anyhow::Result<()> {
    // On this thread: Postgres ends with the thread that starts it (see `Cluster::start`).
    let (options, _cluster) = connect(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::beside(options, 1);
        match &args.command {
            UserCommand::List => list(&store).await,
            UserCommand::ResetLink { email, public_url } => reset_link(&store, email, public_url).await,
        }
    })
}

/// How to reach the database, and the cluster and lock to hold meanwhile where no server holds them.
fn connect(args: &UserArgs) -> anyhow::Result<(PgConnectOptions, Option<(Cluster, File)>)> {
    if let Some(url) = &args.database_url {
        return Ok((store::parse_url(url).context("--database-url")?, None));
    }
    let named = || format!("data directory {}", args.data_dir.display());
    let directory = args.data_dir.canonicalize().with_context(named)?;
    let lock = fs::OpenOptions::new().write(true).open(directory.join("lock"));
    let lock = lock.with_context(|| format!("no server has ever used the {}", named()))?;
    if lock.try_lock().is_err() {
        return Ok((postgres::options_of_running(&directory)?.database(DATABASE), None));
    }
    let cluster = Cluster::start(&directory)?;
    Ok((cluster.options().database(DATABASE), Some((cluster, lock))))
}

async fn list(store: &Store) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut after = None;
    loop {
        let users = store.users(after, PAGE).await?;
        for user in &users {
            let state = if user.disabled { "disabled" } else { "active" };
            writeln!(out, "{}\t{}\t{state}\t{}", user.email, user.role, user.name)?;
        }
        after = users.last().map(|user| user.id);
        if users.len() < PAGE {
            return Ok(());
        }
    }
}

async fn reset_link(store: &Store, email: &str, public_url: &PublicUrl) -> anyhow::Result<()> {
    let email = check::email(email)?;
    let Some((user, _)) = store.credentials(&email).await? else {
        bail!("there is no user {email}; `qponder user list` prints them");
    };
    if user.disabled {
        bail!("{email} is disabled; an administrator can enable them");
    }
    let secret = Secret::new("")?;
    let by = By { user: None, name: "operator".to_owned(), via: Via::Command, request: None };
    let link = store.add_link(Purpose::Reset(user.id), &secret.hash(), &by).await?;
    link.context("too many links are open")?;
    writeln!(std::io::stdout(), "{}{LINK_PATH}{}", public_url.as_str(), secret.text())?;
    Ok(())
}
