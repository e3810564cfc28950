//! What can be typed behind `live`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{RunArgs, parse_size};
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
        let RunArgs { judge, outputs, .. } = &self.run;
        let given = [&judge.policy, &judge.signatures.signatures, &judge.country_db, &judge.asn_db];
        // The packets that an interface itself had no room for are counted there.
        let counters = self.interfaces.iter().map(|name| Path::new("/sys/class/net").join(name).join("statistics"));
        // How many cores it may use stands there.
        let cores = PathBuf::from("/sys/fs/cgroup");
        let read = given.into_iter().flatten().cloned().chain(self.key_file()).chain(counters).chain([cores]);
        let outputs = [&outputs.flows, &outputs.findings, &outputs.assets, &outputs.json, &judge.signatures.last_pack];
        let files = outputs.into_iter().flatten().filter(|path| path.as_os_str() != "-").cloned();
        // Flow records that do not fit into memory wait in a file without a name.
        let waiting = self.run.outputs.flows.is_some().then(std::env::temp_dir);
        Plan {
            mode: match self.sandbox {
                Sandbox::Auto => Mode::Auto,
                Sandbox::Strict => Mode::Strict,
                Sandbox::Off => Mode::Off,
            },
            user: self.user.clone(),
            read: read.collect(),
            write: files.chain(waiting).collect(),
            listen: false,
            unix: false,
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
}

/// Smallest ring.
const RING_BYTES_MIN: u64 = 128 << 10;

fn parse_ring_size(text: &str) -> Result<u64, String> {
    parse_size(text).and_then(|size| if size < RING_BYTES_MIN { Err("at least 128KiB".to_owned()) } else { Ok(size) })
}

/// A time that is longer than nothing, from `30s`, `5m`, `1h30m`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let read: jiff::SignedDuration = text.parse().map_err(|_| format!("`{text}` is no time; write 30s, 5m or 1h"))?;
    let positive = if read.is_positive() { Duration::try_from(read).ok() } else { None };
    positive.ok_or_else(|| "longer than nothing, please".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_has_a_smallest_size() {
        assert_eq!(parse_ring_size("1MiB"), Ok(1 << 20));
        assert!(parse_ring_size("64KiB").is_err());
    }

    #[test]
    fn what_was_named_stays_and_nothing_else() {
        use crate::cli::{Cli, Command};
        let line = "bordertap live -i eth1 --policy /p/policy.toml --asn-db /g/asn.mmdb --json - --findings /o/f.jsonl";
        let cli = <Cli as clap::Parser>::try_parse_from(line.split(' ')).unwrap();
        let Command::Live(args) = cli.command else { panic!("{line}") };
        let plan = args.plan();
        assert_eq!((plan.mode, plan.listen, plan.unix), (Mode::Auto, false, false));
        assert_eq!(plan.write, [Path::new("/o/f.jsonl")]);
        let (given, system) = plan.read.split_at(2);
        assert_eq!(given, [Path::new("/p/policy.toml"), Path::new("/g/asn.mmdb")]);
        assert!(system.iter().all(|path| path.starts_with("/sys")), "{system:?}");
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
