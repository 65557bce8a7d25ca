//! What two models say of the same images: pages in any order, and a sample for statistics.

use qponder_shared::ImageId;
use qponder_shared::api::Page;
use qponder_shared::compare::{ComparedImage, Levels, differing};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::cursor::{Cursor, Order};
use super::readings::{read_side, to_levels};
use super::{Store, StoreError, images};

/// The order of a comparison. All but the newest list images with both answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PairSort {
    /// Largest difference of the scores first.
    #[default]
    Disagreement,
    /// Highest score of the left model first.
    Left,
    /// Highest score of the right model first.
    Right,
    /// Latest upload first; images without one of the answers too.
    Newest,
}

impl Order for PairSort {
    const NAMES: &'static [(Self, &'static str)] = &[
        (PairSort::Disagreement, "disagreement"),
        (PairSort::Left, "left"),
        (PairSort::Right, "right"),
        (PairSort::Newest, "newest"),
    ];
}

/// Two models, in the order in which they are compared.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'a> {
    pub left: &'a str,
    pub right: &'a str,
}

impl Sides<'_> {
    /// Whether the left model is the first of its pairs.
    fn is_in_order(self) -> bool {
        self.left < self.right
    }

    fn pair(self) -> (String, String) {
        let (left, right) = (self.left.to_owned(), self.right.to_owned());
        if self.is_in_order() { (left, right) } else { (right, left) }
    }
}

/// What two models say of one image of a sample, and its label.
pub struct SampledPair {
    pub image: ImageId,
    pub scores: (f64, f64),
    pub levels: (Levels, Levels),
    /// MOS before proxy.
    pub label: Option<f64>,
}

/// The columns of both sides; `$1` and `$2` are the models. With the image's own columns they make a row.
macro_rules! select_pair {
    ($from:expr, $key:literal) => {
        concat!(
            "select page.key, ",
            images::image_columns!(),
            ", ",
            "l.assessment_id as left_id, l.score as left_score, l.levels as left_levels, ",
            "r.assessment_id as right_id, r.score as right_score, r.levels as right_levels from (",
            $from,
            ") page join images on images.id = page.image_id ",
            "left join assessments on assessments.id = images.latest ",
            "left join readings l on l.image_id = images.id and l.model = $1 ",
            "left join readings r on r.image_id = images.id and r.model = $2 ",
            "order by ",
            $key,
            "page.image_id desc"
        )
    };
}

macro_rules! page_by {
    ($column:literal) => {
        select_pair!(
            concat!(
                "select image_id, ",
                $column,
                " as key from pairs where first = $3 and second = $4 ",
                "and (",
                $column,
                ", image_id) < ($5, $6) order by ",
                $column,
                " desc, image_id desc limit $7"
            ),
            "page.key desc, "
        )
    };
}

impl Store {
    /// One page of images with what two models say of them. Costs the same on every page.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn compared(
        &self,
        sides: Sides<'_>,
        sort: PairSort,
        cursor: Option<Cursor<PairSort>>,
        limit: usize,
    ) -> Result<Page<ComparedImage>, StoreError> {
        let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let by_first = if sides.is_in_order() { PairSort::Left } else { PairSort::Right };
        let statement = match sort {
            PairSort::Disagreement => BY_DISAGREEMENT,
            PairSort::Newest => BY_TIME,
            sort if sort == by_first => BY_FIRST,
            PairSort::Left | PairSort::Right => BY_SECOND,
        };
        let (first, second) = sides.pair();
        let rows = sqlx::query(statement)
            .bind(sides.left)
            .bind(sides.right)
            .bind(first)
            .bind(second)
            .bind(cursor.map_or(f64::INFINITY, |cursor| cursor.key))
            .bind(cursor.map_or(uuid::Uuid::max(), |cursor| cursor.id))
            .bind(wanted)
            .fetch_all(&self.pool)
            .await?;
        let more = rows.len() > limit;
        let shown = &rows[..rows.len().min(limit)];
        let items = shown.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let next = match shown.last().filter(|_| more) {
            None => None,
            Some(last) => {
                let (key, id) = (last.try_get("key")?, last.try_get("id")?);
                Some(Cursor { order: sort, key, id }.write())
            }
        };
        Ok(Page { items, next })
    }

    /// Images with both answers, `limit` at most. Where there are more, the ones with the lowest lots: a random
    /// sample, and the same one each time. Its cost depends on `limit` alone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sampled_pairs(
        &self,
        sides: Sides<'_>,
        limit: usize,
    ) -> Result<Vec<SampledPair>, StoreError> {
        let (first, second) = sides.pair();
        let rows = sqlx::query(
            "select l.image_id, l.score as left_score, l.levels as left_levels, r.score as right_score, \
             r.levels as right_levels, \
             (select value from labels where image_id = page.image_id order by kind, created_at desc limit 1) as label \
             from (select image_id from pairs where first = $3 and second = $4 order by lot, image_id limit $5) page \
             join readings l on l.image_id = page.image_id and l.model = $1 \
             join readings r on r.image_id = page.image_id and r.model = $2",
        )
        .bind(sides.left)
        .bind(sides.right)
        .bind(first)
        .bind(second)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        let levels = |row: &PgRow, column: &str| -> Result<Levels, StoreError> {
            Ok(to_levels(&row.try_get::<Option<Vec<i16>>, _>(column)?.unwrap_or_default()))
        };
        let sampled = |row: &PgRow| {
            Ok(SampledPair {
                image: ImageId(row.try_get("image_id")?),
                scores: (row.try_get("left_score")?, row.try_get("right_score")?),
                levels: (levels(row, "left_levels")?, levels(row, "right_levels")?),
                label: row.try_get("label")?,
            })
        };
        rows.iter().map(sampled).collect()
    }
}

const BY_DISAGREEMENT: &str = page_by!("disagreement");
const BY_FIRST: &str = page_by!("first_score");
const BY_SECOND: &str = page_by!("second_score");
const BY_TIME: &str = select_pair!(
    "select id as image_id, 0::float8 as key from images \
     where id < $6 and $3::text is not null and $4::text is not null and $5::float8 is not null \
     order by id desc limit $7",
    ""
);

fn read(row: &PgRow) -> Result<ComparedImage, StoreError> {
    let (left, right) = (read_side(row, "left")?, read_side(row, "right")?);
    let both = left.as_ref().zip(right.as_ref());
    Ok(ComparedImage {
        image: images::read(row)?,
        difference: both.map(|(left, right)| right.score.get() - left.score.get()),
        differing: both.map(|(left, right)| differing(&left.levels, &right.levels)),
        left,
        right,
    })
}
