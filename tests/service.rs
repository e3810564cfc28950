//! `bordertap live` as a service: in its sandbox, as another user, and what its supervisor hears.
#![cfg(all(target_os = "linux", feature = "libpcap"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use bordertap::cli::{Cli, Command};
use common::wire::{FAR, GENTLE, SETTLED, answer, command, demonstration, inside, listen, root, run, send};
use serde_json::Value;

/// The unit and its example of a configuration say what can be said.
#[test]
fn the_unit_starts_what_the_program_understands() {
    use clap::Parser;
    let packaged = |name: &str| fs::read_to_string(root().join("packaging").join(name)).unwrap();
    let value = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned));
        line.unwrap_or_else(|| panic!("no {key} in {text}"))
    };
    let (unit, configuration) = (packaged("bordertap.service"), packaged("bordertap.conf"));
    let line = value(&unit, "ExecStart")
        .replace("$INTERFACES", &value(&configuration, "INTERFACES"))
        .replace("$OPTIONS", &value(&configuration, "OPTIONS"));
    let Command::Live(args) = Cli::try_parse_from(line.split_whitespace()).unwrap().command else { panic!("{line}") };
    let plan = args.plan();
    assert_eq!(plan.mode, bordertap::sandbox::Mode::Strict);
    // The only folders that the unit can write to.
    let ours = ["/var/log/bordertap", "/var/lib/bordertap"];
    assert!(plan.write.iter().all(|path| ours.iter().any(|folder| path.starts_with(folder))), "{plan:?}");
}

/// What the kernel says of every thread of a process.
fn threads(process: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap()).collect()
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t")).unwrap_or_else(|| panic!("{status}"))
}

fn has_landlock() -> bool {
    let said = run(&["live", "-i", FAR, "--duration", "1ms"]);
    said.messages.contains("sandbox: landlock ABI")
}

/// The mode to test: strict, where the kernel lets it be.
fn mode() -> &'static str {
    if has_landlock() {
        return "strict";
    }
    let mut say = std::io::stderr();
    writeln!(say, "\nNOT RUN: --sandbox strict, which needs a kernel with landlock; auto is run\n").unwrap();
    assert!(std::env::var_os("BORDERTAP_LIVE").is_none_or(|v| v != "must"), "no landlock");
    "auto"
}

#[test]
fn the_sandbox_is_no_hindrance() {
    if !inside("the_sandbox_is_no_hindrance") {
        return;
    }
    let (packets, dir, path) = demonstration();
    let expected = answer(run(&["scan", path.to_str().unwrap(), "--json", "-"]).json());
    let mode = mode();
    let files = ["report.json", "flows.jsonl", "findings.jsonl", "assets.jsonl"].map(|name| dir.path().join(name));
    let [report, flows, findings, assets] = files.each_ref().map(|path| path.to_str().unwrap());
    for (through, workers) in [("ring", "1"), ("ring", "4"), ("libpcap", "2")] {
        let program = listen(&[
            "-i",
            FAR,
            "--capture",
            through,
            "-j",
            workers,
            "--sandbox",
            mode,
            "--json",
            report,
            "--flows",
            flows,
            "--findings",
            findings,
            "--assets",
            assets,
        ]);
        send(packets.iter().map(|p| p.bytes.as_slice()), GENTLE);
        std::thread::sleep(SETTLED);
        let threads = threads(program.child.id());
        assert!(threads.len() > 4, "whoever leads, workers, a writer for each output: {}", threads.len());
        for status in threads {
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert_eq!(field(&status, set), "0000000000000000", "{set}");
            }
            assert_eq!((field(&status, "NoNewPrivs"), field(&status, "Seccomp")), ("1", "2"));
        }
        program.signal("TERM");
        let said = program.finish();
        assert_eq!(said.status, 0, "{}", said.messages);
        assert!(said.messages.contains(", seccomp, no capabilities, user root"), "{}", said.messages);
        let got = answer(serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap());
        assert_eq!(got, expected, "{through} with {workers} workers");
        let lines = |path| fs::read_to_string(path).unwrap().lines().count();
        // A line for each, and another when it changed.
        assert!(lines(findings) >= expected["findings"].as_array().unwrap().len());
        assert!(lines(assets) >= expected["assets"].as_array().unwrap().len());
        assert!(lines(flows) > 20);
        files.iter().for_each(|path| fs::remove_file(path).unwrap());
    }
}

/// A user that every system has.
const NOBODY: &str = "nobody";

