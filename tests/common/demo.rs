//! A small office behind a span port: four security products of four vendors, and ordinary traffic.
//!
//! In: nothing. Out: a pcapng file, the same bytes every time; `expected` says what an analyst should find in it. It is
//! a demonstration and no evidence: hellos of real programs, documented names, invented conversations.
//! `fixtures/demo/README.md` has the story.

use super::capture;
use super::conversation::{Conversation, From};
use super::der::{self, Part};
use super::messages::{
    Answer, TYPE_A, TYPE_AAAA, dns_query, dns_response, http_request, http_response, http_tunnel_ready,
};
use super::packets::{ETHERTYPE_IPV4, Endpoint, Mac, PROTOCOL_ICMP, Packet, arp, datagram, ethernet, icmp_echo, ip};
use super::random::Random;
use super::tls::{self, Version};

pub use super::expected::EXPECTED;

/// 2026-11-02T08:00:00Z, nanoseconds since 1970.
pub const START_NS: u64 = 1_793_606_400 * SECOND_NS;
/// 2026-10-30T16:00:00Z, in the calendar month before.
pub const MONTH_BEFORE_NS: u64 = 1_793_376_000 * SECOND_NS;

const SECOND_NS: u64 = 1_000_000_000;
const MILLISECOND_NS: u64 = 1_000_000;
/// Round trip inside the building, nanoseconds.
const INSIDE_NS: u64 = 300_000;
/// How long before a flow its name is asked for, nanoseconds.
const LOOKUP_BEFORE_NS: u64 = 30 * MILLISECOND_NS;
/// First port of clients.
const CLIENT_PORT_FIRST: u16 = 49_152;

/// A machine of the office.
#[derive(Clone, Copy, Debug)]
struct Host {
    mac: Mac,
    ip: &'static str,
}

const FORTIGATE: Host = Host { mac: [0x00, 0x09, 0x0f, 0x20, 0x00, 0x01], ip: "10.20.0.1" };
const PALO_ALTO: Host = Host { mac: [0x00, 0x1b, 0x17, 0x20, 0x00, 0x02], ip: "10.20.0.2" };
const CHECK_POINT: Host = Host { mac: [0x00, 0x1c, 0x7f, 0x20, 0x00, 0x03], ip: "10.20.0.3" };
const VCENTER: Host = Host { mac: [0x00, 0x50, 0x56, 0x20, 0x00, 0x04], ip: "10.20.0.4" };
const PROXY: Host = Host { mac: [0x02, 0x00, 0x00, 0x20, 0x00, 0x09], ip: "10.20.0.9" };
const RESOLVER: Host = Host { mac: [0x02, 0x00, 0x00, 0x20, 0x00, 0x53], ip: "10.20.0.53" };
const ADMIN: Host = Host { mac: [0x02, 0x00, 0x00, 0x20, 0x03, 0x07], ip: "10.20.3.7" };
const WORKSTATION: Host = Host { mac: [0x02, 0x00, 0x00, 0x20, 0x03, 0x15], ip: "10.20.3.21" };
const WORKSTATION_V6: Host = Host { mac: WORKSTATION.mac, ip: "fd20:0:0:3::15" };
const PHONE: Host = Host { mac: [0x02, 0x00, 0x00, 0x20, 0x30, 0x15], ip: "10.20.30.21" };
const PHONE_SERVER: Host = Host { mac: [0x02, 0x00, 0x00, 0x20, 0x30, 0x05], ip: "10.20.30.5" };
/// The way out. Its address is seen in ARP only.
const ROUTER: Host = Host { mac: [0x02, 0x00, 0x00, 0x20, 0xff, 0xfe], ip: "10.20.255.254" };
/// VLAN of the phones.
const PHONE_VLAN: u16 = 30;

/// The capture, pcapng with nanoseconds.
pub fn four_vendors() -> Vec<u8> {
    let about = "Demonstration: invented conversations with documented names. No evidence about any vendor.";
    capture::pcapng(about, "span0", &packets())
}

