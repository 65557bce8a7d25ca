//! Imports and exports: what goes out comes in again, and what cannot come in is told line by line.

use std::collections::BTreeSet;
use std::io::{Cursor, Read as _, Write as _};

use qponder_tests::client::{Client, text};
use qponder_tests::people::{first_admin, new_user};
use qponder_tests::pictures::png;
use qponder_tests::server::{Server, data_dir};
use serde_json::{Value, json};

use crate::problem;

const ANSWER: &str = "<think>\nsharpness: edges are crisp (good)\nnoise: clean shadows (good)\nexposure: even light \
    (good)\ncontrast: a full range (good)\ncolour: natural tones (good)\ncompression: nothing to see (good)\n\
    Nothing stands out.\n</think>\n<answer>4.00</answer>";

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).expect("a file");
        zip.write_all(bytes).expect("written");
    }
    zip.finish().expect("a zip").into_inner()
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *bytes).expect("written");
    }
    tar.into_inner().expect("a tar")
}

/// Names and bytes of the files in a zip.
fn unzip(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).expect("a zip");
    (0..zip.len())
        .map(|at| {
            let mut file = zip.by_index(at).expect("a file");
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).expect("its bytes");
            (file.name().expect("a name").into_owned(), bytes)
        })
        .collect()
}

/// Exports and downloads.
#[track_caller]
fn export(client: &Client, body: &Value) -> Vec<u8> {
    let done = client.transferred(&client.post("/api/v1/exports", body));
    assert_eq!(done["state"], "done", "{done}");
    let file = client.get(&format!("/api/v1/transfers/{}/file", text(&done["id"])));
    assert_eq!(file.status, 200);
    assert_eq!(file.body.len() as u64, done["bytes"].as_u64().expect("a size"));
    assert!(
        file.header("content-disposition").starts_with("attachment"),
        "{}",
        file.header("content-disposition")
    );
    file.body
}

#[track_caller]
fn import(client: &Client, query: &Value, name: &str, bytes: &[u8]) -> Value {
    let done = client.transferred(&client.import(query, name, bytes));
    assert_eq!(done["state"], "done", "{done}");
    done["report"].clone()
}

fn make_study(client: &Client, name: &str, task: &str) -> String {
    let made = client.post("/api/v1/studies", &json!({ "name": name, "task": task, "overlap": 5 }));
    assert_eq!(made.status, 201, "{}", made.json());
    text(&made.json()["id"])
}

fn statistics(client: &Client, study: &str) -> Value {
    client.get(&format!("/api/v1/studies/{study}/statistics?screening=bt500")).json()
}

/// MOS, votes and deviations by image.
fn opinions(statistics: &Value) -> BTreeSet<String> {
    let items = statistics["items"].as_array().expect("items").iter();
    let found = items.zip(statistics["report"]["items"].as_array().expect("items"));
    found
        .map(|(item, what)| format!("{} {} {} {}", item["images"], what["mos"], what["n"], what["deviation"]))
        .collect()
}

