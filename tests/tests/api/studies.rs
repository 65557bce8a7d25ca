//! Studies: who is given what to rate, what becomes of votes and drafts, and who may see what.

use std::collections::BTreeSet;

use qponder_tests::client::{Client, text};
use qponder_tests::database;
use qponder_tests::people::{first_admin, invite, join, me, new_user, secret_of, signed_in, token};
use qponder_tests::pictures::png;
use qponder_tests::server::{Server, data_dir};
use serde_json::{Value, json};

use crate::counts::check_counts;
use crate::problem;

/// Adds `count` images that differ; returns their ids.
pub fn add_images(client: &Client, count: u8) -> Vec<String> {
    (0..count).map(|i| client.add_image(&format!("{i}.png"), &png(32, 24, i * 20))).collect()
}

#[track_caller]
pub fn make_study(client: &Client, body: &Value) -> String {
    let made = client.post("/api/v1/studies", body);
    assert_eq!(made.status, 201, "{}", made.json());
    text(&made.json()["id"])
}

#[track_caller]
pub fn add_items(client: &Client, study: &str, body: &Value) -> Value {
    let added = client.post(&format!("/api/v1/studies/{study}/items"), body);
    assert_eq!(added.status, 200, "{}", added.json());
    added.json()
}

#[track_caller]
pub fn tasks(client: &Client, study: &str, limit: usize) -> Value {
    let tasks = client.get(&format!("/api/v1/studies/{study}/tasks?limit={limit}"));
    assert_eq!(tasks.status, 200, "{}", tasks.json());
    tasks.json()
}

/// A vote on a task.
pub fn vote_on(task: &Value, rating: Value, key: &str) -> Value {
    json!({
        "item": task["item"], "repeat": task["repeat"], "rating": rating, "key": key, "ms": 900,
        "conditions": { "zoom": 1.0, "device_pixel_ratio": 1.5, "viewport_width": 900, "viewport_height": 700 },
    })
}

pub fn score(score: f64) -> Value {
    json!({ "kind": "score", "score": score })
}

/// Rates everything that a person is given; returns the images in the order in which they came.
pub fn rate_all(client: &Client, study: &str, mut rate: impl FnMut(&Value) -> f64) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let given = tasks(client, study, 1);
        let Some(task) = given["items"].get(0) else { return seen };
        seen.push(text(&task["images"][0]["id"]));
        let vote = vote_on(task, score(rate(task)), &format!("{}-{}", text(&task["item"]), task["repeat"]));
        let cast = client.post(&format!("/api/v1/studies/{study}/votes"), &vote);
        assert_eq!(cast.status, 201, "{}", cast.json());
        assert!(seen.len() < 200, "it never ends");
    }
}

#[test]
fn everybody_gets_their_own_order_and_each_item_enough_people() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &[]);
    let admin = first_admin(&server.client, &link);
    let images = add_images(&admin, 12);
    let study = make_study(&admin, &json!({ "name": "Twelve", "task": "acr", "overlap": 2, "seed": 7 }));
    let added = add_items(&admin, &study, &json!({ "images": images }));
    assert_eq!((added["added"].as_u64(), added["present"].as_u64()), (Some(12), Some(0)));
    // Again: they are there.
    let added = add_items(&admin, &study, &json!({ "images": images }));
    assert_eq!((added["added"].as_u64(), added["present"].as_u64()), (Some(0), Some(12)));

    let mut orders = Vec::new();
    for name in ["ada", "grace", "mary"] {
        let person = new_user(&server.client, &admin, "annotator", name);
        // Who is no member sees no study.
        let unseen = person.get(&format!("/api/v1/studies/{study}/tasks"));
        assert_eq!((unseen.status, problem(&unseen).as_str()), (404, "not-found"));
        assert_eq!(person.get("/api/v1/studies").json()["items"], json!([]));
        let members = format!("/api/v1/studies/{study}/members");
        let added = admin.post(&members, &json!({ "email": format!("{name}@example.org") }));
        assert_eq!(added.status, 201, "{}", added.json());
        let before = tasks(&person, &study, 5);
        assert_eq!(before, tasks(&person, &study, 5), "asked again, it is the same");
        orders.push(rate_all(&person, &study, |_| 3.0));
    }
    // Two people are enough for each item, so nothing is left for the third.
    assert_eq!((orders[0].len(), orders[1].len(), orders[2].len()), (12, 12, 0));
    assert_ne!(orders[0], orders[1]);
    assert_eq!(
        orders[0].iter().collect::<BTreeSet<_>>(),
        orders[1].iter().collect::<BTreeSet<_>>(),
        "both rated everything"
    );
    let counts = &admin.get(&format!("/api/v1/studies/{study}")).json()["counts"];
    assert_eq!((counts["votes"].as_u64(), counts["needed"].as_u64()), (Some(24), Some(24)));
    // An image that people rate is kept.
    let kept = admin.delete(&format!("/api/v1/images/{}", images[0]));
    assert_eq!((kept.status, problem(&kept).as_str()), (409, "in-study"));
    let detail = admin.get("/api/v1/audit?limit=200").json();
    let actions = crate::column(&detail["items"], "action");
    assert_eq!(actions.iter().filter(|action| *action == "vote.cast").count(), 24);
    check_counts(data.path());
}

