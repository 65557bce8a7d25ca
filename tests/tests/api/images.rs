//! Images: listing, their files, and deletion.

use qponder_kernels::pixels::{Limits, decode};
use qponder_tests::client::text;
use qponder_tests::pictures::png;
use qponder_tests::server::{Server, data_dir};
use serde_json::{Value, json};

use crate::{column, problem};

/// Walks a listing two by two and returns the names.
fn names(server: &Server, sort: &str) -> Vec<String> {
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.client.get(&format!("/api/v1/images?limit=2&sort={sort}{cursor}")).json();
        names.extend(column(&page["items"], "name"));
        match &page["next"] {
            Value::Null => return names,
            next => cursor = format!("&cursor={}", text(next)),
        }
    }
}

#[test]
fn listings_page_in_every_order() {
    let data = data_dir();
    let server = Server::start(data.path());
    let ids: Vec<_> = (0..5)
        .map(|n| server.client.add_image(&format!("{n}.png"), &png(64 + 28 * n, 64, n as u8)))
        .collect();
    assert_eq!(names(&server, "oldest"), ["0.png", "1.png", "2.png", "3.png", "4.png"]);
    assert_eq!(names(&server, "newest"), ["4.png", "3.png", "2.png", "1.png", "0.png"]);

    let mut scored = Vec::new();
    for (n, id) in ids.iter().enumerate().take(3) {
        let assessment = server.client.assess(&json!({ "image_id": id, "mode": "quick" }));
        scored.push((assessment["score"].as_f64().expect("quick mode always has a score"), n));
        let image = server.client.get(&format!("/api/v1/images/{id}")).json();
        assert_eq!(image["latest"]["id"], assessment["id"]);
        assert_eq!(image["latest"]["score"], assessment["score"]);
    }
    // Equal scores stand in the order of upload, the latest first among the best.
    scored.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let worst: Vec<_> = scored.iter().map(|(_, n)| format!("{n}.png")).collect();
    let best: Vec<_> = worst.iter().rev().cloned().collect();
    assert_eq!(names(&server, "worst"), [&worst[..], &["3.png".into(), "4.png".into()]].concat());
    assert_eq!(names(&server, "best"), [&best[..], &["4.png".into(), "3.png".into()]].concat());

    let cursor = text(&server.client.get("/api/v1/images?limit=2&sort=best").json()["next"]);
    for (query, status) in [
        ("cursor=nonsense".to_owned(), 400),
        (format!("cursor={cursor}"), 400),
        ("limit=0".to_owned(), 422),
        ("limit=201".to_owned(), 422),
        ("limit=two".to_owned(), 400),
        ("sort=random".to_owned(), 400),
        ("colour=red".to_owned(), 400),
    ] {
        let answer = server.client.get(&format!("/api/v1/images?{query}"));
        assert_eq!(answer.status, status, "{query}");
        let _ = problem(&answer);
    }
}

#[test]
fn files_are_what_was_uploaded_and_never_change() {
    let data = data_dir();
    let server = Server::start(data.path());
    let bytes = png(700, 500, 3);
    let id = server.client.add_image("a 'b'é.png", &bytes);
    let path = |file: &str| format!("/api/v1/images/{id}/{file}");

    let original = server.client.get(&path("original"));
    assert_eq!((original.status, &original.body), (200, &bytes));
    assert_eq!(original.header("content-type"), "image/png");
    assert_eq!(original.header("content-disposition"), "inline; filename*=UTF-8''a%20%27b%27%C3%A9.png");

    let pixels = |bytes: &[u8]| decode(bytes, &Limits::default()).expect("an image").image;
    let rendering = server.client.get(&path("rendering"));
    assert_eq!(rendering.header("content-type"), "image/png");
    assert_eq!(pixels(&rendering.body), pixels(&bytes));

    let thumbnail = server.client.get(&path("thumbnail"));
    assert_eq!(thumbnail.header("content-type"), "image/jpeg");
    let small = pixels(&thumbnail.body);
    assert_eq!(small.width().max(small.height()), 320);

    for file in ["original", "rendering", "thumbnail"] {
        let first = server.client.get(&path(file));
        assert_eq!(first.header("cache-control"), "private, max-age=31536000, immutable");
        assert_eq!(first.header("x-content-type-options"), "nosniff");
        assert_eq!(first.header("content-security-policy"), "default-src 'none'; sandbox");
        let again = server.client.send("GET", &path(file), &[("if-none-match", first.header("etag"))], &[]);
        assert_eq!((again.status, again.body.len()), (304, 0));
    }
}

#[test]
fn a_deleted_image_is_gone() {
    let data = data_dir();
    let server = Server::start(data.path());
    let bytes = png(90, 60, 4);
    let id = server.client.add_image("a.png", &bytes);
    let assessment = server.client.assess(&json!({ "image_id": id, "mode": "quick" }));
    let path = format!("/api/v1/images/{id}");
    assert_eq!(server.client.delete(&path).status, 204);
    let assessment = format!("/api/v1/assessments/{}", text(&assessment["id"]));
    for gone in [path.clone(), format!("{path}/original"), format!("{path}/thumbnail"), assessment] {
        let answer = server.client.get(&gone);
        assert_eq!((answer.status, problem(&answer).as_str()), (404, "not-found"), "{gone}");
    }
    assert_eq!(server.client.delete(&path).status, 404);
    let again = server.client.add_image("a.png", &bytes);
    assert_ne!(again, id);
    assert_eq!(server.client.get(&format!("/api/v1/images/{again}/original")).body, bytes);
}
