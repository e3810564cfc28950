//! The picture on the terminal.
//!
//! In: a [`View`] and a [`UiState`], nothing else: the same two give the same screen. Out: a frame of any size.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph, Sparkline};

use super::detail;
use super::page::Page;
use super::state::UiState;
use super::table::{Row, Sort, Table, Tone};
use super::words::{duration, harmless, moment, rate, shortened, width};
use crate::report::text::{bytes_text, count, grouped};
use crate::view::{View, bits_text};

/// Lines that are left to tabs, table and footer before the head gets any.
const LINES_BELOW_HEAD: usize = 7;
/// Columns of a label before a curve.
const CURVE_LABEL: u16 = 26;

/// Draws a frame.
pub fn draw(frame: &mut Frame<'_>, view: Option<&View>, state: &UiState) {
    let area = frame.area();
    let Some(view) = view else {
        return frame.render_widget(Paragraph::new("bordertap: waiting for the first turn of the sensor"), area);
    };
    let [head, tabs, body, foot] = parts(area, view);
    draw_head(frame, head, view, state);
    frame.render_widget(Paragraph::new(tab_line(state)), tabs);
    match &state.detail {
        Some((key, first)) => {
            draw_detail(frame, body, key, *first, view, state);
            frame.render_widget(foot_line(None, state), foot);
        }
        None => {
            let table = state.table(view);
            draw_table(frame, body, &table, view, state);
            frame.render_widget(foot_line(Some(&table), state), foot);
        }
    }
    if state.help {
        draw_help(frame, area);
    }
}

/// Lines of a row in full, or rows of the table, that fit.
pub(super) fn body_lines(state: &UiState, view: &View) -> usize {
    let (columns, lines) = state.size;
    let [_, _, body, _] = parts(Rect::new(0, 0, columns, lines), view);
    let above = if state.detail.is_some() { 0 } else { above_rows(state.page, view) };
    usize::from(body.height).saturating_sub(above)
}

/// Lines above the first row: notes, and the heads of the columns.
fn above_rows(page: Page, view: &View) -> usize {
    let notes = if page == Page::Loss { super::loss::notes(view).len() } else { 0 };
    notes + 1
}

fn parts(area: Rect, view: &View) -> [Rect; 4] {
    let wanted = head_lines(view);
    let head = wanted.min(usize::from(area.height).saturating_sub(LINES_BELOW_HEAD));
    let below = [u16::from(area.height >= 3), u16::from(area.height >= 4)];
    let [foot, tabs] = below.map(Constraint::Length);
    Layout::vertical([Constraint::Length(head as u16), tabs, Constraint::Fill(1), foot]).areas(area)
}

/// Title, rates, two curves, and the warnings.
fn head_lines(view: &View) -> usize {
    4 + usize::from(!view.warnings.is_empty())
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, view: &View, state: &UiState) {
    let mut lines = area.rows();
    if let Some(line) = lines.next() {
        let header = &view.report.header;
        let title = format!(
            "{}  {}  running {}  {} UTC",
            header.program,
            harmless(&header.inputs.join(" ")),
            duration(view.running_seconds()),
            moment(&view.now.to_string())
        );
        frame.render_widget(Line::styled(title, Modifier::BOLD), line);
    }
    if let Some(line) = lines.next() {
        frame.render_widget(rates_line(view, state), line);
    }
    if !view.warnings.is_empty()
        && let Some(line) = lines.next()
    {
        let warnings = format!("{}: {}", count(view.warnings.len(), "warning"), harmless(&view.warnings.join(" | ")));
        frame.render_widget(Line::styled(warnings, style(Tone::Doubtful, state)), line);
    }
    let rates = view.history.back().copied().unwrap_or_default();
    if let Some(line) = lines.next() {
        let values = view.history.iter().map(|rates| rates.packets as u64).collect();
        draw_curve(frame, line, &format!("{} packets/s", rate(rates.packets)), values, state);
    }
    if let Some(line) = lines.next() {
        let values = view.history.iter().map(|rates| rates.bytes as u64).collect();
        draw_curve(frame, line, &bits_text(rates.bytes * 8.0), values, state);
    }
}

