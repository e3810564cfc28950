//! `mixed`: what an office link carries, packets of about 350 bytes on average, about twenty a flow.
//!
//! In: a number of packets and a seed. Out: TLS 1.3, TLS 1.2 with certificate chains, DNS, HTTP/1, SSH, TCP that nobody
//! knows, long UDP, ICMP, ARP, dealt out among each other. Sources: RFC 1035, RFC 9112, RFC 4253.

use std::collections::HashMap;

use super::certificate;
use super::hello::{Shape, behind_length, words};
use super::image::{Image, Script};
use super::network::{Network, Server};
use super::packet::{self, End};
use super::random::Random;
use super::ssh;
use super::talk::Who::{Client, Server as Host};
use super::talk::{Talk, Who};
use super::tls::{self, Noise};

/// Mean bytes of a record, for the first guess of the image's size.
const RECORD_BYTES: usize = 380;
const PAUSE_NANOSECONDS: u64 = 1_000;
const CLIENTS: usize = 3_000;
/// Flows open at a time, at most.
const OPEN_MAX: usize = 4_096;
/// Flows over IPv6, in a hundred.
const V6_PERCENT: usize = 12;

const WIREGUARD: u16 = 51_820;
const ESP_IN_UDP: u16 = 4_500;
const RTP: u16 = 16_384;

const USER_AGENTS: &[&str] = &[
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:146.0) Gecko/20100101 Firefox/146.0",
    "curl/8.17.0",
    "python-requests/2.32.5",
    "updater/3.1",
];

/// What kinds of flow there are, and how often each begins, out of 1,000.
const KINDS: &[(usize, Kind)] = &[
    (330, Mixed::tls13),
    (140, Mixed::tls12),
    (330, Mixed::dns),
    (70, Mixed::http),
    (12, Mixed::ssh),
    (30, Mixed::unknown_tcp),
    (28, Mixed::udp),
    (40, Mixed::icmp),
    (20, Mixed::arp),
];

type Kind = fn(&mut Mixed, &mut Script);

struct Mixed {
    network: Network,
    random: Random,
    noise: Noise,
    /// Certificate chains by the server's name, each made once.
    chains: HashMap<String, Vec<Vec<u8>>>,
    /// Reused for what one end says.
    said: Vec<u8>,
}

/// The capture.
pub fn image(packets: u64, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let network = Network::new(CLIENTS, &mut random);
    let noise = Noise::new(&mut random);
    let mut image = Image::new(packets as usize * RECORD_BYTES, PAUSE_NANOSECONDS, seed);
    let mut order = random.clone();
    let mut mixed = Mixed { network, random, noise, chains: HashMap::new(), said: Vec::new() };
    let open = (packets as usize / 100).clamp(16, OPEN_MAX);
    image.interleave(packets, open, &mut order, |script| mixed.begin(script));
    image.finish()
}