/// Its packets in order of time.
pub fn packets() -> Vec<Packet> {
    let mut office = Office { packets: Vec::new(), port: CLIENT_PORT_FIRST, random: Random::new(20_261_102) };
    office.month_before();
    office.fortigate();
    office.palo_alto();
    office.check_point();
    office.vcenter();
    office.ordinary();
    let mut packets = office.packets;
    packets.sort_by_key(|p| p.time);
    packets
}

/// Nanoseconds since 1970 of a minute and second of the two hours.
const fn at(minute: u64, second: u64) -> u64 {
    START_NS + (minute * 60 + second) * SECOND_NS + 137_042_061
}

/// A TLS flow to somewhere outside.
#[derive(Clone, Copy)]
struct Visit<'a> {
    from: Host,
    version: Version,
    /// In the hello; none, no extension.
    server_name: Option<&'a str>,
    address: &'a str,
    port: u16,
    /// Asked for before.
    lookup: bool,
    /// What the program sends, bytes.
    up: usize,
    /// What it gets, bytes.
    down: usize,
    round_trip_ms: u64,
    remark: &'a str,
}

impl Default for Visit<'_> {
    fn default() -> Self {
        Visit {
            from: FORTIGATE,
            version: Version::Tls13,
            server_name: None,
            address: "",
            port: 443,
            lookup: true,
            up: 1200,
            down: 900,
            round_trip_ms: 180,
            remark: "",
        }
    }
}

struct Office {
    packets: Vec<Packet>,
    port: u16,
    random: Random,
}

impl Office {
    fn month_before(&mut self) {
        let day = MONTH_BEFORE_NS;
        self.visit(day, RATING);
        self.visit(day + 90 * SECOND_NS, LOGS);
        self.visit(day + 200 * SECOND_NS, UNLISTED);
        self.visit(day + 300 * SECOND_NS, WILDFIRE);
    }

    fn fortigate(&mut self) {
        let maker = [
            Part::Country("US"),
            Part::State("California"),
            Part::Locality("Sunnyvale"),
            Part::Organisation("Fortinet"),
        ];
        let subject = [&maker[..], &[Part::Unit("FortiGate"), Part::CommonName("FG100ETK18000000")]].concat();
        let issuer = [
            &maker[..],
            &[
                Part::Unit("Certificate Authority"),
                Part::CommonName("fortinet-subca2001"),
                Part::Email("support@fortinet.com"),
            ],
        ]
        .concat();
        self.management_page(at(2, 0), FORTIGATE, &subject, &issuer, "management page with the factory certificate");

        for minute in [3, 63] {
            let update = Visit {
                version: Version::Tls12,
                server_name: Some("globalupdate.fortinet.net"),
                address: "173.243.138.100",
                down: 9_000,
                remark: "signature update, a name of no region",
                ..Visit::default()
            };
            self.visit(at(minute, 11), update);
        }
        for minute in [12, 47, 95] {
            self.visit(at(minute, 31), RATING);
        }
        let control = Visit {
            server_name: Some("aptctrl1.fortinet.com"),
            address: "173.243.137.20",
            remark: "asks which sandbox server takes files",
            ..Visit::default()
        };
        self.visit(at(38, 2), control);
        let upload = Visit {
            address: "209.66.107.20",
            lookup: false,
            up: 65_536,
            remark: "sandbox upload, no name, an address range of the vendor",
            ..Visit::default()
        };
        self.visit(at(38, 5), upload);
        for minute in [30, 90] {
            self.visit(at(minute, 50), LOGS);
        }
        for turn in 0..12 {
            self.visit(at(4 + 10 * turn, 20), UNLISTED);
        }
    }

