//! The page of metrics, read by parsers of others; the server that shows it; the dashboard that asks for it.
//!
//! In: the demonstration as a sensor's picture. Python's `prometheus_client` and `promtool` read the page too where they are;
//! where they are not the test says `NOT RUN` on standard error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bordertap::metrics::{self, CONTENT_TYPE, COUNTRIES_MAX, HEALTHY_SECONDS_MAX, NAMES_MAX, Server, VENDORS_MAX};
use bordertap::record::Crossing;
use bordertap::time::Time;
use bordertap::view::{Board, View};
use common::expected::EXPECTED;
use common::view;
use prometheus_parse::{Scrape, Value};
use promql_parser::parser::{self, Expr};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::Value as Json;

/// Samples by name and labels.
type Samples = BTreeMap<(String, BTreeMap<String, String>), f64>;

fn parsed(page: &str) -> Samples {
    let scrape = Scrape::parse(page.lines().map(|line| Ok(line.to_owned()))).unwrap();
    let mut samples = Samples::new();
    for sample in scrape.samples {
        let counts = matches!(sample.value, Value::Counter(_));
        let (Value::Counter(value) | Value::Gauge(value)) = sample.value else {
            panic!("{}: no counter and no gauge", sample.metric)
        };
        assert_eq!(counts, sample.metric.ends_with("_total"), "{}", sample.metric);
        let labels = sample.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        assert!(scrape.docs.contains_key(&sample.metric), "{} has no help", sample.metric);
        assert_eq!(samples.insert((sample.metric.clone(), labels), value), None, "{} twice", sample.metric);
    }
    samples
}

fn value(samples: &Samples, name: &str, labels: &[(&str, &str)]) -> f64 {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    *samples.get(&(name.to_owned(), labels)).unwrap_or_else(|| panic!("no {name}"))
}

fn sum(samples: &Samples, name: &str) -> f64 {
    samples.iter().filter(|((sample, _), _)| sample == name).map(|(_, value)| value).sum()
}

#[test]
fn a_parser_reads_what_is_to_be_found() {
    let view = view::view();
    let page = metrics::page(&view);
    let samples = parsed(&page);
    let lines = page.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(samples.len(), lines, "every line is a sample");

    assert_eq!(value(&samples, "bordertap_packets_received_total", &[]), 1178.0);
    let decoded = value(&samples, "bordertap_packets_decoded_total", &[]);
    assert_eq!(decoded + sum(&samples, "bordertap_packets_lost_total"), 1178.0);
    assert_eq!(value(&samples, "bordertap_packets_lost_total", &[("reason", "kernel.ring-dropped")]), 0.0);
    for crossing in Crossing::ALL.map(Crossing::name) {
        let expected = EXPECTED.iter().filter(|e| e.crossing == crossing).count();
        assert_eq!(value(&samples, "bordertap_findings", &[("crossing", crossing)]), expected as f64, "{crossing}");
    }
    for vendor in ["Fortinet", "Palo Alto Networks", "Check Point", "VMware"] {
        assert!(value(&samples, "bordertap_assets", &[("vendor", vendor)]) >= 1.0, "{vendor}");
    }
    let to = |country: &str, crossing: &str, direction: &str| {
        let labels = [("country", country), ("crossing", crossing), ("direction", direction)];
        value(&samples, "bordertap_finding_bytes", &labels)
    };
    // Thirteen flows with 700 bytes up and 200 down in each, and their headers.
    assert!((13.0 * 700.0..40_000.0).contains(&to("FI", "observed", "out")));
    assert!(to("FI", "observed", "in") > 13.0 * 200.0);
    let report: u64 = view.report.findings.iter().map(|f| f.bytes_out + f.bytes_in).sum();
    assert_eq!(sum(&samples, "bordertap_finding_bytes"), report as f64);

    assert_eq!(value(&samples, "process_start_time_seconds", &[]), view::STARTED_SECONDS as f64);
    assert_eq!(value(&samples, "bordertap_last_turn_timestamp_seconds", &[]), (view::STARTED_SECONDS + 60) as f64);
    assert_eq!(value(&samples, "process_resident_memory_bytes", &[]), 56e6);
    assert_eq!(value(&samples, "bordertap_output_dropped_total", &[("output", "tcp://192.0.2.9:514")]), 3.0);
    assert_eq!(value(&samples, "bordertap_reloads_total", &[("result", "ok")]), 2.0);
    assert_eq!(value(&samples, "bordertap_reloads_total", &[("result", "failed")]), 1.0);
    assert_eq!(value(&samples, "bordertap_flows_open", &[]), 17.0);
    let checked = value(&samples, "bordertap_signatures_oldest_check_timestamp_seconds", &[]);
    assert_eq!(checked % 86_400.0, 0.0, "a midnight");
    assert!(samples.keys().any(|(name, _)| name == "bordertap_build_info"));
}

