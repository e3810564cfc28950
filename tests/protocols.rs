//! What must hold of every protocol of the registry, whoever adds one: it has a sample, no way of cutting or ordering
//! what came by gives a wrong fact, and it claims nothing that is not its own.
//!
//! Nothing is to be added here with a protocol. Samples are found: captures under `fixtures/` in which a flow is read
//! as the protocol, and `fixtures/built/<protocol>.txt` (`fixtures/README.md` has the form).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use bordertap::fact::Side;
use bordertap::parse::{Claim, Opening, PROTOCOLS, Protocol, Transport};
use common::mutate::{self, Law, Mutated};
use common::random::Random;
use common::sample::{self, Fact, Read, Sample};

/// Rounds of changes that each sample goes through, each with other numbers.
const ROUNDS: u64 = 30;
/// Payloads of noise, of each kind.
const NOISE: usize = 150;
/// Facts that a failure shows.
const SHOWN_MAX: usize = 4;
/// Ports that say nothing.
const NO_PORTS: (u16, u16) = (49_800, 49_900);

/// Where the order in which datagrams come decides what can be read: protocol and reason.
/// Nothing wrong may be read there either, but something may be missing.
const NEEDS_ORDER: &[(&str, &str)] = &[
    ("eap", "fragments have no place of their own: each is sent when the one before it was answered"),
    ("radius", "the EAP in it"),
];

/// First payloads that two protocols claim, for a reason: the earlier in the registry, the later, and the reason.
const AMBIGUOUS: &[(&str, &str, &str)] = &[
    ("vmware-authd", "smtp", "on a port of mail any greeting with 220 is one of mail"),
    ("vmware-authd", "ftp", "on the port of FTP any greeting with 220 is one of FTP"),
    ("smtp", "ftp", "on the port of FTP any greeting with 220 is one of FTP"),
    ("netflow", "globalprotect", "on its port, what has a first word and counts from one may be ESP"),
];

/// First payloads that are one protocol's on its port and rightly another's on a port of that: the two and the reason.
const BY_PORT: &[(&str, &str, &str)] = &[
    ("ftp", "pop3", "USER is a command of both"),
    ("ftp", "smtp", "220 begins a greeting of both"),
    ("globalprotect", "ike", "ESP in UDP is behind NAT what it is in a tunnel"),
];

static SAMPLES: LazyLock<BTreeMap<&'static str, Vec<Sample>>> = LazyLock::new(sample::samples);

fn samples() -> impl Iterator<Item = &'static Sample> {
    SAMPLES.values().flatten()
}

fn protocol(name: &str) -> &'static Protocol {
    PROTOCOLS.iter().find(|p| p.name == name).unwrap()
}

/// The first payload of each side of a sample.
fn first_payloads(sample: &Sample) -> impl Iterator<Item = (Side, &[u8])> {
    let first = |low| sample.pieces.iter().find(|piece| piece.low == low && piece.at == 0);
    [true, false].into_iter().filter_map(first).map(|piece| (sample.side(piece), piece.bytes.as_slice()))
}

/// The ports that the samples of each protocol have over some transport.
fn ports_of(protocol: &str, transport: Transport) -> BTreeSet<(u16, u16)> {
    let found = SAMPLES.get(protocol).into_iter().flatten().filter(|sample| sample.transport == transport);
    found.map(Sample::ports).chain([NO_PORTS]).collect()
}

/// The first bytes of a side of a sample, towards these ports.
fn opening<'a>(sample: &Sample, ports: (u16, u16), side: Side, bytes: &'a [u8]) -> Opening<'a> {
    Opening::new(sample.transport, ports, side, bytes)
}

#[test]
fn every_protocol_has_a_sample() {
    let without: Vec<&str> = PROTOCOLS.iter().map(|p| p.name).filter(|name| !SAMPLES.contains_key(name)).collect();
    assert!(
        without.is_empty(),
        "no capture under fixtures/ has a flow of {without:?}, and there is no fixtures/built/<protocol>.txt"
    );
    // For whoever looks for captures: what no sample shows. Some fields are filled by what carries a protocol too.
    let shown: BTreeSet<&str> = samples().flat_map(|sample| &sample.fields).copied().collect();
    for protocol in PROTOCOLS {
        let fields = protocol.fields.iter().map(|field| field.name);
        let missing: Vec<&str> = fields.filter(|name| !shown.contains(name)).collect();
        println!("{}: {} samples; no sample fills {missing:?}", protocol.name, SAMPLES[protocol.name].len());
    }
}

