//! The page of `--report`: its structure, its size, hostile text in it, and what a browser makes of it.
//!
//! In: the demonstration, and reports made from it: one finding, none, ten thousand, names that mean harm. The browser is the
//! system's Chromium, led by `tests/browser/report.mjs`; where it, node or the packages (`.ci/install browser`) are missing, the
//! test says `NOT RUN` on standard error, and fails with `BORDERTAP_BROWSER=must`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::cargo::cargo_bin_cmd;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bordertap::record::{AsNumber, Direction, Evidence, Finding};
use bordertap::report::html::{self, Lang};
use bordertap::report::text::grouped;
use bordertap::report::{DamageLine, Report};
use common::view;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What a page with ten thousand findings may weigh.
const PAGE_BYTES_MAX: usize = 2_000_000;
const MANY: usize = 10_000;
/// Names that mean harm.
const HARM: &[&str] = &[
    "<script>pwned=1</script>",
    "</script><img src=x onerror=pwned=1>",
    "<!--",
    "\u{202e}gnp.exe\u{2066}",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\tstart",
    "\rstart",
    "a\u{0}b\u{1b}[31mc",
    "{{ 7 * 7 }}{% raw %}",
    "{n} {0} {}",
    "line\u{2028}break",
    "\"quoted' & <b>bold</b>",
    "\u{fffd}\u{fffd}",
];

