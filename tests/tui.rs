//! The terminal view: drawn into memory at every size, and driven by keys inside a real terminal, tmux.
//!
//! In: the demonstration as a sensor's picture. Where there is no tmux the test of keys says `NOT RUN` on standard error, and
//! fails with `BORDERTAP_LIVE=must`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bordertap::tui::{self, Action, Page, UiState};
use bordertap::view::{Board, View};
use common::expected::EXPECTED;
use common::view;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;

fn drawn(view: Option<&View>, state: &UiState, (width, height): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| tui::draw(frame, view, state)).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let area = buffer.area;
    let line = |y| (0..area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..area.height).map(line).collect()
}

fn press(state: &mut UiState, view: &View, keys: &str) {
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            '\t' => KeyCode::Tab,
            other => KeyCode::Char(other),
        };
        assert_eq!(state.press(KeyEvent::new(code, KeyModifiers::NONE), Some(view)), None, "{key}");
    }
}

fn state(view: &View, size: (u16, u16)) -> UiState {
    let mut state = UiState::new(false);
    state.size = size;
    state.look(view);
    state
}

const USUAL: (u16, u16) = (80, 24);
const WIDE: (u16, u16) = (200, 50);

#[test]
fn everything_is_drawn_at_every_size() {
    let view = view::view();
    // Keys that lead to every page, its search, its rows in full, and the help.
    let keys = ["", "/for", "\n", "s", "?"];
    for page in '1'..='6' {
        for keys in keys {
            let mut state = state(&view, USUAL);
            press(&mut state, &view, &format!("{page}{keys}"));
            for size in (0..28).map(|n| (n * 5, n)).chain([(1, 40), (200, 1), (3, 3), (500, 5)]) {
                let buffer = drawn(Some(&view), &state, (size.0.max(1), size.1.max(1)));
                assert_eq!(buffer, drawn(Some(&view), &state, (size.0.max(1), size.1.max(1))), "the same again");
            }
        }
    }
    drawn(None, &UiState::default(), (1, 1));
    assert!(lines(&drawn(None, &UiState::default(), USUAL))[0].contains("waiting for the first turn"));
}

#[test]
fn eighty_by_twenty_four_has_what_matters() {
    let view = view::view();
    let screen = lines(&drawn(Some(&view), &state(&view, USUAL), USUAL));
    assert!(screen[0].starts_with("bordertap "), "{screen:#?}");
    assert!(screen[0].contains("span0  running 1m 00s  2026-11-25 22:01:00 UTC"), "{screen:#?}");
    assert!(screen[1].contains("15 packets/s  43.6 kbit/s  lost/s 0"), "{screen:#?}");
    assert_eq!(screen[2], "1 warning: of 4 flows only one direction is seen");
    assert!(screen[3].starts_with("19 packets/s") && screen[3].contains('█'), "{screen:#?}");
    let heads = screen.iter().find(|line| line.contains("ASSET")).unwrap();
    for head in ["ASSET", "CHANNEL", "COUNTRY", "OUT", "CROSSING"] {
        assert!(heads.contains(head), "{heads}");
    }
    assert!(screen.iter().any(|line| line.contains("observed") && line.contains("10.20.0.1")), "{screen:#?}");
    assert!(screen[23].starts_with(&format!("1/{}  Enter open", EXPECTED.len())), "{screen:#?}");
}