#[test]
fn votes_that_went_out_come_in_again_with_equal_statistics() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    for seed in 0..6 {
        let _ = client.add_image(&format!("{seed}.png"), &png(24, 24, seed * 30));
    }
    let first = make_study(client, "Six & more", "acr");
    // Votes of five people on six images, of whom the last gives the opposite.
    let mut table = String::from("person,image,score,repeat,flag\n");
    for person in 0..5 {
        for image in 0..6 {
            let score = if person == 4 { 5.0 - f64::from(image) * 0.7 } else { 1.2 + f64::from(image) * 0.7 };
            let flag = if (person, image) == (0, 0) { "\"blurred, \"\"odd\"\"\"" } else { "" };
            table += &format!("\"Person {person}\",{image}.png,{score},0,{flag}\n");
        }
    }
    let query = json!({ "content": { "votes": { "study": first } } });
    let report = import(client, &query, "votes.csv", table.as_bytes());
    assert_eq!((report["lines"].as_u64(), report["repeated"].as_u64()), (Some(30), Some(0)));
    // The same file again adds nothing.
    let report = import(client, &query, "votes.csv", table.as_bytes());
    assert_eq!((report["lines"].as_u64(), report["repeated"].as_u64()), (Some(0), Some(30)));

    let exported = export(client, &json!({ "source": { "votes": { "study": first } }, "format": "csv" }));
    let text_of = String::from_utf8(exported.clone()).expect("text");
    assert_eq!(text_of.lines().count(), 31, "{text_of}");
    assert!(text_of.contains("\"blurred, \"\"odd\"\"\""), "{text_of}");
    let second = make_study(client, "Again", "acr");
    let report =
        import(client, &json!({ "content": { "votes": { "study": second } } }), "again.csv", &exported);
    assert_eq!(report["lines"], 30);
    assert_eq!(opinions(&statistics(client, &first)), opinions(&statistics(client, &second)));
    assert_eq!(statistics(client, &first)["voters"].as_array().map(Vec::len), Some(5));

    // Filters.
    for (filter, lines) in [
        (json!({ "study": first, "flagged": true }), 1),
        (json!({ "study": first, "counted": true }), 30),
        (json!({ "study": first, "kind": "gold" }), 0),
        (json!({ "study": first, "until": "2001-01-01" }), 0),
        (json!({ "study": first, "since": "2001-01-01" }), 30),
        (json!({ "study": first, "subject": statistics(client, &first)["voters"][0]["id"] }), 6),
    ] {
        let exported = export(client, &json!({ "source": { "votes": filter }, "format": "csv" }));
        assert_eq!(String::from_utf8(exported).expect("text").lines().count(), lines + 1, "{filter}");
    }

    // With the images.
    let source = json!({ "votes": { "study": first } });
    let packed = export(client, &json!({ "source": source, "format": "csv", "with_images": true }));
    let files = unzip(&packed);
    assert_eq!(files.len(), 7);
    assert_eq!(files[0].0, "table.csv");
    assert!(files[1..].iter().any(|(_, bytes)| *bytes == png(24, 24, 30)), "an image is missing");
    let _ = server.stop();
}

#[test]
fn labels_come_in_with_their_images_and_go_out_in_every_format() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    let pictures: Vec<Vec<u8>> = (0..3).map(|seed| png(24, 24, seed * 60)).collect();
    let table = b"image,mos,std,split\na.png,1.5,0.5,train\nb.png,3,0.4,train\nsub/c.png,4.5,,val\n";
    let files: [(&str, &[u8]); 6] = [
        ("set/labels.csv", table),
        ("set/images/a.png", &pictures[0]),
        ("set/images/b.png", &pictures[1]),
        ("set/images/sub/c.png", &pictures[2]),
        ("__MACOSX/a.png", b"rubbish"),
        ("set/.DS_Store", b"rubbish"),
    ];
    let query = json!({ "content": { "labels": { "name": "Mine", "layout": "csv" } } });
    for (name, bytes, new) in [("a.zip", zip(&files), 3), ("a.tar", tar(&files), 0)] {
        let report = import(client, &query, name, &bytes);
        assert_eq!((report["lines"].as_u64(), report["images"].as_u64()), (Some(3), Some(new)), "{report}");
        assert!(text(&report["scale"]).contains("1 to 5"), "{report}");
    }
    let datasets = client.get("/api/v1/datasets").json();
    let versions: Vec<_> =
        datasets["items"].as_array().expect("datasets").iter().map(|one| &one["version"]).collect();
    assert_eq!(versions, [2, 1]);
    let dataset = text(&datasets["items"][0]["id"]);
    // A study of its images.
    let study = make_study(client, "Of a dataset", "acr");
    let added = client.post(&format!("/api/v1/studies/{study}/items"), &json!({ "dataset": dataset }));
    assert_eq!((added.status, &added.json()["added"]), (200, &json!(3)), "{}", added.json());
    let images = client.get("/api/v1/images").json();
    let labels = images["items"][0]["labels"].as_array().expect("labels").len();
    assert_eq!(labels, 1, "{images}");

    let of = |format: &str| {
        export(client, &json!({ "source": { "dataset": { "id": dataset } }, "format": format }))
    };
    let manifest = of("manifest");
    assert_eq!(String::from_utf8(manifest.clone()).expect("text").lines().count(), 3);
    // Out as DeQA-Score has it, and in again: equal labels.
    let again = json!({ "content": { "labels": { "name": "Again", "layout": "deqa" } } });
    assert_eq!(import(client, &again, "deqa.json", &of("deqa"))["lines"], 3);
    let again = json!({ "content": { "manifest": { "name": "Third" } } });
    assert_eq!(import(client, &again, "manifest.jsonl", &manifest)["lines"], 3);
    let datasets = client.get("/api/v1/datasets").json();
    let labels_of = |id: &Value| -> BTreeSet<String> {
        let source = json!({ "dataset": { "id": id } });
        let lines = export(client, &json!({ "source": source, "format": "manifest" }));
        let lines = String::from_utf8(lines).expect("text");
        let line = |line: &str| {
            let row: Value = serde_json::from_str(line).expect("a row");
            format!("{} {} {}", row["image"], row["mos"], row["mos_std"])
        };
        lines.lines().map(line).collect()
    };
    let items = datasets["items"].as_array().expect("datasets");
    assert_eq!(items.len(), 4);
    assert!(items.iter().all(|one| labels_of(&one["id"]) == labels_of(&items[3]["id"])), "labels differ");
    // A split alone, as a table.
    let source = json!({ "dataset": { "id": dataset, "split": "val" } });
    let table = export(client, &json!({ "source": source, "format": "csv" }));
    assert_eq!(String::from_utf8(table).expect("text").lines().count(), 2);
    // No line has an answer.
    let failed = client.post(
        "/api/v1/exports",
        &json!({ "source": { "dataset": { "id": dataset } }, "format": "ms_swift" }),
    );
    let failed = client.transferred(&failed);
    assert_eq!(failed["state"], "failed");
    assert!(text(&failed["error"]).contains("no image has an answer"), "{failed}");
    let _ = server.stop();
}

