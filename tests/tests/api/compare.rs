//! Comparisons: labels, one image, a set of images and its pages, statistics.

use qponder_tests::client::{Client, text};
use qponder_tests::database;
use qponder_tests::pictures::png;
use qponder_tests::server::{Server, data_dir, root};
use serde_json::{Value, json};

use crate::{column, eventually, problem};

fn nano(stage: &str) -> String {
    root().join("models").join(stage).to_string_lossy().into_owned()
}

fn serve(data: &std::path::Path) -> Server {
    Server::start_with(data, &["--model", &nano("nano-rl"), "--model", &nano("nano-ci")])
}

fn ask(client: &Client, image: &str, model: &str) -> Value {
    let answer = client.assess(&json!({ "image_id": image, "model": model }));
    assert_eq!(answer["parse_ok"], true, "{answer}");
    answer
}

const PHOTOGRAPHS: [(&str, &[u8]); 4] = [
    ("brook.jpg", include_bytes!("../../fixtures/photographs/brook.jpg")),
    ("brook-blurred.jpg", include_bytes!("../../fixtures/photographs/brook-blurred.jpg")),
    ("mountains.jpg", include_bytes!("../../fixtures/photographs/mountains.jpg")),
    ("mountains-blurred.jpg", include_bytes!("../../fixtures/photographs/mountains-blurred.jpg")),
];

const SET: &str = "/api/v1/comparison?left=nano-ci&right=nano-rl";

/// Walks a comparison one by one and returns its items.
fn walk(client: &Client, sort: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{SET}&limit=1&sort={sort}{cursor}"));
        assert_eq!(page.status, 200, "{}", page.json());
        let page = page.json();
        items.extend(page["items"].as_array().expect("a list").iter().cloned());
        match &page["next"] {
            Value::Null => return items,
            next => cursor = format!("&cursor={}", text(next)),
        }
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn labels_are_set_and_replaced_by_kind_and_source() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    let image = client.add_image("a.png", &png(60, 60, 5));
    let path = format!("/api/v1/images/{image}/labels");
    let put = |body: &Value| client.send_json("PUT", &path, body);
    for (kind, source, value) in [
        ("proxy", "ssimulacra2", 2.0),
        ("mos", "old study", 3.0),
        ("mos", "new study", 4.0),
        ("mos", "old study", 3.5),
    ] {
        let set = put(&json!({ "kind": kind, "source": source, "value": value, "n": 12, "sd": 0.7 }));
        assert_eq!(set.status, 200, "{}", set.json());
    }
    let labels = client.get(&format!("/api/v1/images/{image}")).json()["labels"].clone();
    // People before metrics, what was said last first.
    assert_eq!(column(&labels, "source"), ["old study", "new study", "ssimulacra2"]);
    assert_eq!(
        (number(&labels[0]["value"]), &labels[0]["n"], &labels[0]["sd"]),
        (3.5, &12.into(), &0.7.into())
    );
    let listed = client.get("/api/v1/images").json()["items"][0]["labels"].clone();
    assert_eq!(listed, labels);

    for body in [
        json!({ "kind": "mos", "source": "s", "value": 5.5 }),
        json!({ "kind": "mos", "source": " ", "value": 5 }),
        json!({ "kind": "mos", "source": "s", "value": 5, "n": 0 }),
        json!({ "kind": "mos", "source": "s", "value": 5, "sd": -1 }),
        json!({ "kind": "guess", "source": "s", "value": 5 }),
    ] {
        let refused = put(&body);
        assert_eq!((refused.status, problem(&refused).as_str()), (422, "unprocessable"), "{body}");
    }
    let nowhere = path.replace(&image, "01900000-0000-7000-8000-000000000000");
    let label = json!({ "kind": "mos", "source": "s", "value": 5 });
    assert_eq!(client.send_json("PUT", &nowhere, &label).status, 404);
    let noted = database::query(data.path(), "select count(*) from audit_log where action = 'label.set'");
    assert_eq!(noted, 4);
}

#[test]
fn one_image_shows_every_model_with_its_rewards() {
    let data = data_dir();
    let server = serve(data.path());
    let client = &server.client;
    let image = client.add_image(PHOTOGRAPHS[0].0, PHOTOGRAPHS[0].1);
    let path = format!("/api/v1/images/{image}/comparison");
    let empty = client.get(&path).json();
    assert_eq!(column(&empty["models"], "model"), ["nano-rl", "nano-ci"]);
    assert!(empty["models"][0]["reason"].is_null() && empty["models"][0]["terms"].is_null());

    let first = ask(client, &image, "nano-ci");
    let quick = client.assess(&json!({ "image_id": image, "model": "nano-ci", "mode": "quick" }));
    let shown = client.get(&path).json()["models"][1].clone();
    assert_eq!((&shown["reason"], &shown["quick"]), (&first, &quick));
    assert_eq!(number(&shown["terms"]["format"]), 1.0);
    assert!(shown["terms"]["score"].is_null(), "there is no label yet: {shown}");

    // One e-fold of the error away from the label.
    let scale = number(&client.get(&path).json()["basis"]["score_scale"]);
    let score = number(&first["score"]);
    let label = if score > 3.0 { score - scale } else { score + scale };
    let body = json!({ "kind": "mos", "source": "s", "value": label });
    assert_eq!(client.send_json("PUT", &format!("/api/v1/images/{image}/labels"), &body).status, 200);
    let terms = client.get(&path).json()["models"][1]["terms"].clone();
    assert!((number(&terms["score"]) - (-1.0_f64).exp()).abs() < 1e-9, "{terms}");
    assert!((0.0..=1.0).contains(&number(&terms["consistency"])), "{terms}");
}

