//! `bordertap bench live` on a pair of interfaces that the tests make, with short trials at low rates. Nothing here depends
//! on how fast the machine is.
#![cfg(all(target_os = "linux", feature = "libpcap"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::wire::{FAR, NEAR, Said, demonstration, inside, ip, root, run, send};
use serde_json::Value;

const LINK: [&str; 6] = ["bench", "live", "--tx", NEAR, "--rx", FAR];
const SHORT: [&str; 10] =
    ["--trial", "300ms", "--runs", "1", "--resolution", "0.2", "--packets", "3000", "--ring-size", "8MiB"];

fn bench(args: &[&str]) -> Said {
    run(&[&LINK[..], &SHORT, args].concat())
}

/// The document, which fits its schema.
fn json(args: &[&str]) -> Value {
    let said = bench(&[args, &["-q", "--json", "-"]].concat());
    assert_eq!(said.status, 0, "{}", said.messages);
    let document = said.json();
    let schema: Value =
        serde_json::from_slice(&std::fs::read(root().join("fixtures/schema/bench-live.json")).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&document).map(|e| format!("{} at {}", e, e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?}");
    document
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn sum(by_name: &Value) -> u64 {
    by_name.as_object().unwrap().values().map(number).sum()
}

/// Every trial of a document. What was sent is what was lost on the way and what the receiver accounts for.
fn trials(document: &Value) -> Vec<Value> {
    let results = document["results"].as_array().unwrap().iter();
    let searches = results.flat_map(|result| result["searches"].as_array().unwrap());
    let trials: Vec<Value> = searches.flat_map(|search| search["trials"].as_array().unwrap()).cloned().collect();
    for trial in &trials {
        assert_eq!(trial["broken"], Value::Null, "{trial}");
        assert_eq!(number(&trial["sent"]), sum(&trial["on_the_way"]) + number(&trial["received"]), "{trial}");
        assert!(number(&trial["sent"]) > 0, "{trial}");
    }
    assert!(!trials.is_empty());
    trials
}

/// Packets and drops that an interface counts on its way out.
fn sent() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let line = text.lines().find_map(|line| line.trim().strip_prefix(&format!("{NEAR}:"))).unwrap();
    let numbers: Vec<u64> = line.split_whitespace().map(|n| n.parse().unwrap()).collect();
    (numbers[9], numbers[11])
}

#[test]
fn what_is_sent_is_accounted_for() {
    if !inside("what_is_sent_is_accounted_for") {
        return;
    }
    let before = sent();
    let rates = ["--start-rate", "500", "--max-rate", "1000"];
    let ways = ["--capture", "ring,libpcap", "-j", "1,2"];
    let document = json(&[&rates[..], &ways[..], &["--sizes", "64,1518", "mixed"]].concat());
    let after = sent();
    let results = document["results"].as_array().unwrap();
    let names: Vec<(&str, &str)> =
        results.iter().map(|r| (r["traffic"].as_str().unwrap(), r["receiver"].as_str().unwrap())).collect();
    let receivers = ["ring -j1", "ring -j2", "libpcap -j1", "libpcap -j2"];
    let expected = ["mixed", "64-byte frames", "1518-byte frames"].map(|name| receivers.map(|r| (name, r)));
    assert_eq!(names, expected.as_flattened());
    let trials = trials(&document);
    let counted: u64 = trials.iter().map(|trial| number(&trial["sent"])).sum();
    assert_eq!(after.0 - before.0 + (after.1 - before.1), counted, "the interface counts the same");
    for result in results {
        let offered = |trial: &Value| trial["offered_rate"].as_f64().unwrap();
        let all = result["searches"][0]["trials"].as_array().unwrap();
        assert!(all.iter().all(|trial| offered(trial) <= 1000.0), "{result}");
        assert!(result["rate"]["median"].as_f64().unwrap() <= 1000.0 * 1.01, "{result}");
        assert_eq!(number(&result["not_sendable"]), 0);
    }
    // 64 and 1518 count the FCS, which an interface adds.
    let bytes = |at: usize| number(&results[at]["bytes"]) / number(&results[at]["frames"]);
    assert_eq!([bytes(4), bytes(8)], [60, 1514]);
}

#[test]
fn the_limit_of_a_slow_sensor_is_found() {
    if !inside("the_limit_of_a_slow_sensor_is_found") {
        return;
    }
    // A ring of some eighty frames, and more than any sensor takes.
    let small = ["--ring-size", "128KiB", "-j", "1", "--sizes", "1518", "--start-rate", "1000"];
    let document = {
        let said = run(&[&LINK[..], &SHORT[..8], &small[..], &["-q", "--json", "-"]].concat());
        assert_eq!(said.status, 0, "{}", said.messages);
        said.json()
    };
    let trials = trials(&document);
    let lossy: Vec<&Value> = trials.iter().filter(|trial| trial["loss"].as_f64().unwrap() > 0.0).collect();
    assert!(!lossy.is_empty(), "{document}");
    for trial in lossy {
        assert!(number(&trial["lost"]["kernel.ring-dropped"]) > 0, "{trial}");
        let loss = sum(&trial["lost"]) as f64 / number(&trial["received"]) as f64;
        assert!((loss - trial["loss"].as_f64().unwrap()).abs() < 1e-9, "{trial}");
    }
    let search = &document["results"][0]["searches"][0];
    assert_ne!(search["limit"], "max-rate", "{search}");
    assert_ne!(search["limit"], "broken", "{search}");
}

#[test]
fn nothing_is_sent_without_tx() {
    if !inside("nothing_is_sent_without_tx") {
        return;
    }
    let before = sent();
    let said = run(&["bench", "live", "--rx", FAR, "--quick"]);
    assert_eq!(said.status, 2, "{}", said.messages);
    assert!(said.messages.contains("--tx <IFACE>"), "{}", said.messages);
    let said = run(&["bench", "live", "--tx", NEAR, "--rx", NEAR, "--quick"]);
    assert_eq!(said.status, 2, "{}", said.messages);
    assert!(said.messages.contains("name one interface") && !said.messages.contains("sending"), "{}", said.messages);
    let said = run(&["bench", "live", "--tx", NEAR, "--rx", FAR, "mixd"]);
    assert_eq!(said.status, 2, "{}", said.messages);
    assert_eq!(sent(), before);
}

#[test]
fn it_says_what_it_sends_even_when_quiet() {
    if !inside("it_says_what_it_sends_even_when_quiet") {
        return;
    }
    let few = ["--start-rate", "200", "--max-rate", "200", "-j1", "small", "-q"];
    let said = bench(&few);
    assert_eq!(said.status, 0, "{}", said.messages);
    assert_eq!(said.messages.lines().count(), 1, "{}", said.messages);
    assert!(said.messages.starts_with(&format!("bordertap: sending into {NEAR}: small; trials of 300 ms")));
    for word in ["Highest rate without loss", "RFC 2544 wants 60 s", "--max-rate", "sent = received + lost"] {
        assert!(said.out.contains(word), "{word}: {}", said.out);
    }
    assert!(!said.out.contains('\x1b'));
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("page.html");
    let said = bench(&[&few[..], &["--report", page.to_str().unwrap()]].concat());
    assert_eq!(said.status, 0, "{}", said.messages);
    let page = std::fs::read_to_string(page).unwrap();
    for bad in ["http://", "https://", "<script", "<link", "@import", "url(", "src=", "href=", "NaN"] {
        assert!(!page.contains(bad), "{bad}");
    }
    assert!(page.contains("Highest rate without loss") && page.contains("<svg") && page.contains("Every trial"));
}

/// A capture goes over the wire; what is longer than the interface takes is left out and counted.
#[test]
fn a_capture_of_ones_own_is_sent() {
    if !inside("a_capture_of_ones_own_is_sent") {
        return;
    }
    let (packets, _dir, path) = demonstration();
    let longest = packets.iter().map(|packet| packet.bytes.len()).max().unwrap();
    let mtu = 600;
    assert!(longest > mtu + 14 && ip(&["link", "set", NEAR, "mtu", &mtu.to_string()]));
    let too_long = packets.iter().filter(|packet| packet.bytes.len() > mtu + 14).count() as u64;
    let rates = ["--start-rate", "5000", "--max-rate", "5000"];
    let document = json(&[&rates[..], &[path.to_str().unwrap()]].concat());
    trials(&document);
    let result = &document["results"][0];
    assert_eq!(number(&result["not_sendable"]), too_long);
    assert_eq!(number(&result["frames"]) + too_long, packets.len() as u64);
    let warned = document["warnings"].as_array().unwrap().iter().any(|w| w.as_str().unwrap().contains("were left out"));
    assert!(warned, "{}", document["warnings"]);
    assert!(ip(&["link", "set", NEAR, "mtu", "100"]));
    let said = bench(&["--sizes", "512"]);
    assert_eq!(said.status, 1);
    assert!(said.messages.contains("no frame of it can be sent"), "{}", said.messages);
}

/// Who else is measured says what it lost as tcpdump does, or is no receiver.
#[test]
fn another_receiver_takes_its_turn() {
    if !inside("another_receiver_takes_its_turn") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let rates = ["--start-rate", "300", "--max-rate", "300", "-j1", "small"];
    let script = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        format!("sh {} {{rx}}", path.display())
    };
    let deaf = script("deaf", "echo no ears >&2; exit 1");
    let said = bench(&[&rates[..], &["--receiver", &deaf]].concat());
    assert_eq!(said.status, 1);
    assert!(said.messages.contains("does not listen") && said.messages.contains("no ears"), "{}", said.messages);
    // It hears nothing and says so: its trials cannot add up.
    let closing = "echo 0 packets captured >&2; echo 0 packets dropped by kernel >&2; exit 0";
    let idle =
        script("idle", &format!("trap '{closing}' INT TERM; echo listening on $1 >&2; while :; do sleep 0.1; done"));
    let document = json(&[&rates[..], &["--receiver", &idle]].concat());
    let [sensor, other] = [0, 1].map(|at| &document["results"][at]);
    assert_eq!([&sensor["receiver"], &other["receiver"]], ["ring -j1", "sh"]);
    assert_eq!([&sensor, &other].map(|result| &result["searches"][0]["limit"]), ["max-rate", "broken"]);
    assert_eq!(other["searches"][0]["rate"], Value::Null);
    let reason = other["searches"][0]["trials"][0]["broken"].as_str().unwrap();
    assert!(reason.contains("the receiver accounts for 0"), "{reason}");
}

/// A wire on which somebody else speaks gives no numbers.
#[test]
fn a_third_party_breaks_a_trial() {
    if !inside("a_third_party_breaks_a_trial") {
        return;
    }
    let over = Arc::new(AtomicBool::new(false));
    let third = {
        let over = over.clone();
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                send([&[0x02; 60][..]], Duration::ZERO);
                std::thread::sleep(Duration::from_millis(5));
            }
        })
    };
    let document = json(&["--start-rate", "300", "--max-rate", "300", "-j1", "small"]);
    over.store(true, Ordering::Relaxed);
    third.join().unwrap();
    let search = &document["results"][0]["searches"][0];
    assert_eq!((&search["limit"], &search["rate"]), (&"broken".into(), &Value::Null), "{search}");
    assert!(search["trials"][0]["broken"].as_str().unwrap().contains("others send too"), "{search}");
    let warned =
        document["warnings"].as_array().unwrap().iter().any(|w| w.as_str().unwrap().contains("did not add up"));
    assert!(warned, "{}", document["warnings"]);
}