/// Rates, losses, findings, memory; what matters most stands first.
fn rates_line(view: &View, state: &UiState) -> Line<'static> {
    let rates = view.recent();
    let lost = if rates.lost > 0.0 { style(Tone::Bad, state) } else { Style::new() };
    let resident = view.resident_bytes.map(|bytes| format!("  resident {}", bytes_text(bytes))).unwrap_or_default();
    let leaving = if view.leaving() > 0 { style(Tone::Bad, state) } else { Style::new() };
    Line::from(vec![
        Span::raw(format!("{} packets/s  {}  ", rate(rates.packets), bits_text(rates.bytes * 8.0))),
        Span::styled(format!("lost/s {}", rate(rates.lost)), lost),
        Span::raw(format!("  {}, ", count(view.report.findings.len(), "finding"))),
        Span::styled(format!("{} leaving", view.leaving()), leaving),
        Span::raw(format!(
            "  open flows {}  state {}{resident}  packets {}",
            grouped(view.state.open_flows),
            bytes_text(view.state.bytes),
            grouped(view.report.ledger.received)
        )),
    ])
}

/// A label, and one column for each of the last seconds.
fn draw_curve(frame: &mut Frame<'_>, area: Rect, label: &str, values: Vec<u64>, state: &UiState) {
    let [left, right] = Layout::horizontal([Constraint::Length(CURVE_LABEL), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Line::raw(shortened(label, usize::from(CURVE_LABEL) - 1)), left);
    let shown = values.len().saturating_sub(right.width.into());
    let curve = Sparkline::default().data(values.into_iter().skip(shown));
    let curve = if state.color { curve.style(Style::new().fg(Color::Cyan)) } else { curve };
    frame.render_widget(curve, right);
}

fn tab_line(state: &UiState) -> Line<'static> {
    let mut spans = Vec::new();
    for (number, page) in (1..).zip(Page::ALL) {
        let chosen = if page == state.page { Modifier::REVERSED | Modifier::BOLD } else { Modifier::empty() };
        spans.push(Span::styled(format!(" {number} {} ", page.title()), chosen));
    }
    if state.frozen {
        spans.push(Span::styled("  FROZEN ", Modifier::REVERSED | Modifier::BOLD));
    }
    Line::from(spans)
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, table: &Table, view: &View, state: &UiState) {
    let list = state.list();
    let mut lines = area.rows();
    for (note, line) in table.notes.iter().zip(lines.by_ref()) {
        let bad = note.contains("DOES NOT") || !view.report.ledger.adds_up();
        let tone = if bad { Tone::Bad } else { Tone::Plain };
        frame.render_widget(Line::styled(note.clone(), style(tone, state)), line);
    }
    let fit = table.fit(area.width.into(), list.sort);
    if let Some(line) = lines.next() {
        frame.render_widget(Line::styled(head(table, &fit, list.sort), Modifier::UNDERLINED | Modifier::BOLD), line);
    }
    let room = usize::from(area.height).saturating_sub(above_rows(state.page, view));
    let chosen = list.chosen(table);
    // The chosen row stands in the middle, but for both ends.
    let first = chosen.saturating_sub(room / 2).min(table.rows.len().saturating_sub(room));
    for ((at, row), line) in table.rows.iter().enumerate().skip(first).zip(lines) {
        let mark = if at == chosen { Modifier::REVERSED } else { Modifier::empty() };
        frame.render_widget(Line::styled(cells(table, row, &fit), style(row.tone, state).add_modifier(mark)), line);
    }
    if table.rows.is_empty() {
        let text = if list.filter.is_empty() { "nothing yet" } else { "nothing has this text" };
        let line = area.rows().nth(above_rows(state.page, view));
        frame.render_widget(text, line.unwrap_or_default());
    }
}

/// The heads of the columns; `▲` and `▼` tell the order.
fn head(table: &Table, fit: &[(usize, usize)], sort: Sort) -> String {
    let named = fit.iter().filter_map(|&(at, room)| {
        let column = table.columns.get(at)?;
        let mark = match sort {
            Some((sorted, reversed)) if sorted == at => {
                if reversed {
                    "▼"
                } else {
                    "▲"
                }
            }
            _ => "",
        };
        Some(padded(&format!("{}{mark}", column.name), room, column.right))
    });
    named.collect::<Vec<_>>().join(" ")
}