/// The page.
fn page(report: &Report, lang: Lang) -> String {
    let mut out = Vec::new();
    html::write(report, lang, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// What the page carries for its script.
fn data(page: &str) -> Value {
    let start = page.find("id=\"data\">").unwrap() + "id=\"data\">".len();
    let end = start + page[start..].find("</script>").unwrap();
    serde_json::from_str(&page[start..end]).unwrap()
}

/// The page without its data, script and style.
fn markup(page: &str) -> String {
    let mut rest = page;
    let mut text = String::new();
    while let Some(at) = ["<script", "<style"].iter().filter_map(|tag| rest.find(tag)).min() {
        text.push_str(&rest[..at]);
        let end = ["</script>", "</style>"].iter().filter_map(|tag| rest[at..].find(tag)).min().unwrap();
        rest = &rest[at + end..];
    }
    text + rest
}

/// As [`markup`], with slashes as they are read.
fn readable(page: &str) -> String {
    markup(page).replace("&#x2f;", "/")
}

fn with(findings: Vec<Finding>) -> Report {
    Report { findings, ..view::report() }
}

fn one() -> Report {
    let report = view::report();
    let findings = report.findings[..1].to_vec();
    let assets = report.assets[..1].to_vec();
    Report { findings, assets, ..report }
}

fn none() -> Report {
    let report = view::report();
    Report { findings: Vec::new(), assets: Vec::new(), gaps: Vec::new(), ..report }
}

/// Findings of 400 hosts, each with a name, an address and an id of its own.
fn many() -> Report {
    let report = view::report();
    let countries = ["US", "EU", "DE", "JP", "SG", "GB", "IL", "IN", "BR", "AU", "CA", "FR", "KR", "NL", "IE", "ZA"];
    let mut made = report.clone();
    made.findings = (0..MANY)
        .map(|n| {
            let host = n % 400;
            let mut finding = report.findings[n % report.findings.len()].clone();
            finding.asset = report.findings[host % report.findings.len()].asset.clone();
            let address = format!("198.51.{}.{}", n / 250, n % 250);
            finding.id = format!("{:016x}", (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            finding.asset.ip = format!("10.{}.{}.7", host / 200, host % 200);
            finding.destination.domain = Some(format!("host-{n}.region-{}.vendor.example", n % 97));
            finding.destination.ip = vec![address.clone()];
            finding.destination.country = (n % 17 > 0).then(|| countries[n % 16].to_owned());
            finding.bytes_out = (n as u64).pow(2) * 37 % 5_000_000;
            finding.bytes_in = (n as u64).pow(2) * 91 % 9_000_000;
            let (mut out, mut back) = (finding.bytes_out, finding.bytes_in);
            let months = finding.by_month.len();
            for (at, bytes) in finding.by_month.values_mut().enumerate() {
                let parts = (months - at) as u64;
                (bytes.bytes_out, bytes.bytes_in) = (out / parts, back / parts);
                (out, back) = (out - bytes.bytes_out, back - bytes.bytes_in);
            }
            let [sent, got] = [finding.bytes_out, finding.bytes_in].map(grouped);
            finding.why[0] = format!("{sent} bytes went to {address}. {got} bytes came back.");
            finding
        })
        .collect();
    made
}

/// Every text that comes from outside means harm.
fn hostile() -> Report {
    let mut report = view::report();
    let harm = |n: usize| HARM[n % HARM.len()].to_owned();
    for (n, finding) in report.findings.iter_mut().enumerate() {
        finding.destination.domain = Some(if n == 0 { "x".repeat(255) } else { harm(n) });
        finding.destination.as_ = Some(AsNumber { number: 64_500, organization: harm(n + 1) });
        finding.channel.product = harm(n + 2);
        finding.channel.off_switch = Some(harm(n + 3));
        finding.channel.source =
            vec![harm(n + 4), "javascript:pwned=1".into(), format!("https://vendor.example/{}", harm(n))];
        finding.asset.product = harm(n + 5);
        finding.asset.vendor = harm(n + 6);
        finding.why = HARM.iter().map(|text| (*text).to_owned()).collect();
        finding.why.push(format!("{} was only asked for; no flow to it was seen.", harm(n)));
        finding.direction = if n % 2 == 0 { Direction::Inbound } else { Direction::Outbound };
        finding.asset.evidence = vec![evidence(&harm(n))];
    }
    for (n, asset) in report.assets.iter_mut().enumerate() {
        (asset.product, asset.model, asset.version) = (harm(n + 5), Some(harm(n)), Some(harm(n + 9)));
        asset.vendor = harm(n + 6);
        asset.shared_address = true;
        asset.evidence = HARM.iter().map(|text| evidence(text)).collect();
    }
    report.header.inputs = HARM.iter().map(|text| (*text).to_owned()).collect();
    report.header.filter = Some(HARM.concat());
    report.header.damage =
        HARM.iter().map(|text| DamageLine { input: (*text).into(), offset: 7, reason: (*text).into() }).collect();
    report.ledger.later = HARM.iter().map(|text| ((*text).to_owned(), 1)).collect();
    report.header.country_database = HARM.concat();
    report
}

fn evidence(value: &str) -> Evidence {
    Evidence {
        field: "tls.sni".to_owned(),
        value: value.to_owned(),
        signature: value.to_owned(),
        matched: "vendor.toml:1".to_owned(),
        confidence: 50,
        first_seen: "2026-11-02T08:00:00Z".to_owned(),
        packet: 7,
    }
}

#[test]
fn the_page_may_run_its_own_script_and_nothing_else() {
    let page = page(&view::report(), Lang::En);
    let digest = |from: &str, to: &str| {
        let start = page.rfind(from).unwrap() + from.len();
        let text = &page[start..start + page[start..].find(to).unwrap()];
        format!("&#x27;sha256-{}&#x27;", BASE64_STANDARD.encode(Sha256::digest(text)).replace('/', "&#x2f;"))
    };
    let policy = format!(
        "content=\"default-src &#x27;none&#x27;; script-src {}; style-src {}; base-uri &#x27;none&#x27;; form-action &#x27;none&#x27;\"",
        digest("<script>", "</script>"),
        digest("<style>", "</style>")
    );
    assert!(page.contains(&policy), "no policy with the digests of style and script");
    assert!(page.find("Content-Security-Policy") < page.find("<style>"));
    let markup = markup(&page);
    for word in [" src=", "<link", "<img", "<iframe", "url(", "@import", " style=", " onclick="] {
        assert!(!markup.contains(word), "the page has {word}");
    }
    assert!(!page.contains("url(") && !page.contains("@import"));
}

#[test]
fn the_answer_and_the_plots_stand_without_the_script() {
    let markup = readable(&page(&view::report(), Lang::En));
    let wanted = [
        "11 channels of 4 products across the border, to the United States (129.3\u{a0}kB)",
        "4 台设备有 11 条通道出境，去往美国（129.3\u{a0}kB）",
        "class=\"sankey\"",
        "class=\"world\"",
        "class=\"strip\"",
        "about every 10 min",
        "约每 10 分钟一次",
        "telemetry.unlisted.example",
        "68,299 bytes went to 209.66.107.20. 4,599 bytes came back.",
        "向 209.66.107.20 发送了 68,299 字节，收回 4,599 字节。",
        "bordertap scan span0 --home CN --inside 10.0.0.0/8,",
    ];
    for text in wanted {
        assert!(markup.contains(text), "no {text}");
    }
    for section in
        ["answer", "flow", "map", "timeline", "findings", "assets", "recipients", "inbound", "unseen", "method"]
    {
        assert_eq!(markup.matches(&format!("<section id=\"{section}\"")).count(), 1, "{section}");
    }
    for word in ["compliant", "illegal", "合规", "违法"] {
        assert!(!markup.contains(word), "the page says {word}");
    }
}

#[test]
fn the_same_report_gives_the_same_bytes() {
    let report = view::report();
    assert!(page(&report, Lang::En) == page(&report.clone(), Lang::En));
    let [en, zh] = [Lang::En, Lang::Zh].map(|lang| page(&report, lang));
    assert!(
        en.contains("<html lang=\"en\" data-lang=\"en\">") && zh.contains("<html lang=\"zh-CN\" data-lang=\"zh\">")
    );
}

#[test]
fn ten_thousand_findings_weigh_less_than_two_megabytes() {
    let page = page(&many(), Lang::En);
    assert!(page.len() < PAGE_BYTES_MAX, "{} bytes", page.len());
    assert_eq!(data(&page)["findings"].as_array().unwrap().len(), MANY);
}

#[test]
fn what_is_in_the_report_is_in_the_data() {
    let report = view::report();
    let data = data(&page(&report, Lang::En));
    let texts = data["texts"].as_array().unwrap();
    for (finding, cells) in report.findings.iter().zip(data["findings"].as_array().unwrap()) {
        let said = |at: usize| cells[at].as_u64().unwrap();
        assert_eq!(cells[0], finding.id.as_str());
        assert_eq!((said(7), said(8), said(9)), (finding.bytes_out, finding.bytes_in, finding.sessions));
        let name = cells[3].as_str().map(|label| format!("{label}{}", texts[said(4) as usize].as_str().unwrap()));
        assert_eq!(name, finding.destination.domain);
        let host = &data["hosts"][said(1) as usize];
        assert_eq!((host[0].as_str(), host[3].as_str()), (Some(&*finding.asset.ip), Some(&*finding.asset.product)));
        assert_eq!(data["channels"][said(2) as usize][0], finding.channel.id.as_str());
        let kind = &data["kinds"][said(6) as usize];
        assert_eq!(
            (kind[0].as_str(), kind[5].as_str()),
            (finding.destination.country.as_deref(), Some(&*finding.severity))
        );
        assert_eq!(data["whys"][said(13) as usize].as_array().unwrap().len(), finding.why.len());
    }
}

#[test]
fn hostile_text_stays_text() {
    let page = page(&hostile(), Lang::En);
    let small = page.to_ascii_lowercase();
    assert_eq!((small.matches("<script").count(), small.matches("</script").count()), (2, 2));
    assert!(!small.contains("<!--") && !small.contains("<img") && !page.contains("<b>bold"));
    let unseen = ['\u{202e}', '\u{2066}', '\u{2028}', '\u{0}', '\u{1b}', '\t', '\r'];
    let markup = markup(&page);
    assert!(!markup.contains(unseen), "a sign that acts unseen");
    assert!(!page.contains(&unseen[..5]), "a sign that acts unseen");
    assert!(markup.contains("&lt;script&gt;pwned=1"));
    assert!(markup.contains("⟨U+202E⟩gnp.exe"));
    assert!(markup.contains("{{ 7 * 7 }}") && markup.contains("{n} {0} {}"));
    let hrefs: BTreeSet<&str> = markup.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(hrefs.iter().all(|href| href.starts_with('#')), "{hrefs:?}");
    data(&page);
}

#[test]
fn the_program_writes_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.html");
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/demo/four-vendors.pcapng");
    let scan = |more: &[&str]| cargo_bin_cmd!("bordertap").args(["scan", "-q", demo]).args(more).assert();
    let said = scan(&["--report", path.to_str().unwrap(), "--lang", "zh"]).success();
    assert!(said.get_output().stdout.is_empty());
    let page = fs::read_to_string(&path).unwrap();
    assert!(page.starts_with("<!doctype html>\n<html lang=\"zh-CN\"") && page.ends_with("</html>\n"));
    let digest = Sha256::digest(fs::read(demo).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(page.contains(&digest), "the page has no digest of its input");
    let printed = scan(&["--report", "-"]).success();
    assert!(printed.get_output().stdout.starts_with(b"<!doctype html>\n<html lang=\"en\""));
    scan(&["--lang", "zh"]).code(2);
    scan(&["--report", "-", "--lang", "de"]).code(2);
}

/// A program on the PATH.
fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

#[test]
fn a_browser_shows_the_page() {
    let browser = ["chromium", "chromium-browser", "google-chrome"].iter().find_map(|name| on_path(name));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let missing = match (&browser, on_path("node")) {
        (None, _) => Some("chromium"),
        (_, None) => Some("node"),
        _ if !folder.join("node_modules/playwright-core").exists() => Some("packages of tests/browser"),
        _ => None,
    };
    if let Some(missing) = missing {
        writeln!(std::io::stderr(), "NOT RUN: the page in a browser: no {missing}; `.ci/install browser` has it")
            .unwrap();
        assert!(std::env::var("BORDERTAP_BROWSER").as_deref() != Ok("must"), "no {missing}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let reports = [
        ("demo", view::report()),
        ("one", one()),
        ("none", none()),
        ("hostile", hostile()),
        ("many", many()),
        ("home", with(view::report().findings.into_iter().filter(|f| !f.crossing.leaves()).collect())),
    ];
    for (name, report) in reports {
        fs::write(dir.path().join(format!("{name}.html")), page(&report, Lang::En)).unwrap();
    }
    if let Some(keep) = std::env::var_os("BORDERTAP_PAGES") {
        for entry in fs::read_dir(dir.path()).unwrap().flatten() {
            fs::copy(entry.path(), Path::new(&keep).join(entry.file_name())).unwrap();
        }
    }
    let output = Command::new("node")
        .arg(folder.join("report.mjs"))
        .args([browser.unwrap().as_os_str(), dir.path().as_os_str()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<&str> = said.lines().filter(|line| !line.starts_with("ok ")).collect();
    assert!(output.status.success(), "{}\n{}", failed.join("\n"), String::from_utf8_lossy(&output.stderr));
    assert!(said.lines().count() >= 30, "{} checks", said.lines().count());
}
