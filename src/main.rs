//! The program: reads the command line, runs the command, turns results into exit statuses.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bordertap::bench;
use bordertap::capture::live::{self, Listen, LiveError};
use bordertap::capture::{Damage, Inputs, Source};
use bordertap::cli::{
    self, BenchArgs, BenchCommand, BenchLiveArgs, Cli, Command, JudgeArgs, ListFormat, LiveArgs, LogFormat, OutputArgs,
    RunArgs, ScanArgs, SignatureArgs, SignatureCommand, TalkArgs, When, WhereArgs,
};
use bordertap::collect::Judging;
use bordertap::join::Knowledge;
use bordertap::ledger::Ledger;
use bordertap::metrics;
use bordertap::notify::Notify;
use bordertap::output::{self, Keeping, Outputs, Target};
use bordertap::place::Places;
use bordertap::policy::Policy;
use bordertap::preflight::{self, Verdict};
use bordertap::report::{Report, jsonl, text};
use bordertap::run::Settings;
use bordertap::sandbox::{self, Entered, SandboxError};
use bordertap::scan::{self, Scan, Scanned};
use bordertap::sensor::{Ended, Pace, Sensor};
use bordertap::service::{self, Grave, Service, Wishes};
use bordertap::signature::{Key, Pack, Signatures, Used, print, read_dir};
use bordertap::tui;
use bordertap::view::{self, Board, View};
use clap::{CommandFactory, Parser};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Flows come and go by the million, each with a few small pieces of memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit statuses of the contract.
mod status {
    pub const USELESS: u8 = 1;
    pub const USAGE: u8 = 2;
    pub const DAMAGED: u8 = 3;
    pub const FINDING: u8 = 4;
}

/// Why a command ended early.
enum Failure {
    /// The reader of our output closed the pipe: nothing is wrong.
    PipeClosed,
    /// Bad usage, with the reason.
    Usage(String),
    /// Nothing usable or an I/O error, with the reason.
    Useless(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::PipeClosed => f.write_str("the reader closed the pipe"),
            Failure::Usage(reason) | Failure::Useless(reason) => f.write_str(reason),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::PipeClosed,
            _ => Failure::Useless(error.to_string()),
        }
    }
}

impl From<bench::Error> for Failure {
    fn from(error: bench::Error) -> Failure {
        match error {
            bench::Error::Neither(_) => Failure::Usage(error.to_string()),
            other => Failure::Useless(other.to_string()),
        }
    }
}

impl From<LiveError> for Failure {
    fn from(error: LiveError) -> Failure {
        match error {
            LiveError::Filter(_) | LiveError::Twice(_) | LiveError::Unavailable(_) => Failure::Usage(error.to_string()),
            other => Failure::Useless(other.to_string()),
        }
    }
}

/// Time between two turns of a sensor.
const TURN: Duration = Duration::from_secs(1);
/// What came in is judged once more by what is learnt in this time.
const WINDOW_SECONDS: i64 = 600;

impl From<SandboxError> for Failure {
    fn from(error: SandboxError) -> Failure {
        match error {
            SandboxError::UnknownUser(_) => Failure::Usage(error.to_string()),
            other => Failure::Useless(other.to_string()),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut log = Log { format: LogFormat::Text, quiet: false };
    let done = match &cli.command {
        Command::Scan(args) => {
            log = Log::new(&args.run.talk);
            scan(args, &log)
        }
        Command::Live(args) => {
            log = Log::new(&args.run.talk);
            listen(args, &log)
        }
        Command::Bench(args) => match &args.command {
            Some(BenchCommand::Live(args)) => measure_live(args),
            None => measure(args),
        },
        Command::Signatures(command) => signatures(command),
        Command::Where(args) => places(args),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "bordertap", &mut io::stdout());
            Ok(0)
        }
        Command::Man => man(),
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(Failure::PipeClosed) => ExitCode::SUCCESS,
        Err(Failure::Usage(reason)) => {
            log.error(&reason);
            ExitCode::from(status::USAGE)
        }
        Err(Failure::Useless(reason)) => {
            log.error(&reason);
            ExitCode::from(status::USELESS)
        }
    }
}

