//! Models that have a name, what they are used for, and how good they are.

use qponder_shared::api::{ModelPlace, ServedModel};
use qponder_shared::job::{Job, Measured};
use qponder_shared::registry::{EditModel, Measurement, Model, ModelUse, Promotion, RegisterModel};
use qponder_shared::{JobId, ModelId};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::audit::{By, Change, note};
use super::images::rfc3339;
use super::jobs::{read, select_job};
use super::{Store, StoreError};

/// Most generations of jobs that a lineage goes back.
const GENERATIONS: i32 = 50;
/// Most measurements of a model that are shown.
const MEASUREMENTS: i64 = 200;

/// A model with what it is used for: the newest row of each role names it.
macro_rules! select_model {
    ($rest:literal) => {
        concat!(
            "select models.*, array(select role from unnest(array['default', 'preview', 'teacher']) as known(role) \
             where (select model_id from promotions where promotions.role = known.role order by place desc limit 1) \
             = models.id order by role) as uses from models ",
            $rest
        )
    };
}

/// What became of the wish to name a model.
pub enum Named {
    /// It is there.
    Model(Box<Model>),
    /// Another model has the name.
    Taken,
}

impl Store {
    /// Notes the models that the operator named; those that were named before stay. Gives the first name that a job's
    /// model has already.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_served(&self, served: &[ServedModel]) -> Result<Option<String>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        for model in served {
            let noted = sqlx::query(
                "insert into models (id, name, is_endpoint, sha256, parameters, created_by) \
                 values ($1, $2, $3, $4, $5, 'operator') on conflict (name) do update set is_archived = false, \
                 is_endpoint = excluded.is_endpoint, sha256 = excluded.sha256, parameters = excluded.parameters \
                 where models.job_id is null",
            )
            .bind(ModelId::new().0)
            .bind(&model.name)
            .bind(model.place == ModelPlace::Endpoint)
            .bind(&model.sha256)
            .bind(model.parameters.map(u64::cast_signed))
            .execute(&mut *transaction)
            .await?;
            if noted.rows_affected() == 0 {
                return Ok(Some(model.name.clone()));
            }
        }
        transaction.commit().await?;
        Ok(None)
    }

    /// Gives what a job trained a name.
    ///
    /// # Errors
    /// When the database fails; then it has none.
    pub async fn add_model(
        &self,
        id: ModelId,
        new: &RegisterModel,
        sha256: &str,
        parameters: u64,
        by: &By,
    ) -> Result<Named, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let added = sqlx::query(
            "insert into models (id, name, job_id, sha256, parameters, card, created_by) \
             values ($1, $2, $3, $4, $5, $6, $7) on conflict (name) do nothing",
        )
        .bind(id.0)
        .bind(&new.name)
        .bind(new.job.0)
        .bind(sha256)
        .bind(parameters.cast_signed())
        .bind(&new.card)
        .bind(&by.name)
        .execute(&mut *transaction)
        .await?;
        if added.rows_affected() == 0 {
            return Ok(Named::Taken);
        }
        note(
            &mut transaction,
            by,
            Change { action: "model.register", object: Some(id.0), detail: &new.name },
        )
        .await?;
        let model =
            find(&mut transaction, id).await?.ok_or(StoreError::Database(sqlx::Error::RowNotFound))?;
        transaction.commit().await?;
        Ok(Named::Model(Box::new(model)))
    }

    /// Changes what people should know of a model, or whether they want to see it; `None` where there is none.
    ///
    /// # Errors
    /// When the database fails; then it stays as it is.
    pub async fn edit_model(
        &self,
        id: ModelId,
        change: &EditModel,
        by: &By,
    ) -> Result<Option<Model>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let name: Option<String> = sqlx::query_scalar(
            "update models set card = coalesce($2, card), is_archived = coalesce($3, is_archived) \
             where id = $1 returning name",
        )
        .bind(id.0)
        .bind(&change.card)
        .bind(change.is_archived)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(name) = name else { return Ok(None) };
        let action = match change.is_archived {
            Some(true) => "model.archive",
            _ => "model.edit",
        };
        note(&mut transaction, by, Change { action, object: Some(id.0), detail: &name }).await?;
        let model = find(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(model)
    }

    /// One page of models, newest first: `limit` at most, before `before`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn models(&self, before: Option<ModelId>, limit: usize) -> Result<Vec<Model>, StoreError> {
        let rows = sqlx::query(select_model!("where id < $1 order by id desc limit $2"))
            .bind(before.map_or(Uuid::max(), |id| id.0))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(read_model).collect()
    }

    /// A model.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn model(&self, id: ModelId) -> Result<Option<Model>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        find(&mut connection, id).await
    }

    /// The model of a name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn model_of_name(&self, name: &str) -> Result<Option<Model>, StoreError> {
        let row = sqlx::query(select_model!("where name = $1")).bind(name).fetch_optional(&self.pool).await?;
        row.as_ref().map(read_model).transpose()
    }

    /// Promotes a model, or goes back to what the operator chose.
    ///
    /// # Errors
    /// When the database fails; then nothing changes.
    pub async fn promote(
        &self,
        model_use: ModelUse,
        model: Option<&Model>,
        by: &By,
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("insert into promotions (role, model_id, created_by) values ($1, $2, $3)")
            .bind(model_use.name())
            .bind(model.map(|model| model.id.0))
            .bind(&by.name)
            .execute(&mut *transaction)
            .await?;
        let name = model.map_or("the operator's choice", |model| &model.name);
        let detail = format!("{}: {name}", model_use.name());
        let change =
            Change { action: "model.promote", object: model.map(|model| model.id.0), detail: &detail };
        note(&mut transaction, by, change).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Who was promoted, newest first, `limit` of each use at most.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn promotions(&self, limit: i64) -> Result<Vec<Promotion>, StoreError> {
        let mut found = Vec::new();
        for model_use in ModelUse::ALL {
            let rows = sqlx::query(
                "select promotions.*, models.name from promotions left join models on models.id = model_id \
                 where role = $1 order by place desc limit $2",
            )
            .bind(model_use.name())
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
            for row in rows {
                found.push(Promotion {
                    model_use,
                    model: row.try_get::<Option<Uuid>, _>("model_id")?.map(ModelId),
                    name: row.try_get("name")?,
                    created_by: row.try_get("created_by")?,
                    created_at: rfc3339(row.try_get("created_at")?),
                });
            }
        }
        Ok(found)
    }

    /// How good a model is, newest evaluations first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn measurements(&self, model: &Model) -> Result<Vec<Measurement>, StoreError> {
        let mut names = vec![format!("model:{}", model.name)];
        names.extend(model.job.map(|job| format!("job:{job}")));
        self.measured(&names).await
    }

    /// How good what a job trained is, newest evaluations first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn measurements_of_job(&self, job: JobId) -> Result<Vec<Measurement>, StoreError> {
        let names: Vec<String> = sqlx::query_scalar("select name from models where job_id = $1")
            .bind(job.0)
            .fetch_all(&self.pool)
            .await?;
        let names = names.iter().map(|name| format!("model:{name}"));
        let names: Vec<String> = names.chain([format!("job:{job}")]).collect();
        self.measured(&names).await
    }

    async fn measured(&self, names: &[String]) -> Result<Vec<Measurement>, StoreError> {
        let rows = sqlx::query(
            "select job_id, numbers, coalesce(finished_at, jobs.created_at) as at from measurements \
             join jobs on jobs.id = job_id where model = any($1) order by job_id desc, place limit $2",
        )
        .bind(names)
        .bind(MEASUREMENTS)
        .fetch_all(&self.pool)
        .await?;
        let read = |row: &PgRow| {
            Ok(Measurement {
                job: JobId(row.try_get("job_id")?),
                at: rfc3339(row.try_get("at")?),
                measured: row.try_get::<Json<Measured>, _>("numbers")?.0,
            })
        };
        rows.iter().map(read).collect()
    }

    /// The jobs that came before a job, because it needs them or what they need; oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lineage(&self, job: JobId) -> Result<Vec<Job>, StoreError> {
        let rows = sqlx::query(select_job!(
            "where jobs.id in (with recursive before(id, generation) as (select needs_id, 1 from job_needs \
             where job_id = $1 union select job_needs.needs_id, generation + 1 from job_needs \
             join before on before.id = job_needs.job_id where generation < $2) select id from before) \
             order by jobs.id"
        ))
        .bind(job.0)
        .bind(GENERATIONS)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }
}

async fn find(connection: &mut PgConnection, id: ModelId) -> Result<Option<Model>, StoreError> {
    let row = sqlx::query(select_model!("where id = $1")).bind(id.0).fetch_optional(connection).await?;
    row.as_ref().map(read_model).transpose()
}

fn read_model(row: &PgRow) -> Result<Model, StoreError> {
    let read_use = |name: String| {
        ModelUse::of_name(&name).ok_or(StoreError::Unreadable { what: "promotions.role", value: name })
    };
    Ok(Model {
        id: ModelId(row.try_get("id")?),
        name: row.try_get("name")?,
        job: row.try_get::<Option<Uuid>, _>("job_id")?.map(JobId),
        is_endpoint: row.try_get("is_endpoint")?,
        sha256: row.try_get("sha256")?,
        parameters: row.try_get::<Option<i64>, _>("parameters")?.map(i64::unsigned_abs),
        card: row.try_get("card")?,
        uses: row.try_get::<Vec<String>, _>("uses")?.into_iter().map(read_use).collect::<Result<_, _>>()?,
        // Only the server knows.
        is_served: false,
        is_archived: row.try_get("is_archived")?,
        created_by: row.try_get("created_by")?,
        created_at: rfc3339(row.try_get("created_at")?),
    })
}
