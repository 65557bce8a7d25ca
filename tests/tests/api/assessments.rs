//! Assessments: asked, streamed, replayed, repeated and cancelled.

use std::collections::BTreeSet;

use qponder_tests::client::{Event, text};
use qponder_tests::pictures::png;
use qponder_tests::server::{Server, data_dir};
use serde_json::{Value, json};

use crate::{eventually, problem, rambling_model};

const CREATE: &str = "/api/v1/assessments";

/// Uploads what the random model has most to say about, and asks it: it repeats itself for seconds.
fn endless(server: &Server) -> (String, Value) {
    let image = server.client.add_image("brook.jpg", include_bytes!("../../fixtures/photographs/brook.jpg"));
    let request = json!({ "image_id": image, "sampling": { "max_new_tokens": 4096 } });
    (image, request)
}

fn written(events: &[Event]) -> String {
    events.iter().filter(|event| event.name == "token").map(|event| text(&event.data["text"])).collect()
}

#[test]
fn a_stream_tells_the_whole_story_and_can_be_taken_up_anywhere() {
    let data = data_dir();
    let server = Server::start(data.path());
    let image = server.client.add_image("a.png", &png(112, 84, 5));
    let request = json!({ "image_id": image, "sampling": { "seed": 7, "max_new_tokens": 60 } });
    let created = server.client.post(CREATE, &request);
    assert_eq!(created.status, 201, "{}", created.json());
    let path = text(&Value::from(created.header("location")));
    assert_eq!(path, format!("{CREATE}/{}", text(&created.json()["id"])));

    let events: Vec<_> = server.client.events(&format!("{path}/events"), &[]).collect();
    let last = events.last().expect("events");
    assert_eq!(last.name, "done");
    let assessment = &last.data["assessment"];
    assert_eq!(assessment["status"], "done");
    assert_eq!(written(&events), text(&assessment["text"]));
    assert_eq!(&server.client.get(&path).json(), assessment);
    let mut shown = assessment.clone();
    // What the model writes depends on which one it is.
    for key in ["text", "response", "score", "parse_ok", "model"] {
        assert!(shown.as_object_mut().expect("an object").remove(key).is_some(), "{key}");
    }
    insta::assert_json_snapshot!("assessment", shown, {
        ".id" => "[id]", ".image_id" => "[id]", ".created_at" => "[time]", ".ms" => "[ms]",
    });

    // From the start again, and from after every event.
    let replayed: Vec<_> = server.client.events(&format!("{path}/events"), &[]).collect();
    assert_eq!(written(&replayed), written(&events));
    for event in events.iter().filter(|event| event.name == "token") {
        let rest: Vec<_> =
            server.client.events(&format!("{path}/events"), &[("last-event-id", &event.id)]).collect();
        let seen: usize = event.id.parse().expect("a number");
        assert_eq!(written(&rest), text(&assessment["text"])[seen..]);
        assert_eq!(rest.last(), Some(last));
    }

    // Asked again, the same request gives the same answer: everything that decides it is stored.
    let again = server.client.assess(&request);
    assert_eq!(again["text"], assessment["text"]);
    let listed = server.client.get(&format!("/api/v1/images/{image}/assessments")).json();
    assert_eq!(listed["items"], json!([again, assessment]));
    let first = server.client.get(&format!("/api/v1/images/{image}/assessments?limit=1")).json();
    let next = format!("/api/v1/images/{image}/assessments?limit=1&cursor={}", text(&first["next"]));
    assert_eq!(server.client.get(&next).json(), json!({ "items": [assessment], "next": null }));
}

#[test]
fn quick_mode_gives_a_score_and_its_probabilities() {
    let data = data_dir();
    let server = Server::start(data.path());
    let image = server.client.add_image("a.png", &png(112, 84, 5));
    let assessment = server.client.assess(&json!({ "image_id": image, "mode": "quick" }));
    let probabilities: Vec<f64> =
        serde_json::from_value(assessment["level_probabilities"].clone()).expect("numbers");
    assert_eq!(probabilities.len(), 5);
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{probabilities:?}");
    let expectation: f64 = probabilities.iter().zip(1..).map(|(p, level)| p * f64::from(level)).sum();
    assert!((assessment["score"].as_f64().expect("a score") - expectation).abs() < 1e-6, "{assessment}");
    assert_eq!((&assessment["parse_ok"], &assessment["mode"]), (&true.into(), &"quick".into()));
}

#[test]
fn many_at_once_are_all_answered() {
    let data = data_dir();
    let server = Server::start(data.path());
    let image = server.client.add_image("a.png", &png(60, 60, 5));
    let ids: BTreeSet<_> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    text(&server.client.assess(&json!({ "image_id": image, "mode": "quick" }))["id"])
                })
            })
            .collect();
        asked.into_iter().map(|one| one.join().expect("an answer")).collect()
    });
    assert_eq!(ids.len(), 20);
    let metrics = String::from_utf8(server.client.get("/metrics").body).expect("text");
    let value = |name: &str| -> u32 {
        let line =
            metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}"));
        line.trim().parse().expect("a number")
    };
    assert_eq!(value("qponder_batched_requests_total "), 20);
    assert!(value("qponder_batches_total ") < 20, "nothing was batched:\n{metrics}");
}