#[test]
fn training_comes_first_gold_goes_to_all_and_repeats_come_later() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    let images = add_images(client, 12);
    let study = make_study(client, &json!({ "name": "Local", "task": "acr", "overlap": 1 }));
    add_items(client, &study, &json!({ "images": images[..9], "repeated": true }));
    add_items(client, &study, &json!({ "images": [images[9]], "kind": "gold", "expected": 5.0 }));
    let training = json!({ "images": images[10..], "kind": "training", "expected": 2.0, "tolerance": 0.5 });
    add_items(client, &study, &training);

    let first = tasks(client, &study, 3);
    assert_eq!(first["progress"], json!({ "done": 0, "total": 21, "returned": 0 }));
    let kinds: Vec<bool> =
        first["items"].as_array().expect("tasks").iter().map(|task| task["is_training"] == true).collect();
    assert_eq!(kinds, [true, true, false]);
    // Training tells what was expected, and nothing else does.
    let votes = format!("/api/v1/studies/{study}/votes");
    let cast = client.post(&votes, &vote_on(&first["items"][0], score(4.0), "t")).json();
    assert_eq!(cast["feedback"]["expected"], 2.0, "{cast}");
    let seen = rate_all(client, &study, |_| 3.0);
    // One of the two trainings was rated before; nine twice, one gold.
    assert_eq!(seen.len(), 1 + 9 * 2 + 1);
    for image in &images[..9] {
        let places: Vec<usize> =
            seen.iter().enumerate().filter(|(_, seen)| *seen == image).map(|(place, _)| place).collect();
        assert_eq!(places.len(), 2, "{image}");
        assert!(places[1] - places[0] > 1, "{image} came twice in a row");
    }
    assert_eq!(seen.iter().filter(|seen| **seen == images[9]).count(), 1);
    assert!(tasks(client, &study, 3)["items"].as_array().is_some_and(Vec::is_empty));
    let answer = tasks(client, &study, 3);
    assert_eq!(answer["progress"]["done"], answer["progress"]["total"]);

    // More can be added at any time.
    let late = client.add_image("late.png", &png(40, 24, 3));
    add_items(client, &study, &json!({ "images": [&late] }));
    assert_eq!(rate_all(client, &study, |_| 4.0).len(), 1);
    // And an item becomes a hidden repeat when it was rated already.
    let items = client.get(&format!("/api/v1/studies/{study}/items?limit=200")).json();
    let item = items["items"].as_array().and_then(|items| items.last()).expect("the late one");
    let path = format!("/api/v1/items/{}", text(&item["id"]));
    let changed =
        client.send_json("PATCH", &path, &json!({ "repeated": true, "kind": "gold", "expected": 4.0 }));
    assert_eq!((changed.status, &changed.json()["kind"]), (200, &json!("gold")));
    assert_eq!(client.send_json("PATCH", &path, &json!({ "tolerance": 9.0 })).status, 422);
    // What is left out stays, and what is null is taken back.
    assert_eq!(client.send_json("PATCH", &path, &json!({ "tolerance": 0.5 })).json()["expected"], 4.0);
    assert_eq!(
        client.send_json("PATCH", &path, &json!({ "expected": null })).json()["expected"],
        Value::Null
    );
    assert_eq!(rate_all(client, &study, |_| 4.0), [late]);
    check_counts(data.path());
}