#[test]
fn the_form_of_built_flows() {
    let read = |text: &str| sample::flows_of_built("x.txt", text);
    let text = "# source: RFC 1350\nflow udp 49152 69\n> 0001 \"a\\r\\n\\0\" 0 0\n< 00 03\n\nflow frame 88cc\n> 0207\n";
    let flows = read(text).unwrap();
    let payloads: Vec<(bool, &[u8])> = flows.iter().flat_map(|f| &f.1).map(|p| (p.low, p.bytes.as_slice())).collect();
    assert_eq!(payloads, [(true, &b"\0\x01a\r\n\0\0"[..]), (false, b"\0\x03"), (true, b"\x02\x07")]);
    assert_eq!((flows[0].0.endpoint(true).1, flows[0].0.endpoint(false).1), (49_152, 69));
    assert!(flows[1].0.is_frame() && flows[1].0.endpoint(false).1 == 0x88cc);
    let good = "# source: x\nflow udp 1 2\n> 00\n";
    assert!(read(good).is_ok());
    for (from, to) in [
        ("# source: x", "# source:"),
        ("flow udp 1 2", "flow udp 1"),
        ("flow udp 1 2", "flow frame 88cc\n< 00"),
        ("flow udp 1 2\n", ""),
        ("> 00", "> 0"),
        ("> 00", "> \"0"),
        ("> 00", "00"),
        ("> 00", ">"),
        ("> 00\n", ""),
    ] {
        assert!(read(&good.replace(from, to)).is_err(), "{to}");
    }
}

#[test]
fn names_are_there_once() {
    let mut names = BTreeSet::new();
    let mut fields = BTreeSet::new();
    for protocol in PROTOCOLS {
        assert!(names.insert(protocol.name), "two protocols are called {}", protocol.name);
        for field in protocol.fields {
            let first = fields.insert((field.name, std::ptr::from_ref(*field)));
            assert!(first, "{} has the field {} twice", protocol.name, field.name);
        }
    }
    let mut by_name = BTreeMap::new();
    for (name, field) in fields {
        let other = by_name.insert(name, field);
        assert!(other.is_none_or(|other| other == field), "two fields are called {name}");
    }
}

/// Whether the whole of the sample is read from where it starts: only then the way it is cut cannot matter.
fn reads_from_the_start(sample: &Sample) -> bool {
    let protocol = protocol(sample.protocol);
    match sample.transport {
        Transport::Tcp => {
            let complete = [true, false].into_iter().all(|low| {
                let mut pieces: Vec<_> = sample.pieces.iter().filter(|piece| piece.low == low).collect();
                pieces.sort_by_key(|piece| piece.at);
                let next = pieces.iter().try_fold(0, |at, p| (p.at == at && !p.cut).then_some(at + p.bytes.len()));
                next.is_some() && (pieces.is_empty() || sample.syn[usize::from(!low)])
            });
            // What begins inside a flow is looked for at the start of segments.
            let stream = |low: bool| -> Vec<u8> {
                sample.pieces.iter().filter(|p| p.low == low).flat_map(|p| p.bytes.iter().copied()).collect()
            };
            let claimed = [true, false].into_iter().any(|low| {
                let side = if low == sample.opener_low { Side::Source } else { Side::Destination };
                (protocol.claim)(&opening(sample, sample.ports(), side, &stream(low))) == Claim::Yes
            });
            complete && claimed
        }
        _ => {
            // A flow is given up after a few datagrams that nobody claims.
            let claims = |piece: &sample::Piece| {
                (protocol.claim)(&opening(sample, sample.ports(), sample.side(piece), &piece.bytes))
            };
            let foreign = sample.pieces.iter().filter(|piece| claims(piece) != Claim::Yes).count();
            foreign < 4 && NEEDS_ORDER.iter().all(|(name, _)| *name != protocol.name)
        }
    }
}

