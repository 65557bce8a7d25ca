//! `qponder dataset`: published layouts become manifests, and manifests are verified, counted and exported.

mod binary;
mod published;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use qponder_pipeline::dataset::export::{Exported, export};
use qponder_pipeline::dataset::import::UsedSplit;
use qponder_pipeline::dataset::verify::verify;
use qponder_shared::Distortion;
use qponder_shared::dataset::{ConversationFormat, Direction, Format};
use qponder_shared::manifest::{Row, Split};

use published::Published;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn every_layout_becomes_a_sound_manifest() {
    for (format, labels, direction) in [
        (Format::Koniq10k, "koniq-10k/koniq10k_distributions_sets.csv", None),
        (Format::Koniq10k, "koniq-10k/koniq10k_scores_and_distributions.csv", None),
        (Format::Spaq, "spaq/MOS and Image attribute scores.csv", None),
        (Format::Kadid10k, "kadid-10k/dmos.csv", None),
        (Format::LiveW, "live-w/live-w.csv", None),
        (Format::Csiq, "csiq/csiq_dmos.txt", None),
        (Format::Agiqa3k, "agiqa-3k/data.csv", None),
        (Format::Pipal, "pipal/Train_Label", None),
        (Format::Pyiqa, "pyiqa/meta_info_KADID10kDataset.csv", Some(Direction::Higher)),
        (Format::Pyiqa, "pyiqa/meta_info_CSIQDataset.csv", Some(Direction::Lower)),
        (Format::Deqa, "deqa/train_kadid.json", None),
        (Format::QInsight, "q-insight/train_koniq.json", None),
        (Format::QAlign, "q-align/csiq.json", Some(Direction::Lower)),
        (Format::VisualQualityText, "visualquality-r1/KADID-10K_mos.txt", None),
        (Format::VisualQualityJsonl, "visualquality-r1/RL-KADID-10K_train_scoring.jsonl", None),
    ] {
        let mut published = Published::fixture(format, labels);
        published.wanted.reading.direction = direction;
        let summary = published.import().unwrap_or_else(|error| panic!("{labels}: {error}"));
        let rows = published.rows();
        assert!(!rows.is_empty() && rows.len() == published.names().len(), "{labels}");
        assert_eq!(
            (summary.listed, summary.counts.images, summary.counts.mos),
            (rows.len(), rows.len(), rows.len())
        );
        let report = verify(&[published.manifest()], false, &|_| ()).expect("it can be verified");
        assert!(report.faults.is_empty(), "{labels}: {:?}", report.faults);
        assert_eq!(report.compared, rows.len(), "{labels}: hashes were written by the import");
        assert!(rows.iter().all(|row| row.source == format.name() && row.image.starts_with("../images/")));
    }
}

#[test]
fn labels_move_to_one_to_five_and_distortions_are_kept() {
    let csiq = Published::fixture(Format::Csiq, "csiq/csiq_dmos.txt");
    csiq.import().expect("it imports");
    let rows = csiq.rows();
    let noise = &rows[1];
    assert_eq!((noise.id.as_str(), noise.reference.as_str()), ("csiq/9600.AWGN.5.png", "csiq/9600"));
    assert_eq!((noise.label.value(), noise.mos_std), (3.0, Some(0.5)));
    let distortion: Distortion = noise.distortions[0];
    assert_eq!((distortion.kind.name(), distortion.level.get()), ("white_noise", 5));

    // MOS up to 100 shrinks; its deviation was of votes from 1 to 5 all along.
    let koniq = Published::fixture(Format::Koniq10k, "koniq-10k/koniq10k_distributions_sets.csv");
    let summary = koniq.import().expect("it imports");
    assert_eq!((koniq.rows()[0].label.value(), koniq.rows()[0].mos_std), (4.0, Some(0.51)));
    assert_eq!(summary.split, UsedSplit::Official);
    let splits: Vec<_> = koniq.rows().iter().map(|row| row.split).collect();
    assert_eq!(splits, [Split::Train, Split::Train, Split::Val, Split::Test]);
}

