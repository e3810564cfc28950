//! `bordertap live` as a sensor that runs for long: what it writes while it runs, what it is asked meanwhile, and what is
//! left when it is killed or its disk is full.
#![cfg(all(target_os = "linux", feature = "libpcap"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use common::packets::Packet;
use common::sensors::ANOTHER;
use common::tmux::{self, Tmux};
use common::wire::{
    FAR, GENTLE, SETTLED, answer, count, demonstration, inside, ip, listen, reason, root, run, send, timeless,
};
use serde_json::Value;

fn frames(packets: &[Packet]) -> impl Iterator<Item = &[u8]> {
    packets.iter().map(|packet| packet.bytes.as_slice())
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// Waits until it holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The last line for each id, of those that still stand.
fn standing(lines: &[Value]) -> BTreeMap<String, Value> {
    let mut last = BTreeMap::new();
    for line in lines {
        last.insert(line["id"].as_str().unwrap().to_owned(), line.clone());
    }
    last.retain(|_, line| line["status"] != "withdrawn");
    last
}

#[test]
fn findings_come_while_it_listens_and_the_last_of_each_is_what_scan_finds() {
    if !inside("findings_come_while_it_listens_and_the_last_of_each_is_what_scan_finds") {
        return;
    }
    let (packets, dir, path) = demonstration();
    let expected: Vec<Value> =
        run(&["scan", path.to_str().unwrap(), "--findings", "-"]).out.lines().map(|l| l.parse().unwrap()).collect();
    let [findings, assets, flows] =
        ["findings", "assets", "flows"].map(|name| dir.path().join(format!("{name}.jsonl")));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let args = ["-i", FAR, "--findings", &text(&findings), "--assets", &text(&assets), "--flows", &text(&flows)];
    let program = listen(&args);
    send(frames(&packets), GENTLE);
    // Flows are open for a while after their last packet; what they are is told before.
    until("findings while it listens", || lines(&findings).len() > 5 && lines(&assets).len() > 2);
    program.signal("TERM");
    let said = program.finish();
    assert_eq!((said.status, said.out.as_str()), (0, ""), "{}", said.messages);
    let last = standing(&lines(&findings));
    assert_eq!(last.len(), expected.len());
    for mut finding in expected {
        let mut line = last[finding["id"].as_str().unwrap()].clone();
        let revision = line.as_object_mut().unwrap().remove("revision").unwrap();
        assert!(revision.as_u64() >= Some(1));
        line.as_object_mut().unwrap().remove("status");
        timeless(&mut line);
        timeless(&mut finding);
        assert_eq!(line, finding);
    }
    assert!(lines(&assets).len() >= 4 && lines(&flows).len() > 100);
    let schema: Value =
        serde_json::from_str(&std::fs::read_to_string(root().join("fixtures/schema/finding.json")).unwrap()).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for line in lines(&findings) {
        assert!(schema.is_valid(&line), "{line}");
    }
}

#[test]
fn it_tells_the_report_when_it_is_asked_and_goes_on() {
    if !inside("it_tells_the_report_when_it_is_asked_and_goes_on") {
        return;
    }
    let (packets, dir, _path) = demonstration();
    let report = dir.path().join("report.json");
    let program = listen(&["-i", FAR, "--json", report.to_str().unwrap()]);
    send(frames(&packets[..600]), GENTLE);
    std::thread::sleep(SETTLED);
    program.signal("USR1");
    until("the report", || report.exists());
    let first: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert_eq!(count(&first, "received"), 600, "{}", first["ledger"]);
    send(frames(&packets[600..]), GENTLE);
    program.signal("TERM");
    assert_eq!(program.finish().status, 0);
    let last: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert_eq!(count(&last, "decoded"), 1178);
}

#[test]
fn sums_go_on_after_a_restart() {
    if !inside("sums_go_on_after_a_restart") {
        return;
    }
    let (packets, dir, path) = demonstration();
    let state = dir.path().join("state");
    let once = answer(run(&["scan", path.to_str().unwrap(), "--json", "-"]).json());
    let total = |findings: &Value| -> u64 {
        let findings = findings.as_array().unwrap().iter().filter(|f| f["channel"]["id"] != "unexplained");
        findings.map(|f| f["bytes_out"].as_u64().unwrap()).sum()
    };
    for round in 1..=3u64 {
        let program = listen(&["-i", FAR, "--json", "-", "--state", state.to_str().unwrap()]);
        send(frames(&packets), GENTLE);
        program.signal("TERM");
        let said = program.finish();
        let report = said.json();
        assert_eq!(count(&report, "received"), 1178, "the ledger of packets is that of the run");
        assert_eq!(total(&report["findings"]), total(&once["findings"]) * round, "{}", said.messages);
        assert_eq!(report["findings"].as_array().unwrap().len(), once["findings"].as_array().unwrap().len());
    }
    std::fs::write(state.join("known.json"), "{\"format\":1").unwrap();
    let said = run(&["live", "-i", FAR, "--state", state.to_str().unwrap(), "--duration", "1s"]);
    assert_eq!(said.status, 1);
    assert!(said.messages.contains("known.json"), "{}", said.messages);
}

#[test]
fn signatures_are_read_again_under_load_and_bad_ones_change_nothing() {
    if !inside("signatures_are_read_again_under_load_and_bad_ones_change_nothing") {
        return;
    }
    let (packets, dir, path) = demonstration();
    let folder = dir.path().join("signatures");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("another.toml");
    std::fs::write(&file, ANOTHER).unwrap();
    let expected = answer(run(&["scan", path.to_str().unwrap(), "--json", "-"]).json());
    let folder = folder.to_str().unwrap().to_owned();
    let program = listen(&["-i", FAR, "-j", "2", "--signatures", &folder, "--json", "-"]);
    for (at, part) in packets.chunks(200).enumerate() {
        send(frames(part), GENTLE);
        let text = match at {
            1 => ANOTHER.replace("confidence = 95", "confidence = 90"),
            2 => "format = 1\nvendor = ".to_owned(),
            _ => continue,
        };
        std::fs::write(&file, text).unwrap();
        program.signal("HUP");
        std::thread::sleep(Duration::from_millis(1500));
    }
    program.signal("TERM");
    let said = program.finish();
    assert!(said.messages.contains("were read again and are in use"), "{}", said.messages);
    assert!(said.messages.contains("what was read before stays in use"), "{}", said.messages);
    assert!(said.messages.contains("another.toml:2"), "which file and line: {}", said.messages);
    assert_eq!(said.status, 0, "{}", said.messages);
    let report = said.json();
    assert_eq!(report["header"]["signatures"]["vendors"], 17);
    let got = answer(report);
    assert_eq!(got["ledger"], expected["ledger"]);
    assert_eq!(got["findings"], expected["findings"]);
}

#[test]
fn a_kill_leaves_whole_records_and_what_is_known() {
    if !inside("a_kill_leaves_whole_records_and_what_is_known") {
        return;
    }
    let (packets, dir, path) = demonstration();
    let of_one = run(&["scan", path.to_str().unwrap(), "--flows", "-"]).out.lines().count();
    let (flows, state) = (dir.path().join("flows.jsonl"), dir.path().join("state"));
    let args = ["-i", FAR, "--flows", flows.to_str().unwrap(), "--state", state.to_str().unwrap(), "--rotate", "64KiB"];
    let mut program = listen(&args);
    // A new flow between the same ports ends the one before.
    send(frames(&packets), GENTLE);
    send(frames(&packets), GENTLE);
    until("flow records", || flows.exists() && std::fs::metadata(&flows).unwrap().len() > 1000);
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    let text = std::fs::read_to_string(&flows).unwrap();
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    assert!(whole > 0);
    for line in text[..whole].lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
    // It starts again, and goes on in whole lines.
    let program = listen(&args);
    send(frames(&packets), GENTLE);
    program.signal("TERM");
    assert_eq!(program.finish().status, 0);
    let all: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let files = all.iter().filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("flows"));
    let records: usize = files.map(|path| lines(path).len()).sum();
    assert!(records > of_one, "{records} records in {all:?}, and {of_one} of the second run alone");
}