/// What is wrong with what was read of a changed sample.
fn wrong(whole: &Read, readable: &Read, read: &Read, equal: bool) -> Option<String> {
    if !read.conflict && !read.protocols.is_subset(&readable.protocols) {
        return Some(format!("is read as {:?}", read.protocols));
    }
    let missing = |some: &Read, other: &Read| -> Vec<String> {
        let one = |(field, low, value): &Fact| {
            format!("{field} of {} {:?}", if *low { "low" } else { "high" }, String::from_utf8_lossy(value))
        };
        some.facts.iter().filter(|fact| !other.has(fact)).map(one).take(SHOWN_MAX).collect()
    };
    let (new, lost) = (missing(read, readable), missing(whole, read));
    // What another copy of the same bytes says is told too, and that it contradicts the first.
    if !new.is_empty() && !read.conflict {
        return Some(format!("says {new:?}"));
    }
    (equal && !lost.is_empty()).then(|| format!("does not say {lost:?}"))
}

#[test]
fn cutting_and_reordering_never_give_a_wrong_fact() {
    let mut failures: BTreeMap<(&str, &str), (usize, String)> = BTreeMap::new();
    let mut runs = 0;
    for (number, sample) in (0..).zip(samples()) {
        let whole = sample.read_whole();
        let readable = sample.readable(&whole);
        let from_start = reads_from_the_start(sample);
        for round in 0..ROUNDS {
            let mut random = Random::new(number << 32 | round);
            for Mutated { what, pieces, syn, law } in mutate::all(sample, &mut random) {
                runs += 1;
                let read = sample.read(&pieces, syn);
                if let Some(wrong) = wrong(&whole, &readable, &read, law == Law::Equal && from_start) {
                    let said = format!("{} ({}), {what}, round {round}: {wrong}", sample.protocol, sample.name);
                    failures.entry((sample.protocol, what)).or_insert((0, said)).0 += 1;
                }
            }
        }
    }
    println!("{runs} runs");
    let said: Vec<String> = failures.values().map(|(times, said)| format!("{said} [{times} times]")).collect();
    assert!(said.is_empty(), "{} of {runs} runs:\n{}", said.len(), said.join("\n"));
}

#[test]
fn nobody_claims_what_is_anothers() {
    let mut failures = BTreeSet::new();
    let mut met = BTreeSet::new();
    let place = |name: &str| PROTOCOLS.iter().position(|p| p.name == name).unwrap();
    for sample in samples() {
        let own = protocol(sample.protocol);
        for other in PROTOCOLS.iter().filter(|p| p.name != own.name && p.over.contains(&sample.transport)) {
            let mut ports = ports_of(other.name, sample.transport);
            ports.insert(sample.ports());
            for ((side, payload), ports) in first_payloads(sample).flat_map(|p| ports.iter().map(move |&q| (p, q))) {
                let opening = opening(sample, ports, side, payload);
                if (other.claim)(&opening) != Claim::Yes {
                    continue;
                }
                let own_too = (own.claim)(&opening) == Claim::Yes;
                if !own_too && sample::PARTS.iter().any(|(whole, part, _)| (*whole, *part) == (own.name, other.name)) {
                    continue;
                }
                let pair = (own.name, other.name);
                let by_port = BY_PORT.iter().any(|(first, second, _)| (*first, *second) == pair);
                if by_port && !own_too && ports != sample.ports() {
                    met.insert(pair);
                    continue;
                }
                let said = format!("{} ({:?} of {}, ports {ports:?})", other.name, side, sample.name);
                let listed = AMBIGUOUS.iter().find(|(first, second, _)| (*first, *second) == pair);
                match listed {
                    Some((_, _, why)) if own_too && place(own.name) < place(other.name) => {
                        if met.insert(pair) {
                            println!("{} comes before {}: {why}", own.name, other.name);
                        }
                    }
                    _ => {
                        let only = if own_too { "also" } else { "only" };
                        failures.insert(format!("{}: {only} claimed by {said}", own.name));
                    }
                }
            }
        }
    }
    let failures: Vec<String> = failures.into_iter().collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    for (first, second, _) in AMBIGUOUS.iter().chain(BY_PORT) {
        assert!(met.contains(&(*first, *second)), "{first} and {second} are told apart now: take them off the list");
    }
}