#[test]
fn findings_are_sorted_searched_and_opened() {
    let view = view::view();
    let mut state = state(&view, WIDE);
    let rows = |state: &UiState| -> Vec<String> {
        let screen = lines(&drawn(Some(&view), state, WIDE));
        let first = screen.iter().position(|line| line.contains("ASSET")).unwrap() + 1;
        screen[first..WIDE.1 as usize - 1].iter().filter(|line| !line.is_empty()).cloned().collect()
    };
    assert_eq!(rows(&state).len(), EXPECTED.len());
    // The third column is the asset; addresses are sorted as numbers.
    press(&mut state, &view, "sss");
    let address = |row: &String| -> std::net::IpAddr {
        row.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("{row}"))
    };
    let addresses: Vec<_> = rows(&state).iter().map(address).collect();
    assert!(addresses.is_sorted() && addresses[0] < addresses[addresses.len() - 1], "{addresses:?}");
    press(&mut state, &view, "v");
    assert!(rows(&state).iter().map(address).rev().is_sorted());

    press(&mut state, &view, "/TELEMETRY.UNL");
    let footer = lines(&drawn(Some(&view), &state, WIDE)).pop().unwrap();
    assert!(footer.starts_with("/TELEMETRY.UNL█"), "{footer}");
    assert_eq!(rows(&state).len(), 1);
    press(&mut state, &view, "\n\n");
    let screen = lines(&drawn(Some(&view), &state, WIDE)).join("\n");
    for word in
        ["telemetry.unlisted.example", "95.216.10.20", "FI, from", "No signature explains", "2026-10", "2026-11"]
    {
        assert!(screen.contains(word), "{word} in\n{screen}");
    }
    press(&mut state, &view, "\x1b\x1b");
    assert_eq!(rows(&state).len(), EXPECTED.len());
}

#[test]
fn the_chosen_row_stays_chosen_when_others_move() {
    let mut view = view::view();
    let mut state = state(&view, USUAL);
    press(&mut state, &view, "jj\n");
    let third = view.report.findings[2].id.clone();
    assert_eq!(state.detail, Some((third.clone(), 0)));
    press(&mut state, &view, "\x1b");
    Arc::make_mut(&mut view.report).findings.reverse();
    press(&mut state, &view, "\n");
    assert_eq!(state.detail, Some((third, 0)));
    // And what went away is told so.
    Arc::make_mut(&mut view.report).findings.clear();
    let screen = lines(&drawn(Some(&view), &state, USUAL));
    assert!(screen.contains(&"This is no longer there.".to_owned()), "{screen:#?}");
}

#[test]
fn losses_are_told_with_rates_and_add_up() {
    let mut view = view::view();
    let mut state = state(&view, WIDE);
    let ledger = &mut Arc::make_mut(&mut view.report).ledger;
    ledger.received += 40;
    ledger.not_decoded.insert("kernel.ring-dropped".to_owned(), 40);
    ledger.note("flow.evicted", 7);
    view.now = view::at(80);
    state.look(&view);
    press(&mut state, &view, "5");
    let screen = lines(&drawn(Some(&view), &state, WIDE));
    let row = |name: &str| -> Vec<&str> {
        let line = screen.iter().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name} in {screen:#?}"));
        line.split_whitespace().collect()
    };
    // 40 in the twenty seconds since the picture before, of 1,218.
    assert_eq!(row("kernel.ring-dropped"), ["kernel", "kernel.ring-dropped", "packets", "40", "2.0", "3.28", "%"]);
    assert_eq!(row("flow.evicted")[..4], ["limit", "flow.evicted", "times", "7"]);
    assert_eq!(row("tcp://192.0.2.9:514 dropped")[3..5], ["records", "3"]);
    assert!(screen.iter().any(|line| line.starts_with("received 1,218 = decoded ") && line.ends_with(": it adds up")));
    assert!(screen.contains(&"tcp://192.0.2.9:514: Connection refused".to_owned()), "{screen:#?}");
    Arc::make_mut(&mut view.report).ledger.received += 1;
    let screen = lines(&drawn(Some(&view), &state, WIDE));
    assert!(screen.iter().any(|line| line.ends_with("IT DOES NOT ADD UP")), "{screen:#?}");
}

#[test]
fn hostile_names_are_shown_harmlessly() {
    let mut view = view::view();
    let bad = "a\u{202e}b\x1b[31m\r\n\u{200b}c\u{9b}\u{301}";
    let report = Arc::make_mut(&mut view.report);
    report.header.inputs = vec![bad.to_owned()];
    view.warnings = vec![bad.to_owned()];
    for finding in &mut report.findings {
        finding.asset.product = bad.to_owned();
        finding.destination.domain = Some(bad.to_owned());
        finding.destination.country = Some(bad.to_owned());
        finding.channel.product = bad.to_owned();
        finding.channel.id = bad.to_owned();
        finding.why = vec![bad.to_owned()];
        finding.asset.evidence.iter_mut().for_each(|piece| piece.value = bad.to_owned());
    }
    report.assets.iter_mut().for_each(|asset| asset.product = bad.to_owned());
    for keys in ["1", "1\n", "2", "2\n", "3", "3\n", "4", "4\n", "5", "6", "6\n", "1/\u{202e}"] {
        let mut state = state(&view, WIDE);
        press(&mut state, &view, keys);
        let screen = lines(&drawn(Some(&view), &state, WIDE)).concat();
        let raw = screen.chars().find(|c| c.is_control() || "\u{202e}\u{200b}\u{301}".contains(*c));
        assert_eq!(raw, None, "{keys:?}");
        assert!(screen.contains("\\u{202e}"), "{keys:?}: {screen}");
    }
}

