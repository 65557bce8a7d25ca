//! The votes of a study that count, and what models say of the same images.

use std::collections::BTreeMap;

use qponder_shared::study::ItemKind;
use qponder_shared::study::statistics::{Predictions, StudyVotes, VotedItem, Voter};
use qponder_shared::subjective::Rating;
use qponder_shared::{ImageId, ItemId, StudyId, SubjectId};
use sqlx::Row;
use uuid::Uuid;

use super::assessments::read_mode;
use super::{Store, StoreError};

impl Store {
    /// Everything that a study's statistics are made of. Training does not count, nor what was voted after
    /// answers were revealed; of several votes by one person the newest does.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn study_votes(&self, study: StudyId) -> Result<StudyVotes, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let rows = sqlx::query(
            "select study_items.*, images.name from study_items join images on images.id = image_id \
             where study_id = $1 and kind <> 'training' order by study_items.id",
        )
        .bind(study.0)
        .fetch_all(&mut *connection)
        .await?;
        let mut votes = StudyVotes::default();
        let (mut places, mut images) = (BTreeMap::new(), BTreeMap::new());
        for row in &rows {
            let (id, image): (Uuid, Uuid) = (row.try_get("id")?, row.try_get("image_id")?);
            places.insert(id, votes.items.len());
            images.insert(image, votes.items.len());
            let kind: String = row.try_get("kind")?;
            let other: Option<Uuid> = row.try_get("other_image_id")?;
            votes.items.push(VotedItem {
                id: ItemId(id),
                images: std::iter::once(image).chain(other).map(ImageId).collect(),
                name: row.try_get("name")?,
                kind: ItemKind::of_name(&kind)
                    .ok_or(StoreError::Unreadable { what: "study_items.kind", value: kind })?,
                expected: row.try_get("expected")?,
                tolerance: row.try_get("tolerance")?,
            });
        }
        let rows = sqlx::query(
            "select distinct on (votes.item_id, votes.subject_id, votes.repeat) \
             votes.item_id, votes.subject_id, votes.score, votes.preference, subjects.name \
             from votes join subjects on subjects.id = votes.subject_id where study_id = $1 and blind \
             order by votes.item_id, votes.subject_id, votes.repeat, votes.id desc",
        )
        .bind(study.0)
        .fetch_all(&mut *connection)
        .await?;
        let mut voters: BTreeMap<Uuid, usize> = BTreeMap::new();
        for row in &rows {
            let Some(&item) = places.get(&row.try_get::<Uuid, _>("item_id")?) else { continue };
            let id: Uuid = row.try_get("subject_id")?;
            let subject = match voters.get(&id) {
                Some(&known) => known,
                None => {
                    let voter = Voter { id: SubjectId(id), name: row.try_get("name")?, skipped: 0 };
                    votes.voters.push(voter);
                    voters.insert(id, votes.voters.len() - 1);
                    votes.voters.len() - 1
                }
            };
            let (score, sign): (Option<f64>, Option<i16>) =
                (row.try_get("score")?, row.try_get("preference")?);
            match (score, sign) {
                (Some(score), _) => votes.ratings.push(Rating { item, subject, score }),
                (None, Some(sign)) => votes.preferences.push((item, subject, sign)),
                (None, None) => votes.voters[subject].skipped += 1,
            }
        }
        let rows = sqlx::query(
            "select distinct on (model, mode, image_id) model, mode, image_id, score from assessments \
             where image_id in (select image_id from study_items where study_id = $1 and other_image_id is null) \
             and status = 'done' and score is not null order by model, mode, image_id, id desc",
        )
        .bind(study.0)
        .fetch_all(&mut *connection)
        .await?;
        for row in &rows {
            let (model, mode): (String, _) = (row.try_get("model")?, read_mode(row.try_get("mode")?)?);
            let Some(&item) = images.get(&row.try_get::<Uuid, _>("image_id")?) else { continue };
            // The rows of one model and mode follow each other.
            if votes.predictions.last().is_none_or(|last| (&last.model, last.mode) != (&model, mode)) {
                let scores = vec![None; votes.items.len()];
                votes.predictions.push(Predictions { model, mode, scores });
            }
            if let Some(last) = votes.predictions.last_mut() {
                last.scores[item] = row.try_get("score")?;
            }
        }
        Ok(votes)
    }
}