/// Payloads that belong to nobody.
fn noise() -> Vec<(&'static str, Vec<u8>)> {
    let mut random = Random::new(7);
    let mut all = Vec::new();
    let lengths: Vec<usize> = (1..24).chain([28, 32, 40, 48, 64, 100, 128, 300, 512, 1000, 1460]).collect();
    for &length in &lengths {
        for byte in [0x00, 0xff, 0x20, b'A', b'\n', 0x80] {
            all.push(("one byte again and again", vec![byte; length]));
        }
        all.push(("counting", (0..length).map(|n| n as u8).collect()));
    }
    for byte in 0..=255 {
        all.push(("one byte again and again", vec![byte; 200]));
    }
    for _ in 0..NOISE {
        let length = 1 + random.below(600);
        all.push(("random bytes", random.bytes(length)));
        let printable = |random: &mut Random| b' ' + random.below(95) as u8;
        all.push(("printable", (0..length).map(|_| printable(&mut random)).collect()));
        let word = |random: &mut Random| -> Vec<u8> {
            (0..1 + random.below(9)).map(|_| b'a' + random.below(26) as u8).collect()
        };
        let mut lines = Vec::new();
        for _ in 0..1 + random.below(40) {
            lines.extend(word(&mut random));
            lines.extend_from_slice([&b" "[..], b"\r\n", b"\n", b": ", b"."][random.below(5)]);
        }
        all.push(("words and lines", lines.clone()));
        all.push(("words and lines in capitals", lines.to_ascii_uppercase()));
    }
    all
}

#[test]
fn nobody_claims_noise() {
    let noise = noise();
    let mut failures = BTreeMap::new();
    for protocol in PROTOCOLS {
        for &transport in protocol.over {
            for ports in ports_of(protocol.name, transport) {
                for ((what, payload), side) in
                    noise.iter().flat_map(|n| [Side::Source, Side::Destination].map(move |side| (n, side)))
                {
                    let opening = Opening::new(transport, ports, side, payload);
                    // Nor when nothing more comes.
                    let openings = [opening, Opening { last: true, ..opening }];
                    if openings.iter().any(|opening| (protocol.claim)(opening) == Claim::Yes) {
                        let head = &payload[..payload.len().min(24)];
                        let said = format!("{transport:?} {ports:?} {side:?}, {} bytes {head:02x?}", payload.len());
                        failures.entry((protocol.name, *what)).or_insert((0, said)).0 += 1;
                    }
                }
            }
        }
    }
    let said: Vec<String> =
        failures.iter().map(|((name, what), (n, said))| format!("{name}: {what}, {n} times: {said}")).collect();
    assert!(said.is_empty(), "claimed of {} payloads:\n{}", noise.len(), said.join("\n"));
}

#[test]
fn a_claim_does_not_change_its_mind() {
    let mut failures = BTreeSet::new();
    for sample in samples().filter(|sample| sample.transport == Transport::Tcp) {
        for other in PROTOCOLS.iter().filter(|p| p.over.contains(&Transport::Tcp)) {
            for (side, payload) in first_payloads(sample) {
                let claim = |length: usize| (other.claim)(&opening(sample, sample.ports(), side, &payload[..length]));
                let whole = claim(payload.len());
                for length in 1..payload.len().min(700) {
                    let wrong = match claim(length) {
                        Claim::No if whole == Claim::Yes => "no, then yes",
                        Claim::Yes if whole == Claim::No => "yes, then no",
                        Claim::NeedBytes(wanted) if wanted <= length => "asks for bytes that are there",
                        _ => continue,
                    };
                    failures.insert(format!("{} of {} ({side:?}), {length} bytes: {wrong}", other.name, sample.name));
                    break;
                }
            }
        }
    }
    let failures: Vec<String> = failures.into_iter().collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
