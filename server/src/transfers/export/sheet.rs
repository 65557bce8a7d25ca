//! Tables and JSON arrays that are written as they come.

use std::io::Write;

use serde::Serialize;

use crate::transfers::work::Halt;

/// A table in CSV (RFC 4180).
pub struct Sheet<W: Write> {
    out: csv::Writer<W>,
}

impl<W: Write> Sheet<W> {
    /// A table with a header.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(out: W, header: &[&str]) -> Result<Self, Halt> {
        let mut out = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
        out.write_record(header).map_err(failed)?;
        Ok(Self { out })
    }

    /// Writes a row. A text that a spreadsheet would run as a formula gets an apostrophe before it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn row(&mut self, cells: &[Cell]) -> Result<(), Halt> {
        for cell in cells {
            let text = match cell {
                Cell::Nothing => String::new(),
                Cell::Number(number) => number.to_string(),
                Cell::Whole(number) => number.to_string(),
                Cell::Text(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
                Cell::Text(text) => text.clone(),
            };
            self.out.write_field(text).map_err(failed)?;
        }
        self.out.write_record(None::<&[u8]>).map_err(failed)
    }

    /// Ends the table.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<(), Halt> {
        Ok(self.out.flush()?)
    }
}

/// What stands in a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Nothing,
    Number(f64),
    Whole(i64),
    Text(String),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Cell::Number(number)
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Cell::Whole(number)
    }
}

impl From<bool> for Cell {
    fn from(is: bool) -> Self {
        Cell::Text(is.to_string())
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(perhaps: Option<T>) -> Self {
        perhaps.map_or(Cell::Nothing, Into::into)
    }
}

/// JSON values, as lines or as one array.
pub struct Values<W: Write> {
    out: W,
    is_array: bool,
    is_empty: bool,
}

impl<W: Write> Values<W> {
    /// One value a line.
    pub fn lines(out: W) -> Self {
        Self { out, is_array: false, is_empty: true }
    }

    /// One array.
    pub fn array(out: W) -> Self {
        Self { out, is_array: true, is_empty: true }
    }

    /// Writes a value.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, value: &impl Serialize) -> Result<(), Halt> {
        if self.is_array {
            self.out.write_all(if self.is_empty { b"[\n" } else { b",\n" })?;
        }
        self.is_empty = false;
        serde_json::to_writer(&mut self.out, value).map_err(std::io::Error::from)?;
        if !self.is_array {
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Ends the array.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<(), Halt> {
        if self.is_array {
            self.out.write_all(if self.is_empty { b"[]\n" } else { b"\n]\n" })?;
        }
        Ok(())
    }
}

fn failed(error: csv::Error) -> Halt {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        other => Halt::Failed(format!("the table could not be written: {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_formulas_are_not_run() {
        let mut bytes = Vec::new();
        let mut sheet = Sheet::new(&mut bytes, &["a", "b"]).expect("writes");
        sheet.row(&["=1+1".into(), Cell::Number(-2.5)]).expect("writes");
        sheet.row(&["a \"b\",\nc".into(), Cell::Nothing]).expect("writes");
        sheet.finish().expect("writes");
        let text = String::from_utf8(bytes).expect("text");
        assert_eq!(text, "a,b\r\n'=1+1,-2.5\r\n\"a \"\"b\"\",\nc\",\r\n");
    }

    #[test]
    fn arrays_are_arrays_however_many_there_are() {
        for values in [vec![], vec![1], vec![1, 2, 3]] {
            let mut bytes = Vec::new();
            let mut array = Values::array(&mut bytes);
            values.iter().for_each(|value| array.write(value).expect("writes"));
            array.finish().expect("writes");
            assert_eq!(serde_json::from_slice::<Vec<i32>>(&bytes).expect("an array"), values);
        }
    }
}
