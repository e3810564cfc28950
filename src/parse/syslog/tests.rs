#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use super::*;
use crate::fact::Seen;
use crate::parse::testing::{tcp, udp};

const C: Side = Side::Source;
const UDP: (u16, u16) = (50_000, 514);
const ODD: (u16, u16) = (50_000, 50_001);

const FORTIOS: &str = "<189>date=2026-01-02 time=03:04:05 devname=\"fw1\" devid=\"FG100ETK00000000\" \
    logid=\"0000000013\" type=\"traffic\" subtype=\"forward\" level=\"notice\" vd=\"root\" srcip=10.1.1.1 \
    user=\"s3cret\" msg=\"a, \\\"s3cret\\\" b\"";
const PAN_OS: &str = "<14>Nov 24 16:37:01 pa-1 1,2026/11/24 16:37:01,007200001056,TRAFFIC,end,2561,\
    2026/11/24 16:37:01,10.1.1.1,203.0.113.9,0.0.0.0,0.0.0.0,s3cret,corp\\s3cret,,web-browsing";
const CHECK_POINT: &str = "<134>1 2026-11-24T16:37:01Z gw-1 CheckPoint 1930 - [action:\"Accept\"; flags:\"133440\"; \
    ifdir:\"inbound\"; user:\"s3cret; ]\"; src:\"10.1.1.1\"]";
const CHECK_POINT_CEF: &str = "<134>Nov 24 16:37:01 gw-1 CEF:0|Check Point|VPN-1 & FireWall-1|Check Point|Log|https|\
    Unknown|act=Accept suser=s3cret deviceExternalId=GW00012345 rt=1";
const ESXI: &str = "<166>2019-05-21T19:27:32.479Z esx07 Hostd: info hostd[2099] \
    [Originator@6876 sub=Vimsvc opID=5a user=s3cret] done";
const LEEF: &str = "LEEF:1.0|Lancope|StealthWatch|1.0|41|src=10.0.1.8\tusrName=s3cret";

fn read_udp(text: &str) -> Facts {
    let mut facts = Facts::default();
    let mut parser = (PROTOCOL.parser)(Transport::Udp);
    let prefix = Prefix { bytes: text.as_bytes(), seen: Seen::default(), last: true, split: false };
    assert_eq!(parser.feed(C, prefix, &mut facts), Progress::NeedBytes(0));
    facts
}

fn values(facts: &Facts, field: &'static Field) -> Vec<String> {
    let mut all: Vec<String> = facts.of(field).map(|fact| fact.text()).collect();
    all.sort();
    all
}

/// What is told of a message: shape, application, host, device; empty where nothing is.
fn told(text: &str) -> [String; 4] {
    let facts = read_udp(text);
    assert!(!facts.packed().windows(6).any(|window| window == b"s3cret"), "{text}");
    [&FORMAT, &APP, &HOSTNAME, &DEVICE_ID].map(|field| values(&facts, field).concat())
}

#[test]
fn headers_of_the_standards() {
    // RFC 5424, 6.5, examples 1, 3 and 4; RFC 3164, 5.4, example 1; the texts shortened.
    let host = "mymachine.example.com";
    assert_eq!(
        told("<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed for s3cret"),
        ["1 - - su - ID47 -", "su", host, ""]
    );
    let element = "[exampleSDID@32473 iut=\"3\" eventSource=\"s3cret\\\"]\" eventID=\"1011\"]";
    let shape = "[exampleSDID@32473 iut= eventSource= eventID=]";
    assert_eq!(
        told(&format!("<165>1 2003-10-11T22:14:15.003Z {host} evntslog - ID47 {element} \u{feff}An event")),
        [&format!("1 - - evntslog - ID47 {shape}"), "evntslog", host, ""]
    );
    assert_eq!(
        told(&format!(
            "<165>1 2003-10-11T22:14:15.003Z {host} e - ID47 {element}[examplePriority@32473 class=\"s3cret\"]"
        )),
        [&format!("1 - - e - ID47 {shape}[examplePriority@32473 class=]"), "e", host, ""]
    );
    assert_eq!(told("<34>Oct 11 22:14:15 mymachine su: 'su root' failed for s3cret"), ["su:", "su", "mymachine", ""]);
    assert_eq!(told("<0>1 - - - - - -"), ["1 - - - - - -", "", "", ""]);
}