/// Killed at whatever moment, while it listens and while it ends, a sensor leaves whole lines, whole documents, and a state
/// that loads: the new one or the one before.
#[test]
fn a_kill_at_any_moment_leaves_whole_lines_and_a_state_that_loads() {
    if !inside("a_kill_at_any_moment_leaves_whole_lines_and_a_state_that_loads") {
        return;
    }
    let (packets, dir, path) = demonstration();
    let state = dir.path().join("state").to_str().unwrap().to_owned();
    let total = |report: &Value| -> u64 {
        let findings = report["findings"].as_array().unwrap().iter().filter(|f| f["channel"]["id"] != "unexplained");
        findings.map(|f| f["bytes_out"].as_u64().unwrap()).sum()
    };
    let once = total(&run(&["scan", path.to_str().unwrap(), "--json", "-"]).json());
    let (mut known, mut kept) = (0, 0);
    // Milliseconds after the last packet, or after it was told to end.
    let moments = [(false, 0), (false, 400), (true, 0), (true, 3), (true, 10), (true, 30), (true, 100), (true, 300)];
    for (n, (ends, moment)) in moments.into_iter().enumerate() {
        let folder = dir.path().join(format!("run{n}"));
        std::fs::create_dir(&folder).unwrap();
        let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let names = ["findings", "assets", "flows", "eve", "cef", "json"];
        let options: Vec<[String; 2]> = names.iter().map(|name| [format!("--{name}"), file(name)]).collect();
        let options = options.iter().flatten().map(String::as_str);
        let args: Vec<&str> = ["-i", FAR, "--state", &state].into_iter().chain(options).collect();
        let mut program = listen(&args);
        send(frames(&packets), GENTLE);
        if ends {
            program.signal("TERM");
        }
        std::thread::sleep(Duration::from_millis(moment));
        program.child.kill().unwrap();
        program.child.wait().unwrap();
        for name in names {
            let text = std::fs::read_to_string(file(name)).unwrap_or_default();
            let whole = text.rfind('\n').map_or(0, |at| at + 1);
            match name {
                "json" => assert!(text.is_empty() || serde_json::from_str::<Value>(&text).is_ok(), "{name}"),
                "cef" => assert!(text[..whole].lines().all(|line| line.contains("CEF:0|")), "{name}"),
                _ => text[..whole].lines().for_each(|line| {
                    serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
                }),
            }
        }
        // The next run goes on from what was known before, with or without this one.
        let program = listen(&["-i", FAR, "--state", &state, "--json", "-"]);
        send(frames(&packets), GENTLE);
        program.signal("TERM");
        let said = program.finish();
        assert_eq!(said.status, 0, "{n}: {}", said.messages);
        let now = total(&said.json());
        let runs = [known + once, known + 2 * once];
        assert!(runs.contains(&now), "{n}: {known} and {once}, not {now}");
        kept += u64::from(now == runs[1]);
        known = now;
    }
    let all = moments.len() as u64;
    assert!((1..all).contains(&kept), "{kept} of {all} runs were kept: the moments are not those of the end");
}