/// Messages on standard error; standard output carries nothing but what was asked for.
struct Log {
    format: LogFormat,
    quiet: bool,
}

impl Log {
    fn new(talk: &TalkArgs) -> Log {
        Log { format: talk.log_format, quiet: talk.quiet }
    }

    fn error(&self, text: &str) {
        self.write("error", text);
    }

    fn warn(&self, text: &str) {
        if !self.quiet {
            self.write("warning", text);
        }
    }

    fn info(&self, text: &str) {
        if !self.quiet {
            self.write("info", text);
        }
    }

    /// What a sensor sees, in a line.
    fn stats(&self, view: &View) {
        match self.format {
            LogFormat::Text => self.info(&view::line(view)),
            LogFormat::Json if !self.quiet => eprintln!("{}", view::json(view)),
            LogFormat::Json => {}
        }
    }

    fn write(&self, level: &str, text: &str) {
        match self.format {
            LogFormat::Text => eprintln!("bordertap: {level}: {text}"),
            LogFormat::Json => eprintln!("{}", serde_json::json!({ "log.level": level, "message": text })),
        }
    }
}

/// What judging needs: signatures, databases, policy.
fn judge(args: &JudgeArgs) -> Result<Judging, Failure> {
    let policy = Policy::new(args.policy.as_deref(), args.home.as_deref(), args.inside.as_deref())
        .map_err(|e| Failure::Usage(e.to_string()))?;
    let signatures = load_signatures(&args.signatures)?;
    let mut places = Places::builtin();
    if let Some(path) = &args.country_db {
        places = places.with_country_db(path).map_err(|e| Failure::Useless(e.to_string()))?;
    }
    if let Some(path) = &args.asn_db {
        places = places.with_asn_db(path).map_err(|e| Failure::Useless(e.to_string()))?;
    }
    Ok(Judging { signatures: Arc::new(signatures), places: Arc::new(places), policy: Arc::new(policy) })
}

fn load_signatures(args: &SignatureArgs) -> Result<Signatures, Failure> {
    let loaded = match (args.signatures.as_deref(), args.signature_key.as_deref()) {
        (None, _) => Signatures::builtin(),
        (Some(dir), None) if !dir.is_file() => Signatures::with_dir(dir),
        (Some(pack), Some(key)) if !pack.is_dir() => return load_pack(pack, key, args.last_pack.as_deref()),
        (Some(pack), None) => {
            let pack = pack.display();
            return Err(Failure::Usage(format!("{pack}: a signed pack needs --signature-key with the maker's key")));
        }
        (Some(dir), Some(_)) => {
            return Err(Failure::Usage(format!(
                "{}: a folder is not signed; --signature-key is for packs",
                dir.display()
            )));
        }
    };
    loaded.map_err(|e| Failure::Useless(e.to_string()))
}

fn load_pack(path: &Path, key: &str, last: Option<&Path>) -> Result<Signatures, Failure> {
    let key = Key::new(key).map_err(Failure::Usage)?;
    let pack = Pack::open(path, &key).map_err(|e| Failure::Useless(e.to_string()))?;
    let used = last.map(Used::remembered).transpose().map_err(Failure::Useless)?.flatten();
    let signatures = Signatures::with_pack(pack, used.as_slice()).map_err(|e| Failure::Useless(e.to_string()))?;
    if let (Some(last), Some(seal)) = (last, &signatures.seal) {
        Used::remember(last, seal).map_err(Failure::Useless)?;
    }
    Ok(signatures)
}

fn scan(args: &ScanArgs, log: &Log) -> Result<u8, Failure> {
    let judge = judge(&args.run.judge)?;
    let filter = args.run.filter.as_deref();
    let mut inputs = Inputs::open(&args.inputs, filter).map_err(|e| Failure::Usage(e.to_string()))?;
    read(&mut inputs, &args.inputs, &args.run, judge, log)
}

const NO_XDP: &str = "there is no capture through AF_XDP: it takes packets away from the host, gives them neither the \
kernel's time nor the VLAN tag that a card takes out, and leaves both directions of a flow where the card \
puts them; use --capture ring";