#[test]
fn headers_as_they_are_in_use() {
    assert_eq!(told("<13>Nov  4 16:37:01 sshd[123]: Accepted publickey for s3cret"), ["sshd:", "sshd", "", ""]);
    assert_eq!(told("<13>Nov 24 2026 16:37:01 fw-2 : %ASA-6-302013: Built s3cret")[1..3], ["", ""]);
    assert_eq!(told("<166>Nov 24 2026 16:37:01: %ASA-6-302013: s3cret"), ["%ASA-6-302013:", "%ASA-6-302013", "", ""]);
    // Neither host nor application: words of a text.
    for text in ["<13>Nov  4 16:37:01 last message repeated 2 times", "<13>16:37: s3cret", "<13>", "<13>s3cret text"] {
        assert_eq!(told(text), ["", "", "", ""], "{text}");
    }
}

#[test]
fn fortios() {
    let expected =
        ["date= time= devname= devid=FG100E logid= type= subtype= level= vd= srcip=", "", "fw1", "FG100ETK00000000"];
    assert_eq!(told(FORTIOS), expected);
    assert_eq!(
        told(&FORTIOS.replace("\" ", "\",").replace(" time", ",time").replace(" devname", ",devname"))[3],
        "FG100ETK00000000"
    );
    // A relay adds a header.
    assert_eq!(told(&FORTIOS.replace("<189>", "<189>Nov 24 16:37:01 relay "))[2], "fw1");
    // FortiEDR Manager, after its signature.
    let edr = told("<13>1 2026-01-02T03:04:05Z mgr1 FortiEDR - - - Message Type: s3cret;");
    assert_eq!(edr[..3], ["1 - - FortiEDR - - -", "FortiEDR", "mgr1"]);
}

#[test]
fn other_vendors() {
    assert_eq!(told(PAN_OS), [",,,TRAFFIC,end", "", "pa-1", "007200001056"]);
    assert_eq!(told(CHECK_POINT), ["1 - - CheckPoint - - [action: flags: ifdir: user: src:", "CheckPoint", "gw-1", ""]);
    let old = CHECK_POINT.replace("24T16", "24 16").replace("01Z", "01");
    assert_eq!(told(&old)[1], "CheckPoint");
    let cef = "CEF:0|Check Point|VPN-1 & FireWall-1|Check Point";
    assert_eq!(told(CHECK_POINT_CEF), [cef, "", "gw-1", "GW00012345"]);
    assert_eq!(told(ESXI), ["Hostd: [Originator@6876 sub= opID= user=]", "Hostd", "esx07", ""]);
    assert_eq!(told("<166>2019-05-21T19:27:32Z esx07 vmkernel: cpu1:2)s3cret")[0], "vmkernel:");
    assert_eq!(told(LEEF), ["LEEF:1.0|Lancope|StealthWatch|1.0", "", "", ""]);
    assert_eq!(told("CEF:0|a\\|b|c|d|s3cret|")[0], "CEF:0|a\\|b|c|d");
}

#[test]
fn a_cut_message_gives_no_half_value() {
    for text in [FORTIOS, PAN_OS, CHECK_POINT, CHECK_POINT_CEF, ESXI, LEEF] {
        let whole = told(text);
        for end in 0..text.len() {
            if claim(&udp(UDP, C, &text.as_bytes()[..end])) != Claim::Yes {
                continue;
            }
            let [format, app, host, device] = told(&text[..end]);
            assert!(whole[0].starts_with(&format) || format.ends_with(':'), "{format}");
            assert!(app.is_empty() || app == whole[1], "{app}");
            assert!(host.is_empty() || host == whole[2] || whole[2] == "fw1", "{host}");
            assert!(device.is_empty() || device == whole[3], "{device}");
        }
    }
}