#[test]
fn a_full_disk_is_a_counted_loss() {
    if !inside("a_full_disk_is_a_counted_loss") {
        return;
    }
    let (packets, dir, _path) = demonstration();
    let small = dir.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs", small.to_str().unwrap()])
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        writeln!(std::io::stderr(), "\nNOT RUN: a_full_disk_is_a_counted_loss: no small disk can be mounted here\n")
            .unwrap();
        assert!(std::env::var_os("BORDERTAP_LIVE").is_none_or(|v| v != "must"));
        return;
    }
    let flows = small.join("flows.jsonl");
    let program = listen(&["-i", FAR, "--flows", flows.to_str().unwrap(), "--json", "-"]);
    for _ in 0..3 {
        send(frames(&packets), GENTLE);
    }
    std::thread::sleep(Duration::from_millis(1500));
    program.signal("TERM");
    let said = program.finish();
    let written = lines(&flows).len() as u64;
    std::process::Command::new("umount").arg(&small).status().unwrap();
    let report = said.json();
    assert_eq!(count(&report, "received"), 3 * 1178, "capture never stood still: {}", report["ledger"]);
    assert_eq!(reason(&report, "kernel.ring-dropped"), 0);
    let dropped = report["ledger"]["later"]["output.dropped"].as_u64().unwrap_or(0);
    let flows = report["header"]["flows"].as_u64().unwrap();
    assert!(dropped > 0 && written > 0, "{}", report["ledger"]);
    assert_eq!(written + dropped, flows, "every flow is in the file or counted");
}

