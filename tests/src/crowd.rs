//! Generated rows: what a large team leaves behind, for benchmarks of lists and tests of their plans.
//!
//! They fit together as the server's own do. Ids grow with the rows' numbers.

use std::path::Path;

use crate::database;

/// The study that has an item for every image. A hundred people rate it, and one item in three is full.
pub const STUDY: &str = "019c0000-00c8-7005-8000-000000000000";

/// A list that people page through.
pub struct List {
    /// What it is, for people.
    pub name: &'static str,
    /// Its path and query, without the page.
    pub path: &'static str,
    /// A query for many positions in it (`c`), anywhere; none for lists that do not grow with the images.
    pub cursors: Option<&'static str>,
}

const fn list(name: &'static str, path: &'static str, cursors: &'static str) -> List {
    List { name, path, cursors: Some(cursors) }
}

const fn short(name: &'static str, path: &'static str) -> List {
    List { name, path, cursors: None }
}

/// Every list of the server that grows with the work done, in each of its orders and with each of its filters.
pub const LISTS: &[List] = &[
    list("images, newest first", "images?sort=newest", "select 'newest.0.' || id as c from images"),
    list("images, oldest first", "images?sort=oldest", "select 'oldest.0.' || id as c from images"),
    list(
        "images, best first",
        "images?sort=best",
        "select 'best.' || encode(float8send(latest_score), 'hex') || '.' || id as c from images",
    ),
    list(
        "images, worst first",
        "images?sort=worst",
        "select 'worst.' || encode(float8send(latest_score), 'hex') || '.' || id as c from images",
    ),
    list(
        "comparison, by disagreement",
        "comparison?left=nano-ci&right=nano-rl&sort=disagreement",
        "select 'disagreement.' || encode(float8send(disagreement), 'hex') || '.' || image_id as c from pairs",
    ),
    list(
        "comparison, by the left score",
        "comparison?left=nano-ci&right=nano-rl&sort=left",
        "select 'left.' || encode(float8send(first_score), 'hex') || '.' || image_id as c from pairs",
    ),
    list(
        "comparison, by the right score",
        "comparison?left=nano-ci&right=nano-rl&sort=right",
        "select 'right.' || encode(float8send(second_score), 'hex') || '.' || image_id as c from pairs",
    ),
    list(
        "comparison, newest first",
        "comparison?left=nano-ci&right=nano-rl&sort=newest",
        "select 'newest.0.' || id as c from images",
    ),
    short("studies", "studies"),
    list(
        "items of a study",
        "studies/019c0000-00c8-7005-8000-000000000000/items",
        "select id::text as c from study_items",
    ),
    list(
        "one's own votes",
        "studies/019c0000-00c8-7005-8000-000000000000/votes/mine",
        "select id::text as c from votes",
    ),
    list(
        "review queue, by disagreement",
        "annotations?sort=disagreement",
        "select 'disagreement.' || encode(float8send(disagreement), 'hex') || '.' || id as c from annotation_threads",
    ),
    list(
        "review queue, by confidence",
        "annotations?sort=confidence",
        "select 'confidence.' || encode(float8send(confidence), 'hex') || '.' || id as c from annotation_threads",
    ),
    list(
        "review queue, by age",
        "annotations?sort=age",
        "select 'age.0.' || id as c from annotation_threads",
    ),
    list(
        "review queue of a study, by disagreement",
        "annotations?sort=disagreement&study=019c0000-00c8-7005-8000-000000000000",
        "select 'disagreement.' || encode(float8send(disagreement), 'hex') || '.' || id as c from annotation_threads",
    ),
    list(
        "review queue of a study, by confidence",
        "annotations?sort=confidence&study=019c0000-00c8-7005-8000-000000000000",
        "select 'confidence.' || encode(float8send(confidence), 'hex') || '.' || id as c from annotation_threads",
    ),
    list(
        "review queue of a study, by age",
        "annotations?sort=age&study=019c0000-00c8-7005-8000-000000000000",
        "select 'age.0.' || id as c from annotation_threads",
    ),
    list("audit log", "audit?", "select id::text as c from audit_log"),
    list("audit log of a person", "audit?actor=person7@example.org", "select id::text as c from audit_log"),
    list("audit log of a kind of change", "audit?noun=image", "select id::text as c from audit_log"),
    list(
        "audit log of a person and a kind of change",
        "audit?actor=person7@example.org&noun=study",
        "select id::text as c from audit_log",
    ),
    short("audit log of one object", "audit?object=019c0000-00c8-7005-8000-000000000000"),
    short("imports and exports", "transfers"),
    list("jobs", "jobs", "select id::text as c from jobs"),
    list("jobs in a state", "jobs?state=failed", "select id::text as c from jobs where state = 'failed'"),
    list("jobs of a kind", "jobs?kind=grpo", "select id::text as c from jobs where kind = 'grpo'"),
    list("jobs with a tag", "jobs?tag=usual", "select job_id::text as c from job_tags where tag = 'usual'"),
    short("jobs with a rare tag", "jobs?tag=rare"),
    list("models", "models", "select id::text as c from models"),
];

