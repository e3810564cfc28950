//! Who listens: this program as its users run it, or another program that says what it lost as tcpdump does.
//!
//! In: an interface. Out: a process that listens, and when it was asked to end what it heard and what it lost, by name.
//! Another program is ready when a line of its standard error holds `listening on`, ends at SIGINT (or, where whoever
//! started all this ignores that, a while later at SIGTERM), and then says
//! `N packets captured`, `N packets received by filter`, `N packets dropped by kernel` (tcpdump(1)).

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Bytes of its messages that are kept.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Longest report that is read.
const REPORT_BYTES_MAX: u64 = 256 << 20;
/// A receiver that is forgotten ends by itself, so long after its trial.
const FORGOTTEN: Duration = Duration::from_secs(120);
/// A receiver has this long to end when it is asked to; a sensor that has much to write takes a while.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// What the names of losses begin with; other reasons of the ledger tell of packets that were read.
const LOSSES: [&str; 2] = ["kernel.", "queue."];
/// What an interface lost never came to the receiver: that is counted at the interface.
const BEFORE: &str = "interface.";

/// A program that listens.
#[derive(Clone, Debug)]
pub enum Receiver {
    /// This one, with these options behind `live`.
    Sensor {
        /// Where it lies.
        program: PathBuf,
        /// In short.
        name: String,
        /// Beside the interface and where results go.
        options: Vec<String>,
    },
    /// Another one: its words, `{rx}` for the interface.
    Other(Vec<String>),
}

/// What it heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Packets that it accounts for, those it lost among them.
    pub received: u64,
    /// What it lost, by name.
    pub lost: BTreeMap<String, u64>,
    /// Why its own account does not add up.
    pub broken: Option<String>,
    /// Processor time that it took since it listened.
    pub processor_ticks: Option<u64>,
}

impl Receiver {
    /// In short.
    pub fn name(&self) -> String {
        match self {
            Receiver::Sensor { name, .. } => name.clone(),
            Receiver::Other(words) => words.first().cloned().unwrap_or_default(),
        }
    }

    /// Its command line on an interface, for a trial of such a length.
    pub fn words(&self, interface: &str, trial: Duration) -> Vec<String> {
        match self {
            Receiver::Sensor { program, options, .. } => {
                let limit = trial.saturating_add(FORGOTTEN).as_secs();
                let mut words = vec![program.to_string_lossy().into_owned()];
                words.extend(["live", "-i", interface, "--json", "-", "--progress", "never"].map(str::to_owned));
                words.extend(["--duration".to_owned(), format!("{limit}s")]);
                words.extend(options.iter().cloned());
                words
            }
            Receiver::Other(words) => words.iter().map(|word| word.replace("{rx}", interface)).collect(),
        }
    }

    /// Starts it and waits until packets are kept for it.
    ///
    /// # Errors
    /// When it cannot be started, or ends before it listens: what it said.
    pub fn listen(&self, interface: &str, trial: Duration) -> io::Result<Listening> {
        let words = self.words(interface, trial);
        let Some((program, arguments)) = words.split_first() else {
            return Err(io::Error::other("no command"));
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped());
        let is_sensor = matches!(self, Receiver::Sensor { .. });
        command.stdout(if is_sensor { Stdio::piped() } else { Stdio::null() });
        let mut child = command.spawn().map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
        let report = child.stdout.take().map(|out| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                out.take(REPORT_BYTES_MAX).read_to_end(&mut bytes).map(|_| bytes)
            })
        });
        let messages = child.stderr.take();
        let mut listening = Listening { child, report, messages: None, is_sensor, ticks: None };
        let Some(messages) = messages else { return Ok(listening) };
        let mut messages = BufReader::new(messages);
        let mut said = Vec::new();
        loop {
            let before = said.len();
            if messages.read_until(b'\n', &mut said)? == 0 || said.len() > MESSAGE_BYTES_MAX {
                let said = String::from_utf8_lossy(&said).trim().to_owned();
                return Err(io::Error::other(format!("{program} does not listen: {said}")));
            }
            if said[before..].windows(b"listening on".len()).any(|part| part == b"listening on") {
                break;
            }
        }
        listening.ticks = ticks(listening.child.id());
        listening.messages = Some(std::thread::spawn(move || rest_of(messages)));
        Ok(listening)
    }
}

