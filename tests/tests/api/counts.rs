//! The counts of a study, kept by the database, are those that counting gives.

use std::path::Path;

use qponder_tests::client::text;
use qponder_tests::database;
use qponder_tests::people::{first_admin, new_user};
use qponder_tests::server::{Server, data_dir};
use serde_json::{Value, json};

use crate::studies::{add_images, add_items, make_study, rate_all, score, tasks, vote_on};

/// The counts that are kept, against what counting gives.
#[track_caller]
pub fn check_counts(data: &Path) {
    for (kept, counted) in [
        (
            "select study_id, kind, repeated, is_full, items from study_item_counts where items <> 0",
            "select study_id, kind, repeated, is_full, count(*) from study_items group by 1, 2, 3, 4",
        ),
        (
            "select * from study_rater_counts where (votes, training, with_room, to_repeat) <> (0, 0, 0, 0)",
            "select * from (select first.study_id, first.subject_id, \
             coalesce(sum(done) filter (where kind <> 'training'), 0) as votes, \
             coalesce(sum(done) filter (where kind = 'training'), 0) as training, \
             coalesce(sum(1 + twice) filter (where not is_full), 0) as with_room, \
             coalesce(sum(twice) filter (where again.item_id is null), 0) as to_repeat \
             from assignments first join study_items on study_items.id = item_id left join assignments again \
             on again.item_id = first.item_id and again.subject_id = first.subject_id and again.repeat = 1, \
             lateral (select (repeated and kind <> 'training')::int as twice, \
             (first.done_at is not null)::int + (again.done_at is not null)::int as done) each \
             where first.repeat = 0 group by 1, 2) counted \
             where (votes, training, with_room, to_repeat) <> (0, 0, 0, 0)",
        ),
        (
            "select id, raters::bigint, is_full from study_items",
            "select items.id, done, kind = 'rated' and done >= overlap from study_items items \
             join studies on studies.id = study_id, lateral (select count(*) as done from assignments \
             where item_id = items.id and repeat = 0 and done_at is not null) rated",
        ),
    ] {
        let apart = format!("({kept} except {counted}) union all ({counted} except {kept})");
        let apart = database::query(data, &format!("select coalesce(json_agg(t), '[]') from ({apart}) t"));
        assert_eq!(apart, json!([]), "{kept}");
    }
}

#[test]
fn counts_follow_every_change_of_a_study() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &[]);
    let admin = first_admin(&server.client, &link);
    let images = add_images(&admin, 12);
    let study = make_study(&admin, &json!({ "name": "Changing", "task": "acr", "overlap": 1 }));
    let path = format!("/api/v1/studies/{study}");
    add_items(&admin, &study, &json!({ "images": images[..10], "repeated": true }));
    let item = |kind: &str| {
        let items = admin.get(&format!("{path}/items?limit=200")).json();
        let items = items["items"].as_array().expect("items").clone();
        let rated = items.into_iter().find(|item| item["kind"] == kind && item["answered"] == 1);
        format!("/api/v1/items/{}", text(&rated.expect("an item that somebody rated")["id"]))
    };
    let change = |path: &str, body: &Value| {
        let changed = admin.send_json("PATCH", path, body);
        assert_eq!(changed.status, 200, "{}", changed.json());
        check_counts(data.path());
        changed.json()
    };
    let [ada, grace] = ["ada", "grace"].map(|name| new_user(&server.client, &admin, "annotator", name));
    for name in ["ada", "grace"] {
        let body = json!({ "email": format!("{name}@example.org") });
        assert_eq!(admin.post(&format!("{path}/members"), &body).status, 201);
    }
    // With one person an item it is full after each vote.
    assert_eq!(rate_all(&ada, &study, |_| 3.0).len(), 20);
    check_counts(data.path());
    assert_eq!(tasks(&grace, &study, 3)["progress"], json!({ "done": 0, "total": 0, "returned": 0 }));
    // With two there is room again, and gold and training have it always.
    let revision = change(&path, &json!({ "revision": 1, "overlap": 2 }))["revision"].clone();
    assert_eq!(tasks(&grace, &study, 3)["progress"]["total"], 20);
    change(&item("rated"), &json!({ "kind": "training", "expected": 3.0 }));
    assert_eq!(admin.get(&path).json()["counts"]["votes"], 18, "training does not count");
    change(&item("rated"), &json!({ "kind": "gold", "expected": 3.0, "repeated": false }));
    change(&path, &json!({ "revision": revision, "overlap": 1 }));
    change(&item("training"), &json!({ "kind": "rated" }));
    // Two at once, on the last items that have room.
    add_items(&admin, &study, &json!({ "images": images[10..] }));
    check_counts(data.path());
    std::thread::scope(|scope| {
        for person in [&ada, &grace] {
            scope.spawn(|| rate_all(person, &study, |_| 4.0));
        }
    });
    check_counts(data.path());
    let items = admin.get(&format!("{path}/items?limit=200")).json();
    let raters: Vec<_> =
        items["items"].as_array().expect("items").iter().map(|item| item["answered"].as_u64()).collect();
    assert_eq!(raters[10..], [Some(1), Some(1)], "one person each");
    // Who is taken out leaves what they rated.
    let members = admin.get(&format!("{path}/members")).json();
    let grace = members.as_array().and_then(|all| all.iter().find(|one| one["email"] == "grace@example.org"));
    let grace = text(&grace.expect("a member")["user"]);
    assert_eq!(admin.delete(&format!("{path}/members/{grace}")).status, 204);
    check_counts(data.path());
}

#[test]
fn counts_of_an_earlier_version_are_made_at_the_start() {
    let data = data_dir();
    let server = Server::start(data.path());
    let images = add_images(&server.client, 4);
    let study = make_study(&server.client, &json!({ "name": "Old", "task": "acr", "overlap": 1 }));
    add_items(&server.client, &study, &json!({ "images": images[..3], "repeated": true }));
    add_items(&server.client, &study, &json!({ "images": images[3..], "kind": "training", "expected": 2.0 }));
    let given = tasks(&server.client, &study, 3);
    for task in given["items"].as_array().expect("tasks") {
        let vote = vote_on(task, score(3.0), &text(&task["item"]));
        assert_eq!(server.client.post(&format!("/api/v1/studies/{study}/votes"), &vote).status, 201);
    }
    // As before the migration.
    let back = "drop table study_item_counts, study_rater_counts; \
                drop function count_rating, count_added_items, count_changed_items, refill_study, fill_study_item, item_weight cascade; \
                alter table study_items drop column place, drop column raters, drop column is_full; \
                drop index threads_of_study_by_disagreement, threads_of_study_by_confidence, threads_of_study_by_age; \
                delete from _sqlx_migrations where version = 8";
    database::run(data.path(), back).expect("the schema of before");
    assert!(server.stop().success());
    let server = Server::start(data.path());
    check_counts(data.path());
    assert_eq!(tasks(&server.client, &study, 3)["progress"], json!({ "done": 3, "total": 7, "returned": 0 }));
    assert_eq!(rate_all(&server.client, &study, |_| 3.0).len(), 4);
    check_counts(data.path());
}