#[test]
fn a_set_is_paged_in_every_order_and_its_numbers_are_right() {
    let data = data_dir();
    let server = serve(data.path());
    let client = &server.client;
    assert_eq!(client.get(&format!("{SET}&sort=left")).json(), json!({ "items": [], "next": null }));
    let images: Vec<String> = PHOTOGRAPHS.iter().map(|(name, bytes)| client.add_image(name, bytes)).collect();
    for image in &images[..3] {
        let _ = (ask(client, image, "nano-ci"), ask(client, image, "nano-rl"));
    }
    let only_left = ask(client, &images[3], "nano-ci");
    assert_eq!(client.get("/api/v1/comparison/models").json(), json!(["nano-ci", "nano-rl"]));

    let newest = walk(client, "newest");
    let ids: Vec<String> = newest.iter().map(|item| text(&item["image"]["id"])).collect();
    assert_eq!(ids, images.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(newest[0]["left"]["assessment"], only_left["id"]);
    assert!(newest[0]["right"].is_null() && newest[0]["difference"].is_null());
    for item in &newest[1..] {
        let (left, right) = (number(&item["left"]["score"]), number(&item["right"]["score"]));
        assert!((number(&item["difference"]) - (right - left)).abs() < 1e-12, "{item}");
        let levels = |side: &str| item[side]["levels"].as_array().expect("levels").clone();
        let differing =
            levels("left").iter().zip(levels("right")).filter(|(left, right)| *left != right).count();
        assert_eq!(item["differing"], differing, "{item}");
    }
    for (sort, key) in [
        ("disagreement", &(|item: &Value| number(&item["difference"]).abs()) as &dyn Fn(&Value) -> f64),
        ("left", &|item: &Value| number(&item["left"]["score"])),
        ("right", &|item: &Value| number(&item["right"]["score"])),
    ] {
        let items = walk(client, sort);
        assert_eq!(items.len(), 3, "{sort}");
        assert!(items.windows(2).all(|two| key(&two[0]) >= key(&two[1])), "{sort}: {items:?}");
    }
    // The other way round, the same with both sides exchanged.
    let turned = client.get("/api/v1/comparison?left=nano-rl&right=nano-ci&sort=left").json();
    let right = walk(client, "right");
    let ids = |items: &[Value]| items.iter().map(|item| text(&item["image"]["id"])).collect::<Vec<_>>();
    assert_eq!(ids(turned["items"].as_array().expect("a list")), ids(&right));
    assert_eq!(number(&turned["items"][0]["difference"]), -number(&right[0]["difference"]));

    // A newer answer takes the older one's place, and two equal answers agree fully.
    let set = |body: &Value| client.send_json("PUT", &format!("/api/v1/images/{}/labels", images[0]), body);
    assert_eq!(set(&json!({ "kind": "mos", "source": "s", "value": 4 })).status, 200);
    let statistics = client.get("/api/v1/comparison/statistics?left=nano-ci&right=nano-rl").json();
    assert_eq!((&statistics["n"], &statistics["is_sample"]), (&3.into(), &false.into()));
    assert_eq!(statistics["points"].as_array().map(Vec::len), Some(3));
    let differences: Vec<f64> = newest[1..].iter().map(|item| number(&item["difference"])).collect();
    let rmse = (differences.iter().map(|d| d * d).sum::<f64>() / 3.0).sqrt();
    assert!((number(&statistics["scores"]["rmse"]) - rmse).abs() < 1e-9, "{statistics}");
    let sharpness = &statistics["attributes"][0];
    let equal =
        newest[1..].iter().filter(|item| item["left"]["levels"][0] == item["right"]["levels"][0]).count();
    assert_eq!((&sharpness["attribute"], &sharpness["n"]), (&"sharpness".into(), &3.into()));
    assert!((number(&sharpness["equal"]) - equal as f64 / 3.0).abs() < 1e-9, "{sharpness}");
    assert_eq!(statistics["left_labels"]["n"], 1);
    let error = number(&statistics["left_labels"]["mean_difference"]);
    assert!((error - (number(&newest[3]["left"]["score"]) - 4.0)).abs() < 1e-9, "{statistics}");

    let cursor = text(&client.get(&format!("{SET}&limit=1&sort=left")).json()["next"]);
    for (query, status) in [
        ("left=a&right=a".to_owned(), 422),
        ("left=a".to_owned(), 400),
        ("left=a&right=b&limit=0".to_owned(), 422),
        ("left=a&right=b&sort=random".to_owned(), 400),
        (format!("left=nano-ci&right=nano-rl&sort=right&cursor={cursor}"), 400),
    ] {
        assert_eq!(client.get(&format!("/api/v1/comparison?{query}")).status, status, "{query}");
    }
    assert_eq!(client.delete(&format!("/api/v1/images/{}", images[0])).status, 204);
    assert_eq!(walk(client, "left").len(), 2);
}

#[test]
fn answers_of_an_earlier_version_are_read_at_the_start() {
    let data = data_dir();
    let server = serve(data.path());
    let image = server.client.add_image(PHOTOGRAPHS[0].0, PHOTOGRAPHS[0].1);
    let _ = (ask(&server.client, &image, "nano-ci"), ask(&server.client, &image, "nano-rl"));
    let before = walk(&server.client, "disagreement");
    assert_eq!(before.len(), 1);
    // As the migration leaves them.
    let unread = "with gone as (delete from pairs returning 1), unread as (update readings set levels = null returning 1) \
                  select (select count(*) from gone) + (select count(*) from unread)";
    assert_eq!(database::query(data.path(), unread), 3);
    assert!(server.stop().success());

    let server = serve(data.path());
    let after = eventually(|| Some(walk(&server.client, "disagreement")).filter(|items| !items.is_empty()));
    assert_eq!(after, before);
}