/// The end of what it says.
fn rest_of(messages: BufReader<ChildStderr>) -> String {
    let mut kept = Vec::new();
    for line in messages.split(b'\n').map_while(Result::ok) {
        kept.extend_from_slice(&line);
        kept.push(b'\n');
        let excess = kept.len().saturating_sub(MESSAGE_BYTES_MAX);
        kept.drain(..excess);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// A receiver while it listens; it ends when it is dropped.
pub struct Listening {
    child: Child,
    report: Option<JoinHandle<io::Result<Vec<u8>>>>,
    messages: Option<JoinHandle<String>>,
    is_sensor: bool,
    /// Processor time until it listened.
    ticks: Option<u64>,
}

impl Listening {
    /// Asks it to end and reads what it heard.
    ///
    /// # Errors
    /// When it cannot be asked or does not say.
    pub fn finish(mut self) -> io::Result<Heard> {
        let asked = if self.is_sensor { Signal::TERM } else { Signal::INT };
        if !self.ends_at(asked)? && !self.ends_at(Signal::TERM)? {
            return Err(io::Error::other("the receiver did not end when it was asked to"));
        }
        let panicked = |_| io::Error::other("a reader of the receiver ended early");
        let report = self.report.take().map(|reader| reader.join().map_err(panicked)).transpose()?;
        let messages = self.messages.take().map(|reader| reader.join().map_err(panicked)).transpose()?;
        let messages = messages.unwrap_or_default();
        // It has closed what it writes to: it has ended, or has next to nothing left to do.
        let ticks = ticks(self.child.id()).zip(self.ticks).map(|(now, before)| now.saturating_sub(before));
        let status = self.child.wait()?;
        let silent = |what: &str| io::Error::other(format!("{what} ({status}): {}", messages.trim()));
        let heard = match report {
            Some(report) => of_report(&report?).ok_or_else(|| silent("the sensor gave no report")),
            None => of_lines(&messages).ok_or_else(|| silent("the receiver did not say what it captured and dropped")),
        };
        heard.map(|heard| Heard { processor_ticks: ticks, ..heard })
    }

    /// Whether it closes what it writes to in time after this signal.
    fn ends_at(&self, signal: Signal) -> io::Result<bool> {
        if let Some(id) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(id, signal)?;
        }
        let asked = Instant::now();
        let is_over = || {
            self.report.as_ref().is_none_or(JoinHandle::is_finished)
                && self.messages.as_ref().is_none_or(JoinHandle::is_finished)
        };
        while !is_over() {
            if asked.elapsed() > ENDS_WITHIN {
                return Ok(false);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(true)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ticks of processor time of a process and its threads, user and system (proc_pid_stat(5)).
fn ticks(id: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name of a program may hold anything, so fields are counted from its last bracket.
    let mut fields = text.rsplit_once(") ")?.1.split(' ').skip(11).map(str::parse::<u64>);
    Some(fields.next()?.ok()? + fields.next()?.ok()?)
}

/// From the ledger of a report.
fn of_report(report: &[u8]) -> Option<Heard> {
    let report: Value = serde_json::from_slice(report).ok()?;
    let ledger = report.get("ledger")?;
    let (received, decoded) = (ledger.get("received")?.as_u64()?, ledger.get("decoded")?.as_u64()?);
    let reasons = ledger.get("not_decoded")?.as_object()?;
    let reasons: BTreeMap<String, u64> =
        reasons.iter().filter_map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect();
    let sum = decoded + reasons.values().sum::<u64>();
    let broken =
        (sum != received).then(|| format!("its ledger does not add up: {received} received, {sum} accounted for"));
    let before: u64 = reasons.iter().filter(|(name, _)| name.starts_with(BEFORE)).map(|(_, count)| count).sum();
    let is_loss = |name: &String| LOSSES.iter().any(|loss| name.starts_with(loss));
    let lost = reasons.into_iter().filter(|(name, count)| is_loss(name) && *count > 0).collect();
    Some(Heard { received: received.saturating_sub(before), lost, broken, processor_ticks: None })
}

/// From closing lines as tcpdump has them.
fn of_lines(text: &str) -> Option<Heard> {
    let count = |what: &str| {
        let number = text.lines().rev().find_map(|line| line.trim().strip_suffix(what)?.trim().parse::<u64>().ok());
        number.or_else(|| count_of_one(text, what))
    };
    let captured = count("packets captured")?;
    let dropped = count("packets dropped by kernel")?;
    // Without the line nothing stayed behind in the kernel.
    let received = count("packets received by filter").unwrap_or(captured + dropped);
    let broken =
        (captured + dropped > received).then(|| format!("it captured {captured} and dropped {dropped} of {received}"));
    let unread = received.saturating_sub(captured + dropped);
    let lost = [("dropped", dropped), ("unread", unread)].into_iter().filter(|(_, count)| *count > 0);
    Some(Heard {
        received,
        lost: lost.map(|(name, count)| (name.to_owned(), count)).collect(),
        broken,
        processor_ticks: None,
    })
}

/// `1 packet captured`.
fn count_of_one(text: &str, what: &str) -> Option<u64> {
    let one = format!("1 {}", what.replacen("packets", "packet", 1));
    text.lines().any(|line| line.trim() == one).then_some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(list: &[(&str, u64)]) -> BTreeMap<String, u64> {
        list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn closing_lines_of_tcpdump_are_read() {
        let text = "10 packets captured\n25 packets received by filter\n12 packets dropped by kernel\n";
        let heard = of_lines(text).unwrap_or_default();
        assert_eq!(
            heard,
            Heard {
                received: 25,
                lost: losses(&[("dropped", 12), ("unread", 3)]),
                broken: None,
                processor_ticks: None
            }
        );
        let one = of_lines("1 packet captured\n1 packet received by filter\n0 packets dropped by kernel\n");
        assert_eq!(one.map(|heard| heard.received), Some(1));
        assert_eq!(of_lines("5 packets captured\n"), None, "what was dropped is not known");
        let odd = of_lines("9 packets captured\n4 packets received by filter\n0 packets dropped by kernel");
        assert!(odd.is_some_and(|heard| heard.broken.is_some()));
    }

    #[test]
    fn a_ledger_tells_losses_from_what_was_read_and_refused() {
        let report = br#"{"ledger":{"received":100,"decoded":60,
            "not_decoded":{"kernel.ring-dropped":30,"ip.truncated":9,"interface.dropped":1}}}"#;
        let heard = of_report(report).unwrap_or_default();
        let lost = losses(&[("kernel.ring-dropped", 30)]);
        assert_eq!(heard, Heard { received: 99, lost, broken: None, processor_ticks: None });
        let short = br#"{"ledger":{"received":100,"decoded":60,"not_decoded":{}}}"#;
        assert!(of_report(short).is_some_and(|heard| heard.broken.is_some()));
        assert_eq!(of_report(b""), None);
    }

    #[test]
    fn the_interface_is_put_into_a_command() {
        let other = Receiver::Other(["tcpdump", "-i", "{rx}"].map(str::to_owned).to_vec());
        assert_eq!(other.words("veth1", Duration::ZERO), ["tcpdump", "-i", "veth1"]);
        assert_eq!(other.name(), "tcpdump");
    }
}
