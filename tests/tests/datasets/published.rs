//! A published dataset in a folder of its own, with drawn images.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use qponder_pipeline::dataset::import::{Import, Reading, Summary, import};
use qponder_pipeline::dataset::manifest::Manifest;
use qponder_shared::dataset::Format;
use qponder_shared::manifest::Row;
use qponder_tests::pictures::png;
use qponder_tests::server::{binary, root};
use tempfile::TempDir;

/// A label file with a drawn image for every row.
pub struct Published {
    pub dir: TempDir,
    pub wanted: Import,
}

impl Published {
    /// Copies label files of the fixtures and draws what they name.
    pub fn fixture(format: Format, labels: &str) -> Self {
        let from = root().join("tests/fixtures/datasets").join(labels);
        let published = Self::empty(format, Path::new(labels).file_name().expect("a name"));
        let to = &published.wanted.labels;
        if from.is_dir() {
            fs::create_dir(to).expect("a folder");
            for entry in fs::read_dir(from).expect("a folder") {
                let entry = entry.expect("an entry");
                fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
            }
        } else {
            fs::copy(from, to).expect("copied");
        }
        published.drawn()
    }

    /// A label file with this text.
    pub fn text(format: Format, text: &str) -> Self {
        let published = Self::empty(format, "labels".as_ref());
        fs::write(&published.wanted.labels, text).expect("written");
        published.drawn()
    }

    fn empty(format: Format, labels: &std::ffi::OsStr) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| dir.path().join(name);
        let wanted = Import {
            format,
            labels: dir.path().join(labels),
            images: at("images"),
            out: at("out"),
            source: None,
            reading: Reading::default(),
            copy: false,
            skip_problems: false,
        };
        Self { dir, wanted }
    }

    fn drawn(self) -> Self {
        for (seed, image) in self.names().iter().enumerate() {
            self.draw(image, seed as u8);
        }
        self
    }

    /// The images that the label files name; none where they cannot be read.
    pub fn names(&self) -> Vec<String> {
        let labels = &self.wanted.labels;
        let files = if labels.is_dir() {
            fs::read_dir(labels).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
        } else {
            vec![labels.clone()]
        };
        let parsed = files.iter().filter_map(|file| {
            let text = fs::read_to_string(file).ok()?;
            self.wanted.format.parse(&text).ok()
        });
        parsed.flat_map(|labels| labels.entries).map(|entry| entry.image).collect()
    }

    /// Draws an image, as a PNG whatever its name is.
    pub fn draw(&self, image: &str, seed: u8) {
        let path = self.wanted.images.join(image);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, png(16, 16, seed)).expect("written");
    }

    pub fn import(&self) -> Result<Summary, String> {
        import(&self.wanted, &|_| ()).map_err(|error| error.to_string())
    }

    pub fn manifest(&self) -> PathBuf {
        self.wanted.out.join("manifest.jsonl")
    }

    pub fn rows(&self) -> Vec<Row> {
        Manifest::read(&self.manifest()).expect("a manifest").rows
    }

    /// Runs `qponder dataset` in the folder.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.arg("dataset").args(arguments).current_dir(self.dir.path()).output().expect("it runs")
    }
}