    fn palo_alto(&mut self) {
        let subject = [
            Part::Country("US"),
            Part::State("CA"),
            Part::Locality("Santa Clara"),
            Part::Organisation("Palo Alto Networks"),
            Part::CommonName("5d0c64b1f3a27e8890c1d2b7465fa3e9817b26c0d94e5f3812a7b6c8d9e0f142"),
        ];
        self.management_page(at(6, 0), PALO_ALTO, &subject, &subject, "management page with the default certificate");

        self.visit(at(7, 40), Visit { up: 49_152, ..WILDFIRE });
        let update = Visit {
            from: PALO_ALTO,
            server_name: Some("updates.paloaltonetworks.com"),
            address: "34.96.84.34",
            down: 12_000,
            remark: "content update, a name of no region",
            ..Visit::default()
        };
        self.visit(at(15, 5), update);
        let telemetry = Visit {
            from: PALO_ALTO,
            server_name: Some("br-prd1.us.cdl.paloaltonetworks.com"),
            address: "34.67.10.20",
            up: 6_000,
            remark: "telemetry to a name of the region US",
            ..Visit::default()
        };
        self.visit(at(21, 17), telemetry);
        for minute in [27, 72] {
            let rating = Visit {
                from: PALO_ALTO,
                server_name: Some("s0000.urlcloud.paloaltonetworks.com"),
                address: "35.244.229.101",
                remark: "URL rating, a name of no region",
                ..Visit::default()
            };
            self.visit(at(minute, 44), rating);
        }
        let handshake_only = Visit {
            from: PALO_ALTO,
            version: Version::Tls12,
            server_name: Some("api.us.cdl.paloaltonetworks.com"),
            address: "35.224.10.20",
            up: 0,
            down: 0,
            remark: "handshake without data",
            ..Visit::default()
        };
        self.visit(at(55, 9), handshake_only);
        let mut syn = Conversation::new(
            self.client(PALO_ALTO),
            Endpoint::new(ROUTER.mac, "35.246.199.57", 443),
            at(58, 30),
            200 * MILLISECOND_NS,
        );
        syn.remark("SYN without an answer").attempt();
        self.packets.extend(syn.packets());
    }

    fn check_point(&mut self) {
        let authority = [Part::Organisation("mgmt01..x7k2p9")];
        let subject = [authority[0], Part::CommonName("gw-branch VPN Certificate")];
        let remark = "portal with the certificate of the internal authority";
        self.management_page(at(9, 0), CHECK_POINT, &subject, &authority, remark);
        let mut list = Conversation::new(
            self.client(ADMIN),
            Endpoint::new(CHECK_POINT.mac, CHECK_POINT.ip, 18_264),
            at(9, 20),
            INSIDE_NS,
        );
        let headers = [("Host", "10.20.0.3:18264"), ("User-Agent", "crl-check/1.0")];
        let answer = [("Server", "Check Point SVN foundation"), ("Content-Type", "application/octet-stream")];
        list.remark("revocation list of the internal authority")
            .open()
            .send(From::Client, &http_request("GET", "/ICA_CRL1.crl", &headers, &[]))
            .send(From::Server, &http_response(200, "OK", &answer, &Random::new(18_264).bytes(420)))
            .close();
        self.packets.extend(list.packets());

        let rating = Visit {
            from: CHECK_POINT,
            version: Version::Tls12,
            server_name: Some("cws.checkpoint.com"),
            address: "18.196.10.20",
            remark: "rating, a name of no region",
            ..Visit::default()
        };
        self.visit(at(13, 26), rating);
        self.anti_virus_update(at(26, 8));
        self.nameless_licence(at(33, 41));
        self.through_the_proxy(at(42, 12));
        self.lookup(CHECK_POINT, at(52, 3), "cloudinfra-gw.portal.checkpoint.com", None, "52.31.20.20");
        for minute in [18, 78] {
            self.lookup(CHECK_POINT, at(minute, 54) - LOOKUP_BEFORE_NS, "time.unlisted.example", None, "223.5.5.20");
            self.time_question(at(minute, 54), CHECK_POINT, "223.5.5.20", 12 * MILLISECOND_NS);
        }
    }