impl Mixed {
    fn begin(&mut self, script: &mut Script) {
        let mut at = self.random.below(KINDS.iter().map(|(weight, _)| weight).sum());
        for (weight, kind) in KINDS {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return kind(self, script),
            }
        }
    }

    /// A server and both ends of a flow to it.
    fn ends(&mut self, port: u16) -> (Server, [End; 2]) {
        let server = self.network.server(&mut self.random).clone();
        let v6 = self.random.percent(V6_PERCENT);
        let ends = self.network.ends(&server, port, v6, &mut self.random);
        (server, ends)
    }

    fn tls13(&mut self, script: &mut Script) {
        let (server, [client, host]) = self.ends(443);
        let random = &mut self.random;
        let shape = Shape::pick(random, |s| s.tls13 && (server.is_vendor || !s.is_appliance()));
        let mut talk = Talk::new(script, client, host, random);
        talk.open();
        let mut hello = Vec::new();
        shape.write(&server.name, random, &mut hello);
        let said = &mut self.said;
        said.clear();
        tls::record(said, tls::HANDSHAKE, 0x0301, |out| out.extend_from_slice(&hello));
        talk.send(Client, said);
        talk.ack(Host);
        said.clear();
        tls::server_hello_13(said, &hello, random);
        let certificates = random.between(900, 3_200);
        tls::server_flight_13(said, certificates, &self.noise, random);
        talk.send(Host, said);
        said.clear();
        tls::client_finished_13(said, &self.noise, random);
        talk.send(Client, said);
        requests(&mut talk, said, &self.noise, random);
        talk.close(Client);
    }

    fn tls12(&mut self, script: &mut Script) {
        let (server, [client, host]) = self.ends(443);
        let random = &mut self.random;
        let shape = Shape::pick(random, |s| !s.tls13);
        let mut talk = Talk::new(script, client, host, random);
        talk.open();
        let said = &mut self.said;
        said.clear();
        tls::record(said, tls::HANDSHAKE, 0x0301, |out| shape.write(&server.name, random, out));
        talk.send(Client, said);
        talk.ack(Host);
        said.clear();
        let made = || certificate::chain(&server.name, random);
        let chain = self.chains.entry(server.name.clone()).or_insert_with(made);
        tls::server_flight_12(said, chain, &self.noise, random);
        talk.send(Host, said);
        said.clear();
        tls::client_flight_12(said, &self.noise, random);
        talk.send(Client, said);
        said.clear();
        tls::server_finished_12(said, &self.noise, random);
        talk.send(Host, said);
        requests(&mut talk, said, &self.noise, random);
        said.clear();
        tls::alert_12(said, &self.noise, random);
        talk.send(Client, said);
        talk.close(Client);
    }

    fn dns(&mut self, script: &mut Script) {
        let server = self.network.server(&mut self.random).clone();
        let resolver = Server { v4: vec![[10, 20, 0, 2].into()], ..server.clone() };
        let [client, mut host] = self.network.ends(&resolver, 53, false, &mut self.random);
        host.ttl = 64;
        let random = &mut self.random;
        let id = random.next() as u16;
        let wants_v6 = random.percent(30);
        for answers in [false, true] {
            let said = &mut self.said;
            said.clear();
            dns_message(said, id, &server, wants_v6, answers);
            let (from, to) = if answers { (&host, &client) } else { (&client, &host) };
            script.add(|out| packet::udp(out, from, to, id, said));
        }
    }

    fn http(&mut self, script: &mut Script) {
        let (server, [client, host]) = self.ends(80);
        let random = &mut self.random;
        let agent = random.pick(USER_AGENTS);
        let mut talk = Talk::new(script, client, host, random);
        talk.open();
        for _ in 0..random.between(1, 4) {
            let path = random.below(100_000);
            let request = format!(
                "GET /assets/{path}.js HTTP/1.1\r\nHost: {}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n\r\n",
                server.name
            );
            talk.send(Client, request.as_bytes());
            talk.ack(Host);
            let length = random.between(60, 2_600);
            let head = format!(
                "HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/javascript\r\nContent-Length: {length}\r\n\r\n"
            );
            let said = &mut self.said;
            said.clear();
            said.extend_from_slice(head.as_bytes());
            said.extend(std::iter::repeat_n(b"let it=be;\n", length / 11 + 1).flatten().take(length));
            talk.send(Host, said);
            talk.ack(Client);
        }
        talk.close(Host);
    }

    fn ssh(&mut self, script: &mut Script) {
        let (_, [client, host]) = self.ends(22);
        let random = &mut self.random;
        let mut talk = Talk::new(script, client, host, random);
        talk.open();
        talk.send(Client, ssh::CLIENT_BANNER);
        talk.send(Host, ssh::SERVER_BANNER);
        type Say = fn(&mut Vec<u8>, &mut Random);
        let exchange: [(Who, Say); 5] = [
            (Client, |out, random| ssh::can_do(out, true, random)),
            (Host, |out, random| ssh::can_do(out, false, random)),
            (Client, ssh::client_key),
            (Host, ssh::server_keys),
            (Client, ssh::new_keys),
        ];
        let said = &mut self.said;
        for (who, say) in exchange {
            said.clear();
            say(said, random);
            talk.send(who, said);
        }
        for _ in 0..random.between(20, 120) {
            let (key, screen) = (random.between(36, 52), random.between(36, 220));
            talk.send(Client, self.noise.piece(key, random));
            talk.send(Host, self.noise.piece(screen, random));
            talk.ack(Client);
        }
        talk.close(Client);
    }

    fn unknown_tcp(&mut self, script: &mut Script) {
        let port = *self.random.pick(&[7680, 9000, 9100, 10_443, 33_060, 49_152]);
        let (_, [client, host]) = self.ends(port);
        let random = &mut self.random;
        let mut talk = Talk::new(script, client, host, random);
        talk.open();
        for _ in 0..random.between(3, 20) {
            let (asked, given) = (random.between(12, 300), random.between(20, 1_200));
            talk.send(Client, self.noise.piece(asked, random));
            talk.send(Host, self.noise.piece(given, random));
            talk.ack(Client);
        }
        talk.close(Client);
    }

    /// A tunnel or a call: datagrams of one program, mostly one way.
    fn udp(&mut self, script: &mut Script) {
        let port = *self.random.pick(&[WIREGUARD, ESP_IN_UDP, RTP]);
        let (_, [client, host]) = self.ends(port);
        let random = &mut self.random;
        let large = random.between(300, 1_200);
        let id = random.next() as u32;
        let mut numbers = [0; 2];
        for _ in 0..random.between(20, 300) {
            let up = random.percent(35);
            let number = numbers[usize::from(up)];
            numbers[usize::from(up)] += 1;
            let length = if up { random.between(60, 160) } else { large };
            let (from, to) = if up { (&client, &host) } else { (&host, &client) };
            let said = &mut self.said;
            said.clear();
            datagram_head(said, port, if up { id } else { !id }, number);
            said.extend_from_slice(self.noise.piece(length - said.len(), random));
            script.add(|out| packet::udp(out, from, to, number as u16, said));
        }
    }

    fn icmp(&mut self, script: &mut Script) {
        let (_, [mut client, mut host]) = self.ends(0);
        client.port = 0;
        host.port = 0;
        let random = &mut self.random;
        let id = random.next() as u16;
        for number in 1..=random.between(1, 4) as u16 {
            let payload = self.noise.piece(56, random);
            script.add(|out| packet::echo(out, &client, &host, false, [id, number], payload));
            script.add(|out| packet::echo(out, &host, &client, true, [id, number], payload));
        }
    }

    fn arp(&mut self, script: &mut Script) {
        let [asker, target] = [0, 1].map(|_| self.network.inside(self.random.below(CLIENTS), 0, false));
        script.add(|out| packet::arp(out, &asker, &target, false));
        script.add(|out| packet::arp(out, &target, &asker, true));
    }
}