#[test]
fn images_with_problems_are_listed_and_never_left_out_in_silence() {
    let mut published = Published::fixture(Format::Kadid10k, "kadid-10k/dmos.csv");
    let image = |name: &str| published.wanted.images.join(name);
    fs::remove_file(image("I91_01_03.png")).expect("removed");
    fs::write(image("I91_01_05.png"), b"BM\x36\0\0\0").expect("written");
    let whole = fs::read(image("I92_10_05.png")).expect("read");
    fs::write(image("I92_10_05.png"), &whole[..whole.len() / 2]).expect("written");
    published.draw("more/I92_25_01.png", 90);
    fs::create_dir(image("other")).expect("a folder");
    fs::rename(image("I92_25_01.png"), image("other/I92_25_01.png")).expect("moved");

    let summary = published.import().expect("it ends");
    assert_eq!((summary.manifest, summary.counts.images), (None, 2));
    assert!(!published.manifest().exists());
    let problems = fs::read_to_string(published.wanted.out.join("problems.jsonl")).expect("problems");
    insta::assert_snapshot!(problems, @r#"
    {"image":"I91_01_03.png","at":"line 3","problem":"missing"}
    {"image":"I91_01_05.png","at":"line 4","problem":"unreadable","file":"I91_01_05.png","reason":"the BMP file cannot be read: failed to fill whole buffer"}
    {"image":"I92_25_01.png","at":"line 5","problem":"ambiguous","files":["more/I92_25_01.png","other/I92_25_01.png"]}
    {"image":"I92_10_05.png","at":"line 7","problem":"unreadable","file":"I92_10_05.png","reason":"the PNG file ends before the picture does: it was cut off, so copy or upload it again"}
    "#);

    published.wanted.skip_problems = true;
    published.import().expect("it imports");
    let ids: Vec<_> = published.rows().into_iter().map(|row| row.id).collect();
    assert_eq!(ids, ["kadid-10k/I91_01_01.png", "kadid-10k/I92_25_03.png"]);
}

#[test]
fn converted_and_nested_images_are_found_and_copied() {
    let mut published = Published::fixture(Format::Pipal, "pipal/Train_Label");
    let images = published.wanted.images.clone();
    for image in published.names() {
        let part = images.join(format!("Distortion_{}", &image[7..8]));
        fs::create_dir_all(&part).expect("a folder");
        let original = images.join(&image);
        fs::copy(&original, part.join(image.replace(".bmp", ".PNG"))).expect("copied");
        fs::write(original, b"BM\x36\0\0\0").expect("written");
    }
    published.wanted.copy = true;
    let summary = published.import().expect("it imports");
    assert_eq!((summary.converted, summary.problems.len()), (5, 0));
    let rows = published.rows();
    assert_eq!(rows[0].image, "images/Distortion_0/A0901_00_00.PNG");
    assert!(rows.iter().all(|row| published.wanted.out.join(&row.image).is_file()));
}

#[test]
fn what_does_not_hold_together_is_refused() {
    let kadid = "dist_img,ref_img,dmos,var\n";
    let pyiqa = "ref_name,dist_name,mos,split\n";
    type Change = fn(&mut Published);
    let cases: [(Format, &str, Change, &str); 10] = [
        (
            Format::Kadid10k,
            &format!("{kadid}I01_01_01.png,I01.png,5.5,0.5\n"),
            |_| (),
            "line 2, I01_01_01.png: the label 5.5 is outside 1 to 5",
        ),
        (Format::Kadid10k, &format!("{kadid}I01_01_01.png,I01.png,2,4.5\n"), |_| (), "--ignore-std"),
        (
            Format::Kadid10k,
            &format!("{kadid}I01_01_01.png,I01.png,4,0.5\nI01_01_05.png,I01.png,2,0.5\n"),
            |published| published.wanted.reading.direction = Some(Direction::Lower),
            "quality rises with the level of distortion in 1 pairs of images and falls in 0",
        ),
        (Format::Pyiqa, &format!("{pyiqa}a.png,a_1.png,3,train\n"), |_| (), "--direction higher"),
        (
            Format::Pyiqa,
            &format!("{pyiqa}a.png,a_1.png,3,train\na.png,a_2.png,4,test\n"),
            |published| published.wanted.reading.direction = Some(Direction::Higher),
            "reference a is in several splits (a_1.png in train and a_2.png in test)",
        ),
        (
            Format::Pyiqa,
            &format!("{pyiqa}a.png,a_1.png,3,train\nb.png,b_1.png,4,val\n"),
            |published| {
                published.wanted.reading.direction = Some(Direction::Higher);
                published.draw("a_1.png", 7);
                published.draw("b_1.png", 7);
            },
            "pyiqa/a_1.png in train and pyiqa/b_1.png in val",
        ),
        (
            Format::LiveW,
            "image,mos\n3.bmp,10\n3.jpg,20\n",
            |published| fs::remove_file(published.wanted.images.join("3.bmp")).expect("removed"),
            "live-w/3.bmp and live-w/3.jpg are both",
        ),
        (
            Format::LiveW,
            "",
            |published| fs::write(&published.wanted.labels, b"MATLAB 5.0 MAT-file").expect("written"),
            "AllImages_release.mat, AllMOS_release.mat and AllStdDev_release.mat together",
        ),
        (
            Format::Spaq,
            "",
            |published| fs::write(&published.wanted.labels, b"PK\x03\x04").expect("written"),
            "the spreadsheet cannot be read: ",
        ),
        (
            Format::Spaq,
            "Image name,MOS\na.jpg,50\n",
            |published| {
                fs::create_dir(&published.wanted.out).expect("a folder");
                fs::write(published.manifest(), "").expect("written");
            },
            "is there already",
        ),
    ];
    for (format, labels, change, words) in cases {
        let mut published = Published::text(format, labels);
        fs::create_dir_all(&published.wanted.images).expect("a folder");
        change(&mut published);
        let refused = published.import().expect_err(words);
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn versions_stay_together_and_references_where_they_are() {
    let labels = |references: usize| {
        let lines = (1..=references).flat_map(|reference| {
            (1..=3).map(move |level| {
                format!("I{reference:02}_01_{level:02}.png,I{reference:02}.png,{},0.5\n", 5 - level)
            })
        });
        "dist_img,ref_img,dmos,var\n".to_owned() + &lines.collect::<String>()
    };
    let split = |references: usize, seed: u64| -> BTreeMap<String, BTreeSet<&'static str>> {
        let mut published = Published::text(Format::Kadid10k, &labels(references));
        published.wanted.reading.seed = seed;
        published.import().expect("it imports");
        let mut splits: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for row in published.rows() {
            splits.entry(row.reference).or_default().insert(row.split.name());
        }
        splits
    };
    let (few, many) = (split(10, 3), split(20, 3));
    assert!(many.values().all(|splits| splits.len() == 1), "{many:?}");
    assert!(few.iter().all(|(reference, splits)| many[reference] == *splits));
    assert_ne!(many, split(20, 4));
    let used: BTreeSet<_> = many.values().flatten().collect();
    assert!(used.len() > 1, "{used:?}");
}

#[test]
fn verification_names_every_fault() {
    let published = Published::fixture(Format::Kadid10k, "kadid-10k/dmos.csv");
    published.import().expect("it imports");
    let faults = |write| -> Vec<String> {
        let report = verify(&[published.manifest()], write, &|_| ()).expect("it can be verified");
        report.faults.iter().map(ToString::to_string).collect()
    };
    assert!(faults(false).is_empty());

    published.draw("I91_01_03.png", 77);
    assert!(faults(true)[0].ends_with("I91_01_03.png is not what it was when hashes.sha256 was written"));
    let mut rows = published.rows();
    rows[2].label = qponder_shared::manifest::Label::Mos(7.0);
    rows[3].id = rows[4].id.clone();
    for (index, row) in rows.iter_mut().enumerate() {
        row.split = if index == 0 { Split::Test } else { Split::Train };
    }
    rows.push(Row {
        id: "copy".into(),
        image: "copy.png".into(),
        reference: "other".into(),
        ..rows[1].clone()
    });
    fs::copy(published.wanted.images.join("I91_01_01.png"), published.wanted.out.join("copy.png"))
        .expect("copied");
    rows.push(Row {
        id: "gone".into(),
        image: "gone.png".into(),
        reference: "gone".into(),
        ..rows[1].clone()
    });
    let lines: Vec<_> = rows.iter().map(|row| serde_json::to_string(row).expect("JSON")).collect();
    fs::write(published.manifest(), lines.join("\n")).expect("written");
    let found = faults(false).join("\n");
    for words in [
        "the label 7 is outside 1 to 5",
        "kadid-10k/I92_25_03.png is in ",
        "reference kadid-10k/I91 is in several splits",
        "the same bytes are in several splits: kadid-10k/I91_01_01.png in test and copy in train",
        "copy.png is not listed in hashes.sha256",
        "gone.png: cannot be read",
        "I91_01_03.png is not what it was",
    ] {
        assert!(found.contains(words), "{words}: {found}");
    }
    assert_eq!(found.lines().count(), 7, "{found}");
}

#[test]
fn hashes_are_written_where_there_are_none() {
    let published = Published::fixture(Format::Spaq, "spaq/MOS and Image attribute scores.csv");
    published.import().expect("it imports");
    let file = published.wanted.out.join("hashes.sha256");
    let imported = fs::read_to_string(&file).expect("hashes");
    assert_eq!(imported.lines().count(), 3);
    assert!(
        imported
            .lines()
            .all(|line| line.split_once("  ../images/").is_some_and(|(hash, _)| hash.len() == 64))
    );
    fs::remove_file(&file).expect("removed");
    let report = verify(&[published.manifest()], true, &|_| ()).expect("it can be verified");
    assert_eq!((report.compared, report.written), (0, vec![file.clone()]));
    assert_eq!(fs::read_to_string(&file).expect("hashes"), imported);
}

#[test]
fn answers_become_conversations() {
    let mut published = Published::fixture(Format::Kadid10k, "kadid-10k/dmos.csv");
    published.wanted.reading.split = Some("1,0,0".parse().expect("fractions"));
    published.import().expect("it imports");
    let out = published.dir.path().join("out.json");
    let none = export(&[published.manifest()], ConversationFormat::MsSwift, Split::Train, &out, &mut |_| {});
    assert!(none.is_err_and(|error| {
        error.to_string().contains("none of the 6 rows of the split train has an answer")
    }));

    let manifest = published.manifest();
    let itself =
        export(&[published.manifest()], ConversationFormat::MsSwift, Split::Train, &manifest, &mut |_| {});
    assert!(itself.is_err_and(|error| error.to_string().contains("would be lost")));

    let mut rows = published.rows();
    rows[0].answer = Some("<think>\nsharpness: crisp edges (good)\n</think>\n<answer>4.50</answer>".into());
    rows[1].answer = Some("<answer>2.70</answer>".into());
    rows[1].split = Split::Test;
    rows[2].answer = Some("<answer>1.10</answer>".into());
    let lines: Vec<_> = rows.iter().map(|row| serde_json::to_string(row).expect("JSON")).collect();
    fs::write(published.manifest(), lines.join("\n")).expect("written");
    let dir = published.dir.path().canonicalize().expect("a folder");
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(dir.to_str().expect("UTF-8"), "[DIR]");
    settings.bind(|| {
        for format in ConversationFormat::ALL {
            let exported =
                export(&[published.manifest()], format, Split::Train, &out, &mut |_| {}).expect("it exports");
            assert_eq!(exported, Exported { conversations: 2, without_answer: 3, other_splits: 1 });
            insta::assert_snapshot!(format.name(), fs::read_to_string(&out).expect("a file"));
        }
    });
}

#[test]
fn the_command_line_says_what_came_of_it() {
    let published = Published::fixture(Format::Kadid10k, "kadid-10k/dmos.csv");
    let arguments =
        ["import", "--format", "kadid-10k", "--labels", "dmos.csv", "--images", "images", "--out", "out"];
    let gone = published.wanted.images.join("I91_01_03.png");
    fs::remove_file(&gone).expect("removed");
    let refused = published.run(&arguments);
    assert_eq!(refused.status.code(), Some(1));
    let stderr = text(&refused.stderr);
    assert!(
        stderr.contains("1 of 6 images have problems") && stderr.contains("out/problems.jsonl"),
        "{stderr}"
    );
    insta::assert_snapshot!("import_with_problems", text(&refused.stdout));

    published.draw("I91_01_03.png", 1);
    let imported = published.run(&arguments);
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    insta::assert_snapshot!("import", text(&imported.stdout));
    assert!(!published.wanted.out.join("problems.jsonl").exists());

    let stats = published.run(&["stats", "out/manifest.jsonl"]);
    insta::assert_snapshot!("stats", text(&stats.stdout));
    let json = published.run(&["stats", "--json", "out/manifest.jsonl"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["distortions"]["gaussian_blur"], serde_json::json!([1, 0, 1, 0, 1]));

    let sound = published.run(&["verify", "out/manifest.jsonl"]);
    assert_eq!(
        (sound.status.code(), text(&sound.stdout).as_str()),
        (Some(0), "6 images, 0 faults, 6 hashes compared\n")
    );
    fs::remove_file(&gone).expect("removed");
    let faulty = published.run(&["verify", "out/manifest.jsonl"]);
    assert_eq!(faulty.status.code(), Some(1), "{}", text(&faulty.stdout));
    let export =
        published.run(&["export", "--format", "ms-swift", "--out", "train.jsonl", "out/manifest.jsonl"]);
    assert!(export.status.code() == Some(1) && text(&export.stderr).contains("has an answer"), "{export:?}");
    let help = published.run(&["import", "--help"]);
    for format in Format::ALL {
        assert!(text(&help.stdout).contains(format.name()), "{format}");
    }
}