#[test]
fn answers_come_in_as_a_models_and_go_out_as_conversations() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    let image = client.add_image("a.png", &png(24, 24, 9));
    let conversation = |image: &str, answer: &str| {
        json!({ "messages": [
            { "role": "user", "content": "<image>How good is it?" }, { "role": "assistant", "content": answer },
        ], "images": [image] })
    };
    let lines =
        format!("{}\n{}\n", conversation("photos/a.png", ANSWER), conversation("photos/a.png", "no score"));
    let query = json!({ "content": { "conversations": { "model": "Their teacher" } } });
    assert_eq!(import(client, &query, "swift.jsonl", lines.as_bytes())["lines"], 2);
    let again = import(client, &query, "swift.jsonl", lines.as_bytes());
    assert_eq!((again["lines"].as_u64(), again["repeated"].as_u64()), (Some(0), Some(2)));
    let kept = client.get(&format!("/api/v1/images/{image}/assessments")).json();
    let kept: BTreeSet<String> = kept["items"]
        .as_array()
        .expect("assessments")
        .iter()
        .map(|one| format!("{} {} {}", one["model"], one["score"], one["parse_ok"]))
        .collect();
    let expected = ["\"Their teacher\" 4.0 true", "\"Their teacher\" null false"];
    assert_eq!(kept, expected.map(str::to_owned).into());
    // It is in the comparison.
    let compared = client.get(&format!("/api/v1/images/{image}/comparison")).json();
    assert!(compared.to_string().contains("Their teacher"), "{compared}");

    let source = json!({ "answers": { "model": "Their teacher" } });
    let lines = export(client, &json!({ "source": source, "format": "ms_swift" }));
    let lines = String::from_utf8(lines).expect("text");
    assert_eq!(lines.lines().count(), 2);
    let first: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("a conversation");
    assert_eq!(first["messages"][2]["content"], ANSWER);
    let array = export(client, &json!({ "source": source, "format": "llama_factory", "with_images": true }));
    let names: Vec<String> = unzip(&array).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names[..2], ["conversations.json", "dataset_info.json"]);
    assert_eq!(names.len(), 3);
    let table = export(client, &json!({ "source": source, "format": "csv" }));
    let table = String::from_utf8(table).expect("text");
    assert!(table.contains("Their teacher,reason,imported,4,4,4,4,4,4,4,"), "{table}");
    let _ = server.stop();
}