#[test]
fn a_repeated_request_is_one_assessment() {
    let data = data_dir();
    let server = Server::start(data.path());
    let image = server.client.add_image("a.png", &png(60, 60, 5));
    let ask = |key: &str, mode: &str| {
        let body = json!({ "image_id": image, "mode": mode }).to_string();
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        server.client.send("POST", CREATE, &headers, body.as_bytes())
    };
    let (first, second) = (ask("k1", "quick"), ask("k1", "quick"));
    assert_eq!((first.status, second.status), (201, 200));
    assert_eq!(first.json()["id"], second.json()["id"]);
    assert_ne!(ask("k2", "quick").json()["id"], first.json()["id"]);
    let other = ask("k1", "reason");
    assert_eq!((other.status, problem(&other).as_str()), (422, "unprocessable"));
    assert_eq!(ask(&"k".repeat(201), "quick").status, 400);
    let listed = server.client.get(&format!("/api/v1/images/{image}/assessments")).json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2));
}

#[test]
fn cancelling_keeps_what_was_written() {
    let data = data_dir();
    let server = Server::start_with(data.path(), &["--model", &rambling_model()]);
    let (image, request) = endless(&server);
    let id = text(&server.client.post(CREATE, &request).json()["id"]);
    let path = format!("{CREATE}/{id}");
    let mut events = server.client.events(&format!("{path}/events"), &[]);
    let token = events.find(|event| event.name == "token").expect("it writes");
    let running = server.client.get(&path).json();
    assert_eq!(running["status"], "running");

    // A second one waits behind it, and is cancelled there.
    let waiting = text(&server.client.post(CREATE, &request).json()["id"]);
    let mut behind = server.client.events(&format!("{CREATE}/{waiting}/events"), &[]);
    assert_eq!(
        behind.next().map(|event| (event.name, event.data["ahead"].clone())),
        Some(("queued".into(), 1.into()))
    );

    let cancelled = server.client.delete(&path);
    assert_eq!((cancelled.status, &cancelled.json()["status"]), (200, &"cancelled".into()));
    assert!(text(&cancelled.json()["text"]).starts_with(&text(&token.data["text"])));
    assert_eq!(cancelled.json()["score"], Value::Null);
    assert_eq!(events.last().map(|event| event.name), Some("done".into()));
    let waiting = server.client.delete(&format!("{CREATE}/{waiting}")).json();
    assert!(["queued", "running", "cancelled"].contains(&text(&waiting["status"]).as_str()), "{waiting}");
    assert_eq!(
        behind.last().map(|event| event.data["assessment"]["status"].clone()),
        Some("cancelled".into())
    );
    // Once more changes nothing.
    assert_eq!(server.client.delete(&path).json(), cancelled.json());
    assert_eq!(server.client.get(&format!("/api/v1/images/{image}")).json()["latest"], Value::Null);
}

#[test]
fn leaving_cancels_only_where_that_was_asked_for() {
    let data = data_dir();
    let server = Server::start_with(data.path(), &["--model", &rambling_model()]);
    let (image, request) = endless(&server);
    let status = |id: &str| text(&server.client.get(&format!("{CREATE}/{id}")).json()["status"]);
    let leave = |created: qponder_tests::client::Answer| {
        let id = text(&created.json()["id"]);
        let mut events = server.client.events(&format!("{CREATE}/{id}/events"), &[]);
        events.find(|event| event.name == "token").expect("it writes");
        id
    };
    let headers = [("content-type", "application/json"), ("prefer", "respond-async, cancel-on-disconnect")];
    let by_header = leave(server.client.send("POST", CREATE, &headers, request.to_string().as_bytes()));
    eventually(|| (status(&by_header) == "cancelled").then_some(()));
    let by_query = leave(server.client.post(&format!("{CREATE}?cancel_on_disconnect=true"), &request));
    eventually(|| (status(&by_query) == "cancelled").then_some(()));

    let stays = leave(server.client.post(CREATE, &request));
    let length = |id: &str| text(&server.client.get(&format!("{CREATE}/{id}")).json()["text"]).len();
    let before = length(&stays);
    eventually(|| (status(&stays) == "done" || length(&stays) > before + 100).then_some(()));
    // Deleting the image stops it.
    assert_eq!(server.client.delete(&format!("/api/v1/images/{image}")).status, 204);
    assert_eq!(server.client.get(&format!("{CREATE}/{stays}")).status, 404);
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let data = data_dir();
    let server = Server::start(data.path());
    let image = server.client.add_image("a.png", &png(60, 60, 5));
    let nowhere = "01900000-0000-7000-8000-000000000000";
    for (body, status, kind) in [
        (json!({ "image_id": nowhere }), 404, "not-found"),
        (json!({ "image_id": "x" }), 422, "unprocessable"),
        (json!({}), 422, "unprocessable"),
        (json!({ "image_id": image, "mode": "slow" }), 422, "unprocessable"),
        (json!({ "image_id": image, "extra": 1 }), 422, "unprocessable"),
        (json!({ "image_id": image, "sampling": { "temperature": -1 } }), 422, "unprocessable"),
        (json!({ "image_id": image, "sampling": { "max_new_tokens": 1_000_000 } }), 422, "unprocessable"),
    ] {
        let answer = server.client.post(CREATE, &body);
        assert_eq!((answer.status, problem(&answer).as_str()), (status, kind), "{body}");
    }
}
