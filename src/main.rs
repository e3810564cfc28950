//! The program: reads the command line, runs the command, turns results into exit statuses.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bordertap::bench;
use bordertap::capture::live::{self, Listen, LiveError};
use bordertap::capture::{Inputs, Source};
use bordertap::cli::{
    self, BenchArgs, BenchCommand, BenchLiveArgs, Cli, Command, JudgeArgs, ListFormat, LiveArgs, LogFormat, OutputArgs,
    RunArgs, ScanArgs, SignatureArgs, SignatureCommand, TalkArgs, When, WhereArgs,
};
use bordertap::collect::Judging;
use bordertap::ledger::Ledger;
use bordertap::output;
use bordertap::place::Places;
use bordertap::policy::Policy;
use bordertap::report::{jsonl, text};
use bordertap::scan::{self, Scan, Scanned};
use bordertap::signature::{Key, Pack, Signatures, Used, print, read_dir};
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

fn listen(args: &LiveArgs, log: &Log) -> Result<u8, Failure> {
    let judge = judge(&args.run.judge)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // Who asks twice does not want to wait for the report.
        let now = signal_hook::flag::register_conditional_shutdown(signal, status::USELESS.into(), stop.clone());
        now.and_then(|_| signal_hook::flag::register(signal, stop.clone()))?;
    }
    let end = args.duration.and_then(|duration| Instant::now().checked_add(duration));
    let enough = move || stop.load(Ordering::Relaxed) || end.is_some_and(|end| Instant::now() >= end);
    let how = Listen {
        interfaces: &args.interfaces,
        through: match args.capture {
            cli::Through::Ring => live::Through::Ring,
            cli::Through::Libpcap => live::Through::Libpcap,
        },
        promiscuous: !args.no_promisc,
        ring_bytes: args.ring_size,
        filter: args.run.filter.as_deref(),
    };
    let mut source = live::listen(&how, Box::new(enough))?;
    log.info(&format!("listening on {}", args.interfaces.join(", ")));
    read(source.as_mut(), &args.interfaces, &args.run, judge, log)
}

/// Reads a source to its end and writes what was asked for.
fn read(source: &mut dyn Source, names: &[String], args: &RunArgs, judging: Judging, log: &Log) -> Result<u8, Failure> {
    let bar = progress_bar(&args.talk, source.progress().1);
    let workers = args.workers.map(usize::from).or_else(|| std::thread::available_parallelism().ok().map(usize::from));
    let scan = Scan {
        judging,
        workers: workers.unwrap_or(1),
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
    for damage in &scanned.damage {
        log.warn(&format!("{}: at offset {}: {}", damage.input, damage.offset, damage.reason));
    }
    let (damaged, usable, leaves) = (scanned.is_damaged(), scanned.is_usable(), scanned.leaves());
    if !scanned.report.ledger.adds_up() {
        log.error("the ledger does not add up; please report this");
    }
    if !usable {
        let message = nothing_read(&scanned.report.ledger);
        // Why every packet was refused is worth having; a report of nothing is not.
        if scanned.report.ledger.received > 0 && args.outputs.any() {
            write_outputs(&args.outputs, &args.talk, scanned)?;
        }
        return Err(Failure::Useless(message));
    }
    write_outputs(&args.outputs, &args.talk, scanned)?;
    Ok(match (args.fail_on_finding && leaves, damaged) {
        (true, _) => status::FINDING,
        (false, true) => status::DAMAGED,
        (false, false) => 0,
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

/// Writes what was asked for; the text report when nothing was.
fn write_outputs(outputs: &OutputArgs, talk: &TalkArgs, scanned: Scanned) -> Result<(), Failure> {
    let Scanned { report, flows, .. } = scanned;
    if let Some(path) = &outputs.findings {
        to(path, |out| jsonl::lines(&report.findings, out))?;
    }
    if let Some(path) = &outputs.assets {
        to(path, |out| jsonl::lines(&report.assets, out))?;
    }
    if let Some(path) = &outputs.json {
        to(path, |out| jsonl::document(&report, out))?;
    }
    if let Some(path) = &outputs.flows {
        to(path, |out| flows.write(out))?;
    }
    if !outputs.any() {
        let style = text::Style { color: has_color(talk.color), verbose: talk.verbose > 0 };
        to(Path::new("-"), |out| text::write(&report, style, out))?;
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
