//! What is rated in studies.

use qponder_shared::study::{AddItems, Added, ChangeItem, Item, ItemKind, Preference};
use qponder_shared::{ImageId, ItemId, Score, StudyId};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::audit::{By, Change, note};
use super::{Store, StoreError};

/// What became of items that were to be added.
pub enum AddedItems {
    /// They are there now.
    Added(Added),
    /// There is no such study.
    NoStudy,
    /// Some of the images do not exist; this is one of them.
    NoImage(ImageId),
}

macro_rules! select_item {
    ($rest:literal) => {
        concat!(
            "select study_items.*, images.name from study_items join images on images.id = image_id ",
            $rest
        )
    };
}

impl Store {
    /// Adds items, each an image and for pairs another. Those that are there stay as they are.
    ///
    /// # Errors
    /// When the database fails; then nothing is added.
    pub async fn add_items(
        &self,
        study: StudyId,
        images: &[(ImageId, Option<ImageId>)],
        like: &AddItems,
        by: &By,
    ) -> Result<AddedItems, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let name: Option<String> = sqlx::query_scalar("select name from studies where id = $1 for share")
            .bind(study.0)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(name) = name else {
            return Ok(AddedItems::NoStudy);
        };
        let first: Vec<Uuid> = images.iter().map(|pair| pair.0.0).collect();
        let other: Vec<Option<Uuid>> = images.iter().map(|pair| pair.1.map(|id| id.0)).collect();
        let missing: Option<Uuid> = sqlx::query_scalar(
            "select id from unnest($1 || $2) as id where id is not null \
             and not exists (select from images where images.id = id.id) limit 1",
        )
        .bind(&first)
        .bind(&other)
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(missing) = missing {
            return Ok(AddedItems::NoImage(ImageId(missing)));
        }
        let ids: Vec<Uuid> = images.iter().map(|_| ItemId::new().0).collect();
        let added = sqlx::query(
            "insert into study_items \
             (id, study_id, image_id, other_image_id, kind, expected, expected_preference, tolerance, repeated) \
             select id, $4, first, other, $5, $6, $7, $8, $9 from unnest($1, $2, $3) as t(id, first, other) \
             on conflict do nothing",
        )
        .bind(&ids)
        .bind(&first)
        .bind(&other)
        .bind(study.0)
        .bind(like.kind.name())
        .bind(like.expected.map(Score::get))
        .bind(like.expected_preference.map(Preference::sign))
        .bind(like.tolerance)
        .bind(like.repeated)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        let detail = format!("{name}: {added} {}", like.kind.name());
        let change = Change { action: "study.add_items", object: Some(study.0), detail: &detail };
        note(&mut transaction, by, change).await?;
        transaction.commit().await?;
        let present = (images.len() as u64).saturating_sub(added);
        Ok(AddedItems::Added(Added { added, present }))
    }

    /// One page of a study's items in the order in which they came: `limit` at most, after `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn items(
        &self,
        study: StudyId,
        after: Option<ItemId>,
        limit: usize,
    ) -> Result<Vec<Item>, StoreError> {
        let rows = sqlx::query(select_item!(
            "where study_id = $1 and study_items.id > $2 order by study_items.id limit $3"
        ))
        .bind(study.0)
        .bind(after.map_or(Uuid::nil(), |id| id.0))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }

    /// Changes what an item is for; `None` when there is no such item.
    ///
    /// # Errors
    /// When the database fails; then nothing is changed.
    pub async fn change_item(
        &self,
        id: ItemId,
        change: &ChangeItem,
        by: &By,
    ) -> Result<Option<Item>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // Whether the item is full then depends on the study's overlap.
        sqlx::query(
            "select from studies where id = (select study_id from study_items where id = $1) for share",
        )
        .bind(id.0)
        .execute(&mut *transaction)
        .await?;
        let study: Option<Uuid> = sqlx::query_scalar(
            "update study_items set kind = coalesce($2, kind), expected = case when $7 then $3 else expected end, \
             expected_preference = case when $8 then $4 else expected_preference end, tolerance = coalesce($5, tolerance), \
             repeated = coalesce($6, repeated) where id = $1 returning study_id",
        )
        .bind(id.0)
        .bind(change.kind.map(ItemKind::name))
        .bind(change.expected.flatten().map(Score::get))
        .bind(change.expected_preference.flatten().map(Preference::sign))
        .bind(change.tolerance)
        .bind(change.repeated)
        .bind(change.expected.is_some())
        .bind(change.expected_preference.is_some())
        .fetch_optional(&mut *transaction)
        .await?;
        if study.is_none() {
            return Ok(None);
        }
        let row = sqlx::query(select_item!("where study_items.id = $1"))
            .bind(id.0)
            .fetch_one(&mut *transaction)
            .await?;
        let item = read(&row)?;
        let detail = format!("{}: {}", item.name, item.kind.name());
        note(&mut transaction, by, Change { action: "study.change_item", object: study, detail: &detail })
            .await?;
        transaction.commit().await?;
        Ok(Some(item))
    }
}

fn read(row: &PgRow) -> Result<Item, StoreError> {
    let kind: String = row.try_get("kind")?;
    let other: Option<Uuid> = row.try_get("other_image_id")?;
    let images = std::iter::once(row.try_get("image_id")?).chain(other).map(ImageId).collect();
    Ok(Item {
        id: ItemId(row.try_get("id")?),
        images,
        name: row.try_get("name")?,
        kind: ItemKind::of_name(&kind)
            .ok_or(StoreError::Unreadable { what: "study_items.kind", value: kind })?,
        expected: row.try_get::<Option<f64>, _>("expected")?.and_then(Score::clamped),
        expected_preference: row
            .try_get::<Option<i16>, _>("expected_preference")?
            .and_then(Preference::of_sign),
        tolerance: row.try_get("tolerance")?,
        repeated: row.try_get("repeated")?,
        answered: row.try_get::<i32, _>("raters")?.unsigned_abs(),
    })
}