/// Fills the database of a running server that has no images yet: `images` images, twice as many answers, and as
/// many pairs, labels, items, votes and lines of the audit log; half as many annotations, in two studies.
///
/// Whoever uses the server in local mode is one of the people.
///
/// # Panics
/// When the database refuses a statement.
pub fn fill(data_dir: &Path, images: u64) {
    let [functions, script] = [FUNCTIONS, SCRIPT].map(|sql| sql.replace("$IMAGES", &images.to_string()));
    for statement in script.split("\n\n") {
        let refused = |error| panic!("{statement}: {error}");
        database::run(data_dir, &format!("{functions}{statement}")).unwrap_or_else(refused);
    }
    database::run(data_dir, "vacuum analyze").expect("statistics");
}

/// Without triggers: counts are filled at the end, and keys are right by construction.
const FUNCTIONS: &str = "\
set session_replication_role = replica; \
create function pg_temp.id(kind int, n bigint) returns uuid immutable language sql as $$ select \
('019c' || lpad(to_hex(n), 8, '0') || '7' || lpad(kind::text, 3, '0') || '8' || repeat('0', 15))::uuid $$; \
create function pg_temp.chance(n bigint, salt bigint) returns float8 immutable language sql as $$ select \
(hashint8extended(n, salt) & 65535) / 65536.0 $$; \
create function pg_temp.person(n bigint) returns uuid immutable language sql as $$ select \
case n when 0 then '00000000-0000-7000-8000-000000000001' else pg_temp.id(4, n) end $$; \
create function pg_temp.item_of_vote(n bigint) returns bigint immutable language sql as $$ select \
1 + (n / 3 * 700001) % $IMAGES $$; ";

/// Statements with an empty line between.
const SCRIPT: &str = "\
insert into images (id, name, sha256, format, width, height, bytes, created_at, latest, latest_score)
select pg_temp.id(1, n), 'photograph ' || n || '.jpg', encode(sha256(int8send(n)), 'hex'), 'jpeg', 4000, 3000,
       2500000 + n % 1000000, now() - interval '1 second' * ($IMAGES - n), pg_temp.id(3, n),
       round((1 + 4 * pg_temp.chance(n, 1))::numeric, 2)
from generate_series(1, $IMAGES) n

insert into assessments (id, image_id, model, model_sha256, mode, prompt_version, sampling, status, text, score,
                         level_probabilities, parse_ok, finish, prompt_tokens, new_tokens, ms, created_at, finished_at)
select pg_temp.id(case model when 'nano-ci' then 2 else 3 end, n), pg_temp.id(1, n), model, repeat('0', 64), 'reason',
       'reason-1', '{}', 'done', repeat('Sharpness: edges are crisp and fine texture is clear. Level: good. ', 9),
       case model when 'nano-ci' then round((1 + 4 * pg_temp.chance(n, 2))::numeric, 2) else latest_score end,
       '{0.1,0.2,0.4,0.2,0.1}', true, 'stop', 300, 90, 400, images.created_at, images.created_at
from generate_series(1, $IMAGES) n join images on images.id = pg_temp.id(1, n),
     unnest(array['nano-ci', 'nano-rl']) model

insert into readings (image_id, model, assessment_id, score, levels)
select image_id, model, id, score, '{4,4,3,4,5,4}' from assessments

insert into pairs (first, second, image_id, first_score, second_score, lot)
select 'nano-ci', 'nano-rl', image_id, one.score, other.score, hashtextextended(image_id::text, 0) >> 32
from readings one join readings other using (image_id) where one.model = 'nano-ci' and other.model = 'nano-rl'

insert into labels (id, image_id, kind, source, value, n, sd)
select pg_temp.id(11, n), pg_temp.id(1, n), 'mos', 'laboratory', 1 + 4 * pg_temp.chance(n, 3), 20, 0.6
from generate_series(1, $IMAGES) n

insert into users (id, email, name, role, password_hash)
select pg_temp.id(4, n), 'person' || n || '@example.org', 'Person ' || n, 'annotator', '-'
from generate_series(1, 2000) n;
insert into subjects (id, user_id, name)
select pg_temp.person(n), case when n > 0 then pg_temp.person(n) end, 'Person ' || n from generate_series(0, 99) n

insert into studies (id, name, task, overlap, seed, break_minutes, created_by)
select pg_temp.id(5, n), 'Study ' || n, case n when 199 then 'reasoning' else 'acr' end, 3, n, 20, 'person1@example.org' from generate_series(1, 200) n;
insert into study_members (study_id, user_id)
select pg_temp.id(5, study), pg_temp.person(person) from generate_series(1, 200) study, generate_series(1, 99) person

insert into study_items (id, study_id, image_id, kind, expected, repeated)
select pg_temp.id(6, n), pg_temp.id(5, 200), pg_temp.id(1, n),
       case when n % 5000 = 2 then 'training' when n % 1000 = 1 then 'gold' else 'rated' end,
       case when n % 5000 = 2 or n % 1000 = 1 then 3 end, n % 100 = 3