/// A picture in which everything that others may choose is hostile, and twice there.
fn hostile() -> View {
    let mut view = view::view();
    let name = "a\"b\\c\nbordertap_packets_received_total 9\u{1b}[2J{}\u{202e}";
    for output in &mut view.outputs {
        output.name = name.to_owned();
    }
    view.ledger.not_decoded.insert("x\"} 1\ny".to_owned(), 5);
    for n in 0..1000 {
        view.ledger.not_decoded.insert(format!("reason {n}"), 1);
        view.ledger.later.insert(format!("limit {n}"), 1);
    }
    let report = Arc::make_mut(&mut view.report);
    let first = report.findings[0].clone();
    for n in 0..1000 {
        let mut finding = first.clone();
        finding.destination.country = Some(format!("country {n}"));
        report.findings.push(finding);
        let mut asset = report.assets[0].clone();
        asset.vendor = format!("{name}{n}");
        report.assets.push(asset);
    }
    view
}

#[test]
fn a_hostile_picture_makes_no_series_of_its_own() {
    let page = metrics::page(&hostile());
    let names: BTreeSet<&str> =
        page.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(['{', ' ']).next().unwrap()).collect();
    let ordinary = metrics::page(&view::view());
    for name in names {
        assert!(ordinary.contains(&format!("# TYPE {name} ")), "{name}");
    }
    let lines: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
    let series: BTreeSet<&str> = lines.iter().map(|line| line.rsplit_once(' ').unwrap().0).collect();
    assert_eq!(series.len(), lines.len(), "no series twice");
    let countries = lines.iter().filter(|line| line.starts_with("bordertap_finding_bytes{")).count();
    assert!(countries <= (COUNTRIES_MAX + 1) * Crossing::ALL.len() * 2, "{countries}");
    assert!(page.contains("bordertap_finding_bytes{country=\"other\""));
    let families = [
        ("bordertap_assets", VENDORS_MAX),
        ("bordertap_packets_lost_total", NAMES_MAX),
        ("bordertap_limits_total", NAMES_MAX),
    ];
    for (family, most) in families {
        let count = lines.iter().filter(|line| line.starts_with(&format!("{family}{{"))).count();
        assert_eq!(count, most + 1, "{family}: as many as there may be, and the others in one");
    }
    assert!(lines.len() < 1500, "{} lines", lines.len());
}

/// The parser that the makers of Prometheus wrote for their Python library, in its strict reading of the text format.
#[test]
fn the_parser_of_prometheus_itself() {
    const SCRIPT: &str = "
import json, sys
from prometheus_client.parser import text_string_to_metric_families
found = []
for family in text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        found.append([sample.name, sample.labels, sample.value, family.type])
print(json.dumps(found))
";
    let importable = Command::new("python3").args(["-c", "import prometheus_client.parser"]).output();
    if importable.is_ok_and(|output| output.status.success()) {
        for view in [view::view(), hostile()] {
            let page = metrics::page(&view);
            let found: Vec<(String, BTreeMap<String, String>, f64, String)> =
                serde_json::from_str(&piped("python3", &["-c", SCRIPT], &page)).unwrap();
            assert_eq!(found.len(), page.lines().filter(|line| !line.starts_with('#')).count());
            for (name, _, _, kind) in &found {
                assert_eq!(kind, if name.ends_with("_total") { "counter" } else { "gauge" }, "{name}");
            }
            let dropped: Vec<_> = found.iter().filter(|f| f.0 == "bordertap_output_dropped_total").collect();
            let names: BTreeSet<&str> = view.outputs.iter().map(|output| output.name.as_str()).collect();
            assert_eq!(dropped.iter().map(|f| f.1["output"].as_str()).collect::<BTreeSet<_>>(), names, "as it was");
            assert_eq!(dropped.iter().map(|f| f.2).sum::<f64>(), 3.0);
        }
    } else {
        say_not_run("the parser of Python's prometheus_client", "it cannot be imported");
    }
    if Command::new("promtool").arg("--version").output().is_ok() {
        piped("promtool", &["check", "metrics"], &metrics::page(&view::view()));
    } else {
        say_not_run("promtool check metrics", "it is not on the PATH");
    }
}

fn say_not_run(what: &str, why: &str) {
    // Around the capture of the test harness.
    let mut say = std::io::stderr();
    writeln!(say, "\nNOT RUN: {what}: {why}\n").unwrap();
}

