//! Text in columns: numbers to the right, words to the left.

use csm::Result;

use crate::output::Output;

/// Prints `rows` under `header`, each column as wide as its widest cell; a header that ends in `>` aligns
/// its column to the right.
pub fn print<const N: usize>(out: &mut Output, header: [&str; N], rows: &[[String; N]]) -> Result<()> {
    let right = header.map(|name| name.ends_with('>'));
    let header = header.map(|name| name.trim_end_matches('>').to_owned());
    let mut width = [0; N];
    for row in rows.iter().chain([&header]) {
        for (width, cell) in width.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in [&header].into_iter().chain(rows) {
        let mut line = String::new();
        for ((cell, width), right) in row.iter().zip(width).zip(right) {
            let cell = if right { format!("{cell:>width$}  ") } else { format!("{cell:<width$}  ") };
            line.push_str(&cell);
        }
        out.line(line.trim_end())?;
    }
    Ok(())
}
