//! Files that were picked, pasted or dropped, with their paths. Folders that are dropped are read through.

use js_sys::{Array, Function, Promise};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    DataTransfer, File, FileList, FileSystemDirectoryEntry, FileSystemDirectoryReader, FileSystemEntry,
    FileSystemFileEntry,
};

use crate::format::plural;
use crate::quick::text_field;
use crate::toasts::Toasts;

/// What is said where nothing that was given can be read.
const NO_PHOTO: &str = "There is no photo among these files. JPEG, PNG and WebP are read.";

/// A file.
pub struct Found {
    /// Its name, or its path from the folder that was chosen.
    pub path: String,
    pub file: File,
}

/// The files of a list.
pub fn listed(files: &FileList) -> Vec<Found> {
    let files = (0..files.length()).filter_map(|at| files.get(at));
    let found = |file: File| {
        let path = text_field(&file, "webkitRelativePath").filter(|path| !path.is_empty());
        Found { path: path.unwrap_or_else(|| file.name()), file }
    };
    files.map(found).collect()
}

/// What was dropped, where there is a folder among it. Asked while the event is handled: it is gone afterwards.
pub fn with_folders(data: &DataTransfer) -> Option<Vec<FileSystemEntry>> {
    let items = data.items();
    let entries = (0..items.length()).filter_map(|at| items.get(at)?.webkit_get_as_entry().ok()?);
    let entries: Vec<FileSystemEntry> = entries.collect();
    entries.iter().any(FileSystemEntry::is_directory).then_some(entries)
}

/// The files in folders, and in those within them, in the order of their paths. What cannot be read is left out.
pub async fn files(entries: Vec<FileSystemEntry>) -> Vec<Found> {
    let (mut open, mut found) = (entries, Vec::new());
    while let Some(entry) = open.pop() {
        if entry.is_directory() {
            let reader = entry.unchecked_into::<FileSystemDirectoryEntry>().create_reader();
            // It gives some at a time, and none at the end.
            loop {
                let some = some_entries(&reader).await;
                if some.is_empty() {
                    break;
                }
                open.extend(some);
            }
        } else {
            let path = entry.full_path().trim_start_matches('/').to_owned();
            let entry = entry.unchecked_into::<FileSystemFileEntry>();
            let asked = called_back(|resolve, reject| entry.file_with_callback_and_callback(resolve, reject));
            if let Ok(file) = asked.await {
                found.push(Found { path, file: file.unchecked_into() });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

async fn some_entries(reader: &FileSystemDirectoryReader) -> Vec<FileSystemEntry> {
    let asked =
        called_back(|resolve, reject| drop(reader.read_entries_with_callback_and_callback(resolve, reject)));
    let entries = asked.await.map(|entries| Array::from(&entries)).unwrap_or_default();
    entries.iter().map(JsValue::unchecked_into).collect()
}

/// What a function gives to the first of two callbacks, or its error to the second.
fn called_back(mut ask: impl FnMut(&Function, &Function)) -> JsFuture {
    JsFuture::from(Promise::new(&mut |resolve, reject| ask(&resolve, &reject)))
}

/// The photos among files, where whole folders hold others too. Says how many are left out, and so when there
/// is none left. What has no known type is tried.
pub fn photos(toasts: Toasts, mut files: Vec<Found>) -> Vec<Found> {
    let given = files.len();
    files.retain(|found| may_be_photo(&found.file));
    match (files.len(), given - files.len()) {
        (0, _) => toasts.complain(NO_PHOTO),
        (_, 0) => {}
        (_, others) => toasts.say(format!("{} left out: no photo.", plural(others, "file"))),
    }
    files
}

fn may_be_photo(file: &File) -> bool {
    let kind = file.type_();
    kind.is_empty() && !file.name().starts_with('.') || kind.starts_with("image/")
}
