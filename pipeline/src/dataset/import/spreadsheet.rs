//! Label files that are published as spreadsheets (.xlsx, .xls), as text.

use std::io::Cursor;

use calamine::{Data, Range, Reader as _, open_workbook_auto_from_rs};
use qponder_shared::dataset::Format;

/// First bytes of an .xlsx, which is a ZIP archive, and of an .xls.
const SIGNATURES: [&[u8]; 2] = [b"PK\x03\x04", b"\xd0\xcf\x11\xe0"];

/// What the column of images is called in the first row that counts.
const IMAGE: [&str; 4] = ["image", "image name", "image_name", "name"];

/// Whether these bytes may be a spreadsheet.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    SIGNATURES.iter().any(|signature| bytes.starts_with(signature))
}

/// The sheet that holds the labels, as CSV whose lines have the numbers of the sheet's rows. Rows above the header
/// and columns beside the table are left out: authors put notes there.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn text(format: Format, bytes: Vec<u8>) -> Result<String, String> {
    let mut book = open_workbook_auto_from_rs(Cursor::new(bytes)).map_err(|error| error.to_string())?;
    let sheet = match (format.sheet(), book.sheet_names().first()) {
        (Some(name), _) => name.to_owned(),
        (None, Some(first)) => first.clone(),
        (None, None) => return Err("it has no sheet".to_owned()),
    };
    let cells = book.worksheet_range(&sheet).map_err(|error| format!("sheet {sheet}: {error}"))?;
    table(&cells).ok_or_else(|| format!("no row of its sheet {sheet} has a column `image` or `Image name`"))
}

/// The table below the first row that names a column of images.
fn table(cells: &Range<Data>) -> Option<String> {
    let is_image = |cell: &Data| {
        let text = cell.to_string();
        IMAGE.iter().any(|name| text.trim().eq_ignore_ascii_case(name))
    };
    let (header, left) =
        cells.rows().enumerate().find_map(|(at, row)| Some((at, row.iter().position(is_image)?)))?;
    let named = cells.rows().nth(header)?[left..].iter().take_while(|cell| !matches!(cell, Data::Empty));
    let columns = left..left + named.count();
    let above = usize::try_from(cells.start()?.0).ok()? + header;
    let mut text = "\n".repeat(above);
    for row in cells.rows().skip(header) {
        let row = &row[columns.clone()];
        if row.iter().any(|cell| !matches!(cell, Data::Empty)) {
            text.push_str(&row.iter().map(quoted).collect::<Vec<_>>().join(","));
        }
        text.push('\n');
    }
    Some(text)
}

fn quoted(cell: &Data) -> String {
    format!("\"{}\"", cell.to_string().replace('"', "\"\"").replace(['\r', '\n'], " "))
}
