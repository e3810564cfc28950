//! Flows of many kinds with anything that may stand in them, the same every time.
//!
//! In: how many. Out: packets, in order of time, as a network delivers them: cut anywhere, a few out of order.

use super::common::conversation::{Conversation, From};
use super::common::der::{self, Certificate, Part};
use super::common::hellos;
use super::common::messages::{self, Answer};
use super::common::packets::{Endpoint, PROTOCOL_UDP, Packet, frame, udp};
use super::common::quic::{self, Initial, Sender};
use super::common::random::Random;
use super::common::tls;

const START_NS: u64 = 1_790_000_000_000_000_000;
/// Between the beginnings of two flows.
const STEP_NS: u64 = 3_000_000;
const ROUND_TRIP_NS: u64 = 9_000_000;
const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

const CIPHERS: &[u16] = &[
    0x1301, 0x1302, 0x1303, 0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f,
    0x0035, 0x000a, 0x00ff, 0x5600, 0xc009, 0xc00a, 0x0033, 0x0039, 0x009e, 0x009f, 0xccaa, 0x0067, 0x006b, 0xc023,
    0xc027,
];
const GROUPS: &[u16] = &[0x001d, 0x0017, 0x0018, 0x0019, 0x001e, 0x0100, 0x0101, 0x11ec, 0x6399];
const SCHEMES: &[u16] = &[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0x0201, 0x0203, 0x0807];
const PROTOCOLS: &[&str] = &["h2", "http/1.1", "http/1.0", "spdy/3.1", "imap", "h3", "dot", "mqtt", "x"];
/// What the last flow of a kind offers may be anything that nobody has given a meaning.
const UNKNOWN_EXTENSIONS: &[u16] = &[0x1234, 0x8888, 0xfe01, 0x7777];

/// Packets of so many flows, of all kinds in turn.
pub fn packets(flows: usize) -> Vec<Packet> {
    let mut random = Random::new(45);
    let mut packets = Vec::new();
    for number in 0..flows {
        let start = START_NS + number as u64 * STEP_NS;
        let (high, low) = ((number >> 8) as u8, number as u8);
        let client = |port| Endpoint::new(CLIENT_MAC, &format!("10.45.{high}.{low}"), port);
        let server =
            |port| Endpoint::new(SERVER_MAC, &format!("203.0.{}.{}", 1 + number % 200, 1 + number % 251), port);
        // tshark takes 27500 for a game.
        let port = 40_000 + (number % 20_000) as u16;
        let made = match number % 8 {
            0 | 1 => tls12(client(port), server([443, 8443, 993][number % 3]), start, &mut random),
            2 | 3 => tls13(client(port), server(443), start, &mut random),
            4 => quic(client(port), server(443), start, &mut random),
            5 => dns(client(port), server(53), start, &mut random),
            6 => http(client(port), server([80, 8080][number % 2]), start, &mut random),
            _ => ssh(client(port), server(22), start, &mut random),
        };
        packets.extend(made);
    }
    packets.sort_by_key(|packet| packet.time);
    packets
}

fn some<T: Copy>(all: &[T], random: &mut Random) -> Vec<T> {
    let mut chosen = all.to_vec();
    random.shuffle(&mut chosen);
    chosen.truncate(1 + random.below(all.len()));
    chosen
}

fn one<T: Copy>(all: &[T], random: &mut Random) -> T {
    all[random.below(all.len())]
}

fn filled(count: usize, random: &mut Random) -> Vec<u8> {
    random.bytes(count)
}

fn filled_below(limit: usize, random: &mut Random) -> Vec<u8> {
    let count = random.below(limit);
    random.bytes(count)
}

fn grease(random: &mut Random) -> u16 {
    0x0a0a + 0x1010 * random.below(16) as u16
}

/// A name of a host with letters, digits, hyphens and underscores, of either case.
fn name(random: &mut Random) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789ABCXYZ_";
    let labels = 1 + random.below(4);
    let mut name = String::new();
    for _ in 0..labels {
        for _ in 0..1 + random.below(20) {
            name.push(char::from(LETTERS[random.below(LETTERS.len())]));
        }
        name.push_str(if random.below(6) == 0 { "-x." } else { "." });
    }
    name + one(&["example", "test", "example.com", "xn--fiqs8s.example"], random)
}

fn words(list: &[u16]) -> Vec<u8> {
    list.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn behind_8(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8], bytes].concat()
}