    /// Plain HTTP, so the name stands in the request.
    fn anti_virus_update(&mut self, time: u64) {
        self.lookup(CHECK_POINT, time - LOOKUP_BEFORE_NS, "avupdates.checkpoint.com", None, "23.62.10.20");
        let mut update = Conversation::new(
            self.client(CHECK_POINT),
            Endpoint::new(ROUTER.mac, "23.62.10.20", 80),
            time,
            35 * MILLISECOND_NS,
        );
        let headers = [("Host", "avupdates.checkpoint.com"), ("Accept", "*/*")];
        let answer = [("Content-Type", "application/octet-stream")];
        update
            .remark("anti-virus signatures over plain HTTP")
            .open()
            .send(From::Client, &http_request("GET", "/av/version.bin", &headers, &[]))
            .send(From::Server, &http_response(200, "OK", &answer, &Random::new(26).bytes(5_200)))
            .close();
        self.packets.extend(update.packets());
    }

    /// No server name in the hello; the answer to a question shortly before gives it, through an alias.
    fn nameless_licence(&mut self, time: u64) {
        let (name, address) = ("productcoverage.checkpoint.com", "194.29.39.20");
        self.lookup(CHECK_POINT, time - LOOKUP_BEFORE_NS, name, Some("coverage.edge.example"), address);
        let licence = Visit {
            from: CHECK_POINT,
            address,
            lookup: false,
            remark: "no name in the hello, known from the DNS answer before",
            ..Visit::default()
        };
        self.visit(time, licence);
    }

    /// CONNECT to a proxy inside, then TLS. The proxy's own way out does not cross this span port.
    fn through_the_proxy(&mut self, time: u64) {
        let name = "cloudinfra-gw-us.portal.checkpoint.com";
        let target = format!("{name}:443");
        let mut tunnel =
            Conversation::new(self.client(CHECK_POINT), Endpoint::new(PROXY.mac, PROXY.ip, 8080), time, INSIDE_NS);
        tunnel
            .remark("through the explicit proxy")
            .open()
            .send(From::Client, &http_request("CONNECT", &target, &[("Host", &target)], &[]))
            .wait(180 * MILLISECOND_NS)
            .send(From::Server, &http_tunnel_ready());
        let visit = Visit { server_name: Some(name), up: 4_000, ..Visit::default() };
        self.tls(&mut tunnel, visit, &[]);
        tunnel.close();
        self.packets.extend(tunnel.packets());
    }

    fn vcenter(&mut self) {
        let subject = [Part::CommonName("vc01.office.example"), Part::Country("US")];
        let issuer = [
            Part::CommonName("CA"),
            Part::DomainComponent("vsphere"),
            Part::DomainComponent("local"),
            Part::Country("US"),
            Part::State("California"),
            Part::Organisation("vc01.office.example"),
            Part::Unit("VMware Engineering"),
        ];
        self.management_page(
            at(10, 0),
            VCENTER,
            &subject,
            &issuer,
            "client page with a certificate of its own authority",
        );

        let base = Visit { from: VCENTER, ..Visit::default() };
        let ceip = Visit {
            version: Version::Tls12,
            server_name: Some("vcsa.vmware.com"),
            address: "192.19.149.20",
            up: 8_000,
            remark: "customer experience programme, a name of no region",
            ..base
        };
        self.visit(at(16, 33), ceip);
        let depot = Visit {
            server_name: Some("dl.broadcom.com"),
            address: "104.18.10.20",
            down: 14_000,
            round_trip_ms: 60,
            remark: "update depot, a name of no region",
            ..base
        };
        self.visit(at(36, 21), depot);
        let licence = Visit {
            server_name: Some("vcf.broadcom.com"),
            address: "192.19.189.20",
            remark: "licence, a name of no region",
            ..base
        };
        self.visit(at(61, 14), licence);
        let metrics = Visit {
            server_name: Some("demo.gw.us.vmc.vrops-cloud.com"),
            address: "52.24.10.20",
            up: 5_000,
            remark: "metrics to a name of the region us",
            ..base
        };
        self.visit(at(82, 40), metrics);
        self.lookup(VCENTER, at(100, 6), "hostupdate.vmware.com", None, "104.18.11.20");
    }

