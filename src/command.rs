//! What the commands of the program have in common: what is judged by, what is said on standard error, where documents go,
//! and how a command ends.

pub(crate) mod bench;
pub(crate) mod diff;
pub(crate) mod live;
pub(crate) mod merge;
pub(crate) mod outputs;
pub(crate) mod pages;
pub(crate) mod policy;
pub(crate) mod recheck;
pub(crate) mod scan;
pub(crate) mod signatures;
pub(crate) mod verify;

use std::fmt;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;

use bordertap::anonymise::{self, Anonymiser, other_key};
use bordertap::capture::Damage;
use bordertap::cli::{
    Cli, DatabaseArgs, EndingArgs, JudgeArgs, LogFormat, OutputArgs, RunArgs, SignatureArgs, TalkArgs, When,
};
use bordertap::collect::Judging;
use bordertap::fact::value;
use bordertap::ledger::Ledger;
use bordertap::place::{DatabaseError, Places};
use bordertap::policy::Policy;
use bordertap::report::{Report, read};
use bordertap::signature::{Key, Pack, Signatures, Used};
use bordertap::view::{self, View};
use clap::CommandFactory;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub(crate) use outputs::to;

/// Exit statuses of the contract.
pub(crate) mod status {
    pub const USELESS: u8 = 1;
    pub const USAGE: u8 = 2;
    pub const DAMAGED: u8 = 3;
    pub const FINDING: u8 = 4;
}

/// Why a command ended early.
pub(crate) enum Failure {
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

/// Messages on standard error; standard output carries nothing but what was asked for.
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    pub(crate) quiet: bool,
}

impl Log {
    pub(crate) fn new(talk: &TalkArgs) -> Log {
        Log { format: talk.log_format, quiet: talk.quiet }
    }

    pub(crate) fn error(&self, text: &str) {
        self.write("error", text);
    }

    pub(crate) fn warn(&self, text: &str) {
        if !self.quiet {
            self.write("warning", text);
        }
    }

    pub(crate) fn info(&self, text: &str) {
        if !self.quiet {
            self.write("info", text);
        }
    }

    /// What a sensor sees, in a line.
    pub(crate) fn stats(&self, view: &View) {
        match self.format {
            LogFormat::Text => self.info(&view::line(view)),
            LogFormat::Json if !self.quiet => eprintln!("{}", view::json(view)),
            LogFormat::Json => {}
        }
    }

    fn write(&self, level: &str, text: &str) {
        match self.format {
            LogFormat::Text => {
                // What somebody else wrote may stand in it: a key of a report, the name of a file.
                let lines: Vec<String> = text.split('\n').map(value::harmless).collect();
                eprintln!("bordertap: {level}: {}", lines.join("\n"));
            }
            LogFormat::Json => eprintln!("{}", serde_json::json!({ "log.level": level, "message": text })),
        }
    }
}

/// As [`judge`], and beside what was known before.
pub(crate) fn judge_beside(args: &RunArgs) -> Result<Judging, Failure> {
    beside(args, places(&args.judge.databases)?)
}

/// As [`judge_beside`], but a run does not fail for a database of places: it goes on without, and tells it as damage.
pub(crate) fn judge_to_run(args: &RunArgs) -> Result<Judging, Failure> {
    beside(args, places_or(&args.judge.databases, |places, path, error| Ok(places.without(path, &error)))?)
}

fn beside(args: &RunArgs, places: Places) -> Result<Judging, Failure> {
    let baseline = args.baseline.as_deref().map(read::baseline).transpose();
    let baseline = baseline.map_err(|error| Failure::Useless(error.to_string()))?;
    let judging = judge_by(&args.judge, &args.judge.home, &args.judge.inside, places)?;
    let judging = Judging { baseline: baseline.map(Arc::new), ..judging };
    match &judging.baseline {
        Some(baseline) if baseline.anonymised.as_deref() != judging.policy.key_id() => {
            Err(Failure::Usage(format!("{}: {}", baseline.origin.name, other_key("the run"))))
        }
        _ => Ok(judging),
    }
}

/// What judging needs: signatures, databases, policy.
pub(crate) fn judge(args: &JudgeArgs) -> Result<Judging, Failure> {
    judge_with(args, &args.home, &args.inside)
}

