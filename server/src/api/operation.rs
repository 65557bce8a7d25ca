//! Storage and health, for administrators.

use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use qponder_shared::api::Problem;
use qponder_shared::operation::{Check, Condition, Disk, Health, KindCount, Storage};

use super::gate::Caller;
use super::problem::ApiError;
use crate::file_count::Files;
use crate::inference::{Inference, QUEUE};
use crate::store::Store;
use crate::store::objects::Objects;
use crate::uptime::Uptime;

/// Free space below which somebody should make room, and below which nothing can be relied on, in bytes.
const LOW_DISK: (u64, u64) = (5 << 30, 500 << 20);
/// Milliseconds to the database and back above which somebody should look.
const SLOW_DATABASE: u128 = 250;

/// Where the bytes are: tables, files, free space.
#[utoipa::path(get, path = "/storage", tag = "administration", responses((status = OK, body = Storage)))]
pub async fn storage(
    State(store): State<Store>,
    State(files): State<Files>,
    State(uptime): State<Uptime>,
) -> Result<axum::Json<Storage>, ApiError> {
    let tables = store.table_sizes().await?;
    Ok(axum::Json(Storage {
        disk: uptime.disk().map_err(|error| ApiError::internal(&error))?,
        database_bytes: store.database_state().await?.bytes,
        tables,
        files: files.last(),
    }))
}

/// Count the files of the object store, in the background; `GET /storage` says how far it is.
#[utoipa::path(post, path = "/storage/count", tag = "administration", responses(
    (status = ACCEPTED, description = "It is under way."),
))]
pub async fn count_files(State(files): State<Files>) -> StatusCode {
    files.count();
    StatusCode::ACCEPTED
}

/// Remove the files that the last count found without a row, if they still have none.
#[utoipa::path(delete, path = "/storage/orphans", tag = "administration", responses(
    (status = OK, description = "What was removed.", body = KindCount),
    (status = CONFLICT, description = "The files are not counted yet.", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn remove_orphans(
    State(files): State<Files>,
    caller: Caller,
) -> Result<axum::Json<KindCount>, ApiError> {
    if files.last().is_none_or(|count| count.finished_at.is_none()) {
        return Err(super::studies::conflict("the files are not counted yet; count them first, and look"));
    }
    Ok(axum::Json(files.remove_orphans(&caller.by).await?))
}

/// How every part of the server is, and what to do where it is not well.
#[utoipa::path(get, path = "/health", tag = "administration", responses((status = OK, body = Health)))]
pub async fn health(
    State(store): State<Store>,
    State(objects): State<Objects>,
    State(inference): State<Inference>,
    State(uptime): State<Uptime>,
) -> axum::Json<Health> {
    let mut checks = vec![database(&store).await, object_store(&objects).await, disk(&uptime)];
    checks.extend(models(&store, &inference).await);
    checks.extend([transfers(&store).await, memory()]);
    axum::Json(Health {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: uptime.started_at(),
        uptime: uptime.seconds(),
        checks,
    })
}

fn ok(name: impl Into<String>, detail: impl Into<String>) -> Check {
    Check { name: name.into(), condition: Condition::Ok, detail: detail.into(), advice: None }
}

fn not_ok(name: &str, condition: Condition, detail: impl Into<String>, advice: &str) -> Check {
    Check { name: name.to_owned(), condition, detail: detail.into(), advice: Some(advice.to_owned()) }
}

async fn database(store: &Store) -> Check {
    let name = "Database";
    let asked = Instant::now();
    match store.database_state().await {
        Ok(state) => {
            let ms = asked.elapsed().as_millis();
            let (open, idle) = state.connections;
            let detail = format!(
                "PostgreSQL {}, schema {}, answered in {ms} ms, {} of {open} connections in use",
                state.version,
                state.schema,
                open as usize - idle.min(open as usize)
            );
            if ms > SLOW_DATABASE {
                let advice = "it answers slowly: look at its load, and at what else this machine does";
                return not_ok(name, Condition::Attention, detail, advice);
            }
            ok(name, detail)
        }
        Err(error) => {
            tracing::warn!(%error, "the database is not well");
            let advice = "see that it runs and can be reached; the server's log has its words";
            not_ok(name, Condition::Broken, "it does not answer", advice)
        }
    }
}

async fn object_store(objects: &Objects) -> Check {
    let name = "Object store";
    let asked = Instant::now();
    match objects.probe().await {
        Ok(()) => ok(name, format!("a file was written and removed in {} ms", asked.elapsed().as_millis())),
        Err(error) => {
            tracing::warn!(%error, "the object store is not well");
            let advice = "uploads fail: see that the disk has room and that its folder may be written";
            not_ok(name, Condition::Broken, "nothing can be written", advice)
        }
    }
}

fn disk(uptime: &Uptime) -> Check {
    let name = "Disk";
    match uptime.disk() {
        Ok(Disk { total, free }) => {
            let detail = format!("{} of {} GB are free", free / 1_000_000_000, total / 1_000_000_000);
            let advice = "make room: the storage page says what takes it";
            match free {
                free if free < LOW_DISK.1 => not_ok(name, Condition::Broken, detail, advice),
                free if free < LOW_DISK.0 => not_ok(name, Condition::Attention, detail, advice),
                _ => ok(name, detail),
            }
        }
        Err(error) => {
            not_ok(name, Condition::Attention, error.to_string(), "see that the data directory is there")
        }
    }
}

async fn models(store: &Store, inference: &Inference) -> Vec<Check> {
    let failures = store.recent_failures().await.unwrap_or_default();
    let check = |(lane, model): (usize, std::sync::Arc<qponder_shared::api::ServedModel>)| {
        let name = format!("Model {}", model.name);
        let waiting = inference.waiting(lane);
        let failed: Vec<_> = failures.iter().filter(|one| one.model == model.name).collect();
        let count: u64 = failed.iter().map(|one| one.count).sum();
        let detail = match failed.first() {
            Some(most) => {
                format!("{waiting} waiting; {count} failed in the last day, most often: {}", most.error)
            }
            None => format!("{waiting} waiting; none failed in the last day"),
        };
        if waiting * 2 > QUEUE {
            let advice = "its queue is long: ask for less at once, or give it a faster machine";
            return not_ok(&name, Condition::Attention, detail, advice);
        }
        if count > 0 {
            let advice = "see whether these are about single images; a teacher's endpoint may be away";
            return not_ok(&name, Condition::Attention, detail, advice);
        }
        ok(name, detail)
    };
    inference.models().into_iter().map(check).collect()
}

async fn transfers(store: &Store) -> Check {
    let name = "Imports and exports";
    match store.transfer_counts().await {
        Ok((open, 0)) => ok(name, format!("{open} open; none failed in the last day")),
        Ok((open, failed)) => {
            let detail = format!("{open} open; {failed} failed in the last day");
            not_ok(name, Condition::Attention, detail, "the page Data says why each of them failed")
        }
        Err(_) => not_ok(name, Condition::Broken, "they cannot be counted", "see to the database first"),
    }
}

fn memory() -> Check {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: u64 = line.trim_start_matches(':').split_whitespace().next()?.parse().ok()?;
        Some(kilobytes / 1024)
    };
    match (field("VmRSS"), field("VmHWM")) {
        (Some(now), Some(most)) => ok("Memory", format!("{now} MiB now, {most} MiB at most so far")),
        _ => ok("Memory", "this system does not say"),
    }
}