    /// What every office has: browsing, mail of machines to each other, time, pings.
    fn ordinary(&mut self) {
        for (minute, version) in [(1, Version::Tls13), (44, Version::Tls12)] {
            let page = Visit {
                from: WORKSTATION,
                version,
                server_name: Some("www.example.com"),
                address: "93.184.216.34",
                down: 4_200,
                round_trip_ms: 170,
                ..Visit::default()
            };
            self.visit(at(minute, 35), page);
        }

        // The same site over IPv6; the office uses a unique local prefix inside.
        let v6 = "2606:2800:220:1:248:1893:25c8:1946";
        self.question(WORKSTATION, at(50, 7), "www.example.com", TYPE_AAAA, None, v6);
        let mut page = Conversation::new(
            self.client(WORKSTATION_V6),
            Endpoint::new(ROUTER.mac, v6, 443),
            at(50, 8),
            170 * MILLISECOND_NS,
        )
        .with_mss(1440);
        page.open();
        self.tls(&mut page, Visit { server_name: Some("www.example.com"), down: 2_600, ..Visit::default() }, &[]);
        page.close();
        self.packets.extend(page.packets());

        for minute in [5, 35, 65, 95] {
            self.time_question(at(minute, 0), RESOLVER, "162.159.200.1", 45 * MILLISECOND_NS);
        }
        for turn in 0..4 {
            self.ping(at(8, turn), WORKSTATION, FORTIGATE, turn as u16);
        }
        for (asker, asked, minute) in
            [(WORKSTATION, ROUTER, 0), (FORTIGATE, ROUTER, 2), (ADMIN, VCENTER, 9), (CHECK_POINT, PROXY, 42)]
        {
            let (asker, asked) = ((asker.mac, asker.ip.parse().unwrap()), (asked.mac, asked.ip.parse().unwrap()));
            let time = at(minute, 0);
            self.packets.push(Packet::new(time, arp(false, asker, asked)));
            self.packets.push(Packet::new(time + 150_000, arp(true, asked, asker)));
        }

        // Phones have a VLAN of their own.
        let mut settings = Conversation::new(
            self.client(PHONE),
            Endpoint::new(PHONE_SERVER.mac, PHONE_SERVER.ip, 80),
            at(11, 30),
            INSIDE_NS,
        )
        .on_vlans(&[PHONE_VLAN]);
        let headers = [("Host", "phones.office.example"), ("User-Agent", "deskphone/2.4")];
        settings
            .open()
            .send(From::Client, &http_request("GET", "/settings.xml", &headers, &[]))
            .send(From::Server, &http_response(200, "OK", &[("Content-Type", "text/xml")], b"<settings/>\n"))
            .close();
        self.packets.extend(settings.packets());
    }

    /// An administrator opens the page of an appliance; TLS 1.2 shows its certificate.
    fn management_page(&mut self, time: u64, host: Host, subject: &[Part<'_>], issuer: &[Part<'_>], remark: &str) {
        let seed = self.random.next();
        let leaf = der::certificate(der::Certificate { subject, issuer, names: &[], seed });
        let mut page = Conversation::new(self.client(ADMIN), Endpoint::new(host.mac, host.ip, 443), time, INSIDE_NS);
        page.remark(remark).open();
        // Opened by address, so there is no server name.
        self.tls(&mut page, Visit { version: Version::Tls12, down: 5_000, ..Visit::default() }, &leaf);
        page.close();
        self.packets.extend(page.packets());
    }

