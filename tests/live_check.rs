//! `bordertap live --check`: what is right and what is not is said, on interfaces and traffic that the tests make.
#![cfg(all(target_os = "linux", feature = "libpcap"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::Command;
use std::time::Duration;

use common::packets::{ACK, Endpoint, Tcp, arp, frame, tcp};
use common::wire::{FAR, GENTLE, NEAR, Said, command, inside, ip, root, run, send};
use serde_json::Value;

/// Frames put on the wire over and over while the check listens.
fn checked(interfaces: &[&str], frames: &[Vec<u8>]) -> Said {
    let mut args = vec!["live", "--check", "--duration", "1s", "--json", "-"];
    for interface in interfaces {
        args.extend(["-i", interface]);
    }
    let child = command(&args).spawn().unwrap();
    // It makes and unmakes rings before it listens.
    std::thread::sleep(Duration::from_millis(600));
    send(frames.iter().map(Vec::as_slice), GENTLE);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    is_valid(&serde_json::from_slice(&output.stdout).unwrap());
    Said { status: output.status.code().unwrap(), out: text(output.stdout), messages: text(output.stderr) }
}

/// The document is as its schema says.
fn is_valid(document: &Value) {
    let path = root().join("fixtures/schema/check.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(document).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}: {document}");
}

fn line<'a>(lines: &'a Value, about: &str) -> &'a Value {
    lines.as_array().unwrap().iter().find(|line| line["about"] == about).unwrap_or(&Value::Null)
}

const CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Twenty conversations, six packets of each side.
fn conversations(sides: &[bool]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for n in 0..20u16 {
        let client = Endpoint::new(CLIENT, "10.1.2.3", 40_000 + n);
        let server = Endpoint::new(SERVER, "192.0.2.9", 443);
        for turn in 0..6 {
            for &back in sides {
                let (from, to) = if back { (server, client) } else { (client, server) };
                let sequence = 1000 + u32::from(turn) * 10;
                let header = Tcp { sequence, acknowledged: 7, flags: ACK, window: 100, ..Tcp::default() };
                let segment = tcp(from.address, to.address, header, b"0123456789");
                frames.push(frame(from, to, &[], 6, n * 16 + turn, &segment));
            }
        }
    }
    frames
}

#[test]
fn both_directions_are_good_and_one_is_not() {
    if !inside("both_directions_are_good_and_one_is_not") {
        return;
    }
    let said = checked(&[FAR], &conversations(&[false, true]));
    let both = said.json();
    assert_eq!((said.status, &both["format"]), (0, &Value::from(1)), "{}", said.out);
    assert_eq!(line(&both["lines"], "directions")["verdict"], "good", "{}", said.out);
    assert_eq!(line(&both["lines"], "loss")["verdict"], "good");
    let interface = &both["interfaces"][0];
    assert_eq!(interface["interface"], FAR);
    for about in ["state", "capture", "mtu", "gro", "queues", "dropped", "traffic"] {
        assert_eq!(line(&interface["lines"], about)["verdict"], "good", "{about}: {}", said.out);
    }
    assert_eq!(interface["traffic"]["packets"], 240);
    assert_eq!(interface["traffic"]["copies"], 0);

    let said = checked(&[FAR], &conversations(&[false]));
    let one = said.json();
    assert_eq!(said.status, 3, "{}", said.out);
    assert_eq!(one["verdict"], "change");
    assert_eq!(line(&one["lines"], "directions")["verdict"], "change");
    assert!(line(&one["lines"], "directions")["advice"].as_str().unwrap().contains("both directions"));
}