fn number_of(user: &str) -> u32 {
    let said = std::process::Command::new("id").args(["-u", user]).output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn another_user_writes_what_is_theirs() {
    if !inside("another_user_writes_what_is_theirs") {
        return;
    }
    if fs::read_to_string("/proc/self/uid_map").unwrap().split_whitespace().nth(2) == Some("1") {
        let mut say = std::io::stderr();
        writeln!(say, "\nNOT RUN: another user, for there is only one in this namespace\n").unwrap();
        assert!(std::env::var_os("BORDERTAP_LIVE").is_none_or(|v| v != "must"), "no other user");
        return;
    }
    let number = number_of(NOBODY);
    let (packets, dir, _) = demonstration();
    let (theirs, ours) = (dir.path().join("theirs"), dir.path().join("ours"));
    for folder in [&theirs, &ours] {
        fs::create_dir(folder).unwrap();
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(&theirs, Some(number), None).unwrap();
    let report = theirs.join("report.json");
    let out = report.to_str().unwrap();
    let program = listen(&["-i", FAR, "-j", "2", "--user", NOBODY, "--sandbox", mode(), "--json", out]);
    send(packets.iter().map(|p| p.bytes.as_slice()), GENTLE);
    std::thread::sleep(SETTLED);
    for status in threads(program.child.id()) {
        assert_eq!(field(&status, "Uid").split('\t').collect::<Vec<_>>(), [&*number.to_string(); 4]);
        assert!(!field(&status, "Gid").split('\t').any(|gid| gid == "0"), "{status}");
        assert!(!field(&status, "Groups").split(' ').any(|gid| gid == "0"), "{status}");
        assert_eq!(field(&status, "CapPrm"), "0000000000000000");
    }
    program.signal("TERM");
    let said = program.finish();
    assert_eq!(said.status, 0, "{}", said.messages);
    assert!(said.messages.contains("user nobody"), "{}", said.messages);
    let read: Value = serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap();
    assert_eq!(read["ledger"]["received"], 1178);
    assert_eq!(fs::metadata(&report).unwrap().uid(), number);

    // What could not be written in the end is said in the beginning.
    let out = ours.join("report.json");
    let said = run(&["live", "-i", FAR, "--user", NOBODY, "--json", out.to_str().unwrap()]);
    assert_eq!(said.status, 1);
    assert_eq!(said.messages, format!("bordertap: error: {}: not writable for the user nobody\n", ours.display()));
    let said = run(&["live", "-i", FAR, "--user", "no-such-user-here"]);
    assert_eq!(said.status, 2, "{}", said.messages);
}

/// From now on a call does not exist, for this process and what it starts; as if the kernel were older.
fn without(call: i64) {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter_all_threads};
    const ENOSYS: u32 = 38;
    let here = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let rules = BTreeMap::from([(call, Vec::new())]);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(ENOSYS), here).unwrap();
    apply_filter_all_threads(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

/// An older kernel: strict does not run and says why, auto runs and says what it lacks.
fn older_kernel(call: i64, lacks: &str) {
    without(call);
    let said = run(&["live", "-i", FAR, "--duration", "1ms", "--sandbox", "strict"]);
    assert_eq!(said.status, 1, "{}", said.messages);
    assert!(said.messages.starts_with("bordertap: error: --sandbox strict: missing here: "), "{}", said.messages);
    assert!(said.messages.contains(lacks) && !said.messages.contains("listening"), "{}", said.messages);
    let (packets, ..) = demonstration();
    let program = listen(&["-i", FAR, "--count", "100", "--json", "-"]);
    send(packets.iter().take(100).map(|p| p.bytes.as_slice()), GENTLE);
    let said = program.finish();
    assert_eq!(said.json()["ledger"]["received"], 100, "{}", said.messages);
    let warning = said.messages.lines().find(|line| line.contains("the sandbox lacks here: ")).unwrap();
    assert!(warning.contains(lacks), "{warning}");
}

#[test]
fn a_kernel_without_landlock_is_not_strict() {
    if inside("a_kernel_without_landlock_is_not_strict") {
        older_kernel(libc::SYS_landlock_create_ruleset, "landlock");
    }
}

#[test]
fn a_kernel_without_filters_is_not_strict() {
    if inside("a_kernel_without_filters_is_not_strict") {
        older_kernel(libc::SYS_seccomp, "seccomp");
    }
}

/// What a supervisor hears of one run that is ended after it was ready.
fn heard(supervisor: &UnixDatagram, name: &str) -> Vec<String> {
    supervisor.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let next = || {
        let mut bytes = [0; 4096];
        let length = supervisor.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    let (packets, ..) = demonstration();
    let mut program = command(&["live", "-i", FAR, "--sandbox", mode(), "--json", "-"]);
    let program = program.env("NOTIFY_SOCKET", name).spawn().unwrap();
    let mut messages = vec![next()];
    // It is ready, so what is sent now is read.
    send(packets.iter().map(|p| p.bytes.as_slice()), GENTLE);
    std::thread::sleep(SETTLED);
    assert!(std::process::Command::new("kill").arg(program.id().to_string()).status().unwrap().success());
    let output = program.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ledger"]["received"], packets.len());
    while messages.last().is_some_and(|last| !last.contains("STOPPING=1\n")) {
        messages.push(next());
    }
    messages
}

#[test]
fn the_supervisor_hears_when_it_is_ready_and_when_it_ends() {
    if !inside("the_supervisor_hears_when_it_is_ready_and_when_it_ends") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let by_path = heard(&UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap());
    let name = format!("bordertap-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let by_name = heard(&UnixDatagram::bind_addr(&address).unwrap(), &format!("@{name}"));
    for messages in [by_path, by_name] {
        assert_eq!(messages.first().map(String::as_str), Some("READY=1\n"));
        assert!(messages.last().unwrap().contains("STOPPING=1\n"), "{messages:?}");
    }
    let mut program = command(&["live", "-i", FAR, "--duration", "1ms"]);
    let output = program.env("NOTIFY_SOCKET", Path::new("/nobody/listens")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("NOTIFY_SOCKET"), "{output:?}");
}