    /// A TLS flow to the outside, the question for its name before it.
    fn visit(&mut self, time: u64, visit: Visit<'_>) {
        if let Some(name) = visit.server_name.filter(|_| visit.lookup) {
            self.lookup(visit.from, time - LOOKUP_BEFORE_NS, name, None, visit.address);
        }
        let mut flow = Conversation::new(
            self.client(visit.from),
            Endpoint::new(ROUTER.mac, visit.address, visit.port),
            time,
            visit.round_trip_ms * MILLISECOND_NS,
        );
        if !visit.remark.is_empty() {
            flow.remark(visit.remark);
        }
        let authority = [Part::Country("US"), Part::Organisation("Example"), Part::CommonName("Demonstration CA")];
        let leaf = visit.server_name.map_or_else(Vec::new, |name| {
            let subject = [Part::CommonName(name)];
            let names = [name];
            let seed = self.random.next();
            der::certificate(der::Certificate { subject: &subject, issuer: &authority, names: &names, seed })
        });
        flow.open();
        self.tls(&mut flow, visit, &leaf);
        flow.close();
        self.packets.extend(flow.packets());
    }

    /// Handshake and data on an open flow.
    fn tls(&mut self, flow: &mut Conversation, visit: Visit<'_>, leaf: &[u8]) {
        let seed = self.random.next();
        let version = visit.version;
        flow.send(From::Client, &tls::client_hello(version, visit.server_name));
        match version {
            Version::Tls12 => {
                let hello = [
                    tls::server_hello(version),
                    tls::certificate(&[leaf.to_vec()]),
                    tls::server_key_exchange(seed),
                    tls::server_hello_done(),
                ];
                let key = [tls::client_key_exchange(seed ^ 1), tls::change_cipher_spec(), tls::finished(seed ^ 2)];
                let end = [tls::new_session_ticket(seed ^ 3), tls::change_cipher_spec(), tls::finished(seed ^ 4)];
                flow.send(From::Server, &hello.concat());
                flow.send(From::Client, &key.concat());
                flow.send(From::Server, &end.concat());
            }
            Version::Tls13 => {
                // Behind ChangeCipherSpec: encrypted extensions, certificate and Finished, then the client's Finished.
                let hello = [
                    tls::server_hello(version),
                    tls::change_cipher_spec(),
                    tls::application_data(version, 2_310, seed ^ 5),
                ];
                let end = [tls::change_cipher_spec(), tls::application_data(version, 36, seed ^ 6)];
                flow.send(From::Server, &hello.concat());
                flow.send(From::Client, &end.concat());
            }
        }
        if visit.up > 0 {
            flow.send(From::Client, &tls::application_data(version, visit.up, seed ^ 7));
        }
        if visit.down > 0 {
            flow.wait(4 * MILLISECOND_NS).send(From::Server, &tls::application_data(version, visit.down, seed ^ 8));
        }
        if version == Version::Tls12 {
            flow.send(From::Client, &tls::encrypted_alert(seed ^ 9));
        }
    }

    /// A question to the resolver inside and its answer. What the resolver asks outside does not cross this span port.
    fn lookup(&mut self, from: Host, time: u64, name: &str, alias: Option<&str>, address: &str) {
        self.question(from, time, name, TYPE_A, alias, address);
    }

    fn question(&mut self, from: Host, time: u64, name: &str, kind: u16, alias: Option<&str>, address: &str) {
        let id = self.random.next() as u16;
        let client = self.client(from);
        let resolver = Endpoint::new(RESOLVER.mac, RESOLVER.ip, 53);
        let address = address.parse().unwrap();
        let answers = match alias {
            Some(alias) => vec![Answer::Alias(name, alias), Answer::Address(alias, address)],
            None => vec![Answer::Address(name, address)],
        };
        self.packets.push(datagram(time, client, resolver, &[], &dns_query(id, name, kind)));
        let answered = time + 900_000;
        self.packets.push(datagram(answered, resolver, client, &[], &dns_response(id, name, kind, &answers)));
    }

