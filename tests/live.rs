//! `bordertap live` on interfaces that the tests make: packets are sent into one end of a pair and
//! read at the other.
#![cfg(all(target_os = "linux", feature = "libpcap"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::Command;
use std::time::Duration;

use common::wire::{
    FAR, GENTLE, NEAR, SETTLED, adds_up, answer, count, demonstration, file, inside, ip, listen, make_pair, reason,
    run, send, timeless,
};
use serde_json::Value;

/// What `live` says of the demonstration is what `scan` says of it.
fn same_as_scan(through: &str) {
    let (packets, _dir, path) = demonstration();
    let scanned = run(&["scan", path.to_str().unwrap(), "--json", "-"]);
    let expected = answer(scanned.json());
    assert!(expected["findings"].as_array().unwrap().len() > 20, "{:?}", scanned.messages);
    for workers in ["1", "2", "4"] {
        let count = packets.len().to_string();
        let program = listen(&["-i", FAR, "--capture", through, "-j", workers, "--count", &count, "--json", "-"]);
        send(packets.iter().map(|p| p.bytes.as_slice()), GENTLE);
        let said = program.finish();
        assert_eq!(said.status, 0, "{}", said.messages);
        let report = said.json();
        assert_eq!(report["header"]["inputs"], serde_json::json!([FAR]));
        assert!(adds_up(&report), "{report}");
        let got = answer(report);
        for part in ["findings", "assets", "ledger"] {
            assert_eq!(got[part], expected[part], "{part} through {through} with {workers} workers");
        }
    }
}

#[test]
fn the_ring_gives_what_scan_gives() {
    if inside("the_ring_gives_what_scan_gives") {
        same_as_scan("ring");
    }
}

#[test]
fn libpcap_gives_what_scan_gives() {
    if inside("libpcap_gives_what_scan_gives") {
        same_as_scan("libpcap");
    }
}

/// Nothing is lost silently: the program is held while more is sent than its ring has room for.
fn overload(through: &str) {
    let (packets, _dir, _path) = demonstration();
    let sent = packets.len() as u64 * 4;
    let program = listen(&["-i", FAR, "--capture", through, "--ring-size", "128KiB", "--json", "-"]);
    program.signal("STOP");
    for _ in 0..4 {
        send(packets.iter().map(|p| p.bytes.as_slice()), Duration::ZERO);
    }
    program.signal("CONT");
    std::thread::sleep(SETTLED);
    program.signal("TERM");
    let said = program.finish();
    assert_eq!(said.status, 0, "{}", said.messages);
    let report = said.json();
    assert!(adds_up(&report), "{report}");
    assert_eq!(count(&report, "received"), sent, "{}", report["ledger"]);
    assert!(reason(&report, "kernel.ring-dropped") > 0, "{}", report["ledger"]);
    assert!(count(&report, "decoded") > 0, "{}", report["ledger"]);
    assert_eq!(reason(&report, "kernel.ring-unread"), 0, "{}", report["ledger"]);
    if through == "ring" {
        assert!(report["ledger"]["later"]["kernel.ring-full"].as_u64() > Some(0), "{}", report["ledger"]);
    }
}

#[test]
fn what_a_small_ring_loses_is_counted() {
    if inside("what_a_small_ring_loses_is_counted") {
        overload("ring");
    }
}

#[test]
fn what_libpcap_loses_is_counted() {
    if inside("what_libpcap_loses_is_counted") {
        overload("libpcap");
    }
}

/// The text says what was lost, and a signal ends with the report.
#[test]
fn a_signal_ends_with_a_report_in_words() {
    if !inside("a_signal_ends_with_a_report_in_words") {
        return;
    }
    let (packets, _dir, _path) = demonstration();
    for (signal, through) in [("INT", "ring"), ("TERM", "ring"), ("INT", "libpcap")] {
        let program = listen(&["-i", FAR, "--capture", through]);
        send(packets.iter().map(|p| p.bytes.as_slice()), GENTLE);
        // At once: what the kernel has not handed over yet is part of the answer.
        program.signal(signal);
        let said = program.finish();
        assert_eq!(said.status, 0, "{}", said.messages);
        assert!(said.out.contains("11 channels of 4 products across the border"), "{}", said.out);
        assert!(said.out.contains("1,178 of 1,178 packets became part of a flow."), "{}", said.out);
    }
    let program = listen(&["-i", FAR, "--ring-size", "128KiB"]);
    program.signal("STOP");
    send(packets.iter().chain(&packets).map(|p| p.bytes.as_slice()), Duration::ZERO);
    program.signal("TERM");
    program.signal("CONT");
    let said = program.finish();
    assert!(said.out.contains("  kernel.ring-dropped\n"), "{}", said.out);
    assert!(said.out.contains(" of 2,356 packets became part of a flow."), "{}", said.out);
}