fn cells(table: &Table, row: &Row, fit: &[(usize, usize)]) -> String {
    let texts = fit.iter().filter_map(|&(at, room)| {
        let right = table.columns.get(at)?.right;
        Some(padded(&row.cells.get(at)?.text, room, right))
    });
    texts.collect::<Vec<_>>().join(" ")
}

fn padded(text: &str, room: usize, right: bool) -> String {
    let text = shortened(text, room);
    let blanks = " ".repeat(room.saturating_sub(width(&text)));
    if right { blanks + &text } else { text + &blanks }
}

fn draw_detail(frame: &mut Frame<'_>, area: Rect, key: &str, first: usize, view: &View, state: &UiState) {
    let lines = detail::lines(state.page, key, view, state, area.width.into());
    // Titles stand behind an empty line.
    let before = std::iter::once("").chain(lines.iter().map(String::as_str));
    for ((text, before), line) in lines.iter().zip(before).skip(first).zip(area.rows()) {
        let style = if before.is_empty() { Modifier::BOLD } else { Modifier::empty() };
        frame.render_widget(Line::styled(text.as_str(), style), line);
    }
}

/// Search, message, or the keys; of a table also the row and the order.
fn foot_line(table: Option<&Table>, state: &UiState) -> Line<'static> {
    let list = state.list();
    if state.typing {
        return Line::from(format!("/{}█  Enter keeps it, Esc forgets it", harmless(&list.filter)));
    }
    if let Some(message) = state.message {
        return Line::from(message);
    }
    let Some(table) = table else {
        return Line::from("↑↓ scroll  Esc back  r report  space freeze  ? help  q quit");
    };
    let chosen = (list.chosen(table) + 1).min(table.rows.len());
    let filter = if list.filter.is_empty() { String::new() } else { format!("  only /{}", harmless(&list.filter)) };
    let sorted = list.sort.and_then(|(at, _)| table.columns.get(at)).map(|column| column.name);
    let sorted = sorted.map(|name| format!("  by {name}")).unwrap_or_default();
    let place = format!("{chosen}/{}{sorted}{filter}", table.rows.len());
    Line::from(format!("{place}  Enter open  s sort  v reverse  / search  r report  space freeze  ? help  q quit"))
}

const HELP: [&str; 14] = [
    "1 to 6, Tab      the pages",
    "up, down, j, k   the row before, the row behind",
    "PgUp, PgDn       a screen up, a screen down",
    "Home, End, g, G  the first row, the last row",
    "Enter            the row in full",
    "Esc              back; forgets the search",
    "s, S             sort by the next column, by the one before",
    "v                the other way round",
    "/                show only rows with a text",
    "space            freeze the picture, and let it go on",
    "r                write the report now",
    "q, Ctrl-C        end the sensor",
    "",
    "any key closes this",
];

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let widest = HELP.iter().map(|line| line.len()).max().unwrap_or_default() as u16 + 2;
    let [_, middle, _] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Max(widest), Constraint::Fill(1)]).areas(area);
    let lines = Constraint::Max(HELP.len() as u16);
    let [_, middle, _] = Layout::vertical([Constraint::Fill(1), lines, Constraint::Fill(1)]).areas(middle);
    frame.render_widget(Clear, middle);
    let lines: Vec<Line<'_>> = HELP.iter().map(|line| Line::raw(format!(" {line:0$}", widest as usize - 1))).collect();
    frame.render_widget(Paragraph::new(lines).style(Modifier::REVERSED), middle);
}

/// Words tell everything that colours tell.
fn style(tone: Tone, state: &UiState) -> Style {
    let color = match tone {
        Tone::Plain => return Style::new(),
        Tone::Bad => Color::Red,
        Tone::Doubtful => Color::Yellow,
        Tone::Good => Color::Green,
    };
    if state.color { Style::new().fg(color) } else { Style::new() }
}
