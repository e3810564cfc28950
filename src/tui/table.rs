//! A table: rows that can be sorted by every column and searched.
//!
//! In: cells as they came. Out: rows in the order asked for, and how wide each column may be in the room there is.

use std::cmp::Ordering;

use super::words;

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its head.
    pub name: &'static str,
    /// The least and the most columns of the terminal that it takes.
    pub width: (usize, usize),
    /// What gives way first when there is little room: the larger number.
    pub rank: u8,
    /// Numbers stand to the right.
    pub right: bool,
}

impl Column {
    /// A column of words.
    pub const fn words(name: &'static str, width: (usize, usize), rank: u8) -> Column {
        Column { name, width, rank, right: false }
    }

    /// A column of numbers.
    pub const fn numbers(name: &'static str, rank: u8) -> Column {
        Column { name, width: (8, 16), rank, right: true }
    }
}

/// What a row is about, for those who see colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// It leaves the country; something is lost.
    Bad,
    /// It cannot be determined.
    Doubtful,
    /// It stays.
    Good,
}

/// A cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Harmless text.
    pub text: String,
    /// What it is sorted by, where that is not its text.
    pub weight: Option<u128>,
}

impl Cell {
    /// Words from anywhere.
    pub fn words(text: &str) -> Cell {
        Cell { text: words::harmless(text), weight: None }
    }

    /// Something that is sorted by a number.
    pub fn number(weight: impl Into<u128>, text: String) -> Cell {
        Cell { text, weight: Some(weight.into()) }
    }

    fn compare(&self, other: &Cell) -> Ordering {
        self.weight.cmp(&other.weight).then_with(|| self.text.cmp(&other.text))
    }
}

/// A row.
#[derive(Clone, Debug)]
pub struct Row {
    /// Tells it from all others, in every picture.
    pub key: String,
    /// One for each column.
    pub cells: Vec<Cell>,
    /// What else is searched.
    pub more: String,
    /// Its tone.
    pub tone: Tone,
}

impl Row {
    fn has(&self, lower: &str) -> bool {
        self.cells.iter().map(|cell| &cell.text).chain([&self.more]).any(|text| text.to_lowercase().contains(lower))
    }
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its columns.
    pub columns: &'static [Column],
    /// Its rows, in an order of their own.
    pub rows: Vec<Row>,
    /// Lines above it.
    pub notes: Vec<String>,
}

/// By which column, and whether the other way round.
pub type Sort = Option<(usize, bool)>;

impl Table {
    /// Leaves the rows that have the text, in the order asked for. Rows that are equal there keep their own order.
    pub fn arrange(&mut self, filter: &str, sort: Sort) {
        if !filter.is_empty() {
            let lower = filter.to_lowercase();
            self.rows.retain(|row| row.has(&lower));
        }
        let Some((column, reversed)) = sort else { return };
        self.rows.sort_by(|a, b| {
            let order = match (a.cells.get(column), b.cells.get(column)) {
                (Some(a), Some(b)) => a.compare(b),
                _ => Ordering::Equal,
            };
            if reversed { order.reverse() } else { order }
        });
    }

    /// The columns that fit into the room, with their widths. The column that it is sorted by gives way last.
    pub fn fit(&self, room: usize, sort: Sort) -> Vec<(usize, usize)> {
        const GAP: usize = 1;
        let wanted = |at: usize, column: &Column| {
            let cells = self.rows.iter().filter_map(|row| row.cells.get(at)).map(|cell| words::width(&cell.text));
            // A mark of the order stands behind the head.
            cells.max().unwrap_or_default().min(column.width.1).max(words::width(column.name) + 1)
        };
        let mut fitting: Vec<(usize, &Column, usize, usize)> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| (at, column, wanted(at, column)))
            .map(|(at, column, wanted)| (at, column, wanted.min(column.width.0.max(column.name.len() + 1)), wanted))
            .collect();
        while fitting.len() > 1 && fitting.iter().map(|(_, _, width, _)| width + GAP).sum::<usize>() > room + GAP {
            let rank = |(at, column, ..): &(usize, &Column, usize, usize)| {
                if sort.is_some_and(|(sorted, _)| sorted == *at) { 0 } else { column.rank }
            };
            let Some(least) = (0..fitting.len()).max_by_key(|&at| fitting.get(at).map(rank)) else { break };
            fitting.remove(least);
        }
        let mut left = (room + GAP).saturating_sub(fitting.iter().map(|(_, _, width, _)| width + GAP).sum());
        while left > 0 {
            let before = left;
            for (_, _, width, wanted) in fitting.iter_mut().filter(|(_, _, width, wanted)| width < wanted) {
                if left > 0 {
                    left -= 1;
                    *width += 1;
                }
                debug_assert!(width <= wanted);
            }
            if left == before {
                break;
            }
        }
        fitting.into_iter().map(|(at, _, width, _)| (at, width)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] =
        &[Column::words("NAME", (6, 20), 0), Column::words("DATA", (6, 30), 2), Column::numbers("OUT", 1)];

    fn table() -> Table {
        let row = |key: &str, data: &str, out: u64| Row {
            key: key.to_owned(),
            cells: vec![Cell::words(key), Cell::words(data), Cell::number(out, out.to_string())],
            more: format!("hidden {key}"),
            tone: Tone::Plain,
        };
        let rows = vec![row("beta", "logs", 9), row("alpha", "logs files", 10), row("gamma", "Files", 200)];
        Table { columns: COLUMNS, rows, notes: Vec::new() }
    }

    fn keys(table: &Table) -> Vec<&str> {
        table.rows.iter().map(|row| row.key.as_str()).collect()
    }

    #[test]
    fn rows_are_sorted_and_searched() {
        let arranged = |filter: &str, sort: Sort| {
            let mut table = table();
            table.arrange(filter, sort);
            table
        };
        assert_eq!(keys(&arranged("", None)), ["beta", "alpha", "gamma"]);
        assert_eq!(keys(&arranged("", Some((0, false)))), ["alpha", "beta", "gamma"]);
        assert_eq!(keys(&arranged("", Some((2, false)))), ["beta", "alpha", "gamma"], "as numbers");
        assert_eq!(keys(&arranged("", Some((2, true)))), ["gamma", "alpha", "beta"]);
        assert_eq!(keys(&arranged("FILES", None)), ["alpha", "gamma"]);
        assert_eq!(keys(&arranged("hidden b", None)), ["beta"]);
        assert_eq!(keys(&arranged("", Some((9, true)))), ["beta", "alpha", "gamma"]);
    }

    #[test]
    fn columns_give_way_by_rank() {
        let table = table();
        let fitting = |room, sort| table.fit(room, sort).iter().map(|&(at, _)| at).collect::<Vec<_>>();
        assert_eq!(table.fit(80, None), [(0, 5), (1, 10), (2, 4)]);
        assert_eq!(fitting(14, None), [0, 2]);
        assert_eq!(fitting(14, Some((1, false))), [0, 1]);
        assert_eq!(fitting(0, None), [0]);
        for room in 0..60 {
            let fit = table.fit(room, None);
            assert!(fit.len() == 1 || fit.iter().map(|(_, width)| width + 1).sum::<usize>() <= room + 1, "{room}");
        }
    }
}
