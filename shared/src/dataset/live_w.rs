//! LIVE in the Wild, also LIVE Challenge (Ghadiyaram and Bovik, 2016): a CSV `image,mos,std` made from its
//! MATLAB files.
//!
//! MOS runs from 0 to 100. [`CONVERSION`] makes the CSV; it leaves out the first seven images, with which
//! the authors trained their subjects.

use super::table::{Record, Table};
use super::{Direction, Entry, Labels, ParseError, Range};

const RANGE: Range = Range::published(0.0, 100.0);

/// Makes the CSV on standard output, run in the dataset's `Data` folder with Python and scipy.
pub(super) const CONVERSION: &str = r#"python3 -c "from scipy.io import loadmat as l; c=[l(f'All{x}_release.mat')[f'All{x}_release'].ravel() for x in ('Images','MOS','StdDev')]; print('image,mos,std'); [print(f'{n[0]},{m},{s}') for n,m,s in list(zip(*c))[7:]]" > live-w.csv"#;

pub(super) fn parse(text: &str) -> Result<Labels, ParseError> {
    let table = Table::parse(text)?;
    let image = table.column(&["image", "img_name"])?;
    let mos = table.column(&["mos"])?;
    let std = table.find(&["std"]);
    let entry = |row: &Record| {
        let entry = Entry::new(row.place, row.text(image), row.number(mos, "mos")?)?;
        entry.with_std(row.number_if(std, "std")?)
    };
    let entries = table.rows.iter().map(entry).collect::<Result<_, _>>()?;
    Ok(Labels::published(entries, RANGE, Direction::Higher))
}
