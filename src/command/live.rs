//! `bordertap live`.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bordertap::capture::live::{self, Listen, LiveError};
use bordertap::cli::{self, LiveArgs};
use bordertap::evidence::Keeper;
use bordertap::join::Knowledge;
use bordertap::metrics;
use bordertap::notify::Notify;
use bordertap::output::{Keeping, Outputs, Target};
use bordertap::preflight::{self, Verdict};
use bordertap::report::{Report, jsonl, text};
use bordertap::run::Settings;
use bordertap::sandbox::{self, Entered, SandboxError};
use bordertap::sensor::{Ended, Pace, Sensor};
use bordertap::service::{self, Grave, Service, Wishes};
use bordertap::tui;
use bordertap::view::{self, Board};

use super::{Failure, Log, conclude, judge_beside, judge_to_run, outputs, progress_bar, status, to, verify, workers};

/// Time between two turns of a sensor.
const TURN: Duration = Duration::from_secs(1);

/// What came in is judged once more by what is learnt in this time.
const WINDOW_SECONDS: i64 = 600;

impl From<LiveError> for Failure {
    fn from(error: LiveError) -> Failure {
        match error {
            LiveError::Filter(_) | LiveError::Twice(_) | LiveError::Unavailable(_) => Failure::Usage(error.to_string()),
            other => Failure::Useless(other.to_string()),
        }
    }
}

impl From<SandboxError> for Failure {
    fn from(error: SandboxError) -> Failure {
        match error {
            SandboxError::UnknownUser(_) => Failure::Usage(error.to_string()),
            other => Failure::Useless(other.to_string()),
        }
    }
}

/// Where Linux tells the name of the machine (proc(5)).
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

const NO_XDP: &str = "there is no capture through AF_XDP: it takes packets away from the host, gives them neither the \
kernel's time nor the VLAN tag that a card takes out, and leaves both directions of a flow where the card \
puts them; use --capture ring";

pub(crate) fn listen(args: &LiveArgs, log: &Log) -> Result<u8, Failure> {
    let how = Listen {
        interfaces: &args.interfaces,
        through: match args.capture {
            cli::Through::Ring => live::Through::Ring,
            cli::Through::Libpcap => live::Through::Libpcap,
            cli::Through::Xdp => return Err(Failure::Usage(NO_XDP.to_owned())),
        },
        promiscuous: !args.no_promisc,
        ring_bytes: args.ring_size,
        filter: args.run.filter.as_deref(),
        fanout: args.fanout,
        hardware_times: args.timestamps == cli::Timestamps::Hardware,
    };
    if args.check {
        return check(args, &how);
    }
    let (run, talk) = (&args.run, &args.run.talk);
    if args.tui && run.outputs.records().any(|(_, path)| path == Path::new("-")) {
        return Err(Failure::Usage("--tui has the terminal: records cannot go to standard output".to_owned()));
    }
    outputs::check_live(&run.outputs.formats)?;
    let judging = judge_to_run(run)?;
    for (path, reason) in judging.places.refused() {
        log.warn(&format!("{path}: goes without: {reason}"));
    }
    let wish = verify::wish(run, &[], &judging)?;
    if let Some(wish) = &wish {
        std::fs::create_dir_all(&wish.folder.path)?;
    }
    let mut keeper = wish.as_ref().map(|_| Keeper::new(run.evidence.evidence_keep)).transpose()?;
    let knowledge = match &args.state {
        Some(folder) => service::restore(folder, &judging).map_err(Failure::Useless)?,
        None => Knowledge::default(),
    };
    // Before the sandbox, which has no such file.
    let name = args.name.clone().unwrap_or_else(host_name);
    let notify = Notify::open().map_err(|error| Failure::Useless(format!("NOTIFY_SOCKET: {error}")))?;
    let (stop, wishes) = signals(args.tui)?;
    let sources = live::listen_apart(&how, workers(run), enough(stop.clone(), args.duration))?;
    let sources = match &mut keeper {
        Some(keeper) => keeper.keep(sources),
        None => sources,
    };
    let listener = args.metrics.map(bind).transpose()?;
    // What it holds open is part of the sandbox; threads and files that are made from now on are in it.
    let entered = sandbox::enter(&args.plan())?;
    let opened = open_outputs(args)?;
    log.info(&format!("listening on {}", args.interfaces.join(", ")));
    say_sandbox(&entered, log);
    let board = Arc::new(Board::default());
    let _server = listener.map(|listener| serve(listener, &board, log)).transpose()?;
    notify.ready();
    let notify = RefCell::new(notify);
    let log = &Log { quiet: talk.quiet || args.tui, ..Log::new(talk) };
    let bar = if args.tui { None } else { progress_bar(talk, None) };
    let terminal = args.tui.then(|| {
        let (stop, wishes) = (stop.clone(), wishes.clone());
        tui::show(board.clone(), move |action| match action {
            tui::Action::Quit => stop.store(true, Ordering::Relaxed),
            tui::Action::Report => wishes.report.store(true, Ordering::Release),
        })
    });
    let sensor = Sensor {
        judging,
        name: Some(name),
        inputs: args.interfaces.clone(),
        mergeable: run.outputs.json.is_some(),
        filter: run.filter.clone(),
        keep_flows: run.outputs.needs_flows(),
        settings: Settings {
            workers: workers(run),
            memory: usize::try_from(run.memory).unwrap_or(usize::MAX),
            packets_max: run.count.unwrap_or(u64::MAX),
            vlans_apart: run.vlans == cli::Vlans::Apart,
            progress: &|_, _| {},
        },
        pace: Pace { turn: TURN, window_seconds: WINDOW_SECONDS, clock: &service::wall_clock },
        knowledge,
    };
    let key = sensor.judging.policy.key_id().map(str::to_owned);
    let (mut told, mut turns) = (Instant::now(), 0);
    let service = Service {
        outputs: &opened,
        write_report: &|report| {
            outputs::write_report(&run.outputs, talk, report).map_err(|failure| failure.to_string())
        },
        state: args.state.as_deref(),
        wishes,
        reload: &|| {
            notify.borrow().reloading();
            let judging = judge_beside(run).map_err(|failure| failure.to_string()).and_then(|judging| {
                if judging.policy.key_id() != key.as_deref() {
                    Err("--anonymise: the key is another one: start anew for that".to_owned())
                } else {
                    Ok(judging)
                }
            });
            notify.borrow().ready();
            judging
        },
        board: &board,
        say: &|grave, text| match grave {
            Grave::Info => log.info(text),
            Grave::Warning => log.warn(text),
        },
        each_turn: &mut |view| {
            turns += 1;
            notify.borrow_mut().turn(&view::line(view), turns);
            // Nobody reads on: the end is quiet, as that of a scan.
            if opened.stdout_closed() {
                stop.store(true, Ordering::Relaxed);
            }
            if stop.load(Ordering::Relaxed) {
                notify.borrow().stopping();
            }
            if let Some(every) = args.stats_every.filter(|&every| told.elapsed() >= every) {
                log.stats(view);
                // In step with the times at which it is due.
                told += every;
            }
            if let Some((bar, rates)) = bar.as_ref().zip(view.history.back()) {
                bar.set_position(view.bytes);
                let packets = text::count(view.ledger.received as usize, "packet");
                bar.set_message(format!("{packets}, {}/s", text::grouped(rates.packets as u64)));
            }
        },
    };
    let ended = service.run(sensor, sources);
    let shown = terminal.map_or(Ok(()), tui::Shown::end);
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let Ended { report, damage, judging, .. } = ended;
    if let Some((wish, keeper)) = wish.as_ref().zip(keeper) {
        verify::write_kept(wish, &keeper, &args.interfaces, &report, &judging, log)?;
    }
    let write = |report: &Report| outputs::write_report(&run.outputs, talk, report);
    let status = conclude(run.into(), &report, &damage, write, log);
    shown.map_err(|error| Failure::Useless(format!("--tui: {error}")))?;
    status
}