fn listen(args: &LiveArgs, log: &Log) -> Result<u8, Failure> {
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
    let records = [&run.outputs.flows, &run.outputs.findings, &run.outputs.assets];
    if args.tui && records.into_iter().flatten().any(|path| path == Path::new("-")) {
        return Err(Failure::Usage("--tui has the terminal: records cannot go to standard output".to_owned()));
    }
    let judging = judge(&run.judge)?;
    let knowledge = match &args.state {
        Some(folder) => service::restore(folder, &judging.signatures).map_err(Failure::Useless)?,
        None => Knowledge::default(),
    };
    let notify = Notify::open().map_err(|error| Failure::Useless(format!("NOTIFY_SOCKET: {error}")))?;
    let (stop, wishes) = signals(args.tui)?;
    let sources = live::listen_apart(&how, workers(run), enough(stop.clone(), args.duration))?;
    let listener = args.metrics.map(bind).transpose()?;
    // What it holds open is part of the sandbox; threads and files that are made from now on are in it.
    let entered = sandbox::enter(&args.plan())?;
    let outputs = open_outputs(args)?;
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
        inputs: args.interfaces.clone(),
        filter: run.filter.clone(),
        keep_flows: run.outputs.flows.is_some(),
        settings: Settings {
            workers: workers(run),
            memory: usize::try_from(run.memory).unwrap_or(usize::MAX),
            packets_max: run.count.unwrap_or(u64::MAX),
            progress: &|_, _| {},
        },
        pace: Pace { turn: TURN, window_seconds: WINDOW_SECONDS, clock: &service::wall_clock },
        knowledge,
    };
    let (mut told, mut turns) = (Instant::now(), 0);
    let service = Service {
        outputs: &outputs,
        write_report: &|report| write_report(&run.outputs, talk, report).map_err(|failure| failure.to_string()),
        state: args.state.as_deref(),
        wishes,
        reload: &|| {
            notify.borrow().reloading();
            let judging = judge(&run.judge).map_err(|failure| failure.to_string());
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
            if outputs.stdout_closed() {
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
    let Ended { report, damage, .. } = ended;
    let write = |report: &Report| write_report(&run.outputs, talk, report);
    let status = conclude(run, &report, &damage, write, log);
    shown.map_err(|error| Failure::Useless(format!("--tui: {error}")))?;
    status
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
    let wanted = [
        (service::FLOWS, &args.run.outputs.flows),
        (service::FINDINGS, &args.run.outputs.findings),
        (service::ASSETS, &args.run.outputs.assets),
    ];
    let mut targets = Vec::new();
    for (kind, path) in wanted {
        let Some(path) = path else { continue };
        let target = match path.to_str() {
            Some(text) => Target::parse(text).map_err(Failure::Usage)?,
            None => Target::File(path.clone()),
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

/// Worker threads: as many as are asked for, else one a core.
fn workers(args: &RunArgs) -> usize {
    let cores = || std::thread::available_parallelism().ok().map(usize::from);
    args.workers.map(usize::from).or_else(cores).unwrap_or(1)
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

/// Reads a source to its end and writes what was asked for.
fn read(source: &mut dyn Source, names: &[String], args: &RunArgs, judging: Judging, log: &Log) -> Result<u8, Failure> {
    let bar = progress_bar(&args.talk, source.progress().1);
    let scan = Scan {
        judging,
        workers: workers(args),
        memory: usize::try_from(args.memory).unwrap_or(usize::MAX),
        packets_max: args.count.unwrap_or(u64::MAX),
        keep_flows: args.outputs.flows.is_some(),
        filter: args.filter.clone(),
    };
    let started = Instant::now();
    let scanned = scan.run(source, names, &|bytes, packets| {
        if let Some(bar) = &bar {
            bar.set_position(bytes);
            let rate = packets as f64 / started.elapsed().as_secs_f64().max(0.001);
            bar.set_message(format!("{}, {}/s", text::count(packets as usize, "packet"), text::grouped(rate as u64)));
        }
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let Scanned { report, flows, damage, .. } = scanned;
    let write = |report: &Report| {
        write_records(&args.outputs, report)?;
        write_report(&args.outputs, &args.talk, report)?;
        match &args.outputs.flows {
            Some(path) => to(path, |out| flows.write(out)),
            None => Ok(()),
        }
    };
    conclude(args, &report, &damage, write, log)
}

/// Says what could not be read, writes what was asked for, and tells the exit status.
fn conclude(
    args: &RunArgs,
    report: &Report,
    damage: &[Damage],
    write: impl FnOnce(&Report) -> Result<(), Failure>,
    log: &Log,
) -> Result<u8, Failure> {
    for damage in damage {
        log.warn(&format!("{}: at offset {}: {}", damage.input, damage.offset, damage.reason));
    }
    if !report.ledger.adds_up() {
        log.error("the ledger does not add up; please report this");
    }
    if report.ledger.decoded == 0 {
        let message = nothing_read(&report.ledger);
        // Why every packet was refused is worth having; a report of nothing is not.
        if report.ledger.received > 0 && args.outputs.any() {
            write(report)?;
        }
        return Err(Failure::Useless(message));
    }
    write(report)?;
    Ok(match (args.fail_on_finding && report.leaves(), damage.is_empty()) {
        (true, _) => status::FINDING,
        (false, false) => status::DAMAGED,
        (false, true) => 0,
    })
}

/// That no packet became part of a flow, and why.
fn nothing_read(ledger: &Ledger) -> String {
    let reasons: Vec<String> = ledger.not_decoded.iter().map(|(name, count)| format!("{name} {count}")).collect();
    match reasons.as_slice() {
        [] => "nothing could be read from the input".to_owned(),
        _ => format!("nothing could be read from the input: {}", reasons.join(", ")),
    }
}

fn progress_bar(talk: &TalkArgs, total: Option<u64>) -> Option<ProgressBar> {
    let wanted = match talk.progress {
        When::Always => true,
        When::Never => false,
        When::Auto => !talk.quiet && io::stderr().is_terminal(),
    };
    if !wanted {
        return None;
    }
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    let template = match total {
        Some(_) => "{bar:30} {bytes}/{total_bytes}, {msg}, {eta} left",
        None => "{spinner} {bytes}, {msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    Some(bar)
}

/// Writes findings and assets where they were asked for.
fn write_records(outputs: &OutputArgs, report: &Report) -> Result<(), Failure> {
    if let Some(path) = &outputs.findings {
        to(path, |out| jsonl::lines(&report.findings, out))?;
    }
    if let Some(path) = &outputs.assets {
        to(path, |out| jsonl::lines(&report.assets, out))?;
    }
    Ok(())
}

/// Writes the report where it was asked for; as text when nothing at all was.
fn write_report(outputs: &OutputArgs, talk: &TalkArgs, report: &Report) -> Result<(), Failure> {
    if let Some(path) = &outputs.json {
        to(path, |out| jsonl::document(report, out))?;
    }
    if !outputs.any() {
        let style = text::Style { color: has_color(talk.color), verbose: talk.verbose > 0 };
        to(Path::new("-"), |out| text::write(report, style, out))?;
    }
    Ok(())
}

fn has_color(when: When) -> bool {
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    }
}

/// Writes a document to a path, `-` for standard output.
fn to(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    output::replace(path, write).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::PipeClosed,
        _ if path == Path::new("-") => Failure::from(error),
        _ => Failure::Useless(format!("{}: {error}", path.display())),
    })
}

fn measure(args: &BenchArgs) -> Result<u8, Failure> {
    let (options, stdout) = (args.options(), Path::new("-"));
    if let Some(folder) = &args.write {
        let lines = bench::write_traffic(&options, folder)?;
        to(stdout, |out| out.write_all(lines.as_bytes()))?;
        return Ok(0);
    }
    let old = args.compare.as_deref().map(bench::read_result).transpose()?;
    let mut result = bench::apart::measure_apart(&options, args.quiet)?;
    result.comparison = old.map(|old| bench::compare::compare(&old, &result));
    if let Some(path) = &args.json {
        to(path, |out| jsonl::document(&result, out))?;
    }
    if let Some(path) = &args.report {
        to(path, |out| bench::html::write(&result, out))?;
    }
    if ![&args.json, &args.report].into_iter().flatten().any(|path| path == stdout) {
        to(stdout, |out| bench::text::write(&result, has_color(args.color), out))?;
    }
    Ok(0)
}

#[cfg(target_os = "linux")]
impl From<bench::live::Error> for Failure {
    fn from(error: bench::live::Error) -> Failure {
        match error {
            bench::live::Error::Bench(error) => error.into(),
            bench::live::Error::Live(error) => error.into(),
            bench::live::Error::Same(_) => Failure::Usage(error.to_string()),
            other => Failure::Useless(other.to_string()),
        }
    }
}

#[cfg(target_os = "linux")]
fn measure_live(args: &BenchLiveArgs) -> Result<u8, Failure> {
    let (options, stdout) = (args.options()?, Path::new("-"));
    // Whoever is on this wire should know: this line is never left out.
    eprintln!("bordertap: {}", options.announcement()?);
    let result = {
        let shown = bench::progress::Progress::new(args.quiet);
        bench::live::measure(&options, &|what| shown.tell(what))?
    };
    if let Some(path) = &args.json {
        to(path, |out| jsonl::document(&result, out))?;
    }
    if let Some(path) = &args.report {
        to(path, |out| bench::live::html::write(&result, out))?;
    }
    if ![&args.json, &args.report].into_iter().flatten().any(|path| path == stdout) {
        to(stdout, |out| bench::live::text::write(&result, has_color(args.color), out))?;
    }
    Ok(0)
}

#[cfg(not(target_os = "linux"))]
fn measure_live(_: &BenchLiveArgs) -> Result<u8, Failure> {
    Err(Failure::Usage("bench live sends through AF_PACKET: it works on Linux only".to_owned()))
}

fn signatures(command: &SignatureCommand) -> Result<u8, Failure> {
    let (text, status) = match command {
        SignatureCommand::List { which, format } => {
            let format = match format {
                ListFormat::Text => print::Format::Text,
                ListFormat::Json => print::Format::Json,
                ListFormat::Md => print::Format::Md,
            };
            (load_signatures(which)?.list(format), 0)
        }
        SignatureCommand::Check { which } => {
            let today = jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::now()).date();
            let report = load_signatures(which)?.check(Some(today));
            (report.to_string(), if report.errors().is_empty() { 0 } else { status::USELESS })
        }
        SignatureCommand::Explain { id, which } => match load_signatures(which)?.explain(id) {
            Some(text) => (text, 0),
            None => return Err(Failure::Useless(format!("no signature has the id `{id}`"))),
        },
        SignatureCommand::Fields => (print::fields(), 0),
        SignatureCommand::Coverage { which } => (load_signatures(which)?.coverage(), 0),
        SignatureCommand::Pack { dir, serial, out } => {
            let files = read_dir(dir).map_err(|e| Failure::Useless(e.to_string()))?;
            Signatures::with_files(&files).map_err(|e| Failure::Useless(e.to_string()))?;
            to(out, |out| out.write_all(&Pack::bytes(*serial, &files)))?;
            return Ok(0);
        }
    };
    to(Path::new("-"), |out| out.write_all(text.as_bytes()))?;
    Ok(status)
}

fn places(args: &WhereArgs) -> Result<u8, Failure> {
    let Judging { signatures, places, policy } = judge(&args.judge)?;
    let lines = args.what.iter().map(|what| scan::place_of(what, &signatures, &places, &policy)).collect::<Vec<_>>();
    to(Path::new("-"), |out| lines.iter().try_for_each(|text| out.write_all(text.as_bytes())))?;
    Ok(0)
}

fn man() -> Result<u8, Failure> {
    let mut page = Vec::new();
    let mut all = Cli::command();
    all.build();
    clap_mangen::Man::new(all.clone()).render(&mut page)?;
    for command in all.get_subcommands().filter(|c| c.get_name() != "help") {
        clap_mangen::Man::new(command.clone()).render(&mut page)?;
    }
    to(Path::new("-"), |out| out.write_all(&page))?;
    Ok(0)
}