#[test]
fn a_vote_stays_and_going_back_adds_another() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    let images = add_images(client, 2);
    let study = make_study(client, &json!({ "name": "Votes", "task": "acr", "overlap": 1 }));
    add_items(client, &study, &json!({ "images": images }));
    let given = tasks(client, &study, 2);
    let task = &given["items"][0];
    let votes = format!("/api/v1/studies/{study}/votes");

    // Bad ones are refused in words, and nothing is lost.
    for (vote, kind) in [
        (vote_on(task, score(0.5), "a"), "unprocessable"),
        (vote_on(task, json!({ "kind": "preference", "preference": "first" }), "a"), "unprocessable"),
        (vote_on(task, json!({ "kind": "skipped", "reason": " " }), "a"), "unprocessable"),
        (vote_on(task, score(3.0), ""), "unprocessable"),
        (vote_on(&json!({ "item": study, "repeat": 0 }), score(3.0), "a"), "not-found"),
        (vote_on(&json!({ "item": task["item"], "repeat": 1 }), score(3.0), "a"), "not-found"),
    ] {
        let refused = client.post(&votes, &vote);
        assert_eq!(problem(&refused), kind, "{vote}: {}", refused.json());
    }
    // Sent twice at once, it is one vote.
    let vote = vote_on(task, score(2.0), "first");
    let (one, two) = std::thread::scope(|scope| {
        let sent = [(); 2].map(|()| scope.spawn(|| client.post(&votes, &vote).json()));
        let [one, two] = sent.map(|sent| sent.join().expect("an answer"));
        (one, two)
    });
    assert_eq!(one, two);
    let other = client.post(&votes, &vote_on(&given["items"][1], score(2.0), "first"));
    assert_eq!(problem(&other), "unprocessable", "a key names one vote");
    let again = client.post(&votes, &vote_on(task, score(4.0), "second"));
    assert_eq!((again.status, &again.json()["blind"]), (201, &json!(true)));
    assert_ne!(again.json()["id"], one["id"]);
    let skipped = vote_on(&given["items"][1], json!({ "kind": "skipped", "reason": "it is black" }), "third");
    assert_eq!(client.post(&votes, &skipped).status, 201);
    // One's own, newest first; of the one that was voted on again the newest.
    let mine = client.get(&format!("{votes}/mine?limit=1")).json();
    assert_eq!(mine["items"][0]["rating"], json!({ "kind": "skipped", "reason": "it is black" }));
    let mine = client.get(&format!("{votes}/mine?cursor={}", text(&mine["next"]))).json();
    assert_eq!(mine["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(mine["items"][0]["rating"]["score"], 4.0);
    assert_eq!(mine["items"][0]["task"]["item"], task["item"]);

    // Not even who has the database changes one.
    for statement in ["update votes set score = 5 where score is not null", "delete from votes"] {
        let refused = database::run(data.path(), statement).expect_err("it is refused");
        assert!(refused.contains("append-only"), "{statement}: {refused}");
    }

    // A closed study takes none; who changes it must know what they change.
    let path = format!("/api/v1/studies/{study}");
    let close = json!({ "revision": 1, "status": "closed" });
    assert_eq!(client.send_json("PATCH", &path, &close).status, 200);
    let stale = client.send_json("PATCH", &path, &json!({ "revision": 1, "name": "Mine" }));
    assert_eq!((stale.status, problem(&stale).as_str()), (409, "conflict"));
    let late = client.post(&votes, &vote_on(task, score(3.0), "late"));
    assert_eq!((late.status, problem(&late).as_str()), (409, "study-closed"));
    // What was sent before it closed and is sent again is still that vote.
    assert_eq!(client.post(&votes, &vote).json()["id"], one["id"]);
}

#[test]
fn drafts_are_kept_and_two_tabs_do_not_overwrite_each_other() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    let images = add_images(client, 1);
    let study = make_study(client, &json!({ "name": "Drafts", "task": "acr", "overlap": 1 }));
    add_items(client, &study, &json!({ "images": images }));
    let path = format!("/api/v1/items/{}/draft", text(&tasks(client, &study, 1)["items"][0]["item"]));
    let save = |revision: u64, words: &str| {
        client.send_json("PUT", &path, &json!({ "revision": revision, "body": { "flag": words } }))
    };
    assert_eq!(save(0, "one").json()["revision"], 1);
    assert_eq!(save(1, "two").json()["revision"], 2);
    let other_tab = save(1, "three");
    assert_eq!((other_tab.status, problem(&other_tab).as_str()), (409, "conflict"));
    assert_eq!(client.get(&path).json()["body"]["flag"], "two");
    let large = save(2, &"x".repeat(80 << 10));
    assert_eq!(large.status, 413, "{}", large.json());
    // As a power cut would: what was saved is there afterwards.
    let address = server.client.url.clone();
    server.kill();
    let server = Server::start(data.path());
    assert_ne!(server.client.url, address);
    let draft = tasks(&server.client, &study, 1)["items"][0]["draft"].clone();
    assert_eq!((draft["revision"].as_u64(), &draft["body"]["flag"]), (Some(2), &json!("two")));
    assert_eq!(server.client.delete(&path).status, 204);
    assert_eq!(server.client.get(&path).status, 404);
    assert!(tasks(&server.client, &study, 1)["items"][0]["draft"].is_null());
}

