//! A wire on which nobody else speaks, and the program listening at its end.
//!
//! In: a test that needs interfaces. Out: the same test run again inside a network namespace of its own, which goes away
//! with it, with a pair of interfaces: what is sent into [`NEAR`] is read at [`FAR`]. Where none can be made the test says
//! so on standard error, whatever is captured; with `BORDERTAP_LIVE=must` in the environment it fails instead.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bordertap::capture::{Inputs, Source};
use serde_json::Value;

use super::packets::Packet;

/// Where packets are put in, and where they are read.
pub const NEAR: &str = "btap0";
pub const FAR: &str = "btap1";

/// Runs the test named so again in a namespace, or says that it could not; true inside.
pub fn inside(test: &str) -> bool {
    const INSIDE: &str = "BORDERTAP_LIVE_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        make_pair();
        return true;
    }
    let Some(how) = [&["--net"][..], &["--user", "--map-root-user", "--net"]].into_iter().find(|how| can_make(how))
    else {
        let mut say = std::io::stderr();
        writeln!(say, "\nNOT RUN: {test}: no network namespace with a pair of interfaces can be made here\n").unwrap();
        assert!(std::env::var_os("BORDERTAP_LIVE").is_none_or(|v| v != "must"), "{test} could not run");
        return false;
    };
    let mut command = Command::new("unshare");
    command.args(how).arg(std::env::current_exe().unwrap());
    let output = command.args(["--exact", test, "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success() && said[0].contains("1 passed"), "{test} in its namespace:\n{}", said.concat());
    // What could not be shown in there is said where it is read.
    let mut say = std::io::stderr();
    for line in said[1].lines().filter(|line| line.starts_with("NOT RUN")) {
        writeln!(say, "\n{line}\n").unwrap();
    }
    false
}

fn can_make(how: &[&str]) -> bool {
    let script = format!("ip link add name {NEAR} type veth peer name {FAR} && ip link set {NEAR} up");
    let mut command = Command::new("unshare");
    command.args(how).args(["sh", "-c", &script]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

pub fn ip(args: &[&str]) -> bool {
    Command::new("ip").args(args).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

/// Two ends of a wire on which nobody else speaks.
pub fn make_pair() {
    assert!(ip(&["link", "add", "name", NEAR, "type", "veth", "peer", "name", FAR]));
    for end in [NEAR, FAR] {
        // Without an address of its own the kernel says nothing; where there is no IPv6 this is refused.
        ip(&["link", "set", end, "addrgenmode", "none"]);
        assert!(ip(&["link", "set", end, "mtu", "9000"]));
        assert!(ip(&["link", "set", end, "up"]));
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bordertap"));
    command.current_dir(root()).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The program while it listens.
pub struct Listening {
    pub child: Child,
    messages: BufReader<std::process::ChildStderr>,
}

/// What it said.
pub struct Said {
    /// Exit status.
    pub status: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub messages: String,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {} {}", self.out, self.messages))
    }
}

/// Starts the program and waits until packets are being kept for it.
pub fn listen(args: &[&str]) -> Listening {
    let mut child = command(&[&["live"], args].concat()).spawn().unwrap();
    let mut messages = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    messages.read_line(&mut line).unwrap();
    assert!(line.contains("listening on"), "{line}");
    Listening { child, messages }
}

/// A test that fails leaves nothing behind.
impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Listening {
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    pub fn finish(mut self) -> Said {
        let (mut out, mut messages) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.messages.read_to_string(&mut messages).unwrap();
        Said { status: self.child.wait().unwrap().code().unwrap(), out, messages }
    }
}

/// The program, run to its end.
pub fn run(args: &[&str]) -> Said {
    let output = command(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { status: output.status.code().unwrap(), out: text(output.stdout), messages: text(output.stderr) }
}

/// Puts frames on the wire, a few at a time.
pub fn send<'a>(frames: impl IntoIterator<Item = &'a [u8]>, pause: Duration) {
    let mut wire = pcap::Capture::from_device(NEAR).unwrap().open().unwrap();
    for (n, frame) in frames.into_iter().enumerate() {
        wire.sendpacket(frame).unwrap();
        if n % 16 == 15 && !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
}

pub const GENTLE: Duration = Duration::from_millis(1);
/// Longer than the kernel keeps a block that is not full.
pub const SETTLED: Duration = Duration::from_millis(300);

/// The demonstration, its packets one microsecond after the other, as they come over a wire: its
/// days are part of what `scan` says of the file.
pub fn demonstration() -> (Vec<Packet>, tempfile::TempDir, PathBuf) {
    let names = [root().join("fixtures/demo/four-vendors.pcapng").to_str().unwrap().to_owned()];
    let mut inputs = Inputs::open(&names, None).unwrap();
    let mut packets = Vec::new();
    while let Some(block) = inputs.next_block() {
        for packet in &block.packets {
            let bytes = block.bytes.as_slice()[packet.start..packet.start + packet.captured as usize].to_vec();
            let time = 1_795_000_000_000_000_000 + packets.len() as u64 * 1000;
            packets.push(Packet { time, bytes, comment: None });
        }
    }
    assert_eq!(packets.len(), 1178);
    let (dir, path) = file(&packets);
    (packets, dir, path)
}

pub fn file(packets: &[Packet]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sent.pcap");
    std::fs::write(&path, super::capture::pcap(true, packets)).unwrap();
    (dir, path)
}

/// Takes out what depends on the hour: times, and months; and numbers of packets, which several rings give as they are read.
pub fn timeless(value: &mut Value) {
    match value {
        Value::Object(map) => {
            const TIMES: [&str; 7] = ["first_seen", "last_seen", "by_month", "schedule", "@timestamp", "start", "end"];
            for key in TIMES.into_iter().chain(["duration", "packet"]) {
                map.remove(key);
            }
            map.values_mut().for_each(timeless);
        }
        Value::Array(values) => values.iter_mut().for_each(timeless),
        _ => {}
    }
}

/// Findings, assets and ledger of a report, without times.
pub fn answer(mut report: Value) -> BTreeMap<&'static str, Value> {
    timeless(&mut report);
    ["findings", "assets", "ledger"].into_iter().map(|key| (key, report[key].take())).collect()
}

pub fn count(report: &Value, key: &str) -> u64 {
    report["ledger"][key].as_u64().unwrap()
}

/// Packets that were lost or refused, by reason.
pub fn reason(report: &Value, name: &str) -> u64 {
    report["ledger"]["not_decoded"][name].as_u64().unwrap_or(0)
}

pub fn adds_up(report: &Value) -> bool {
    let refused: u64 = report["ledger"]["not_decoded"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    count(report, "received") == count(report, "decoded") + refused
}