#[test]
fn claims_a_header_anywhere_and_a_priority_on_its_port() {
    for text in [FORTIOS, PAN_OS, CHECK_POINT, CHECK_POINT_CEF, ESXI, LEEF, "<34>Oct 11 22:14:15 m su: x"] {
        assert_eq!(claim(&udp(ODD, C, text.as_bytes())), Claim::Yes, "{text}");
        for end in ["\n", "\0", "\r\n<13>x\n"] {
            assert_eq!(claim(&tcp(ODD, C, format!("{text}{end}").as_bytes())), Claim::Yes, "{text}");
        }
        let part = tcp(ODD, C, text.as_bytes());
        assert_eq!(claim(&part), Claim::NeedBytes(text.len() + 1), "{text}");
        assert_eq!(claim(&Opening { last: true, ..part }), Claim::Yes, "{text}");
        assert_eq!(claim(&tcp(ODD, C, format!("{} {text}", text.len()).as_bytes())) == Claim::Yes, text != LEEF);
    }
    assert_eq!(claim(&udp(UDP, C, b"<13>robin: hello")), Claim::Yes);
    assert_eq!(claim(&tcp(UDP, C, b"<13>robin: hello\n")), Claim::Yes);
    assert_eq!(claim(&tcp(ODD, C, b"<13>robin: hello\n")), Claim::No);
    for text in ["<", "<13", "<13>", "<13>Oct", "12 ", "12", "CE", "LEEF:1.0|"] {
        assert_eq!(claim(&tcp(ODD, C, text.as_bytes())), Claim::NeedBytes(text.len() + 1), "{text}");
    }
    for text in ["", "<192>Oct 11 22:14:15 m", "<013>x", "<html>", "<>", "220 mail", "0 <13>", "CONNECT x", "LPRINT"] {
        assert_eq!(claim(&tcp(UDP, C, text.as_bytes())), Claim::No, "{text}");
    }
    assert_eq!(claim(&udp(UDP, C, b"<13>\x01\x02\x03\x04")), Claim::No);
    assert_eq!(claim(&tcp(UDP, C, b"<13>\x01\x02\x03\x04\n")), Claim::No);
    assert_eq!(claim(&tcp(ODD, C, &[b"<13>", &[b'x'; CLAIM_BYTES_MAX][..]].concat())), Claim::No);
}

/// Feeds a stream piece by piece.
fn read_tcp(bytes: &[u8], cuts: impl Iterator<Item = usize>) -> (Facts, Progress) {
    let (mut facts, mut parser, mut wanted) = (Facts::default(), (PROTOCOL.parser)(Transport::Tcp), 0);
    let mut progress = Progress::NeedBytes(0);
    for end in cuts.filter(|end| *end <= bytes.len()) {
        if end < wanted {
            continue;
        }
        let prefix = Prefix { bytes: &bytes[..end], seen: Seen::default(), last: false, split: true };
        progress = parser.feed(C, prefix, &mut facts);
        match progress {
            Progress::NeedBytes(more) => wanted = more,
            _ => break,
        }
    }
    (facts, progress)
}

#[test]
fn both_framings_however_they_are_cut() {
    let counted = format!("{} {PAN_OS}{} {ESXI}", PAN_OS.len(), ESXI.len());
    let ended = format!("{PAN_OS}\n{ESXI}\r\n{LEEF}\0");
    for stream in [counted, ended] {
        let bytes = stream.as_bytes();
        for (facts, progress) in [read_tcp(bytes, std::iter::once(bytes.len())), read_tcp(bytes, 1..=bytes.len())] {
            assert!(matches!(progress, Progress::NeedBytes(_)));
            assert_eq!(values(&facts, &HOSTNAME), ["esx07", "pa-1"]);
            assert!(facts.flags == Default::default());
        }
    }
    // What is not whole is not read.
    let (facts, _) = read_tcp(ESXI.as_bytes(), std::iter::once(ESXI.len()));
    assert!(facts.is_empty());
}

#[test]
fn limits_of_a_stream() {
    let many = format!("{ESXI}\n").repeat(MESSAGES_MAX);
    let (facts, progress) = read_tcp(many.as_bytes(), std::iter::once(many.len()));
    assert!(facts.flags.has(Flag::LimitReached) && progress == Progress::Done);
    for long in [format!("<13>{}", "x".repeat(MESSAGE_BYTES_MAX)), "99999 <13>x".to_owned()] {
        let (facts, progress) = read_tcp(long.as_bytes(), std::iter::once(long.len()));
        assert!(facts.flags.has(Flag::LimitReached) && progress == Progress::Done);
    }
    let (facts, progress) = read_tcp(b"<13>a: b\nGET / HTTP/1.1\n", std::iter::once(24));
    assert!(facts.flags.has(Flag::ParseError) && progress == Progress::Done);
}
