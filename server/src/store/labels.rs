//! Labels: what images' scores should be, as far as somebody knows.

use qponder_shared::ImageId;
use qponder_shared::compare::Label;

use super::audit::{By, Change, note};
use super::{Store, StoreError};

impl Store {
    /// Writes labels, many at a time; one of the same image, kind and source is replaced. Returns how many
    /// were written: those of images that are not there are left out.
    ///
    /// # Errors
    /// When the database fails; then none is written.
    pub async fn set_labels(&self, labels: &[(ImageId, Label)], by: &By) -> Result<u64, StoreError> {
        let column =
            |of: &dyn Fn(&Label) -> String| labels.iter().map(|(_, label)| of(label)).collect::<Vec<_>>();
        let ids: Vec<uuid::Uuid> = labels.iter().map(|_| uuid::Uuid::now_v7()).collect();
        let images: Vec<uuid::Uuid> = labels.iter().map(|(image, _)| image.0).collect();
        let counts: Vec<Option<i32>> =
            labels.iter().map(|(_, label)| label.n.and_then(|n| i32::try_from(n).ok())).collect();
        let mut transaction = self.pool.begin().await?;
        // The last of equal ones counts. The images' rows are locked, so that none goes meanwhile.
        let written = sqlx::query(
            "with given as (select distinct on (image_id, kind, source) * from unnest($1::uuid[], $2::uuid[], \
             $3::text[], $4::text[], $5::float8[], $6::int4[], $7::float8[]) with ordinality \
             as given (id, image_id, kind, source, value, n, sd, place) \
             order by image_id, kind, source, place desc), \
             known as (select id from images where id = any($2) order by id for key share) \
             insert into labels (id, image_id, kind, source, value, n, sd) \
             select given.id, image_id, kind, source, value, n, sd from given join known on known.id = image_id \
             on conflict (image_id, kind, source) do update \
             set value = excluded.value, n = excluded.n, sd = excluded.sd, created_at = now()",
        )
        .bind(ids)
        .bind(images)
        .bind(column(&|label| label.kind.name().to_owned()))
        .bind(column(&|label| label.source.clone()))
        .bind(labels.iter().map(|(_, label)| label.value.get()).collect::<Vec<_>>())
        .bind(counts)
        .bind(labels.iter().map(|(_, label)| label.sd).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        if written == 0 {
            return Ok(0);
        }
        let (object, detail) = match labels {
            [(image, label)] => {
                let Label { kind, source, value, .. } = label;
                (Some(image.0), format!("{} {value} of {source}", kind.title()))
            }
            _ => (None, format!("{written} labels")),
        };
        note(&mut transaction, by, Change { action: "label.set", object, detail: &detail }).await?;
        transaction.commit().await?;
        Ok(written)
    }
}