from generate_series(1, $IMAGES) n;
insert into study_items (id, study_id, image_id)
select pg_temp.id(7, study * 1000 + n), pg_temp.id(5, study), pg_temp.id(1, study * 50 + n)
from generate_series(1, 198) study, generate_series(1, 100) n;
insert into study_items (id, study_id, image_id)
select pg_temp.id(13, n), pg_temp.id(5, 199), pg_temp.id(1, 4 * n) from generate_series(1, $IMAGES / 4) n

insert into assignments (study_id, item_id, subject_id, position, done_at)
select pg_temp.id(5, 200), pg_temp.id(6, pg_temp.item_of_vote(n)), pg_temp.person(n % 100), 1 + n / 100, now()
from generate_series(0, $IMAGES - 1) n;
insert into assignments (study_id, item_id, subject_id, position)
select pg_temp.id(5, 200), pg_temp.id(6, pg_temp.item_of_vote($IMAGES + 3 * n)), pg_temp.person(1 + n / 10),
       $IMAGES / 100 + 1 + n % 10
from generate_series(0, least(990, $IMAGES / 500) - 1) n

insert into votes (id, study_id, item_id, subject_id, score, blind, zoom, device_pixel_ratio, viewport_width,
                   viewport_height, ms, key)
select pg_temp.id(8, n), pg_temp.id(5, 200), pg_temp.id(6, pg_temp.item_of_vote(n)), pg_temp.person(n % 100),
       1 + floor(5 * pg_temp.chance(n, 4)), true, 1, 1, 1920, 1080, 4000, 'vote ' || n
from generate_series(0, $IMAGES - 1) n

insert into annotation_threads (id, study_id, item_id, image_id, subject_id, assessment_id, state, version,
                                disagreement, confidence)
select pg_temp.id(9, n), study_id, items.id, image_id, pg_temp.person(n % 100), readings.assessment_id,
       case when n % 10 = 9 then 'accepted' when n % 1000 = 8 then 'returned' else 'submitted' end, 1,
       round(4 * pg_temp.chance(n, 5)::numeric, 1), pg_temp.chance(n, 6)
from generate_series(0, $IMAGES / 2 - 1) n
join study_items items on items.id = case n % 2 when 0 then pg_temp.id(6, pg_temp.item_of_vote(n))
                                     else pg_temp.id(13, 1 + n / 2) end
join readings using (image_id) where model = 'nano-rl'

insert into audit_log (id, actor_id, actor, via, action, object)
select pg_temp.id(10, n), pg_temp.id(4, 1 + n % 99), 'person' || 1 + n % 99 || '@example.org', 'session',
       case when n % 1000 = 0 then 'study.change' when n % 20 = 0 then 'image.add' else 'vote.cast' end,
       case when n % 1000 = 0 then pg_temp.id(5, 200) when n % 20 = 0 then pg_temp.id(1, n)
            else pg_temp.id(6, pg_temp.item_of_vote(n)) end
from generate_series(1, $IMAGES) n;
insert into transfers (id, direction, state, query, title, file_name, created_by, created_via)
select pg_temp.id(12, n), 'export', 'done', '{}', 'Votes', 'votes.csv', 'person1@example.org', 'session'
from generate_series(1, 2000) n

update study_items set raters = done.raters
from (select item_id, count(*) as raters from assignments where done_at is not null group by item_id) done
where item_id = id;
update study_items set is_full = true where kind = 'rated' and raters >= 3;
insert into study_item_counts
select study_id, kind, repeated, is_full, count(*) from study_items group by 1, 2, 3, 4;
insert into study_rater_counts
select assignments.study_id, subject_id, count(done_at) filter (where kind <> 'training'),
       count(done_at) filter (where kind = 'training'),
       coalesce(sum(item_weight(kind, repeated)) filter (where repeat = 0 and not is_full), 0),
       sum((item_weight(kind, repeated) - 1) * (1 - 2 * repeat))
from assignments join study_items on study_items.id = item_id group by 1, 2

insert into jobs (id, kind, name, recipe, state, created_by, attempt, finished_at)
select pg_temp.id(21, n), (array['distil', 'sft', 'grpo', 'evaluate'])[1 + n % 4], 'Job ' || n, 'steps = 1',
       case n % 20 when 0 then 'failed' else 'done' end, 'person1@example.org', 1, now()
from generate_series(1, $IMAGES) n;
insert into job_needs (job_id, needs_id)
select pg_temp.id(21, n), pg_temp.id(21, n - 1) from generate_series(2, $IMAGES) n where n % 4 > 0;
insert into job_tags (tag, job_id)
select case n % 1000 when 0 then 'rare' else 'usual' end, pg_temp.id(21, n) from generate_series(1, $IMAGES) n

insert into models (id, name, job_id, sha256, parameters, created_by)
select pg_temp.id(22, n), 'model-' || n, pg_temp.id(21, n), repeat('0', 64), 3000000, 'person1@example.org'
from generate_series(1, $IMAGES / 10) n;
insert into promotions (role, model_id, created_by)
select 'preview', pg_temp.id(22, 4 * n + 1), 'person1@example.org' from generate_series(1, $IMAGES / 50) n";
