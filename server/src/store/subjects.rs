//! Subjects: those who vote and annotate.

use qponder_shared::{SubjectId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use super::audit::By;

/// The subject of local mode, where there are no users.
const LOCAL: Uuid = Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0001);

/// The subject that somebody votes as. Users have their own id, so that no row is needed to know it.
pub fn of(by: &By) -> SubjectId {
    SubjectId(by.user.map_or(LOCAL, |user| user.0))
}

/// The same, with a row to which votes can refer, within the caller's transaction.
pub(super) async fn ensure(connection: &mut PgConnection, by: &By) -> Result<SubjectId, StoreError> {
    let id = of(by);
    sqlx::query(
        "insert into subjects (id, user_id, name) \
         values ($1, $2, coalesce((select name from users where id = $2), $3)) on conflict (id) do nothing",
    )
    .bind(id.0)
    .bind(by.user.map(|user: UserId| user.0))
    .bind(&by.name)
    .execute(connection)
    .await?;
    Ok(id)
}