/// The name of this machine, where the system tells it.
fn host_name() -> String {
    std::fs::read_to_string(HOST_NAME).map(|name| name.trim().to_owned()).unwrap_or_default()
}

/// Listens for Prometheus.
fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let named = |error: io::Error| Failure::Useless(format!("{address}: cannot listen for --metrics: {error}"));
    TcpListener::bind(address).map_err(named)
}

/// Answers it.
fn serve(listener: TcpListener, board: &Arc<Board>, log: &Log) -> Result<metrics::Server, Failure> {
    let server = metrics::serve(listener, board.clone())?;
    log.info(&format!("metrics at http://{}/metrics", server.address()));
    Ok(server)
}

/// Where the records of a sensor go.
fn open_outputs(args: &LiveArgs) -> Result<Outputs, Failure> {
    let mut targets = Vec::new();
    for (kind, path) in args.run.outputs.records() {
        let target = match path.to_str() {
            Some(text) => Target::parse(text).map_err(Failure::Usage)?,
            None => Target::File(path.to_owned()),
        };
        targets.push((kind, target));
    }
    let keeping = Keeping { rotate: args.rotate, keep_bytes: args.keep_bytes, keep_for: args.keep_for };
    Outputs::open(targets, keeping).map_err(|error| Failure::Useless(error.to_string()))
}

/// What ends a sensor, and what it may be asked for.
fn signals(terminal: bool) -> Result<(Arc<AtomicBool>, Wishes), Failure> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
    let (stop, wishes) = (Arc::new(AtomicBool::new(false)), Wishes::default());
    for signal in [SIGINT, SIGTERM] {
        // Who asks twice does not want to wait for the report.
        let now = signal_hook::flag::register_conditional_shutdown(signal, status::USELESS.into(), stop.clone());
        now.and_then(|_| signal_hook::flag::register(signal, stop.clone()))?;
    }
    // A sensor that is looked at ends with its terminal.
    signal_hook::flag::register(SIGHUP, if terminal { stop.clone() } else { wishes.reload.clone() })?;
    signal_hook::flag::register(SIGUSR1, wishes.report.clone())?;
    Ok((stop, wishes))
}

/// Whether it is to stop or the time is over.
fn enough(stop: Arc<AtomicBool>, duration: Option<Duration>) -> impl Fn() -> bool + Send + Sync + 'static {
    let end = duration.and_then(|duration| Instant::now().checked_add(duration));
    move || stop.load(Ordering::Relaxed) || end.is_some_and(|end| Instant::now() >= end)
}

/// Looks whether interfaces can be listened to and show what there is.
fn check(args: &LiveArgs, how: &Listen<'_>) -> Result<u8, Failure> {
    let preflight = preflight::check(how, enough(signals(false)?.0, Some(args.duration.unwrap_or(cli::CHECK_TIME))))?;
    match &args.run.outputs.json {
        Some(path) => to(path, |out| jsonl::document(&preflight, out))?,
        None => to(Path::new("-"), |out| preflight::write(&preflight, out))?,
    }
    Ok(match preflight.verdict {
        Verdict::Good | Verdict::Note => 0,
        Verdict::Change => status::DAMAGED,
        Verdict::Impossible => status::USELESS,
    })
}

fn say_sandbox(entered: &Entered, log: &Log) {
    log.info(&format!("sandbox: {entered}"));
    if !entered.missing.is_empty() {
        log.warn(&format!("the sandbox lacks here: {}", entered.missing.join("; ")));
    }
}
