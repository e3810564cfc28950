//! `live --tui`: the last picture on a terminal, page by page.
//!
//! In: the board, and keys. Out: the screen; quitting and writing the report are asked of the sensor. While it runs nothing
//! else may be written to the terminal. However it ends, the terminal is as it was before.

mod detail;
mod draw;
mod loss;
mod page;
mod state;
mod table;
mod words;

use std::io::{self, IsTerminal, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

use crate::view::Board;

pub use draw::draw;
pub use page::Page;
pub use state::{Action, UiState};

/// How often the board and the sensor's end are looked at while no key is pressed.
const GLANCE: Duration = Duration::from_millis(100);

/// Longest wait for the view to end, and between two looks.
const PATIENCE: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(20);

/// The view on a thread of its own.
pub struct Shown {
    over: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<()>>,
}

/// Shows the sensor until one of both ends; that the view ended is told as [`Action::Quit`], because a sensor that was to be
/// looked at and cannot be is of no use.
pub fn show(board: Arc<Board>, act: impl Fn(Action) + Send + 'static) -> Shown {
    let over = Arc::new(AtomicBool::new(false));
    let ended = over.clone();
    let thread = thread::spawn(move || {
        let shown = run(board, &act, || ended.load(Ordering::Relaxed));
        act(Action::Quit);
        shown
    });
    Shown { over, thread }
}

impl Shown {
    /// The sensor is over: gives the terminal back. A terminal that went away may hold the view for ever; it is left then.
    ///
    /// # Errors
    /// When the terminal could not be used.
    pub fn end(self) -> io::Result<()> {
        self.over.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        while !self.thread.is_finished() {
            if begun.elapsed() > PATIENCE {
                return Err(io::Error::other("the terminal went away"));
            }
            thread::sleep(TICK);
        }
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Shows the board until `q` is pressed or `stop` says so. Needs a terminal on standard input and output.
pub fn run(board: Arc<Board>, actions: impl Fn(Action), stop: impl Fn() -> bool) -> io::Result<()> {
    if !stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(io::Error::other("--tui needs a terminal on standard input and output"));
    }
    let _raised = Raised::new()?;
    let mut terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
    let color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut state = UiState::new(color);
    let mut view = None;
    let mut changed = true;
    while !stop() {
        if !RAISED.load(Ordering::SeqCst) {
            return Err(io::Error::other("a thread panicked; the terminal view ends"));
        }
        let latest = board.get().filter(|_| !state.frozen || view.is_none());
        if let Some(latest) = latest.filter(|latest| view.as_ref().is_none_or(|old| !Arc::ptr_eq(old, latest))) {
            state.look(&latest);
            view = Some(latest);
            changed = true;
        }
        if changed {
            let frame = terminal.draw(|frame| draw(frame, view.as_deref(), &state))?;
            state.size = (frame.area.width, frame.area.height);
            changed = false;
        }
        // Keys that came together are taken together.
        let mut patience = GLANCE;
        while event::poll(patience)? {
            patience = Duration::ZERO;
            changed = true;
            let Event::Key(key) = event::read()? else { continue };
            match state.press(key, view.as_deref()) {
                Some(Action::Quit) => {
                    actions(Action::Quit);
                    return Ok(());
                }
                Some(action) => actions(action),
                None => {}
            }
        }
    }
    Ok(())
}

/// Whether the screen is ours.
static RAISED: AtomicBool = AtomicBool::new(false);

/// The screen is ours as long as this is there.
struct Raised;

impl Raised {
    fn new() -> io::Result<Raised> {
        let before = std::panic::take_hook();
        // A thread that panics, this one or another, says why on a terminal that can be read.
        std::panic::set_hook(Box::new(move |info| {
            lower();
            before(info);
        }));
        RAISED.store(true, Ordering::SeqCst);
        let raised = Raised;
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen)?;
        Ok(raised)
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        lower();
    }
}

fn lower() {
    if RAISED.swap(false, Ordering::SeqCst) {
        // Nothing is left to be done about a terminal that went away.
        let _ = disable_raw_mode();
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    }
}