#[test]
fn copies_and_a_port_that_is_no_mirror_are_told() {
    if !inside("copies_and_a_port_that_is_no_mirror_are_told") {
        return;
    }
    let once = conversations(&[false, true]);
    let twice: Vec<Vec<u8>> = once.iter().flat_map(|frame| [frame.clone(), frame.clone()]).collect();
    let said = checked(&[FAR], &twice);
    assert_eq!(said.status, 3, "{}", said.out);
    let interface = &said.json()["interfaces"][0];
    assert_eq!(line(&interface["lines"], "copies")["verdict"], "change", "{}", said.out);
    assert_eq!(interface["traffic"]["copies"], once.len());

    // What goes out and comes in of one wire is one copy on each interface, and no copies.
    let said = checked(&[NEAR, FAR], &once);
    for interface in said.json()["interfaces"].as_array().unwrap() {
        assert_eq!((&interface["traffic"]["packets"], &interface["traffic"]["copies"]), (&240.into(), &0.into()));
    }

    let asking = |n: u8| arp(false, (CLIENT, [10, 1, 2, 3].into()), ([0; 6], [10, 1, 2, n].into()));
    let said = checked(&[FAR], &(0..60).map(asking).collect::<Vec<_>>());
    assert_eq!(said.status, 3, "{}", said.out);
    let report = said.json();
    let traffic = line(&report["interfaces"][0]["lines"], "traffic").clone();
    assert!(traffic["text"].as_str().unwrap().contains("every"), "{traffic}");
    assert!(traffic["advice"].as_str().unwrap().contains("mirror"), "{traffic}");

    let said = checked(&[FAR], &[]);
    assert_eq!(said.status, 3);
    assert!(said.out.contains("nothing came"), "{}", said.out);
}

#[test]
fn what_cannot_be_captured_is_said_with_the_reason() {
    if !inside("what_cannot_be_captured_is_said_with_the_reason") {
        return;
    }
    let said = run(&["live", "--check", "-i", "nowhere9"]);
    assert_eq!(said.status, 1, "{}", said.messages);
    assert!(said.out.contains("impossible") && said.out.contains("there is no such interface"), "{}", said.out);
    assert!(said.out.contains("Nothing can be captured"), "{}", said.out);

    assert!(ip(&["link", "set", FAR, "down"]));
    let said = run(&["live", "--check", "-i", FAR]);
    assert_eq!(said.status, 1, "{}", said.messages);
    assert!(said.out.contains(&format!("ip link set {FAR} up")), "{}", said.out);
    // The other end is up and has lost its carrier.
    let said = run(&["live", "--check", "-i", NEAR, "--duration", "100ms"]);
    assert_eq!(said.status, 3, "{}", said.out);
    assert!(said.out.contains("nothing is at the other end"), "{}", said.out);
    assert!(ip(&["link", "set", FAR, "up"]));

    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--bounding-set=-net_raw", "--inh-caps=-all", env!("CARGO_BIN_EXE_bordertap")]);
    let output = setpriv.args(["live", "--check", "-i", FAR]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("not permitted") && text.contains("setcap"), "{text}");

    let said = run(&["live", "--check", "-i", FAR, "-i", FAR]);
    assert_eq!(said.status, 2, "{}", said.messages);
    let said = run(&["live", "--check", "-i", FAR, "-f", "host example.com"]);
    assert_eq!(said.status, 2, "{}", said.messages);
    let said = run(&["live", "-i", FAR, "--capture", "xdp"]);
    assert!(said.status == 2 && said.messages.contains("AF_XDP"), "{}", said.messages);
}

/// A card may drop what is longer than it expects; tags are counted.
#[test]
fn the_size_of_packets_is_looked_at() {
    if !inside("the_size_of_packets_is_looked_at") {
        return;
    }
    let client = Endpoint::new(CLIENT, "10.1.2.3", 40_000);
    let server = Endpoint::new(SERVER, "192.0.2.9", 443);
    let header = Tcp { flags: ACK, ..Tcp::default() };
    let mut frames = conversations(&[false, true]);
    frames.push(frame(client, server, &[5], 6, 1, &tcp(client.address, server.address, header, b"tagged")));
    assert!(ip(&["link", "set", FAR, "mtu", "1400"]));
    let said = checked(&[FAR], &frames);
    assert_eq!(said.status, 3, "{}", said.out);
    let interface = &said.json()["interfaces"][0];
    assert_eq!(line(&interface["lines"], "mtu")["verdict"], "change", "{}", said.out);
    assert_eq!((&interface["traffic"]["tagged"], &interface["traffic"]["packets"]), (&1.into(), &241.into()));
}
