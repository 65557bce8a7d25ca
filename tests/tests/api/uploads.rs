//! Uploads: good files, and everything that people and attackers send instead.

use qponder_tests::client::File;
use qponder_tests::pictures::{enormous_png, png};
use qponder_tests::server::{Server, data_dir};

use crate::{column, problem};

const PHOTO: &[u8] = include_bytes!("../../fixtures/photographs/brook.jpg");

fn file<'a>(name: &'a str, content_type: &'a str, bytes: &'a [u8]) -> File<'a> {
    File { name, content_type, bytes }
}

#[test]
fn each_file_is_judged_on_its_own() {
    let data = data_dir();
    let server = Server::start(data.path());
    let (small, enormous) = (png(40, 30, 1), enormous_png());
    let half = &PHOTO[..PHOTO.len() / 2];
    let answer = server.client.upload(&[
        file("photo.jpg", "image/jpeg", PHOTO),
        file("empty.png", "image/png", b""),
        file("cut.jpg", "image/jpeg", half),
        file("notes.png", "image/png", b"shopping: milk, bread\n"),
        file("cartoon.jpg", "image/jpeg", b"GIF89a\x01\0\x01\0\0\0\0;"),
        file("renamed.jpg", "image/jpeg", &small),
        file("enormous.png", "image/png", &enormous),
        file("noise.webp", "image/webp", &[7, 1, 250, 3, 0, 0, 9]),
        file("../../../etc/cron.d/job.png", "image/png", &small),
        file("<img src=x onerror=alert(1)>.png", "image/png", &png(8, 8, 2)),
        file("again.jpg", "application/octet-stream", PHOTO),
    ]);
    assert_eq!(answer.status, 201);
    insta::assert_json_snapshot!("report", answer.json(), {
        ".files[].image.id" => "[id]",
        ".files[].image.created_at" => "[time]",
        ".files[].image.sha256" => "[hash]",
        ".files[].image.bytes" => "[bytes]",
    });

    // Three different pictures were good, and only they are there.
    let listed = server.client.get("/api/v1/images?sort=oldest").json();
    assert_eq!(
        column(&listed["items"], "name"),
        ["photo.jpg", "job.png", "<img src=x onerror=alert(1)>.png"]
    );
}

#[test]
fn a_bad_file_alone_is_a_problem() {
    let data = data_dir();
    let server = Server::start(data.path());
    let enormous = enormous_png();
    for (bytes, status, kind) in [
        (&b""[..], 422, "empty-file"),
        (&PHOTO[..PHOTO.len() - 2000], 422, "truncated-image"),
        (b"plain text", 415, "not-an-image"),
        (PHOTO, 415, "mislabelled-image"),
        (&enormous, 413, "image-too-large"),
    ] {
        let answer = server.client.upload(&[file("a.png", "image/png", bytes)]);
        assert_eq!((answer.status, problem(&answer).as_str()), (status, kind));
        let body = answer.json();
        assert!(body["detail"].as_str().expect("a detail").starts_with("a.png: "), "{body}");
        assert_eq!(body["files"][0]["problem"]["type"], body["type"]);
    }
    assert_eq!(server.client.get("/api/v1/images").json()["items"].as_array().map(Vec::len), Some(0));
    let originals = walk(&data.path().join("objects"));
    assert!(originals.is_empty(), "bytes without a row: {originals:?}");
}

#[test]
fn a_request_that_is_no_upload_is_a_problem() {
    let data = data_dir();
    let server = Server::start(data.path());
    let form = "multipart/form-data; boundary=b";
    let unfinished = b"--b\r\ncontent-disposition: form-data; name=\"f\"; filename=\"a.png\"\r\n\r\nabc";
    for (content_type, body, status, kind) in [
        ("application/json", &b"{}"[..], 415, "not-multipart"),
        ("multipart/form-data", b"--b--", 415, "not-multipart"),
        (form, b"--b--\r\n", 400, "no-files"),
        (form, b"--b\r\ncontent-disposition: form-data; name=\"x\"\r\n\r\n1\r\n--b--\r\n", 400, "no-files"),
        (form, b"no form at all", 400, "broken-upload"),
        (form, unfinished, 400, "broken-upload"),
    ] {
        let answer = server.client.send("POST", "/api/v1/images", &[("content-type", content_type)], body);
        let text = String::from_utf8_lossy(body);
        assert_eq!((answer.status, problem(&answer).as_str()), (status, kind), "{content_type} {text}");
    }
}

#[test]
fn the_same_bytes_are_one_image() {
    let data = data_dir();
    let server = Server::start(data.path());
    let upload = || server.client.upload(&[file("brook.jpg", "image/jpeg", PHOTO)]);
    let (first, second) = (upload(), upload());
    assert_eq!((first.status, second.status), (201, 200));
    let (first, second) = (first.json(), second.json());
    assert_eq!(first["files"][0]["image"], second["files"][0]["image"]);
    assert_eq!(
        (&first["files"][0]["duplicate"], &second["files"][0]["duplicate"]),
        (&false.into(), &true.into())
    );

    // Also when they come at once: whoever is first stores them, all get the same image.
    let picture = png(64, 48, 9);
    let ids = std::thread::scope(|scope| {
        let uploads: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    server.client.upload(&[file("p.png", "image/png", &picture)]).json()["files"][0].clone()
                })
            })
            .collect();
        uploads.into_iter().map(|upload| upload.join().expect("an answer")).collect::<Vec<_>>()
    });
    assert!(ids.iter().all(|entry| entry["image"]["id"] == ids[0]["image"]["id"]), "{ids:?}");
    assert_eq!(ids.iter().filter(|entry| entry["duplicate"] == false).count(), 1);
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries =
        std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