fn behind_16(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// A ClientHello as a handshake message.
fn client_hello(modern: bool, over_quic: bool, random: &mut Random) -> Vec<u8> {
    let mut extensions: Vec<(u16, Vec<u8>)> = Vec::new();
    if random.below(10) > 0 {
        let host = [&[0][..], &behind_16(name(random).as_bytes())].concat();
        extensions.push((0, behind_16(&host)));
    }
    if random.below(6) > 0 || over_quic {
        let mut protocols = some(PROTOCOLS, random);
        if over_quic {
            protocols = vec!["h3"];
        }
        let list: Vec<u8> = protocols.iter().flat_map(|protocol| behind_8(protocol.as_bytes())).collect();
        extensions.push((16, behind_16(&list)));
    }
    let mut groups = some(GROUPS, random);
    if random.below(3) == 0 {
        groups.insert(0, grease(random));
    }
    extensions.push((10, behind_16(&words(&groups))));
    if random.below(3) > 0 {
        extensions.push((11, behind_8(&some(&[0, 1, 2], random))));
    }
    if random.below(8) > 0 {
        extensions.push((13, behind_16(&words(&some(SCHEMES, random)))));
    }
    if modern {
        let mut versions = vec![0x0304];
        if random.below(2) == 0 {
            versions.push(0x0303);
        }
        if random.below(3) == 0 {
            versions.insert(0, grease(random));
        }
        extensions.push((43, behind_8(&words(&versions))));
        let key = [&0x001d_u16.to_be_bytes()[..], &behind_16(&random.bytes(32))].concat();
        extensions.push((51, behind_16(&key)));
        extensions.push((45, vec![1, 1]));
    }
    if over_quic {
        extensions.push((57, [&[0x01, 0x04, 0x80, 0x00, 0xea, 0x60, 0x0f, 0x00][..]].concat()));
    }
    for (kind, body) in [
        (23, vec![]),
        (35, filled(one(&[0, 32, 176], random), random)),
        (5, vec![1, 0, 0, 0, 0]),
        (18, vec![]),
        (0xff01, vec![0]),
        (27, vec![2, 0, 2]),
        (28, vec![0x40, 0x01]),
        (21, vec![0; random.below(200)]),
        (17_513, vec![0, 3, 2, b'h', b'2']),
        (one(UNKNOWN_EXTENSIONS, random), filled_below(20, random)),
    ] {
        if random.below(2) == 0 {
            extensions.push((kind, body));
        }
    }
    random.shuffle(&mut extensions);
    if random.below(3) == 0 {
        extensions.insert(0, (grease(random), vec![]));
    }
    let mut ciphers = some(CIPHERS, random);
    if random.below(3) == 0 {
        ciphers.insert(0, grease(random));
    }
    let version: u16 = if modern { 0x0303 } else { one(&[0x0303, 0x0303, 0x0302, 0x0301], random) };
    let bare = !modern && random.below(20) == 0;
    let extensions: Vec<u8> = if bare {
        Vec::new()
    } else {
        let all = extensions.iter().flat_map(|(kind, body)| [&kind.to_be_bytes()[..], &behind_16(body)].concat());
        behind_16(&all.collect::<Vec<u8>>())
    };
    let session = if over_quic { Vec::new() } else { filled(one(&[0, 32], random), random) };
    let body = [
        &version.to_be_bytes()[..],
        &random.bytes(32),
        &behind_8(&session),
        &behind_16(&words(&ciphers)),
        &[1, 0],
        &extensions,
    ];
    tls::handshake(1, &body.concat())
}

/// A ServerHello as a handshake message.
fn server_hello(modern: bool, random: &mut Random) -> Vec<u8> {
    let mut extensions: Vec<(u16, Vec<u8>)> = Vec::new();
    if modern {
        extensions.push((43, vec![3, 4]));
        extensions.push((51, [&0x001d_u16.to_be_bytes()[..], &behind_16(&random.bytes(32))].concat()));
    } else {
        for (kind, body) in [
            (0xff01, vec![0]),
            (23, vec![]),
            (11, vec![1, 0]),
            (35, vec![]),
            (0, vec![]),
            (16, behind_16(&behind_8(one(PROTOCOLS, random).as_bytes()))),
        ] {
            if random.below(2) == 0 {
                extensions.push((kind, body));
            }
        }
    }
    random.shuffle(&mut extensions);
    let list: Vec<u8> =
        extensions.iter().flat_map(|(kind, body)| [&kind.to_be_bytes()[..], &behind_16(body)].concat()).collect();
    let version: u16 = if modern { 0x0303 } else { one(&[0x0303, 0x0303, 0x0302, 0x0301], random) };
    let cipher = if modern { one(&CIPHERS[..3], random) } else { one(&CIPHERS[3..], random) };
    let list = if list.is_empty() { Vec::new() } else { behind_16(&list) };
    let body = [
        &version.to_be_bytes()[..],
        &random.bytes(32),
        &behind_8(&random.bytes(32)),
        &cipher.to_be_bytes(),
        &[0],
        &list,
    ];
    tls::handshake(2, &body.concat())
}

/// Sends bytes cut anywhere; one time in three a neighbour overtakes its neighbour.
fn send(conversation: &mut Conversation, from: From, bytes: &[u8], random: &mut Random) {
    let mut offsets: Vec<usize> =
        (0..random.below(4)).map(|_| 1 + random.below(bytes.len())).filter(|at| *at < bytes.len()).collect();
    offsets.extend((1..bytes.len().div_ceil(1400)).map(|n| n * 1400));
    offsets.sort_unstable();
    offsets.dedup();
    let mut pieces = hellos::cut(bytes, &offsets);
    if pieces.len() > 1 && random.below(3) == 0 {
        let at = random.below(pieces.len() - 1);
        pieces.swap(at, at + 1);
    }
    conversation.send_pieces(from, &pieces);
}

fn tls12(client: Endpoint, server: Endpoint, start: u64, random: &mut Random) -> Vec<Packet> {
    let mut conversation = Conversation::new(client, server, start, ROUND_TRIP_NS);
    conversation.open();
    let hello = tls::record(tls::HANDSHAKE, one(&[0x0301, 0x0303], random), &client_hello(false, false, random));
    send(&mut conversation, From::Client, &hello, random);
    let names: Vec<String> = (0..random.below(5)).map(|_| name(random)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let subject = name(random);
    let subject = [Part::Organisation("Example"), Part::CommonName(&subject)];
    let issuer = [Part::Country("DE"), Part::CommonName("Example CA")];
    let own = der::certificate(Certificate { subject: &subject, issuer: &issuer, names: &names, seed: random.next() });
    let above = der::certificate(Certificate { subject: &issuer, issuer: &issuer, names: &[], seed: random.next() });
    let chain = if random.below(2) == 0 { vec![own] } else { vec![own, above] };
    let certificate = tls::certificate(&chain);
    let answer = server_hello(false, random);
    let answer = if random.below(2) == 0 {
        // Both in one record.
        tls::record(tls::HANDSHAKE, tls::VERSION_TLS12, &[&answer, &certificate[5..]].concat())
    } else {
        [tls::record(tls::HANDSHAKE, tls::VERSION_TLS12, &answer), certificate].concat()
    };
    send(&mut conversation, From::Server, &[answer, tls::server_hello_done()].concat(), random);
    conversation.close();
    conversation.packets()
}

fn tls13(client: Endpoint, server: Endpoint, start: u64, random: &mut Random) -> Vec<Packet> {
    let mut conversation = Conversation::new(client, server, start, ROUND_TRIP_NS);
    conversation.open();
    let hello = tls::record(tls::HANDSHAKE, 0x0301, &client_hello(true, false, random));
    send(&mut conversation, From::Client, &hello, random);
    let answer = [
        tls::record(tls::HANDSHAKE, tls::VERSION_TLS12, &server_hello(true, random)),
        tls::change_cipher_spec(),
        tls::application_data(tls::Version::Tls13, 900, random.next()),
    ];
    send(&mut conversation, From::Server, &answer.concat(), random);
    conversation.close();
    conversation.packets()
}

fn datagram(from: Endpoint, to: Endpoint, time: u64, payload: &[u8]) -> Packet {
    Packet::new(time, frame(from, to, &[], PROTOCOL_UDP, time as u16, &udp(from.address, to.address, payload)))
}

fn quic(client: Endpoint, server: Endpoint, start: u64, random: &mut Random) -> Vec<Packet> {
    let version = one(&[quic::VERSION_1, quic::VERSION_2], random);
    let to = [random.bytes(8), filled_below(12, random)].concat();
    let hello = client_hello(true, true, random);
    let initial = Initial { version, ..Initial::to(&to, 0) };
    let hello = initial.datagram(&quic::crypto(0, &hello));
    let answer = server_hello(true, random);
    let answer = Initial { version, first_to: &to, to: &[], token: &[], sender: Sender::Server, number: 0 }
        .datagram(&quic::crypto(0, &answer));
    vec![datagram(client, server, start, &hello), datagram(server, client, start + ROUND_TRIP_NS, &answer)]
}

fn dns(client: Endpoint, server: Endpoint, start: u64, random: &mut Random) -> Vec<Packet> {
    let (asked, id) = (name(random), random.next() as u16);
    let kind = one(&[messages::TYPE_A, messages::TYPE_AAAA, 15, 16, 65], random);
    let alias = name(random);
    let address = std::net::Ipv4Addr::from(random.next() as u32);
    let long = std::net::Ipv6Addr::from(u128::from(random.next()) << 64 | u128::from(random.next()));
    let owner = if random.below(2) == 0 { &asked } else { &alias };
    let mut answers = Vec::new();
    if *owner == alias {
        answers.push(Answer::Alias(&asked, &alias));
    }
    match kind {
        messages::TYPE_A => answers.push(Answer::Address(owner, address.into())),
        messages::TYPE_AAAA => answers.push(Answer::Address(owner, long.into())),
        _ => {}
    }
    let question = messages::dns_query(id, &asked, kind);
    let mut answer = messages::dns_response(id, &asked, kind, &answers);
    if answers.is_empty() {
        answer[3] |= one(&[0, 2, 3, 5], random);
    }
    if random.below(8) > 0 {
        return vec![
            datagram(client, server, start, &question),
            datagram(server, client, start + ROUND_TRIP_NS, &answer),
        ];
    }
    let mut conversation = Conversation::new(client, server, start, ROUND_TRIP_NS);
    conversation.open();
    send(&mut conversation, From::Client, &behind_16(&question), random);
    send(&mut conversation, From::Server, &behind_16(&answer), random);
    conversation.close();
    conversation.packets()
}

fn http(client: Endpoint, server: Endpoint, start: u64, random: &mut Random) -> Vec<Packet> {
    let mut conversation = Conversation::new(client, server, start, ROUND_TRIP_NS);
    conversation.open();
    let (host, agent, program) = (name(random), text(random), text(random));
    let method = one(&["GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH"], random);
    let target = format!("/{}", name(random));
    let mut headers = vec![("Host", host.as_str()), ("User-Agent", &agent), ("Accept", "*/*"), ("X-Example", "a: b")];
    headers.truncate(1 + random.below(4));
    random.shuffle(&mut headers);
    let body = if matches!(method, "POST" | "PUT" | "PATCH") {
        [random.bytes(1), filled_below(300, random)].concat()
    } else {
        Vec::new()
    };
    send(&mut conversation, From::Client, &messages::http_request(method, &target, &headers, &body), random);
    let status = one(&[200, 204, 301, 302, 400, 401, 403, 404, 500, 503], random);
    let mut headers =
        vec![("Server", program.as_str()), ("Content-Type", "text/plain"), ("Date", "Thu, 26 Nov 2026 05:00:00 GMT")];
    random.shuffle(&mut headers);
    let body = if method == "HEAD" || status == 204 { Vec::new() } else { b"hello".to_vec() };
    send(&mut conversation, From::Server, &messages::http_response(status, "Reason", &headers, &body), random);
    conversation.close();
    conversation.packets()
}

/// Words as programs call themselves.
fn text(random: &mut Random) -> String {
    const SIGNS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789/.-_()+;, ";
    let text: String = (0..3 + random.below(60)).map(|_| char::from(SIGNS[random.below(SIGNS.len())])).collect();
    format!("p{}q", text.trim())
}

fn ssh(client: Endpoint, server: Endpoint, start: u64, random: &mut Random) -> Vec<Packet> {
    let mut conversation = Conversation::new(client, server, start, ROUND_TRIP_NS);
    conversation.open();
    for from in [From::Server, From::Client] {
        let program: String =
            text(random).chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_')).collect();
        let mut banner = format!("SSH-2.0-{program}");
        if random.below(3) == 0 {
            banner.push_str(" a comment");
        }
        // Not cut: tshark 4.0.17 wants the line in one segment, and reads nothing of the flow otherwise.
        conversation.send(from, format!("{banner}\r\n").as_bytes());
    }
    for from in [From::Client, From::Server] {
        send(&mut conversation, from, &key_exchange(random), random);
    }
    conversation.close();
    conversation.packets()
}

/// SSH_MSG_KEXINIT in its packet (RFC 4253 sections 6 and 7.1).
fn key_exchange(random: &mut Random) -> Vec<u8> {
    const NAMES: &[&str] = &[
        "curve25519-sha256",
        "ecdh-sha2-nistp256",
        "diffie-hellman-group14-sha256",
        "aes128-ctr",
        "chacha20-poly1305@openssh.com",
        "hmac-sha2-256",
        "umac-64-etm@openssh.com",
        "none",
        "zlib@openssh.com",
        "rsa-sha2-512",
        "ssh-ed25519",
    ];
    let mut body = vec![20];
    body.extend(random.bytes(16));
    for list in 0..10 {
        let names = if list < 8 { some(NAMES, random).join(",") } else { String::new() };
        body.extend((names.len() as u32).to_be_bytes());
        body.extend(names.as_bytes());
    }
    body.extend([0; 5]);
    let padding = 4 + (8 - (body.len() + 5 + 4) % 8) % 8;
    let mut packet = ((body.len() + padding + 1) as u32).to_be_bytes().to_vec();
    packet.push(padding as u8);
    packet.extend(body);
    packet.extend(random.bytes(padding));
    packet
}
