//! What the person at the terminal chose: page, order, search, row.
//!
//! In: keys. Out: a changed state, and now and then something that the sensor is to do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::detail;
use super::draw;
use super::loss::Speeds;
use super::page::Page;
use super::table::{Sort, Table};
use crate::view::View;

/// Longest text that is searched for.
const FILTER_CHARS_MAX: usize = 64;

/// What the sensor is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// End, as with Ctrl-C.
    Quit,
    /// Write the report now.
    Report,
}

/// What was chosen.
#[derive(Clone, Debug, Default)]
pub struct UiState {
    /// The page that is shown.
    pub page: Page,
    /// The picture stays.
    pub frozen: bool,
    /// Use colours.
    pub color: bool,
    /// The help is shown.
    pub help: bool,
    /// A search is being typed.
    pub typing: bool,
    /// The row that is shown in full, and the first line shown of it.
    pub detail: Option<(String, usize)>,
    /// What was done last.
    pub message: Option<&'static str>,
    /// Columns and lines of the terminal.
    pub size: (u16, u16),
    lists: [List; Page::ALL.len()],
    speeds: Speeds,
}

/// What was chosen on one page.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// The order; none is that of the report.
    pub sort: Sort,
    /// The text that is searched for.
    pub filter: String,
    at: usize,
    key: Option<String>,
}

impl List {
    /// Which row is chosen: the same as before, wherever it moved to.
    pub fn chosen(&self, table: &Table) -> usize {
        let key = self.key.as_ref();
        let same = key.and_then(|key| table.rows.iter().position(|row| row.key == *key));
        same.unwrap_or(self.at).min(table.rows.len().saturating_sub(1))
    }
}

impl UiState {
    /// Nothing was chosen yet.
    pub fn new(color: bool) -> UiState {
        UiState { color, ..UiState::default() }
    }

    /// A new picture is shown.
    pub fn look(&mut self, view: &View) {
        self.speeds.look(view);
    }

    /// Counts of the last pictures.
    pub fn speeds(&self) -> &Speeds {
        &self.speeds
    }

    /// What was chosen on the page that is shown.
    pub fn list(&self) -> &List {
        let [first, ..] = &self.lists;
        self.lists.get(self.page as usize).unwrap_or(first)
    }

    fn list_mut(&mut self) -> &mut List {
        // There is one list for each page.
        let at = self.page as usize % Page::ALL.len();
        &mut self.lists[at]
    }

    /// The rows of the page that is shown, in order.
    pub fn table(&self, view: &View) -> Table {
        let list = self.list();
        let mut table = self.page.table(view, self);
        table.arrange(&list.filter, list.sort);
        table
    }

    /// A key was pressed.
    pub fn press(&mut self, key: KeyEvent, view: Option<&View>) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        self.message = None;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return matches!(key.code, KeyCode::Char('c' | 'C')).then_some(Action::Quit);
        }
        if self.typing {
            self.type_key(key.code);
            return None;
        }
        if self.help {
            self.help = false;
            return (key.code == KeyCode::Char('q')).then_some(Action::Quit);
        }
        match key.code {
            KeyCode::Char('q') => return Some(Action::Quit),
            KeyCode::Char('r') => {
                self.message = Some("the report is being written");
                return Some(Action::Report);
            }
            KeyCode::Char('?') => self.help = true,
            KeyCode::Char(' ') => self.frozen = !self.frozen,
            KeyCode::Esc | KeyCode::Backspace if self.detail.is_some() => self.detail = None,
            code => match view {
                Some(view) if self.move_by(code, view) => {}
                _ if self.detail.is_none() => self.choose(code, view),
                _ => {}
            },
        }
        None
    }

    fn type_key(&mut self, code: KeyCode) {
        let filter = &mut self.list_mut().filter;
        match code {
            KeyCode::Char(character) if filter.chars().count() < FILTER_CHARS_MAX => filter.push(character),
            KeyCode::Backspace => drop(filter.pop()),
            KeyCode::Esc => {
                filter.clear();
                self.typing = false;
            }
            KeyCode::Enter => self.typing = false,
            _ => {}
        }
    }

    /// Up and down, in the list or in the row that is shown in full.
    fn move_by(&mut self, code: KeyCode, view: &View) -> bool {
        let leap = isize::try_from(draw::body_lines(self, view).max(2) - 1).unwrap_or(1);
        let by = match code {
            KeyCode::Up | KeyCode::Char('k') => -1,
            KeyCode::Down | KeyCode::Char('j') => 1,
            KeyCode::PageUp => -leap,
            KeyCode::PageDown => leap,
            KeyCode::Home | KeyCode::Char('g') => isize::MIN,
            KeyCode::End | KeyCode::Char('G') => isize::MAX,
            _ => return false,
        };
        if let Some((key, first)) = &self.detail {
            let lines = detail::lines(self.page, key, view, self, self.size.0.into()).len();
            let last = lines.saturating_sub(draw::body_lines(self, view));
            self.detail = Some((key.clone(), first.saturating_add_signed(by).min(last)));
            return true;
        }
        let table = self.table(view);
        let to = self.list().chosen(&table).saturating_add_signed(by).min(table.rows.len().saturating_sub(1));
        let list = self.list_mut();
        list.at = to;
        list.key = table.rows.get(to).map(|row| row.key.clone());
        true
    }

    /// Page, order, search, and the row in full.
    fn choose(&mut self, code: KeyCode, view: Option<&View>) {
        let (pages, columns) = (Page::ALL.len(), self.page.columns().len());
        let page = self.page as usize;
        let turn = |to: usize| Page::ALL.get(to % pages).copied().unwrap_or_default();
        let sorted = self.list().sort.map(|(column, _)| column);
        match code {
            KeyCode::Char(digit @ '1'..='6') => self.page = turn(digit as usize - '1' as usize),
            KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => self.page = turn(page + 1),
            KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => self.page = turn(page + pages - 1),
            // Behind the last column comes the order of the report.
            KeyCode::Char('s') => self.sort(sorted.map_or(0, |column| column + 1)),
            KeyCode::Char('S') => self.sort(sorted.unwrap_or(columns).wrapping_sub(1)),
            KeyCode::Char('v') => {
                let list = self.list_mut();
                list.sort = Some(list.sort.map_or((0, true), |(column, reversed)| (column, !reversed)));
            }
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Esc => self.list_mut().filter.clear(),
            KeyCode::Enter => {
                let Some(view) = view else { return };
                let table = self.table(view);
                let chosen = self.list().chosen(&table);
                self.detail = table.rows.get(chosen).map(|row| (row.key.clone(), 0));
            }
            _ => {}
        }
    }

    /// Sorts by a column: words from A, numbers from the largest.
    fn sort(&mut self, column: usize) {
        let sort = self.page.columns().get(column).map(|found| (column, found.right));
        self.list_mut().sort = sort;
    }
}
