//! What can be typed behind `live`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::RunArgs;
use crate::metrics;
use crate::output::{Age, Rotate, Target, parse_keep_bytes, parse_size};
use crate::policy;
use crate::sandbox::{Mode, Plan};

/// `bordertap live`.
#[derive(Debug, Args)]
pub struct LiveArgs {
    /// An interface to listen on; may be given several times
    #[arg(short, long = "interface", required = true, value_name = "IFACE")]
    pub interfaces: Vec<String>,

    /// Stop after this time: 30s, 5m, 1h, 1h30m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,

    /// Through what: the ring is the kernel's own and is there on Linux only
    #[arg(long, value_enum, default_value_t = if cfg!(target_os = "linux") { Through::Ring } else { Through::Libpcap })]
    pub capture: Through,

    /// Kernel memory for packets that wait to be read, for each interface
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_ring_size)]
    pub ring_size: u64,

    /// Take packets for other hosts too; this is the default
    #[arg(long, overrides_with = "no_promisc")]
    pub promisc: bool,

    /// Take only what comes to this host anyway
    #[arg(long)]
    pub no_promisc: bool,

    /// The name of this sensor in its reports: `merge` tells sensors apart by it [default: the name of the machine]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Keep what is known in this folder, and go on from there next time: sums by calendar month survive a restart
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Begin files anew after a time or at a size: 1h, 1d, 1GiB
    #[arg(long, value_name = "TIME|SIZE", value_parser = Rotate::parse, help_heading = FILES)]
    pub rotate: Option<Rotate>,

    /// What all files of records may hold together; the oldest are deleted first
    #[arg(long, value_name = "SIZE", value_parser = parse_keep_bytes, help_heading = FILES)]
    pub keep_bytes: Option<u64>,

    /// How old a file that is complete may become: 6mo, 26w, 200d, forever
    #[arg(long, value_name = "TIME", default_value = "6mo", value_parser = Age::parse, help_heading = FILES)]
    pub keep_for: Age,

    /// Share interfaces with other programs that give the same number: the kernel deals packets out among them by pairs of
    /// addresses. The first interface has this number, the next ones those behind it
    #[arg(long, value_name = "ID")]
    pub fanout: Option<u16>,

    /// Whose clock the times of packets are of: the kernel's, or the card's where it has one; a card's may not be in UTC
    #[arg(long, value_enum, default_value_t = Timestamps::Kernel, value_name = "CLOCK")]
    pub timestamps: Timestamps,

    /// Look whether interfaces are set up well and show both directions of the traffic, then end: what is right, what to
    /// change and why; with --json as a document. It listens for --duration, 3 seconds if that is not given. Exit status: 0
    /// nothing to change; 3 something to change; 1 nothing can be captured
    #[arg(long, conflicts_with_all = ["flows", "findings", "assets", "eve", "cef"])]
    pub check: bool,

    /// Show the sensor on the terminal while it runs: findings, assets, losses; ? there tells the keys
    #[arg(long, conflicts_with = "stats_every")]
    pub tui: bool,

    /// Answer Prometheus there (GET /metrics, GET /healthz): a port alone means 127.0.0.1
    #[arg(long, value_name = "ADDR", value_parser = metrics::address)]
    pub metrics: Option<SocketAddr>,

    /// Say on standard error what the sensor sees, so often: 10s, 1m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub stats_every: Option<Duration>,

    /// Become this user once the interfaces are open; outputs are written as this user
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,

    /// Give up every right, file and call that listening does not need; strict: or do not run
    #[arg(long, value_enum, default_value_t = Sandbox::Auto)]
    pub sandbox: Sandbox,

    /// How it is read and judged, and where results go
    #[command(flatten)]
    pub run: RunArgs,
}

const FILES: &str = "Files of records";

/// How long `--check` listens when nothing is said.
pub const CHECK_TIME: Duration = Duration::from_secs(3);

/// How much is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sandbox {
    /// What the kernel knows how to; what is missing is said.
    Auto,
    /// Everything, or an error.
    Strict,
    /// Nothing.
    Off,
}