#[test]
fn pairs_are_rated_as_pairs() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    let images = add_images(client, 3);
    let study = make_study(client, &json!({ "name": "Pairs", "task": "pairs", "overlap": 1 }));
    let added = add_items(client, &study, &json!({ "images": images }));
    assert_eq!(added["added"], 3, "every pair of three");
    let same =
        client.post(&format!("/api/v1/studies/{study}/items"), &json!({ "pairs": [[images[0], images[0]]] }));
    assert_eq!(problem(&same), "unprocessable");
    let task = tasks(client, &study, 1)["items"][0].clone();
    assert_eq!(task["images"].as_array().map(Vec::len), Some(2));
    let preference = json!({ "kind": "preference", "preference": "second" });
    let votes = format!("/api/v1/studies/{study}/votes");
    assert_eq!(client.post(&votes, &vote_on(&task, preference, "a")).status, 201);
    assert_eq!(problem(&client.post(&votes, &vote_on(&task, score(3.0), "b"))), "unprocessable");
}

#[test]
fn who_rates_sees_no_model_before_the_vote() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &[]);
    let admin = first_admin(&server.client, &link);
    let image = add_images(&admin, 1).remove(0);
    let answer = admin.assess(&json!({ "image_id": image, "mode": "quick" }));
    let study = make_study(&admin, &json!({ "name": "Blind", "task": "reasoning", "overlap": 3 }));
    add_items(&admin, &study, &json!({ "images": [image] }));
    // An invite leads into the study.
    let made = admin.post("/api/v1/invites", &json!({ "role": "annotator", "study": study })).json();
    let person = signed_in(&server.client, &join(&server.client, secret_of(&text(&made["path"])), "a@b.c"));
    assert_eq!(person.get("/api/v1/studies").json()["items"][0]["is_member"], true);

    let tool = token(&server.client, &person, &["read"]);
    for client in [&person, &tool] {
        assert!(client.get(&format!("/api/v1/images/{image}")).json()["latest"].is_null());
        assert!(client.get("/api/v1/images").json()["items"][0]["latest"].is_null());
        for path in [
            format!("/api/v1/images/{image}/assessments"),
            format!("/api/v1/assessments/{}", text(&answer["id"])),
            format!("/api/v1/assessments/{}/events", text(&answer["id"])),
            "/api/v1/images?sort=best".to_owned(),
        ] {
            let refused = client.get(&path);
            assert_eq!((refused.status, problem(&refused).as_str()), (403, "blind"), "{path}");
        }
    }
    let task = tasks(&person, &study, 1)["items"][0].clone();
    let reveal = format!("/api/v1/items/{}/reveal", text(&task["item"]));
    let refused = person.post(&reveal, &json!({}));
    assert_eq!((refused.status, problem(&refused).as_str()), (409, "blind"));
    let votes = format!("/api/v1/studies/{study}/votes");
    assert_eq!(person.post(&votes, &vote_on(&task, score(2.0), "a")).json()["blind"], true);
    assert_eq!(person.post(&reveal, &json!({})).status, 200);
    assert_eq!(person.post(&votes, &vote_on(&task, score(5.0), "b")).json()["blind"], false);
    // Somebody who leaves keeps their votes and gets nothing more.
    let member = format!("/api/v1/studies/{study}/members/{}", text(&me(&person)["id"]));
    assert_eq!(admin.delete(&member).status, 204);
    assert_eq!(person.get(&format!("/api/v1/studies/{study}/tasks")).status, 404);
    assert_eq!(admin.get(&format!("/api/v1/studies/{study}")).json()["counts"]["votes"], 1);
    drop(invite(&admin, "annotator"));
}