fn piped(program: &str, args: &[&str], input: &str) -> String {
    let mut child = Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}");
    String::from_utf8(output.stdout).unwrap()
}

fn serving(view: Option<View>) -> Server {
    let board = Arc::new(Board::default());
    view.into_iter().for_each(|view| board.put(view));
    metrics::serve(TcpListener::bind(metrics::address("0").unwrap()).unwrap(), board).unwrap()
}

/// Status, headers, body.
fn ask(address: SocketAddr, request: &str) -> (String, String, String) {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let (status, headers) = head.split_once("\r\n").unwrap();
    (status.strip_prefix("HTTP/1.1 ").unwrap().to_owned(), headers.to_owned(), body.to_owned())
}

fn get(address: SocketAddr, path: &str) -> (String, String, String) {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

#[test]
fn the_server_answers_two_questions() {
    let view = view::view();
    let page = metrics::page(&view);
    let server = serving(Some(view));
    let to = server.address();
    assert!(to.ip().is_loopback());

    let (status, headers, body) = get(to, "/metrics");
    assert_eq!((status.as_str(), &body), ("200 OK", &page));
    assert!(headers.contains(&format!("Content-Type: {CONTENT_TYPE}")));
    assert!(headers.contains(&format!("Content-Length: {}", page.len())));
    assert_eq!(get(to, "/metrics?name[]=up").2, page);
    let (status, headers, body) = ask(to, "HEAD /metrics HTTP/1.0\r\n\r\n");
    assert_eq!((status.as_str(), body.as_str()), ("200 OK", ""));
    assert!(headers.contains(&format!("Content-Length: {}", page.len())));

    for path in ["/", "/metrics/", "/../etc/passwd", "//metrics", "*"] {
        assert_eq!(get(to, path).0, "404 Not Found", "{path}");
    }
    let post = format!("POST /metrics HTTP/1.1\r\nContent-Length: 20000\r\n\r\n{}", "a".repeat(20_000));
    let (status, headers, _) = ask(to, &post);
    assert_eq!(status, "405 Method Not Allowed");
    assert!(headers.contains("Allow: GET, HEAD"));
    assert_eq!(ask(to, "\x16\x03\x01 no request\r\n\r\n").0, "400 Bad Request");
    let long = format!("GET /metrics HTTP/1.1\r\nCookie: {}\r\n\r\n", "a".repeat(9 << 10));
    assert_eq!(ask(to, &long).0, "431 Request Header Fields Too Large");
}

#[test]
fn health_is_a_turn_that_is_not_long_ago() {
    let now = Time(i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap());
    let ago = |seconds: i64| View { now: Time(now.0 - seconds * 1_000_000_000), ..view::view() };
    let fresh = serving(Some(ago(1)));
    assert_eq!(get(fresh.address(), "/healthz").0, "200 OK");
    let stale = serving(Some(ago(HEALTHY_SECONDS_MAX + 2)));
    let (status, _, body) = get(stale.address(), "/healthz");
    assert_eq!(status, "503 Service Unavailable");
    assert!(body.contains("seconds ago"), "{body}");
    let new = serving(None);
    assert_eq!(get(new.address(), "/healthz").0, "503 Service Unavailable");
    assert_eq!(get(new.address(), "/metrics").0, "503 Service Unavailable");
}

#[test]
fn the_server_ends_when_it_is_dropped_and_its_port_is_free() {
    let server = serving(None);
    let to = server.address();
    // Clients that say nothing hold nobody up.
    let idle: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(to).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    drop(server);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    drop(idle);
    assert!(TcpStream::connect(to).is_err(), "nobody listens");
}

#[test]
fn slow_clients_are_cut_off_and_others_served() {
    let server = serving(Some(view::view()));
    let to = server.address();
    let mut slow: Vec<TcpStream> = (0..6).map(|_| TcpStream::connect(to).unwrap()).collect();
    for client in &mut slow {
        client.write_all(b"GET /metrics HTT").unwrap();
    }
    let begun = Instant::now();
    assert_eq!(get(to, "/metrics").0, "200 OK");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let mut said = String::new();
    slow[0].read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    // Who asks and leaves at once does no harm.
    let hasty = TcpStream::connect(to).unwrap();
    hasty.shutdown(Shutdown::Both).unwrap();
    drop(slow);
    assert_eq!(get(to, "/metrics").0, "200 OK");
}

/// Who goes on sending behind a request is read for a while, and then cut off.
#[test]
fn what_follows_a_request_is_not_read_for_ever() {
    let server = serving(Some(view::view()));
    let mut client = TcpStream::connect(server.address()).unwrap();
    client.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    client.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // Beside what it reads there is room in the buffers of the system.
    let sent = (0..).take_while(|_| client.write_all(&[b'x'; 64 << 10]).is_ok()).take(64 << 10).count();
    assert!(sent * (64 << 10) < 64 << 20, "{sent} times 64 KiB");
    assert_eq!(get(server.address(), "/metrics").0, "200 OK");
}

/// Names and label names that an expression asks for.
#[derive(Default)]
struct Asked(Vec<(String, BTreeSet<String>)>);

impl ExprVisitor for Asked {
    type Error = String;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, String> {
        let selector = match expr {
            Expr::VectorSelector(selector) => selector,
            Expr::MatrixSelector(matrix) => &matrix.vs,
            _ => return Ok(true),
        };
        let labels = selector.matchers.matchers.iter().map(|matcher| matcher.name.clone()).collect();
        self.0.push((selector.name.clone().ok_or("a selector without a name")?, labels));
        Ok(true)
    }
}

#[test]
fn the_dashboard_asks_for_what_is_there() {
    let samples = parsed(&metrics::page(&view::view()));
    let mut known: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, labels) in samples.keys() {
        // Who scrapes adds these two.
        known
            .entry(name)
            .or_insert_with(|| BTreeSet::from(["job", "instance"]))
            .extend(labels.keys().map(String::as_str));
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/grafana-dashboard.json");
    let dashboard: Json = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut asked = BTreeSet::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().unwrap();
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}: no unit");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}: asks for nothing");
        for target in targets {
            // Grafana puts a time there, of which the parser need not know.
            let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "1m");
            let expression = parser::parse(&query).unwrap_or_else(|e| panic!("{title}: {query}: {e}"));
            let mut found = Asked::default();
            walk_expr(&mut found, &expression).unwrap();
            assert!(!found.0.is_empty(), "{title}");
            for (name, labels) in found.0 {
                let there = known.get(name.as_str()).unwrap_or_else(|| panic!("{title}: there is no {name}"));
                for label in &labels {
                    assert!(there.contains(label.as_str()), "{title}: {name} has no label {label}");
                }
                asked.insert(name);
            }
        }
    }
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "no id twice");
    // What is exposed is shown somewhere, but for what stands behind something else.
    let unseen: Vec<&str> = known.keys().copied().filter(|name| !asked.contains(*name)).collect();
    assert_eq!(
        unseen,
        [
            "bordertap_findings_alert",
            "bordertap_flows_total",
            "bordertap_flows_transit_total",
            "bordertap_output_bytes_total",
            "bordertap_signatures"
        ]
    );
}