/// What a datagram of such a program begins with: a WireGuard data message, an ESP packet, an RTP packet (RFC 3550,
/// section 5.1).
fn datagram_head(out: &mut Vec<u8>, port: u16, id: u32, number: u32) {
    match port {
        WIREGUARD => {
            out.extend_from_slice(&[4, 0, 0, 0]);
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&u64::from(number).to_le_bytes());
        }
        ESP_IN_UDP => {
            out.extend_from_slice(&(id | 256).to_be_bytes());
            out.extend_from_slice(&(number + 1).to_be_bytes());
        }
        _ => {
            out.extend_from_slice(&[0x80, 111]);
            words(out, &[number as u16]);
            out.extend_from_slice(&(number * 960).to_be_bytes());
            out.extend_from_slice(&id.to_be_bytes());
        }
    }
}

/// A few requests and their answers in records.
fn requests(talk: &mut Talk<'_>, said: &mut Vec<u8>, noise: &Noise, random: &mut Random) {
    for _ in 0..random.between(1, 4) {
        let asked = random.between(60, 700);
        // Most answers are small; some are not.
        let given = if random.percent(12) { random.between(1_500, 9_000) } else { random.between(40, 700) };
        said.clear();
        tls::data(said, asked, noise, random);
        talk.send(Client, said);
        talk.ack(Host);
        said.clear();
        tls::data(said, given, noise, random);
        talk.send(Host, said);
        talk.ack(Client);
    }
}

/// A question for the server's address, or the answer to it.
fn dns_message(out: &mut Vec<u8>, id: u16, server: &Server, wants_v6: bool, answers: bool) {
    const A: u16 = 1;
    const AAAA: u16 = 28;
    const INTERNET: u16 = 1;
    let count = match (answers, wants_v6) {
        (false, _) => 0,
        (true, true) => 1,
        (true, false) => server.v4.len() as u16,
    };
    let kind = if wants_v6 { AAAA } else { A };
    words(out, &[id, if answers { 0x8180 } else { 0x0100 }, 1, count, 0, 0]);
    for label in server.name.split('.') {
        behind_length(out, 1, |out| out.extend_from_slice(label.as_bytes()));
    }
    out.push(0);
    words(out, &[kind, INTERNET]);
    for n in 0..usize::from(count) {
        words(out, &[0xc00c, kind, INTERNET, 0, 300]);
        behind_length(out, 2, |out| match wants_v6 {
            true => out.extend_from_slice(&server.v6.octets()),
            false => out.extend_from_slice(&server.v4[n].octets()),
        });
    }
}
