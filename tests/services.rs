//! Services that a network runs for itself: nothing secret of them stands in any output, and their words reach the
//! signatures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;
use std::process::Command;

use common::packets::{Endpoint, datagram};

const START: u64 = 1_790_000_000_000_000_000;

/// Everything a scan can print about a capture, in one text.
fn all_outputs(capture: &Path) -> String {
    let folder = tempfile::tempdir().unwrap();
    let names = ["flows", "findings", "assets", "json"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_bordertap"));
    command.arg("scan").arg(capture);
    for name in names {
        command.arg(format!("--{name}")).arg(folder.path().join(name));
    }
    let run = command.output().unwrap();
    let files = names.iter().map(|name| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default());
    let text = String::from_utf8(run.stdout).unwrap() + &String::from_utf8(run.stderr).unwrap();
    files.fold(text, |all, file| all + &file)
}

#[test]
fn communities_and_users_of_snmp_are_in_no_output() {
    // What tshark 4.0.17 prints as community, user, and the values of sysName and sysLocation.
    let cases: [(&str, &[&str]); 4] = [
        ("flow/zeek-snmpv1_get.pcap", &["public", "B6300", "Chandra's cube"]),
        ("snmp/mercury-snmp_exposed_creds.pcap", &["public"]),
        ("snmp/mercury-snmp_exposed_creds_derived.pcap", &["username"]),
        ("snmp/zeek-snmpv3_get_next.pcap", &["username"]),
    ];
    for (capture, secrets) in cases {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(capture);
        let text = all_outputs(&path);
        assert!(text.contains("snmp.version"), "{capture}");
        for secret in secrets {
            assert!(!text.contains(secret), "{capture}: {secret}");
        }
    }
}

#[test]
fn shapes_of_log_messages_are_what_signatures_look_for() {
    let fortios =
        "<189>date=2026-01-02 time=03:04:05 devname=\"fw1\" devid=\"FG100ETK00000000\" type=\"traffic\" user=\"joe\"";
    let esxi = "<166>2019-05-21T19:27:32.479Z esx07 Hostd: info hostd[2099] [Originator@6876 sub=Vimsvc user=joe] done";
    let edr = "<13>1 2026-01-02T03:04:05Z mgr1 FortiEDR - - - Message Type: joe;";
    let folder = tempfile::tempdir().unwrap();
    let cases = [(fortios, "fortinet.fortios.syslog"), (edr, "fortinet.fortiedr.syslog"), (esxi, "vmware.esxi")];
    for (message, signature) in cases {
        let device = Endpoint::new([2, 0, 0, 0, 0, 1], "10.0.0.1", 50_000);
        let collector = Endpoint::new([2, 0, 0, 0, 0, 2], "203.0.113.9", 514);
        let packets = [datagram(START, device, collector, &[], message.as_bytes())];
        let path = folder.path().join("log.pcap");
        std::fs::write(&path, common::capture::pcap(false, &packets)).unwrap();
        let text = all_outputs(&path);
        assert!(text.contains(&format!("\"{signature}")), "{signature}: {text}");
        assert!(!text.contains("joe"), "{text}");
    }
}