/// As [`judge`], with this home and inside.
pub(crate) fn judge_with(
    args: &JudgeArgs,
    home: &Option<Vec<String>>,
    inside: &Option<Vec<String>>,
) -> Result<Judging, Failure> {
    judge_by(args, home, inside, places(&args.databases)?)
}

fn judge_by(
    args: &JudgeArgs,
    home: &Option<Vec<String>>,
    inside: &Option<Vec<String>>,
    places: Places,
) -> Result<Judging, Failure> {
    let policy = Policy::new(args.policy.as_deref(), home.as_deref(), inside.as_deref())
        .map_err(|e| Failure::Usage(e.to_string()))?;
    let policy = match &args.anonymise {
        Some(path) => {
            let key = anonymise::Key::read(path).map_err(Failure::Usage)?;
            let anonymiser = Anonymiser::new(&key, policy.inside(), &args.anonymise_names);
            policy.anonymised(anonymiser.map_err(|e| Failure::Usage(format!("--anonymise: {e}")))?)
        }
        None => policy,
    };
    let signatures = load_signatures(&args.signatures)?;
    Ok(Judging { signatures: Arc::new(signatures), places: Arc::new(places), policy: Arc::new(policy), baseline: None })
}

/// Databases of places.
pub(crate) fn places(args: &DatabaseArgs) -> Result<Places, Failure> {
    places_or(args, |_, _, error| Err(Failure::Useless(error.to_string())))
}

/// As [`places`]; what to do about one that cannot be used.
fn places_or(
    args: &DatabaseArgs,
    refused: impl Fn(Places, &Path, DatabaseError) -> Result<Places, Failure>,
) -> Result<Places, Failure> {
    let mut places = Places::builtin();
    if let Some(path) = &args.country_db {
        places = places.clone().with_country_db(path).or_else(|error| refused(places, path, error))?;
    }
    if let Some(path) = &args.asn_db {
        places = places.clone().with_asn_db(path).or_else(|error| refused(places, path, error))?;
    }
    Ok(places)
}

pub(crate) fn load_signatures(args: &SignatureArgs) -> Result<Signatures, Failure> {
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

/// Worker threads: as many as are asked for, else one a core.
pub(crate) fn workers(args: &RunArgs) -> usize {
    let cores = || std::thread::available_parallelism().ok().map(usize::from);
    args.workers.map(usize::from).or_else(cores).unwrap_or(1)
}

/// What a command was asked for at its end.
#[derive(Clone, Copy)]
pub(crate) struct Ending<'a> {
    pub(crate) outputs: &'a OutputArgs,
    pub(crate) fail_on_finding: bool,
}

impl<'a> From<&'a RunArgs> for Ending<'a> {
    fn from(args: &'a RunArgs) -> Ending<'a> {
        Ending { outputs: &args.outputs, fail_on_finding: args.fail_on_finding }
    }
}

impl<'a> From<&'a EndingArgs> for Ending<'a> {
    fn from(args: &'a EndingArgs) -> Ending<'a> {
        Ending { outputs: &args.outputs, fail_on_finding: args.fail_on_finding }
    }
}

impl Ending<'_> {
    /// The exit status of a run that said this.
    pub(crate) fn status(self, report: &Report, damaged: bool) -> u8 {
        match (self.fail_on_finding && report.alerts(), damaged) {
            (true, _) => status::FINDING,
            (false, true) => status::DAMAGED,
            (false, false) => 0,
        }
    }
}

/// Says what could not be read, writes what was asked for, and tells the exit status.
pub(crate) fn conclude(
    ending: Ending<'_>,
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
        if report.ledger.received > 0 && ending.outputs.any() {
            write(report)?;
        }
        return Err(Failure::Useless(message));
    }
    write(report)?;
    Ok(ending.status(report, !damage.is_empty()))
}

/// That no packet became part of a flow, and why.
fn nothing_read(ledger: &Ledger) -> String {
    let reasons: Vec<String> = ledger.not_decoded.iter().map(|(name, count)| format!("{name} {count}")).collect();
    match reasons.as_slice() {
        [] => "nothing could be read from the input".to_owned(),
        _ => format!("nothing could be read from the input: {}", reasons.join(", ")),
    }
}

pub(crate) fn progress_bar(talk: &TalkArgs, total: Option<u64>) -> Option<ProgressBar> {
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

pub(crate) fn has_color(when: When) -> bool {
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    }
}

pub(crate) fn man() -> Result<u8, Failure> {
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