#[test]
fn what_cannot_come_in_is_told_and_nothing_is_half_done() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    let _ = client.add_image("a.png", &png(24, 24, 1));
    let _ = client.add_image("twin.png", &png(24, 24, 2));
    let _ = client.add_image("twin.png", &png(24, 24, 3));
    let study = make_study(client, "S", "acr");
    let votes = json!({ "content": { "votes": { "study": study } } });
    let labels = |layout: &str| json!({ "content": { "labels": { "name": "L", "layout": layout } } });
    let manifest = json!({ "content": { "manifest": { "name": "L" } } });
    let images = json!({ "content": { "images": {} } });
    let good = png(24, 24, 77);
    let enormous = qponder_tests::pictures::enormous_png();
    for (query, name, bytes, words) in [
        (&votes, "v.csv", b"person,score\nA,3\n".to_vec(), "no column `image`"),
        (&votes, "v.csv", b"person,image,score\nA,a.png,9\n".to_vec(), "1 to 5"),
        (&votes, "v.csv", b"person,image,score\nA,nowhere.png,3\n".to_vec(), "no such image is here"),
        (&votes, "v.csv", b"person,image,score\nA,twin.png,3\n".to_vec(), "SHA-256"),
        (&votes, "v.csv", b"\xff\xfeperson".to_vec(), "UTF-8"),
        (&votes, "v.zip", b"PK\x03\x04 and no more".to_vec(), "archive"),
        (&labels("csv"), "l.csv", b"image,mos\na.png,73\n".to_vec(), "outside 1 to 5"),
        (&labels("deqa"), "l.json", b"{}".to_vec(), "no JSON"),
        (&labels("csv"), "l.zip", zip(&[("a.csv", b"image,mos\n"), ("b.csv", b"image,mos\n")]), "say which"),
        (&labels("csv"), "l.zip", zip(&[("a.png", &good)]), "no file with labels"),
        (
            &labels("csv"),
            "l.zip",
            zip(&[("l.csv", b"image,mos\nx.png,3\n"), ("a/x.png", &good), ("b/x.png", &good)]),
            "2 files have this name",
        ),
        (&labels("csv"), "l.zip", zip(&[("l.csv", b"image,mos\nx.png,3\n"), ("x.png", &enormous)]), "x.png"),
        (&manifest, "m.jsonl", b"{\"id\": 1}\n".to_vec(), "line 1"),
        (&images, "i.csv", b"no archive".to_vec(), "upload single images"),
        (&images, "i.tgz", b"\x1f\x8b\x08 compressed".to_vec(), "gzip"),
        (&images, "i.zip", zip(&[("a.txt", b"no image")]), "no image that can be read"),
    ] {
        let done = client.transferred(&client.import(query, name, &bytes));
        assert_eq!(done["state"], "failed", "{words}: {done}");
        assert!(done.to_string().contains(words), "{words}: {done}");
    }
    assert_eq!(client.get("/api/v1/datasets").json()["items"], json!([]));
    let items = client.get(&format!("/api/v1/studies/{study}/items")).json();
    assert_eq!(items["items"], json!([]), "a vote came in");

    // The good lines, where that is asked for.
    let mut skipping = votes.clone();
    skipping["skip_problems"] = json!(true);
    let table = b"person,image,score\nA,a.png,3\nA,nowhere.png,3\nB,a.png,x\n";
    let report = import(client, &skipping, "v.csv", table);
    assert_eq!((report["lines"].as_u64(), report["refused"].as_u64()), (Some(1), Some(2)), "{report}");
    let places: BTreeSet<String> =
        report["problems"].as_array().expect("problems").iter().map(|one| text(&one["place"])).collect();
    assert_eq!(places, ["line 3", "line 4"].map(str::to_owned).into());

    // What is wrong with the request itself is told at once.
    for (query, status) in [
        (json!({}), 422),
        (json!({ "content": { "labels": { "name": "x", "layout": "excel" } } }), 422),
        (json!({ "content": { "manifest": { "name": "" } } }), 422),
        (json!({ "content": { "votes": { "study": "01890000-0000-7000-8000-000000000000" } } }), 404),
    ] {
        assert_eq!(client.import(&query, "x.csv", b"x").status, status, "{query}");
    }
    assert_eq!(client.import(&images, "x.zip", b"").status, 422);
    for (body, status) in [
        (json!({ "source": { "votes": { "study": study } }, "format": "deqa" }), 422),
        (json!({ "source": { "votes": { "study": study, "since": "soon" } }, "format": "csv" }), 422),
        (json!({ "source": { "dataset": { "id": study } }, "format": "csv" }), 404),
    ] {
        assert_eq!(client.post("/api/v1/exports", &body).status, status, "{body}");
    }
    // No file of an import is left behind.
    let left = std::fs::read_dir(data.path().join("transfers")).expect("the folder").count();
    assert_eq!(left, 0);
    let _ = server.stop();
}