    /// NTP version 4, a question and its answer (RFC 5905).
    fn time_question(&mut self, time: u64, from: Host, address: &str, round_trip: u64) {
        let mut client = self.client(from);
        client.address.set_port(123);
        let server = Endpoint::new(ROUTER.mac, address, 123);
        let asked = ntp_time(time);
        let mut question = vec![0x23, 0, 6, 0xec];
        question.extend_from_slice(&[0; 36]);
        question.extend_from_slice(&asked.to_be_bytes());
        // Stratum 2, the reference is another server's address (192.0.2.1 of the documentation).
        let mut answer = vec![0x24, 2, 6, 0xe9, 0, 0, 0x02, 0, 0, 0, 0x01, 0, 192, 0, 2, 1];
        let there = ntp_time(time + round_trip / 2);
        for stamp in [there - (37 << 32), asked, there, there + 4_000] {
            answer.extend_from_slice(&stamp.to_be_bytes());
        }
        self.packets.push(datagram(time, client, server, &[], &question));
        self.packets.push(datagram(time + round_trip, server, client, &[], &answer));
    }

    fn ping(&mut self, time: u64, from: Host, to: Host, sequence: u16) {
        for (reply, source, destination, when) in [(false, from, to, time), (true, to, from, time + 180_000)] {
            let message = icmp_echo(reply, 0x0bad, sequence, &Random::new(8).bytes(48));
            let (from_ip, to_ip) = (source.ip.parse().unwrap(), destination.ip.parse().unwrap());
            let packet = ip(from_ip, to_ip, PROTOCOL_ICMP, sequence, &message);
            self.packets.push(Packet::new(when, ethernet(source.mac, destination.mac, &[], ETHERTYPE_IPV4, &packet)));
        }
    }

    /// The client's end of the next flow; every flow has a port of its own.
    fn client(&mut self, host: Host) -> Endpoint {
        self.port += 11;
        Endpoint::new(host.mac, host.ip, self.port)
    }
}

/// URL rating to a name of the region US.
const RATING: Visit<'_> = Visit {
    from: FORTIGATE,
    version: Version::Tls13,
    server_name: Some("usguardservice.fortinet.net"),
    address: "173.243.140.20",
    port: 443,
    lookup: true,
    up: 1_800,
    down: 1_100,
    round_trip_ms: 180,
    remark: "URL rating to a name of the region US",
};

/// Logs to an address range of the region US.
const LOGS: Visit<'_> = Visit {
    server_name: None,
    address: "209.40.117.10",
    port: 514,
    lookup: false,
    up: 9_000,
    down: 300,
    remark: "log upload, TLS on port 514 to an address range of the region US",
    ..RATING
};

/// What nothing explains, every ten minutes.
const UNLISTED: Visit<'_> = Visit {
    server_name: Some("telemetry.unlisted.example"),
    address: "95.216.10.20",
    up: 700,
    down: 200,
    round_trip_ms: 230,
    remark: "a name that no signature explains (invented)",
    ..RATING
};

/// Files to a name of the region EU.
const WILDFIRE: Visit<'_> = Visit {
    from: PALO_ALTO,
    server_name: Some("eu.wildfire.paloaltonetworks.com"),
    address: "34.90.12.34",
    up: 6_000,
    down: 600,
    round_trip_ms: 210,
    remark: "file submission to a name of the region EU",
    ..RATING
};

/// NTP time stamp: seconds since 1900 and a fraction of 32 bits.
fn ntp_time(time: u64) -> u64 {
    const SECONDS_1900_TO_1970: u64 = 2_208_988_800;
    let seconds = time / SECOND_NS + SECONDS_1900_TO_1970;
    let fraction = ((time % SECOND_NS) << 32) / SECOND_NS;
    (seconds << 32) | fraction
}
