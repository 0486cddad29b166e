//! Columns as wide as their widest cell.

use std::fmt::{self, Display, Formatter};

use crate::printable::printable;

/// A table with a header, cells aligned to the left.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these column heads.
    pub fn new<const N: usize>(head: [&str; N]) -> Self {
        Self { rows: vec![head.map(str::to_owned).to_vec()] }
    }

    /// Adds a row, on one line whatever its cells hold.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| printable(&cell)).into());
    }
}

impl Display for Table {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        for (index, row) in self.rows.iter().enumerate() {
            let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            let line = cells.join("  ");
            let end = if index + 1 == self.rows.len() { "" } else { "\n" };
            write!(formatter, "{}{end}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["A", "LONG HEAD", "C"]);
        table.row(["1".to_owned(), "é".to_owned(), "x".to_owned()]);
        table.row(["22".to_owned(), String::new(), "y\nz".to_owned()]);
        assert_eq!(table.to_string(), "A   LONG HEAD  C\n1   é          x\n22             y\\nz");
    }
}
