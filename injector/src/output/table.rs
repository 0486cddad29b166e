//! Plain columns without borders, as `ss` has them. Widths are those on a terminal, where a character may take two columns
//! or none.

use std::{
    fmt::{self, Display, Formatter},
    mem,
};

use tabled::{
    builder::Builder,
    grid::util::string::get_line_width,
    settings::{Padding, Style, width::Wrap},
};

use crate::printable::printable;

/// Between two columns.
const GAP: usize = 2;

/// A table with a header, cells aligned to the left.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these column heads.
    pub(crate) fn new<const N: usize>(head: [&str; N]) -> Self {
        Self { rows: vec![head.map(str::to_owned).to_vec()] }
    }

    /// Adds a row. Line ends in its cells are escaped.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| printable(&cell)).into());
    }

    /// The table for a terminal of so many columns: where it is wider, sentences in its cells are wrapped. Names stay whole,
    /// even if the table is then still wider. `None` for any width.
    pub(crate) fn within(&self, columns: Option<usize>) -> String {
        let mut widths = self.largest(get_line_width);
        let longest_words = self.largest(longest_word);
        while widths.iter().map(|width| width + GAP).sum::<usize>()
            > columns.map_or(usize::MAX, |columns| columns + GAP)
        {
            let spare = |&column: &usize| widths[column] - longest_words[column];
            let Some(widest) = (0..widths.len()).max_by_key(spare).filter(|column| spare(column) > 0) else { break };
            widths[widest] -= 1;
        }
        let wrapped = self.rows.iter().map(|row| row.iter().zip(&widths).map(|(cell, width)| wrap(cell, *width)));
        let mut table = wrapped.collect::<Builder>().build();
        table.with(Style::empty()).with(Padding::new(0, GAP, 0, 0));
        let text = table.to_string();
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    /// The largest of something in each column.
    fn largest(&self, of: fn(&str) -> usize) -> Vec<usize> {
        let columns = self.rows.first().map_or(0, Vec::len);
        (0..columns).map(|column| self.rows.iter().map(|row| of(&row[column])).max().unwrap_or(0)).collect()
    }
}

fn longest_word(cell: &str) -> usize {
    cell.split(' ').map(get_line_width).max().unwrap_or(0)
}

fn wrap(cell: &str, width: usize) -> String {
    if get_line_width(cell) <= width {
        return cell.to_owned();
    }
    Wrap::wrap(cell, width, true).lines().map(str::trim).collect::<Vec<_>>().join("\n")
}

impl Display for Table {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.within(None))
    }
}

/// Rows that the widths of columns are taken from.
const MEASURED: usize = 1000;

/// A table that is written while its rows are still being found.
///
/// A [`Table`] needs all cells before it can write the first line, and a list of a million flows would take some 500 MB. So
/// only the first rows wait, and columns are as wide as their widest cell. A wider one further down widens its column from
/// there on.
#[derive(Debug)]
pub(super) struct StreamedTable {
    waiting: Vec<Vec<String>>,
    widths: Vec<usize>,
    is_measured: bool,
}

impl StreamedTable {
    /// An empty table with these column heads.
    pub(super) fn new(head: &[&str]) -> Self {
        let mut table = Self { waiting: Vec::new(), widths: vec![0; head.len()], is_measured: false };
        table.wait(head.iter().map(|&head| head.to_owned()).collect());
        table
    }

    /// Adds a row of as many cells as there are heads. Returns the lines that can be written by now.
    pub(super) fn row(&mut self, cells: Vec<String>) -> Vec<String> {
        self.wait(cells);
        if self.is_measured || self.waiting.len() > MEASURED { self.finish() } else { Vec::new() }
    }

    /// Returns the lines that still wait.
    pub(super) fn finish(&mut self) -> Vec<String> {
        self.is_measured = true;
        mem::take(&mut self.waiting).iter().map(|row| self.line(row)).collect()
    }

    fn wait(&mut self, cells: Vec<String>) {
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = get_line_width(cell).max(*width);
        }
        self.waiting.push(cells);
    }

    fn line(&self, row: &[String]) -> String {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&self.widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width + GAP - get_line_width(cell)));
        }
        line.truncate(line.trim_end().len());
        line
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
        table.row(["漢字".to_owned(), "e\u{301}".to_owned(), "z".to_owned()]);
        let expected = "A     LONG HEAD  C\n1     é          x\n22               y\\nz\n漢字  e\u{301}          z";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn sentences_are_wrapped() {
        let mut table = Table::new(["HOP", "SOURCE", "WHERE"]);
        table.row(["db".to_owned(), "a sentence of some words".to_owned(), "anywhere".to_owned()]);
        let wrapped = "HOP  SOURCE      WHERE\ndb   a sentence  anywhere\n     of some\n     words";
        assert_eq!(table.within(Some(25)), wrapped);
        let narrowest = "HOP  SOURCE    WHERE\ndb   a         anywhere\n     sentence\n     of some\n     words";
        assert_eq!(table.within(Some(1)), narrowest);
        assert_eq!(table.within(Some(200)), table.to_string());
    }

    #[test]
    fn rows_wait_until_columns_are_measured() {
        let row = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let mut table = StreamedTable::new(&["A", "B", "C"]);
        assert_eq!(table.row(row("1 漢 x")), [""; 0]);
        assert_eq!(table.row(row("22 333 -")), [""; 0]);
        assert_eq!(table.finish(), ["A   B    C", "1   漢   x", "22  333  -"]);
        assert_eq!(table.row(row("4444 5 y")), ["4444  5    y"]);
        assert_eq!(table.row(row("6 7 z")), ["6     7    z"]);
        assert_eq!(table.finish(), [""; 0]);
        let mut table = StreamedTable::new(&["A"]);
        let first = (0..=MEASURED).find(|_| !table.row(vec!["x".to_owned()]).is_empty());
        assert_eq!(first, Some(MEASURED - 1));
    }
}