#[test]
fn a_duration_ends_it_on_a_quiet_link() {
    if !inside("a_duration_ends_it_on_a_quiet_link") {
        return;
    }
    let (packets, _dir, _path) = demonstration();
    for through in ["ring", "libpcap"] {
        let program = listen(&["-i", FAR, "--capture", through, "--duration", "1s", "--json", "-", "-j", "2"]);
        send(packets.iter().take(100).map(|p| p.bytes.as_slice()), GENTLE);
        let said = program.finish();
        assert_eq!(said.status, 0, "{}", said.messages);
        assert_eq!(count(&said.json(), "received"), 100, "through {through}");
        // Nothing at all is nothing usable.
        let said = listen(&["-i", FAR, "--capture", through, "--duration", "200ms"]).finish();
        assert_eq!((said.status, said.out.as_str()), (1, ""), "{}", said.messages);
    }
}

/// A frame with VLAN tags, from the bytes of one without.
fn tagged(frame: &[u8], tags: &[(u16, u16)]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    let mut bytes = addresses.to_vec();
    for (kind, tag) in tags {
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&tag.to_be_bytes());
    }
    bytes.extend_from_slice(rest);
    bytes
}

#[test]
fn tags_that_the_kernel_takes_out_are_read() {
    if !inside("tags_that_the_kernel_takes_out_are_read") {
        return;
    }
    let (mut packets, ..) = demonstration();
    packets.truncate(300);
    for (n, packet) in packets.iter_mut().enumerate() {
        packet.bytes = match n % 3 {
            0 => tagged(&packet.bytes, &[(0x8100, 0x2000 | 77)]),
            1 => tagged(&packet.bytes, &[(0x88a8, 5), (0x8100, 6)]),
            _ => continue,
        };
    }
    let (_dir, path) = file(&packets);
    let flows = |text: &str| -> Vec<String> {
        let mut lines: Vec<String> = text
            .lines()
            .map(|line| {
                let mut value: Value = serde_json::from_str(line).unwrap();
                timeless(&mut value);
                value.to_string()
            })
            .collect();
        lines.sort();
        lines
    };
    let expected = flows(&run(&["scan", path.to_str().unwrap(), "--flows", "-"]).out);
    assert!(expected.iter().any(|line| line.contains(r#""vlan":{"id":77}"#) || line.contains(r#""vlan":{"id":"77"}"#)));
    for through in ["ring", "libpcap"] {
        let program = listen(&["-i", FAR, "--capture", through, "-c", "300", "--flows", "-"]);
        send(packets.iter().map(|p| p.bytes.as_slice()), GENTLE);
        let said = program.finish();
        assert_eq!(flows(&said.out), expected, "through {through}: {}", said.messages);
    }
}

#[test]
fn the_kernel_applies_the_filter() {
    if !inside("the_kernel_applies_the_filter") {
        return;
    }
    let (packets, _dir, path) = demonstration();
    let scanned = run(&["scan", path.to_str().unwrap(), "-f", "udp port 53", "--json", "-"]).json();
    let expected = count(&scanned, "decoded");
    assert!(expected > 20 && reason(&scanned, "filter.not-matched") > 0);
    for through in ["ring", "libpcap"] {
        let program = listen(&["-i", FAR, "--capture", through, "-f", "udp port 53", "--json", "-"]);
        send(packets.iter().map(|p| p.bytes.as_slice()), GENTLE);
        program.signal("TERM");
        let report = program.finish().json();
        assert_eq!((count(&report, "received"), count(&report, "decoded")), (expected, expected), "through {through}");
        assert_eq!(report["header"]["filter"], "udp port 53");
        for (bad, why) in [("host example.com", "would have to be resolved"), ("udp port port", "syntax error")] {
            let said = run(&["live", "-i", FAR, "--capture", through, "-f", bad]);
            assert_eq!(said.status, 2, "{}", said.messages);
            assert!(said.messages.contains(why), "{}", said.messages);
        }
    }
    // A tag that the kernel keeps beside the frame can be asked for.
    let frames: Vec<Vec<u8>> = packets.iter().take(50).map(|p| tagged(&p.bytes, &[(0x8100, 9)])).collect();
    let plain = packets.iter().skip(50).take(50).map(|p| p.bytes.as_slice());
    let program = listen(&["-i", FAR, "-f", "vlan 9", "--json", "-"]);
    send(frames.iter().map(Vec::as_slice).chain(plain), GENTLE);
    program.signal("TERM");
    assert_eq!(count(&program.finish().json(), "received"), 50);
}

#[test]
fn what_the_host_sends_is_read_too_and_loopback_once() {
    if !inside("what_the_host_sends_is_read_too_and_loopback_once") {
        return;
    }
    let (packets, ..) = demonstration();
    for through in ["ring", "libpcap"] {
        let program = listen(&["-i", NEAR, "--capture", through, "-c", "40", "--json", "-"]);
        send(packets.iter().take(40).map(|p| p.bytes.as_slice()), GENTLE);
        assert_eq!(count(&program.finish().json(), "received"), 40);
    }
    assert!(ip(&["link", "set", "lo", "up"]));
    for through in ["ring", "libpcap"] {
        let program = listen(&["-i", "lo", "--capture", through, "--json", "-", "-f", "udp port 9"]);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..30 {
            socket.send_to(b"discard", "127.0.0.1:9").unwrap();
        }
        std::thread::sleep(SETTLED);
        program.signal("TERM");
        let report = program.finish().json();
        assert_eq!((count(&report, "received"), count(&report, "decoded")), (30, 30), "through {through}");
    }
}

#[test]
fn several_interfaces_are_one_capture() {
    if !inside("several_interfaces_are_one_capture") {
        return;
    }
    let (packets, ..) = demonstration();
    for through in ["ring", "libpcap"] {
        // Each packet is seen as it goes out and as it comes in.
        let program = listen(&["-i", NEAR, "-i", FAR, "--capture", through, "--json", "-"]);
        send(packets.iter().take(200).map(|p| p.bytes.as_slice()), GENTLE);
        program.signal("TERM");
        let report = program.finish().json();
        assert_eq!(count(&report, "received"), 400, "through {through}");
        assert_eq!(report["header"]["inputs"], serde_json::json!([NEAR, FAR]));
    }
    let said = run(&["live", "-i", FAR, "-i", FAR]);
    assert_eq!(said.status, 2, "{}", said.messages);
}

#[test]
fn an_interface_that_goes_away_leaves_a_report() {
    if !inside("an_interface_that_goes_away_leaves_a_report") {
        return;
    }
    let (packets, ..) = demonstration();
    let ways: [&[&str]; 2] = [&["link", "set", FAR, "down"], &["link", "del", FAR]];
    for (way, through) in ways.into_iter().flat_map(|way| [(way, "ring"), (way, "libpcap")]) {
        if !ip(&["link", "show", FAR]) {
            make_pair();
        }
        assert!(ip(&["link", "set", FAR, "up"]));
        let program = listen(&["-i", FAR, "--capture", through, "--json", "-"]);
        send(packets.iter().take(100).map(|p| p.bytes.as_slice()), GENTLE);
        std::thread::sleep(SETTLED);
        assert!(ip(way));
        let said = program.finish();
        assert_eq!(said.status, 3, "{through}: {}", said.messages);
        let report = said.json();
        assert_eq!(count(&report, "received"), 100, "{through}: {}", report["ledger"]);
        assert_eq!(report["header"]["damage"][0]["input"], FAR, "{through}");
        assert!(said.messages.contains(FAR), "{through}: {}", said.messages);
    }
}

#[test]
fn what_cannot_be_listened_to_is_said() {
    if !inside("what_cannot_be_listened_to_is_said") {
        return;
    }
    for through in ["ring", "libpcap"] {
        let said = run(&["live", "-i", "nowhere9", "--capture", through]);
        assert_eq!((said.status, said.out.as_str()), (1, ""), "{}", said.messages);
        assert!(said.messages.contains("nowhere9: there is no such interface"), "{}", said.messages);

        assert!(ip(&["link", "set", FAR, "down"]));
        let said = run(&["live", "-i", FAR, "--capture", through]);
        assert_eq!((said.status, said.out.as_str()), (1, ""), "{}", said.messages);
        assert!(said.messages.contains(&format!("{FAR}: the interface is down")), "{}", said.messages);
        assert!(ip(&["link", "set", FAR, "up"]));

        // Without the capability it is not allowed; with nothing else it is.
        for (capabilities, message) in [("-net_raw", "not permitted"), ("-all,+net_raw", "listening on")] {
            let mut setpriv = Command::new("setpriv");
            setpriv.args([
                &format!("--bounding-set={capabilities}"),
                "--inh-caps=-all",
                env!("CARGO_BIN_EXE_bordertap"),
            ]);
            let output =
                setpriv.args(["live", "-i", FAR, "--capture", through, "--duration", "100ms"]).output().unwrap();
            let messages = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{messages}");
            assert!(messages.contains(message) && messages.contains(FAR), "{messages}");
        }
    }
}