#[test]
fn statistics_name_who_rates_at_random() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &[]);
    let admin = first_admin(&server.client, &link);
    let images = add_images(&admin, 12);
    let study = make_study(&admin, &json!({ "name": "Careless", "task": "acr", "overlap": 9, "seed": 5 }));
    add_items(&admin, &study, &json!({ "images": images[..10], "repeated": true }));
    add_items(&admin, &study, &json!({ "images": [images[10]], "kind": "gold", "expected": 5.0 }));
    add_items(&admin, &study, &json!({ "images": [images[11]], "kind": "training", "expected": 1.0 }));
    for image in &images[..10] {
        let _ = admin.assess(&json!({ "image_id": image, "mode": "quick" }));
    }
    let place = |image: &str| images.iter().position(|one| one == image).expect("one of the images");
    for (at, name) in ["ada", "grace", "mary", "sofia", "emmy", "eve"].into_iter().enumerate() {
        let person = new_user(&server.client, &admin, "annotator", name);
        let members = format!("/api/v1/studies/{study}/members");
        let _ = admin.post(&members, &json!({ "email": format!("{name}@example.org") }));
        let mut seen = [0; 12];
        rate_all(&person, &study, |task| {
            let place = place(&text(&task["images"][0]["id"]));
            seen[place] += 1;
            match (name, place) {
                // What she says of an item has nothing to do with it, whatever order she gets them in.
                ("eve", _) => [3.0, 5.0, 1.0, 4.0, 2.0][(place + seen[place] - 1) % 5],
                (_, 10) => 5.0,
                _ => {
                    f64::from(1 + (place % 5) as u8)
                        + if (place + at) % 7 == 0 && place % 5 > 0 { -1.0 } else { 0.0 }
                }
            }
        });
    }
    let read = |screening: &str| {
        let path = format!("/api/v1/studies/{study}/statistics?screening={screening}");
        let answer = admin.get(&path);
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()
    };
    let all = read("none");
    assert_eq!(crate::column(&all["voters"], "name").len(), 6);
    assert_eq!(all["items"].as_array().map(Vec::len), Some(11), "training does not count");
    // The names of users are all "Somebody": who is who follows from the order of the votes.
    let screened = read("pearson");
    let left_out: Vec<bool> = screened["report"]["subjects"]
        .as_array()
        .expect("subjects")
        .iter()
        .map(|subject| subject["left_out"] == true)
        .collect();
    assert_eq!(left_out.iter().filter(|left_out| **left_out).count(), 1, "{screened}");
    let careless = left_out.iter().position(|left_out| *left_out).expect("one");
    let subject = &screened["report"]["subjects"][careless];
    assert!(!text(&subject["reason"]).is_empty());
    let repeats = |at: usize| screened["care"][at]["repeats"]["mean_difference"].as_f64().expect("repeats");
    for honest in (0..6).filter(|at| *at != careless) {
        assert!(repeats(careless) > repeats(honest), "{screened}");
        assert_eq!(screened["care"][honest]["gold"]["accuracy"], 1.0);
    }
    // Without them people agree more, and every item has a MOS with an interval.
    let alpha = |made: &Value| made["report"]["agreement"]["alpha"].as_f64().expect("alpha");
    assert!(alpha(&screened) > alpha(&all) + 0.1, "{} {}", alpha(&screened), alpha(&all));
    let mos = &screened["report"]["items"][4];
    assert!(mos["mos"].as_f64().is_some_and(|mos| mos > 4.0) && !mos["interval"].is_null(), "{mos}");
    assert_eq!(screened["models"][0]["fit"]["n"], 10, "{}", screened["models"]);
    let unknown = admin.get(&format!("/api/v1/studies/{study}/statistics?screening=magic"));
    assert_eq!(problem(&unknown), "bad-request");
}