#[test]
fn colours_only_where_they_are_wanted() {
    let view = view::view();
    let colours = |color| {
        let mut state = UiState::new(color);
        state.size = WIDE;
        drawn(Some(&view), &state, WIDE)
            .content
            .iter()
            .filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
            .count()
    };
    assert_eq!(colours(false), 0);
    assert!(colours(true) > 100);
}

#[test]
fn every_page_is_sorted_by_every_column() {
    let view = view::view();
    for (digit, page) in ('1'..).zip(Page::ALL) {
        let mut state = state(&view, WIDE);
        press(&mut state, &view, &digit.to_string());
        for column in page.columns() {
            press(&mut state, &view, "s");
            let head = format!("{}{}", column.name, if column.right { '▼' } else { '▲' });
            let screen = lines(&drawn(Some(&view), &state, (400, 50)));
            assert!(screen.iter().any(|line| line.contains(&head)), "{head}: {screen:#?}");
        }
        press(&mut state, &view, "s");
        assert_eq!(state.list().sort, None, "behind the last column comes the order of the report");
        press(&mut state, &view, "S");
        assert_eq!(state.list().sort.map(|(column, _)| column), Some(page.columns().len() - 1));
    }
}

#[test]
fn keys_that_ask_the_sensor() {
    let mut state = UiState::new(false);
    let mut ask = |code, modifiers| state.press(KeyEvent::new(code, modifiers), None);
    assert_eq!(ask(KeyCode::Char('r'), KeyModifiers::NONE), Some(Action::Report));
    assert_eq!(ask(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Action::Quit));
    assert_eq!(ask(KeyCode::Char('/'), KeyModifiers::NONE), None);
    assert_eq!(ask(KeyCode::Char('q'), KeyModifiers::NONE), None, "a letter that is searched for");
    assert_eq!(ask(KeyCode::Esc, KeyModifiers::NONE), None);
    assert_eq!(ask(KeyCode::Enter, KeyModifiers::NONE), None, "nothing to open");
    assert_eq!(ask(KeyCode::Char('q'), KeyModifiers::NONE), Some(Action::Quit));
}

const INSIDE: &str = "BORDERTAP_TUI_INSIDE";
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal of its own, which goes away with this.
struct Tmux {
    folder: tempfile::TempDir,
}

