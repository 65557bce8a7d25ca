//! Tables in text: comma, semicolon or tab between the cells, quotation marks as in RFC 4180.

use super::error::shown;
use super::{ParseError, Place};

/// A table with a header.
pub(crate) struct Table {
    header: Vec<String>,
    pub rows: Vec<Record>,
}

/// One row, with as many cells as the header.
pub(crate) struct Record {
    pub place: Place,
    cells: Vec<String>,
}

impl Table {
    /// Reads a table. The first line decides which character parts the cells.
    ///
    /// # Errors
    /// When a quotation mark stays open, a row has another number of cells, or there is no row.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut records = records(text)?.into_iter();
        let header = records.next().ok_or(ParseError::Empty)?.cells;
        let rows: Vec<Record> = records.collect();
        let expected = header.len();
        for Record { place, cells } in &rows {
            if let (Place::Line(line), false) = (*place, cells.len() == expected) {
                return Err(ParseError::Ragged { line, found: cells.len(), expected });
            }
        }
        if rows.is_empty() { Err(ParseError::Empty) } else { Ok(Self { header, rows }) }
    }

    /// The first column that has one of these names, whatever their case.
    pub fn find(&self, names: &[&str]) -> Option<usize> {
        let is_one = |cell: &String| names.iter().any(|name| cell.trim().eq_ignore_ascii_case(name));
        self.header.iter().position(is_one)
    }

    /// The same for a column that must be there.
    ///
    /// # Errors
    /// Names the column and what is there instead.
    pub fn column(&self, names: &[&'static str]) -> Result<usize, ParseError> {
        let missing = || ParseError::Column {
            column: names.first().copied().unwrap_or_default(),
            header: shown(&self.header.join(", ")),
        };
        self.find(names).ok_or_else(missing)
    }

    /// The same where no other column may have one of the names.
    ///
    /// # Errors
    /// Also names both columns.
    pub fn only_column(&self, names: &[&'static str]) -> Result<usize, ParseError> {
        let first = self.column(names)?;
        let is_one = |cell: &&String| names.iter().any(|name| cell.trim().eq_ignore_ascii_case(name));
        match self.header[first + 1..].iter().find(is_one) {
            Some(second) => {
                Err(ParseError::Ambiguous { first: shown(&self.header[first]), second: shown(second) })
            }
            None => Ok(first),
        }
    }
}

impl Record {
    /// The text of a cell.
    pub fn text(&self, column: usize) -> &str {
        self.cells.get(column).map_or("", |cell| cell.trim())
    }

    /// The number in a cell.
    ///
    /// # Errors
    /// When it is none.
    pub fn number(&self, column: usize, what: &'static str) -> Result<f64, ParseError> {
        let text = self.text(column);
        let number = text.parse().ok().filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| ParseError::number(self.place, what, text))
    }

    /// The number in a cell of a column that may be absent.
    ///
    /// # Errors
    /// When there is a cell and it holds no number.
    pub fn number_if(&self, column: Option<usize>, what: &'static str) -> Result<Option<f64>, ParseError> {
        column.map(|column| self.number(column, what)).transpose()
    }
}

/// The cells of every line that is not blank.
fn records(text: &str) -> Result<Vec<Record>, ParseError> {
    let delimiter = delimiter(text);
    let (mut records, mut cells, mut cell) = (Vec::new(), Vec::new(), String::new());
    // The line that the record began on, and the one that is read.
    let (mut start, mut line) = (1, 1);
    let mut quoted: Option<usize> = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        line += usize::from(letter == '\n');
        match letter {
            '"' if quoted.is_some() => {
                if letters.next_if_eq(&'"').is_some() {
                    cell.push('"');
                } else {
                    quoted = None;
                }
            }
            _ if quoted.is_some() => cell.push(letter),
            '"' if cell.trim().is_empty() => {
                cell.clear();
                quoted = Some(line);
            }
            '\n' => {
                finish(&mut records, &mut cells, &mut cell, start);
                start = line;
            }
            '\r' => {}
            _ if letter == delimiter => cells.push(std::mem::take(&mut cell)),
            _ => cell.push(letter),
        }
    }
    if let Some(line) = quoted {
        return Err(ParseError::Quote { line });
    }
    finish(&mut records, &mut cells, &mut cell, start);
    Ok(records)
}

fn finish(records: &mut Vec<Record>, cells: &mut Vec<String>, cell: &mut String, line: usize) {
    cells.push(std::mem::take(cell));
    let cells = std::mem::take(cells);
    if cells.iter().any(|cell| !cell.trim().is_empty()) {
        records.push(Record { place: Place::Line(line), cells });
    }
}

fn delimiter(text: &str) -> char {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    ['\t', ',', ';'].into_iter().find(|delimiter| first.contains(*delimiter)).unwrap_or(',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_may_be_quoted_and_lines_are_counted() {
        let table =
            Table::parse("\u{feff}name,prompt\r\na.png,\"one, \"\"two\"\"\nthree\"\r\n\r\nb.png, four \n");
        let table = table.expect("a table");
        let prompt = table.column(&["Prompt"]).expect("the column");
        let cells: Vec<_> = table.rows.iter().map(|row| (row.place, row.text(prompt))).collect();
        assert_eq!(cells, [(Place::Line(2), "one, \"two\"\nthree"), (Place::Line(5), "four")]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (text, words) in [
            ("", "no rows"),
            ("a,b\n", "no rows"),
            ("a,b\n1,2\n3\n", "line 3 has 1 columns"),
            ("a,b\n1,\"2\n3,4\n", "line 2"),
        ] {
            let error = Table::parse(text).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(words), "{text:?}: {error}");
        }
        let table = Table::parse("a\tb\n1\tx\n").expect("a table");
        let error = table.column(&["mos"]).expect_err("no such column").to_string();
        assert!(error.contains("`mos`") && error.contains("a, b"), "{error}");
        let error = table.rows[0].number(1, "the label").expect_err("no number").to_string();
        assert!(error.starts_with("line 2: the label is `x`"), "{error}");
    }
}