#[test]
fn transfers_are_recorded_removed_and_taken_up_after_a_crash() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &[]);
    let admin = first_admin(&server.client, &link);
    let reviewer = new_user(&server.client, &admin, "reviewer", "rev");
    let annotator = new_user(&server.client, &admin, "annotator", "ann");
    let _ = reviewer.add_image("a.png", &png(24, 24, 1));
    let study = make_study(&reviewer, "S", "acr");
    let body = json!({ "source": { "votes": { "study": study } }, "format": "csv" });
    let refused = annotator.post("/api/v1/exports", &body);
    assert_eq!((refused.status, problem(&refused).as_str()), (403, "not-allowed"));

    let named = reviewer.with_header("idempotency-key", "once");
    let done = named.transferred(&named.post("/api/v1/exports", &body));
    let again = named.post("/api/v1/exports", &body);
    assert_eq!((again.status, &again.json()["id"]), (200, &done["id"]));
    let mut other = body.clone();
    other["with_images"] = json!(true);
    assert_eq!(named.post("/api/v1/exports", &other).status, 422, "one key, two requests");
    let record = &reviewer.get("/api/v1/transfers").json()["items"][0];
    assert_eq!(
        (&record["query"], &record["available"]),
        (&body_with_default(&body), &json!(true)),
        "{record}"
    );
    assert_eq!(record["sha256"].as_str().map(str::len), Some(64));

    let path = format!("/api/v1/transfers/{}", text(&done["id"]));
    let removed = reviewer.delete(&path);
    assert_eq!((removed.status, &removed.json()["available"]), (200, &json!(false)));
    assert_eq!(reviewer.get(&format!("{path}/file")).status, 404);
    assert_eq!(reviewer.get(&path).json()["state"], "done", "the record stays");
    let audit = admin.get("/api/v1/audit").json();
    for action in ["export.create", "export.done", "export.remove"] {
        assert!(audit.to_string().contains(action), "{action} is not in {audit}");
    }

    // A server that dies in the middle: another takes it up.
    let mut table = String::from("person,image,score\n");
    for person in 0..20_000 {
        table += &format!("P{person},a.png,{}\n", 1 + person % 5);
    }
    let votes = json!({ "content": { "votes": { "study": study } } });
    let begun = reviewer.import(&votes, "v.csv", table.as_bytes());
    assert_eq!(begun.status, 202);
    server.kill();
    let server = Server::start_with_accounts(data.path(), &[]);
    let admin = qponder_tests::people::signed_in(
        &server.client,
        &qponder_tests::people::sign_in(&server.client, "admin@example.org", qponder_tests::people::PASSWORD),
    );
    let done = admin.transferred(&begun);
    let report = &done["report"];
    let (lines, repeated) = (report["lines"].as_u64(), report["repeated"].as_u64());
    assert_eq!(lines.zip(repeated).map(|(lines, repeated)| lines + repeated), Some(20_000), "{done}");
    let source = json!({ "votes": { "study": study } });
    let all = export(&admin, &json!({ "source": source, "format": "csv" }));
    assert_eq!(String::from_utf8(all).expect("text").lines().count(), 20_001);

    // Cancelled before it ends, nothing of it is there.
    let second = make_study(&admin, "T", "acr");
    let votes = json!({ "content": { "votes": { "study": second } } });
    let begun = admin.import(&votes, "w.csv", table.as_bytes());
    let cancelled = admin.delete(&format!("/api/v1/transfers/{}", text(&begun.json()["id"])));
    assert_eq!(cancelled.status, 200);
    let ended = admin.transferred(&begun);
    if ended["state"] == "cancelled" {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let items = admin.get(&format!("/api/v1/studies/{second}/items")).json();
        assert_eq!(items["items"], json!([]), "half of it came in");
    }
    let _ = server.stop();
}

/// The body as it is recorded: with what was left out.
fn body_with_default(body: &Value) -> Value {
    let mut body = body.clone();
    body["with_images"] = json!(false);
    body["source"]["votes"]["counted"] = json!(false);
    body["source"]["votes"]["flagged"] = json!(false);
    body
}
