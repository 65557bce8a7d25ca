//! Images by what label files call them.

use std::collections::HashMap;

use qponder_shared::ImageId;
use sqlx::Row;

use super::{Store, StoreError};

/// Names that one query looks up.
const CHUNK: usize = 5000;

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// One image: its id, the SHA-256 of its bytes and its format.
    Image(ImageId, String, String),
    /// Several images have the name.
    Several(usize),
}

impl Store {
    /// Looks up images by the SHA-256 of their bytes, by their id, or by their file's name. Paths count by
    /// their last part; one that is named by a hash (`images/9f86….png`) is that hash.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn look_up(&self, names: &[String]) -> Result<HashMap<String, Known>, StoreError> {
        let mut found: HashMap<String, Known> = HashMap::new();
        for names in names.chunks(CHUNK) {
            let files: Vec<&str> = names.iter().map(|name| file_name(name)).collect();
            let stems: Vec<String> = files.iter().map(|file| stem(file).to_lowercase()).collect();
            let rows = sqlx::query(
                "select asked.name as asked, images.id, images.sha256, images.format \
                 from unnest($1::text[], $2::text[], $3::text[]) as asked(name, file, stem) \
                 join lateral (select id, sha256, format from images where sha256 = asked.stem \
                 union select id, sha256, format from images where images.name = asked.file \
                 union select id, sha256, format from images where id = case when asked.stem ~ \
                 '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$' then asked.stem::uuid end) \
                 images on true",
            )
            .bind(names)
            .bind(&files)
            .bind(&stems)
            .fetch_all(&self.pool)
            .await?;
            for row in &rows {
                let image =
                    Known::Image(ImageId(row.try_get("id")?), row.try_get("sha256")?, row.try_get("format")?);
                found
                    .entry(row.try_get("asked")?)
                    .and_modify(|known| {
                        *known = Known::Several(if let Known::Several(n) = known { *n + 1 } else { 2 });
                    })
                    .or_insert(image);
            }
        }
        Ok(found)
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

fn stem(file: &str) -> &str {
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}