#[test]
fn the_line_says_the_same_to_people_and_programs() {
    let view = view::view();
    let line = bordertap::view::line(&view);
    let leaving = EXPECTED.iter().filter(|e| matches!(e.crossing, "observed" | "probable")).count();
    // The last ten of 0 to 19, over and over: 10 to 19.
    assert!(line.starts_with("15 packets/s, 43.6 kbit/s, 0 lost/s; 1,178 packets, "), "{line}");
    assert!(line.contains(&format!("{} findings ({leaving} out of the country)", EXPECTED.len())), "{line}");
    assert!(line.contains("17 flows open, 34.0 kB"), "{line}");
    assert!(line.ends_with("; 1 warning") && !line.contains('\n'), "{line}");
    let json = bordertap::view::json(&view);
    assert_eq!(json["message"], line);
    let stats = &json["bordertap.stats"];
    assert_eq!(stats["received"].as_u64(), Some(1178));
    assert_eq!(stats["decoded"].as_u64().unwrap() + stats["not_decoded"].as_u64().unwrap(), 1178);
    assert_eq!((stats["findings"].as_u64(), stats["records_dropped"].as_u64()), (Some(EXPECTED.len() as u64), Some(3)));
    assert_eq!(stats["packets_per_second"].as_f64().map(f64::round), Some(15.0));
    assert_eq!(stats["running_seconds"].as_u64(), Some(60));
}

/// Findings are joined now and then, packets are counted every second.
#[test]
fn the_ledger_of_a_picture_counts_and_not_that_of_its_report() {
    let mut view = view::view();
    (view.ledger.received, view.ledger.decoded) = (view.ledger.received + 1_000, view.ledger.decoded + 1_000);
    assert_eq!(view.report.ledger.received, 1178);
    assert!(bordertap::view::line(&view).contains("; 2,178 packets, "), "{}", bordertap::view::line(&view));
    let json = bordertap::view::json(&view);
    let stats = &json["bordertap.stats"];
    assert_eq!(stats["received"].as_u64(), Some(2178));
    assert_eq!(stats["decoded"].as_u64().unwrap() + stats["not_decoded"].as_u64().unwrap(), 2178);
}