impl LiveArgs {
    /// What is still needed once everything is open.
    pub fn plan(&self) -> Plan {
        let RunArgs { judge, outputs, baseline, evidence, .. } = &self.run;
        // A preset is no file.
        let policy = judge.policy.as_ref().filter(|path| policy::preset(path).is_none()).cloned();
        let given = [
            &policy,
            baseline,
            &judge.anonymise,
            &judge.signatures.signatures,
            &judge.databases.country_db,
            &judge.databases.asn_db,
        ];
        // How many cores it may use stands there.
        let cores = PathBuf::from("/sys/fs/cgroup");
        let read = given.into_iter().flatten().cloned().chain(self.key_file()).chain([cores]);
        let records = outputs.records();
        let targets: Vec<Target> = records.filter_map(|(_, path)| Target::parse(path.to_str()?).ok()).collect();
        let unix = targets.iter().any(|target| matches!(target, Target::Unix(_) | Target::Syslog(_)));
        let files = targets.into_iter().filter_map(|target| match target {
            Target::File(path) | Target::Unix(path) | Target::Syslog(path) => Some(path),
            Target::Stdout => None,
        });
        let documents = [&outputs.json, &outputs.report, &judge.signatures.last_pack].into_iter().flatten();
        let documents = documents.cloned().chain(outputs.formats.documents());
        let files = files.chain(documents.filter(|path| path.as_os_str() != "-"));
        let known = self.state.iter().map(|folder| folder.join("known.json"));
        let terminal = self.tui.then(|| PathBuf::from("/dev/tty"));
        // Flow records that do not fit into memory wait in a file without a name, and packets for a bundle there too.
        let waiting = (outputs.needs_flows() || evidence.evidence.is_some()).then(std::env::temp_dir);
        Plan {
            mode: match self.sandbox {
                Sandbox::Auto => Mode::Auto,
                Sandbox::Strict => Mode::Strict,
                Sandbox::Off => Mode::Off,
            },
            user: self.user.clone(),
            read: read.collect(),
            write: files.chain(known).chain(terminal).chain(waiting).chain(evidence.evidence.clone()).collect(),
            listen: self.metrics.is_some(),
            unix,
        }
    }

    /// The key of signed packs, where it is a file.
    fn key_file(&self) -> Option<PathBuf> {
        let key = self.run.judge.signatures.signature_key.as_deref().map(PathBuf::from);
        key.filter(|path| path.is_file())
    }
}

/// Through what packets come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Through {
    /// The kernel's ring of packets.
    Ring,
    /// libpcap.
    Libpcap,
    /// AF_XDP, which is refused with the reason.
    #[value(hide = true)]
    Xdp,
}

/// Whose clock the times of packets are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Timestamps {
    /// The kernel's.
    Kernel,
    /// The card's, where it has one; the kernel's otherwise.
    Hardware,
}

/// Smallest ring.
const RING_BYTES_MIN: u64 = 128 << 10;

pub(super) fn parse_ring_size(text: &str) -> Result<u64, String> {
    parse_size(text).and_then(|size| if size < RING_BYTES_MIN { Err("at least 128KiB".to_owned()) } else { Ok(size) })
}

/// A time that is longer than nothing, from `30s`, `5m`, `1h30m`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let read: jiff::SignedDuration = text.parse().map_err(|_| format!("`{text}` is no time; write 30s, 5m or 1h"))?;
    let positive = if read.is_positive() { Duration::try_from(read).ok() } else { None };
    positive.ok_or_else(|| "longer than nothing, please".to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_ring_has_a_smallest_size() {
        assert_eq!(parse_ring_size("1MiB"), Ok(1 << 20));
        assert!(parse_ring_size("64KiB").is_err());
    }

    #[test]
    fn what_was_named_stays_and_nothing_else() {
        use crate::cli::{Cli, Command};
        let line = "bordertap live -i eth1 --policy /p/policy.toml --asn-db /g/asn.mmdb --json - --findings /o/f.jsonl \
                    --report /o/r.html";
        let cli = <Cli as clap::Parser>::try_parse_from(line.split(' ')).unwrap();
        let Command::Live(args) = cli.command else { panic!("{line}") };
        let plan = args.plan();
        assert_eq!((plan.mode, plan.listen, plan.unix), (Mode::Auto, false, false));
        assert_eq!(plan.write, [Path::new("/o/f.jsonl"), Path::new("/o/r.html")]);
        let (given, system) = plan.read.split_at(2);
        assert_eq!(given, [Path::new("/p/policy.toml"), Path::new("/g/asn.mmdb")]);
        assert!(system.iter().all(|path| path.starts_with("/sys")), "{system:?}");
        let line = "bordertap live -i eth1 --policy eu";
        let Command::Live(args) = <Cli as clap::Parser>::try_parse_from(line.split(' ')).unwrap().command else {
            panic!("{line}")
        };
        assert!(args.plan().read.iter().all(|path| path.starts_with("/sys")), "a preset is no file");
    }

    #[test]
    fn times_are_read() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert!(parse_duration("0s").is_err());
        assert!(parse_duration("-5s").is_err());
        assert!(parse_duration("soon").is_err());
    }
}
