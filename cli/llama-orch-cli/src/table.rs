//! Text in columns.
//!
//! Rules: ORCH-CLI-10

/// The colour of a cell, where there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tint {
    Good,
    Wait,
    Bad,
    Head,
}

impl Tint {
    const fn codes(self) -> &'static str {
        match self {
            Self::Good => "\x1b[32m",
            Self::Wait => "\x1b[33m",
            Self::Bad => "\x1b[31m",
            Self::Head => "\x1b[2m",
        }
    }
}

/// Whether colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Palette {
    Plain,
    Colour,
}

impl Palette {
    /// `text`, tinted where there are colours.
    pub fn paint(self, tint: Option<Tint>, text: &str) -> String {
        match (self, tint) {
            (Self::Colour, Some(tint)) => format!("{}{text}\x1b[0m", tint.codes()),
            _ => text.to_owned(),
        }
    }
}

/// One field of a table.
pub struct Cell {
    text: String,
    tint: Option<Tint>,
}

impl Cell {
    /// The same, tinted.
    pub const fn tinted(mut self, tint: Tint) -> Self {
        self.tint = Some(tint);
        self
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        // A reason or a name comes from outside: it is no place for line feeds or terminal commands.
        let text: String = text.into();
        Self { text: text.replace(char::is_control, " "), tint: None }
    }
}

/// Rows below a head, each column as wide as its widest cell and the last one as long as it is.
pub struct Table<const COLUMNS: usize> {
    rows: Vec<[Cell; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table with a head and no rows.
    pub fn new(head: [&str; COLUMNS]) -> Self {
        Self { rows: vec![head.map(|name| Cell::from(name).tinted(Tint::Head))] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: [Cell; COLUMNS]) {
        self.rows.push(cells);
    }

    /// The table's lines, each behind `indent`.
    pub fn render(&self, palette: Palette, indent: &str) -> String {
        let width = |column: usize| {
            self.rows.iter().map(|row| row[column].text.chars().count()).max().unwrap_or_default()
        };
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        let mut lines = String::new();
        for row in &self.rows {
            let mut line = String::from(indent);
            let filled = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
            for (column, cell) in row.iter().take(filled).enumerate() {
                line.push_str(&palette.paint(cell.tint, &cell.text));
                if column + 1 < filled {
                    let gap = widths[column] - cell.text.chars().count() + 2;
                    line.extend(std::iter::repeat_n(' ', gap));
                }
            }
            lines.push_str(&line);
            lines.push('\n');
        }
        lines
    }
}

#[cfg(test)]
mod tests;