impl Tmux {
    fn open(test: &str) -> Tmux {
        let tmux = Tmux { folder: tempfile::tempdir().unwrap() };
        let program = std::env::current_exe().unwrap();
        let command = format!(
            "{INSIDE}=1 NO_COLOR=1 RUST_BACKTRACE=0 '{}' --exact {test} --nocapture; echo \"status $?\"; exec sleep 600",
            program.display()
        );
        tmux.run(&["new-session", "-d", "-x", "120", "-y", "40", &command]);
        tmux
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn run(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-u", "-f", "/dev/null", "-S"]).arg(self.socket()).args(args).env_remove("TMUX");
        let output = command.output().unwrap();
        assert!(output.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// No alternate screen, and the cursor shows.
    fn is_restored(&self) {
        let told = self.run(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(told.trim(), "0 1");
    }

    /// The screen, once it is as it should be.
    fn wait(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if is(&screen) {
                return screen;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(self.socket()).arg("kill-server").output();
    }
}

/// What runs inside tmux: a sensor's board with a new picture every now and then.
fn show() {
    let board = Arc::new(Board::default());
    let mut view = view::view();
    let actions = Mutex::new(Vec::new());
    board.put(view.clone());
    let feeding = board.clone();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(100));
            view.now.0 += 1_000_000_000;
            feeding.put(view.clone());
        }
    });
    tui::run(board, |action| actions.lock().unwrap().push(action), || false).unwrap();
    println!("asked for {:?}", actions.into_inner().unwrap());
}

/// Whether there is a tmux; says so where there is none.
fn has_tmux(test: &str) -> bool {
    let there = Command::new("tmux").arg("-V").output().is_ok();
    if !there {
        let mut say = std::io::stderr();
        writeln!(say, "\nNOT RUN: {test}: there is no tmux here\n").unwrap();
        assert!(std::env::var_os("BORDERTAP_LIVE").is_none_or(|v| v != "must"), "there is no tmux");
    }
    there
}

#[test]
fn a_panic_leaves_a_terminal_that_can_be_read() {
    const TEST: &str = "a_panic_leaves_a_terminal_that_can_be_read";
    if std::env::var_os(INSIDE).is_some() {
        let board = Arc::new(Board::default());
        board.put(view::view());
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_secs(1));
            panic!("on purpose");
        });
        println!("{:?}", tui::run(board, |_| {}, || false));
        return;
    }
    if !has_tmux(TEST) {
        return;
    }
    let tmux = Tmux::open(TEST);
    tmux.wait("the view", |screen| screen.contains("5 Loss"));
    let screen = tmux.wait("the end", |screen| screen.contains("status 0"));
    assert!(screen.contains("on purpose") && screen.contains("a thread panicked"), "{screen}");
    tmux.is_restored();
}

#[test]
fn driven_by_keys_in_a_terminal() {
    const TEST: &str = "driven_by_keys_in_a_terminal";
    if std::env::var_os(INSIDE).is_some() {
        return show();
    }
    if !has_tmux(TEST) {
        return;
    }
    let tmux = Tmux::open(TEST);
    let all = format!("1/{}  Enter open", EXPECTED.len());
    tmux.wait("the findings", |screen| screen.contains(&all) && screen.contains("COUNTRY"));

    // Sorted by the first column, then the other way round.
    tmux.keys(&["s"]);
    tmux.wait("sorted by severity", |screen| screen.contains("SEVERITY▲") && screen.contains("by SEVERITY"));
    tmux.keys(&["v"]);
    tmux.wait("turned round", |screen| screen.contains("SEVERITY▼"));

    tmux.keys(&["/", "telemetry.unl"]);
    let screen = tmux.wait("searched", |screen| screen.contains("/telemetry.unl█") && !screen.contains("wildfire"));
    assert!(screen.contains("telemetry.unlisted"), "{screen}");
    tmux.keys(&["Enter"]);
    tmux.wait("search is kept", |screen| screen.contains("1/1") && screen.contains("only /telemetry.unl"));
    tmux.keys(&["Enter"]);
    let screen = tmux.wait("opened", |screen| screen.contains("95.216.10.20") && screen.contains("Esc back"));
    assert!(screen.contains("No signature explains"), "{screen}");
    tmux.keys(&["Escape"]);
    tmux.wait("back", |screen| screen.contains("1/1"));

    tmux.keys(&["5"]);
    tmux.wait("losses", |screen| screen.contains("it adds up") && screen.contains("kernel.ring-dropped"));
    tmux.keys(&["Space"]);
    let frozen = tmux.wait("frozen", |screen| screen.contains("FROZEN"));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(tmux.screen(), frozen, "nothing moves");
    tmux.keys(&["Space"]);
    tmux.wait("goes on", |screen| !screen.contains("FROZEN") && screen.lines().next() != frozen.lines().next());

    tmux.keys(&["r"]);
    tmux.wait("the report", |screen| screen.contains("the report is being written"));
    tmux.run(&["resize-window", "-x", "60", "-y", "12"]);
    tmux.wait("small", |screen| screen.lines().count() <= 12 && screen.contains("5 Loss"));
    tmux.keys(&["?"]);
    tmux.wait("the help", |screen| screen.contains("the pages"));
    tmux.keys(&["x", "q"]);
    let screen = tmux.wait("the end", |screen| screen.contains("status 0"));
    // The terminal is as it was: what was there before, and what is said behind it.
    assert!(screen.contains("asked for [Report, Quit]"), "{screen}");
    assert!(!screen.contains("5 Loss"), "{screen}");
    tmux.is_restored();
}