/// A page of the metrics server; nothing before there is a picture.
fn page(path: &str) -> Option<String> {
    let mut client = TcpStream::connect("127.0.0.1:9477").unwrap();
    write!(client, "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    answer.starts_with("HTTP/1.1 200 ").then(|| body.to_owned())
}

#[test]
fn metrics_tell_what_the_ledger_tells() {
    if !inside("metrics_tell_what_the_ledger_tells") {
        return;
    }
    assert!(ip(&["link", "set", "lo", "up"]));
    let (packets, ..) = demonstration();
    let program = listen(&["-i", FAR, "--metrics", "9477", "--json", "-", "--stats-every", "1s", "-j", "2"]);
    send(frames(&packets), GENTLE);
    let number = |name: &str| -> f64 {
        let Some(page) = page("/metrics") else { return 0.0 };
        let lines = page.lines().map(|line| Ok(line.to_owned())).collect::<Vec<_>>();
        let scrape = prometheus_parse::Scrape::parse(lines.into_iter()).unwrap();
        let sample = scrape.samples.iter().find(|sample| sample.metric == name && sample.labels.is_empty());
        match sample.map(|sample| &sample.value) {
            Some(prometheus_parse::Value::Counter(n) | prometheus_parse::Value::Gauge(n)) => *n,
            Some(prometheus_parse::Value::Untyped(n)) => *n,
            other => panic!("{name}: {other:?}"),
        }
    };
    until("all packets in the metrics", || number("bordertap_packets_received_total") == 1178.0);
    assert_eq!(number("bordertap_packets_decoded_total"), 1178.0);
    assert!(page("/healthz").is_some());
    program.signal("TERM");
    let said = program.finish();
    assert_eq!(count(&said.json(), "decoded"), 1178);
    assert!(said.messages.contains("1,178 packets"), "the line: {}", said.messages);
}

#[test]
fn the_terminal_shows_a_sensor_and_ends_it() {
    if !inside("the_terminal_shows_a_sensor_and_ends_it") {
        return;
    }
    if !tmux::is_there() {
        writeln!(std::io::stderr(), "\nNOT RUN: the_terminal_shows_a_sensor_and_ends_it: there is no tmux\n").unwrap();
        assert!(std::env::var_os("BORDERTAP_LIVE").is_none_or(|v| v != "must"));
        return;
    }
    let (packets, dir, _path) = demonstration();
    let report = dir.path().join("report.json");
    let (program, out) = (env!("CARGO_BIN_EXE_bordertap"), report.display());
    let terminal = Tmux::open(&format!("'{program}' live -i {FAR} --tui --json '{out}'"));
    terminal.wait("the sensor", |screen| screen.contains("Findings"));
    send(frames(&packets), GENTLE);
    terminal.wait("a finding", |screen| screen.contains("10.20.0.1") && screen.contains("FortiGate"));
    // The report is written on request, and the sensor goes on.
    terminal.keys(&["r"]);
    until("the report", || report.exists());
    terminal.keys(&["/"]);
    terminal.keys(&["-l", "wildfire"]);
    terminal.keys(&["Enter"]);
    let screen =
        terminal.wait("what was searched", |screen| screen.contains("WildFire") || screen.contains("wildfire"));
    assert!(!screen.contains("FortiGate Cloud"), "{screen}");
    terminal.keys(&["Enter"]);
    terminal.wait("the evidence", |screen| screen.contains("x509.subject"));
    terminal.keys(&["q"]);
    terminal.wait("the end", |screen| screen.contains("status 0"));
    terminal.is_restored();
    let last: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert_eq!(count(&last, "decoded"), 1178);
}

#[test]
fn a_terminal_that_goes_away_ends_its_sensor() {
    if !inside("a_terminal_that_goes_away_ends_its_sensor") || !tmux::is_there() {
        return;
    }
    let (packets, dir, _path) = demonstration();
    let report = dir.path().join("report.json");
    let (program, out) = (env!("CARGO_BIN_EXE_bordertap"), report.display());
    let terminal = Tmux::open(&format!("exec '{program}' live -i {FAR} --tui --json '{out}'"));
    terminal.wait("the sensor", |screen| screen.contains("Findings"));
    send(frames(&packets), GENTLE);
    drop(terminal);
    until("the report that is written at the end", || report.exists());
}

#[test]
fn a_reader_that_closes_the_pipe_ends_it_quietly() {
    if !inside("a_reader_that_closes_the_pipe_ends_it_quietly") {
        return;
    }
    let (packets, ..) = demonstration();
    let mut program = listen(&["-i", FAR, "--findings", "-"]);
    send(frames(&packets[..600]), GENTLE);
    let mut line = String::new();
    BufReader::new(program.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["status"], "new");
    // The reader is gone: what is found next finds nobody.
    send(frames(&packets[600..]), GENTLE);
    let begun = Instant::now();
    let status = loop {
        assert!(begun.elapsed() < Duration::from_secs(90), "it goes on");
        if let Some(status) = program.child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn the_packets_behind_its_findings_are_kept_and_prove_them() {
    if !inside("the_packets_behind_its_findings_are_kept_and_prove_them") {
        return;
    }
    let (packets, dir, path) = demonstration();
    let expected = run(&["scan", path.to_str().unwrap(), "--findings", "-"]).out;
    let expected: BTreeSet<String> =
        expected.lines().map(|l| l.parse::<Value>().unwrap()["id"].as_str().unwrap().to_owned()).collect();
    let ids = |bundle: &Path| -> BTreeSet<String> {
        let manifest: Value = serde_json::from_slice(&std::fs::read(bundle.join("manifest.json")).unwrap()).unwrap();
        assert_eq!(manifest["inputs"][0]["input"], FAR);
        let id = |file: &Value| file["finding"]["id"].as_str().unwrap().to_owned();
        manifest["files"].as_array().unwrap().iter().map(id).collect()
    };
    for (name, more) in [("one", &["-j", "1"][..]), ("two", &["-j", "2", "--sandbox", "auto"])] {
        let bundle = dir.path().join(name);
        let args = ["-i", FAR, "--evidence", bundle.to_str().unwrap(), "--json", "/dev/null"];
        let program = listen(&[&args, more].concat());
        send(frames(&packets), GENTLE);
        std::thread::sleep(SETTLED);
        program.signal("TERM");
        let said = program.finish();
        assert_eq!(said.status, 0, "{}", said.messages);
        assert!(!said.messages.contains("evidence:"), "{}", said.messages);
        assert_eq!(ids(&bundle), expected, "{name}");
        let verified = run(&["verify", bundle.to_str().unwrap()]);
        assert_eq!(verified.status, 0, "{}{}", verified.out, verified.messages);
    }
    // What there is no room for is not kept, and that is said.
    let bundle = dir.path().join("small");
    let program = listen(&["-i", FAR, "-j", "1", "--evidence", bundle.to_str().unwrap(), "--evidence-keep", "8KiB"]);
    send(frames(&packets), GENTLE);
    std::thread::sleep(SETTLED);
    program.signal("TERM");
    let said = program.finish();
    assert!(said.status == 0 && said.messages.contains("no packets are kept any more"), "{}", said.messages);
    assert_eq!(run(&["verify", bundle.to_str().unwrap()]).status, 0);
}
