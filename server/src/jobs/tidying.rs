//! Letting go of the files of jobs that nobody goes on with: what a job had reached that failed or was cancelled long
//! ago. What a model or another job refers to is of jobs that are done, and stays.

use std::fs;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::inputs::Places;
use super::safe::{self, SafeError};
use crate::store::Store;
use crate::store::objects::{Kind, Objects};

/// How often it is looked for them.
const LOOKED_EVERY: Duration = Duration::from_secs(3600);

/// Lets go of files, again and again, of jobs that were given up `ago`.
pub async fn tidy(store: Store, objects: Objects, places: Places, ago: Duration) {
    let mut ticks = interval(LOOKED_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = let_go(&store, &objects, &places, ago).await {
            tracing::warn!(%error, "files of jobs that were given up could not be removed");
        }
    }
}

async fn let_go(store: &Store, objects: &Objects, places: &Places, ago: Duration) -> Result<(), SafeError> {
    for job in store.given_up_of(&places.folders()?, ago).await? {
        fs::remove_dir_all(places.folder(job))?;
        tracing::info!(%job, "removed what a job had reached that was given up");
    }
    for job in store.given_up(ago).await? {
        safe::forget(job, store, objects).await?;
        for sha256 in store.forget_artifacts(job).await? {
            let delete = async {
                // What stays is found by the count of files.
                if let Err(error) = objects.delete(Kind::Artifact, &sha256).await {
                    tracing::warn!(%error, sha256, "a file of a job that was given up could not be removed");
                }
            };
            store.with_unused_hash(&sha256, delete).await?;
        }
    }
    Ok(())
}
