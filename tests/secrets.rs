//! What is a secret on the wire stands in no output: passwords, cookies, tokens, tickets, users, and what was sent.
//!
//! In: conversations of every protocol that shows a secret in clear, each with a secret of its own, by an appliance whose
//! flows become findings. Out: every output, the packets kept as evidence included, searched for every secret as it stood on
//! the wire, in hex and decoded. Each protocol must have been recognised: what nobody reads, nobody can tell.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bordertap::scan::Scan;
use common::conversation::{Conversation, From};
use common::everything::{self, Written, find};
use common::messages::{dns_name, dns_query, http_request, http_response};
use common::packets::{Endpoint, Packet, datagram};
use common::tls::{self, Version};
use common::{capture, demo};

const SECOND_NS: u64 = 1_000_000_000;
const ROUND_TRIP_NS: u64 = 40_000_000;
/// The firewall of the demonstration and its router.
const MAC: [u8; 6] = [0x00, 0x09, 0x0f, 0x20, 0x00, 0x01];
const ROUTER: [u8; 6] = [0x02, 0x00, 0x00, 0x20, 0xff, 0xfe];

/// Conversations and the secrets in them.
#[derive(Default)]
struct Wire {
    packets: Vec<Packet>,
    secrets: Vec<String>,
    /// Protocols as flow records must name them.
    protocols: BTreeSet<&'static str>,
    flows: u8,
}

impl Wire {
    /// A secret of its own, told apart from everything else.
    fn secret(&mut self, what: &str) -> String {
        let secret = format!("Zq7{what}9vX");
        self.secrets.push(secret.clone());
        secret
    }

    fn ends(&mut self, port: u16) -> (u64, Endpoint, Endpoint) {
        self.flows += 1;
        let time = demo::START_NS + 3600 * SECOND_NS + u64::from(self.flows) * SECOND_NS + 7;
        let client = Endpoint::new(MAC, "10.20.0.1", 42_000 + u16::from(self.flows));
        (time, client, Endpoint::new(ROUTER, &format!("95.216.40.{}", self.flows), port))
    }

    fn tcp(&mut self, protocol: &'static str, port: u16, pieces: &[(From, &[u8])]) {
        let (time, client, server) = self.ends(port);
        let mut talk = Conversation::new(client, server, time, ROUND_TRIP_NS);
        talk.open();
        for (side, bytes) in pieces {
            talk.send(*side, bytes);
        }
        talk.close();
        self.packets.extend(talk.packets());
        self.protocols.insert(protocol);
    }

    fn udp(&mut self, protocol: &'static str, port: u16, pieces: &[(From, &[u8])]) {
        let (time, client, server) = self.ends(port);
        for (n, (side, bytes)) in pieces.iter().enumerate() {
            let (from, to) = if *side == From::Client { (client, server) } else { (server, client) };
            self.packets.push(datagram(time + n as u64 * 1_000_000, from, to, &[], bytes));
        }
        self.protocols.insert(protocol);
    }
}

/// Tag, length, content (X.690), for contents below 64 KiB.
fn ber(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len() as u16;
    let mut all = vec![tag];
    match length {
        0..=127 => all.push(length as u8),
        _ => all.extend([&[0x82][..], &length.to_be_bytes()].concat()),
    }
    all.extend(content);
    all
}

use From::{Client as C, Server as S};

fn http(wire: &mut Wire) {
    let [cookie, set, basic, bearer, proxy, query, user, fragment, body, answer, referer, key, session, digest] = [
        "cookie",
        "setcookie",
        "basic",
        "bearer",
        "proxyauth",
        "query",
        "userinfo",
        "fragment",
        "body",
        "answer",
        "referer",
        "apikey",
        "jsession",
        "digest",
    ]
    .map(|what| wire.secret(what));
    let encoded = STANDARD.encode(format!("admin:{basic}"));
    wire.secrets.push(encoded.clone());
    let headers = [
        ("Host", "portal.unlisted.example"),
        ("Cookie", &*format!("sid={cookie}")),
        ("Authorization", &*format!("Basic {encoded}")),
        ("Proxy-Authorization", &*format!("Bearer {proxy}")),
        ("Referer", &*format!("http://portal/?t={referer}")),
        ("X-Api-Key", &key),
    ];
    let target = format!("/app/index.jsp;jsessionid={session}?token={query}#{fragment}");
    let request = http_request("POST", &target, &headers, body.as_bytes());
    let response = [
        ("Set-Cookie", &*format!("sid={set}; HttpOnly")),
        ("Location", &*format!("/next?code={answer}")),
        ("WWW-Authenticate", &*format!("Digest nonce=\"{digest}\"")),
    ];
    let response = http_response(302, "Found", &response, answer.as_bytes());
    wire.tcp("http", 80, &[(C, &request), (S, &response)]);
    let absolute = format!("http://{user}:{user}@portal.unlisted.example/x?{query}");
    let second = http_request(
        "GET",
        &absolute,
        &[("Host", &*format!("{user}@portal.unlisted.example")), ("Authorization", &*format!("Bearer {bearer}"))],
        b"",
    );
    wire.tcp("http", 8080, &[(C, &second), (S, &http_response(200, "OK", &[], body.as_bytes()))]);
    let connect = http_request(
        "CONNECT",
        "vault.unlisted.example:443",
        &[("Proxy-Authorization", &*format!("Basic {encoded}"))],
        b"",
    );
    wire.tcp("http", 3128, &[(C, &connect), (S, b"HTTP/1.1 200 OK\r\n\r\n"), (C, body.as_bytes())]);

    // The way into a tunnel of GlobalProtect: user and cookie stand in the query.
    let tunnel = wire.secret("authcookie");
    let request = format!("GET /ssl-tunnel-connect.sslvpn?user={tunnel}&authcookie={tunnel} HTTP/1.1\r\n\r\n");
    // The parser of HTTP has it: the tunnel begins behind it.
    wire.tcp("http", 4443, &[(C, request.as_bytes()), (S, b"START_TUNNEL")]);

    // HTTP/2 without TLS (RFC 9113, section 3.3): literals of RFC 7541, section 6.2.
    let [h2cookie, h2auth, h2query, h2body] = ["h2cookie", "h2auth", "h2query", "h2body"].map(|what| wire.secret(what));
    let mut block = vec![0x83, 0x86];
    let mut literal = |name: &[u8], value: &str| {
        block.extend_from_slice(name);
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
    };
    literal(&[0x41], "h2.unlisted.example");
    literal(&[0x44], &format!("/v1/state?token={h2query}"));
    literal(&[0x0f, 0x11], &format!("sid={h2cookie}"));
    literal(&[0x0f, 0x08], &format!("Bearer {h2auth}"));
    let frame = |kind: u8, flags: u8, stream: u8, body: &[u8]| {
        [&[0, 0, body.len() as u8, kind, flags, 0, 0, 0, stream][..], body].concat()
    };
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[])].concat();
    let request = [frame(1, 4, 1, &block), frame(0, 1, 1, h2body.as_bytes())].concat();
    wire.tcp("http2", 8081, &[(C, &[preface, request].concat()), (S, &frame(4, 0, 0, &[]))]);
}

fn mail_and_files(wire: &mut Wire) {
    let [user, pass, plain, mail, rcpt] =
        ["ftpuser", "ftppass", "plain", "mailtext", "rcpt"].map(|what| wire.secret(what));
    let encoded = STANDARD.encode(format!("\0admin\0{plain}"));
    wire.secrets.push(encoded.clone());
    let login = format!("USER {user}\r\n");
    let password = format!("PASS {pass}\r\n");
    wire.tcp(
        "ftp",
        21,
        &[
            (S, b"220 ProFTPD Server ready.\r\n"),
            (C, login.as_bytes()),
            (S, format!("331 Password required for {user}\r\n").as_bytes()),
            (C, password.as_bytes()),
            (S, format!("230 User {user} logged in\r\n").as_bytes()),
            (C, format!("RETR {mail}\r\n").as_bytes()),
        ],
    );
    wire.tcp(
        "pop3",
        110,
        &[
            (S, b"+OK POP3 server ready\r\n"),
            (C, login.as_bytes()),
            (S, format!("+OK {user}\r\n").as_bytes()),
            (C, password.as_bytes()),
            (S, format!("+OK {user} has mail\r\n").as_bytes()),
            (C, b"RETR 1\r\n"),
            (S, format!("+OK\r\n{mail}\r\n.\r\n").as_bytes()),
        ],
    );
    wire.tcp(
        "imap",
        143,
        &[
            (S, b"* OK IMAP4rev1 Service Ready\r\n"),
            (C, format!("a1 LOGIN {user} {pass}\r\n").as_bytes()),
            (S, format!("a1 OK {user} logged in\r\n").as_bytes()),
            (C, format!("a2 SELECT {mail}\r\n").as_bytes()),
        ],
    );
    wire.tcp(
        "imap",
        143,
        &[
            (S, b"* OK IMAP4rev1 Service Ready\r\n"),
            (C, format!("a1 AUTHENTICATE PLAIN {encoded}\r\n").as_bytes()),
            (S, format!("a1 OK {user}\r\n").as_bytes()),
        ],
    );
    wire.tcp(
        "smtp",
        25,
        &[
            (S, b"220 mail.unlisted.example ESMTP Postfix\r\n"),
            (C, b"EHLO client.unlisted.example\r\n"),
            (S, b"250-mail.unlisted.example\r\n250 AUTH PLAIN LOGIN\r\n"),
            (C, format!("AUTH PLAIN {encoded}\r\n").as_bytes()),
            (S, b"235 ok\r\n"),
            (C, format!("MAIL FROM:<{user}@unlisted.example>\r\n").as_bytes()),
            (S, b"250 ok\r\n"),
            (C, format!("RCPT TO:<{rcpt}@unlisted.example>\r\nDATA\r\n").as_bytes()),
            (S, b"354 go\r\n"),
            (C, format!("Subject: {mail}\r\n\r\n{mail}\r\n.\r\n").as_bytes()),
        ],
    );
    let jid = wire.secret("jid");
    wire.tcp("xmpp", 5222, &[
        (C, format!("<stream:stream from='{jid}@im.unlisted.example' to='im.unlisted.example' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>").as_bytes()),
        (S, b"<stream:stream from='im.unlisted.example' id='x' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><stream:features/>"),
        (C, format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{encoded}</auth>").as_bytes()),
    ]);
}

fn directories_and_data(wire: &mut Wire) {
    let [dn, bind, user, pass, query] = ["binddn", "bindpass", "dbuser", "dbpass", "sql"].map(|what| wire.secret(what));
    let body = ber(
        0x60,
        &[&ber(2, &[&[3]]), &ber(4, &[format!("cn={dn},dc=bank").as_bytes()]), &ber(0x80, &[bind.as_bytes()])],
    );
    let request = ber(0x30, &[&ber(2, &[&[1]]), &body]);
    let answer =
        ber(0x30, &[&ber(2, &[&[1]]), &ber(0x61, &[&ber(10, &[&[0]]), &ber(4, &[]), &ber(4, &[dn.as_bytes()])])]);
    wire.tcp("ldap", 389, &[(C, &request), (S, &answer)]);

    let pairs = format!("user\0{user}\0database\0{query}\0application_name\0psql\0\0");
    let startup = [&(pairs.len() as u32 + 8).to_be_bytes()[..], &[0, 3, 0, 0], pairs.as_bytes()].concat();
    let message =
        |kind: u8, body: &str| [&[kind][..], &(body.len() as u32 + 5).to_be_bytes(), body.as_bytes(), &[0]].concat();
    wire.tcp(
        "postgresql",
        5432,
        &[
            (C, &startup),
            (S, &[b'R', 0, 0, 0, 8, 0, 0, 0, 3]),
            (C, &message(b'p', &pass)),
            (S, &[b'R', 0, 0, 0, 8, 0, 0, 0, 0]),
            (C, &message(b'Q', &query)),
        ],
    );

    // Protocol::HandshakeV10 and HandshakeResponse41 of the MySQL documentation.
    let mut greeting = b"\x0a8.0.36\0\x0b\0\0\0dvH@I-CJ\0\xff\xf7\x08\x02\0\x0f\x80\x15".to_vec();
    greeting.extend([0; 10]);
    greeting.extend(b"*4d|cZwk4^]:\0");
    let packet = |number: u8, body: &[u8]| [&(body.len() as u32).to_le_bytes()[..3], &[number], body].concat();
    let mut login = b"\x8d\xa6\x0f\0\0\0\0\x01\x08".to_vec();
    login.extend([0; 23]);
    login.extend(user.as_bytes());
    login.push(0);
    login.push(pass.len() as u8);
    login.extend(pass.as_bytes());
    wire.tcp(
        "mysql",
        3306,
        &[
            (S, &packet(0, &greeting)),
            (C, &packet(1, &login)),
            (S, &packet(2, &[0, 0, 0, 2, 0, 0, 0])),
            (C, &packet(0, &[&[3][..], query.as_bytes()].concat())),
        ],
    );

    let [name, hidden, identity] = ["radiususer", "radiuspass12", "eapidentity"].map(|what| wire.secret(what));
    let attribute = |kind: u8, value: &[u8]| [&[kind, value.len() as u8 + 2][..], value].concat();
    let eap = [&[2, 9, 0, identity.len() as u8 + 5, 1][..], identity.as_bytes()].concat();
    let hidden = format!("{hidden:0<16}").into_bytes()[..16].to_vec();
    wire.secrets.push(String::from_utf8(hidden.clone()).unwrap());
    let attributes =
        [attribute(1, name.as_bytes()), attribute(2, &hidden), attribute(32, b"nas"), attribute(79, &eap)].concat();
    let request = [&[1, 15][..], &(attributes.len() as u16 + 20).to_be_bytes(), &[7; 16], &attributes].concat();
    let accept = attribute(18, format!("welcome {name}").as_bytes());
    let accept = [&[2, 15][..], &(accept.len() as u16 + 20).to_be_bytes(), &[8; 16], &accept].concat();
    wire.udp("radius", 1812, &[(C, &request), (S, &accept)]);
}

fn management(wire: &mut Wire) {
    let community = wire.secret("community");
    let oid = ber(6, &[&[0x2b, 6, 1, 2, 1, 1, 1, 0]]);
    let pdu = |tag: u8, value: &[u8]| {
        let list = ber(0x30, &[&ber(0x30, &[&oid, value])]);
        ber(tag, &[&ber(2, &[&[9]]), &ber(2, &[&[0]]), &ber(2, &[&[0]]), &list])
    };
    let message = |pdu: &[u8]| ber(0x30, &[&ber(2, &[&[1]]), &ber(4, &[community.as_bytes()]), pdu]);
    wire.udp(
        "snmp",
        161,
        &[(C, &message(&pdu(0xa0, &[5, 0]))), (S, &message(&pdu(0xa2, &ber(4, &[b"FortiGate-100F"]))))],
    );

    let [user, auth, context] = ["usmuser", "usmauth", "usmcontext"].map(|what| wire.secret(what));
    let engine = [0x80, 0, 0x30, 0x44, 4, b'F', b'G'];
    let global = ber(0x30, &[&ber(2, &[&[9]]), &ber(2, &[&[0x7f, 0xff]]), &ber(4, &[&[5]]), &ber(2, &[&[3]])]);
    let usm = ber(
        0x30,
        &[
            &ber(4, &[&engine]),
            &ber(2, &[&[1]]),
            &ber(2, &[&[2]]),
            &ber(4, &[user.as_bytes()]),
            &ber(4, &[auth.as_bytes()]),
            &ber(4, &[]),
        ],
    );
    let scoped = ber(0x30, &[&ber(4, &[&engine]), &ber(4, &[context.as_bytes()]), &pdu(0xa0, &[5, 0])]);
    let v3 = ber(0x30, &[&ber(2, &[&[3]]), &global, &ber(4, &[&usm]), &scoped]);
    wire.udp("snmp", 161, &[(C, &v3)]);

    let [text, value, suser] = ["logtext", "logvalue", "loguser"].map(|what| wire.secret(what));
    for line in [
        format!("<13>1 2026-11-02T08:00:00Z fw sshd 7 ID4 [x@1 user=\"{suser}\"] {text}"),
        format!(
            "<189>date=2026-11-02 time=08:00:00 devname=\"FGT\" devid=\"FG100ETK18000000\" logid=\"0100032001\" type=\"event\" user=\"{suser}\" msg=\"{text}\" password={value}"
        ),
        format!("<13>Nov  2 08:00:00 fw CEF:0|Vendor|Product|1|100|name|5|suser={suser} msg={text}"),
        format!("<13>Nov  2 08:00:00 fw sudo: {suser} : COMMAND={text}"),
    ] {
        wire.udp("syslog", 514, &[(C, line.as_bytes())]);
    }

    let text = wire.secret("dnstxt");
    let name = "txt.unlisted.example";
    let mut answer = [&[0, 9, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0][..], &dns_name(name), &[0, 16, 0, 1]].concat();
    answer.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, text.len() as u8 + 1, text.len() as u8]);
    answer.extend(text.as_bytes());
    wire.udp("dns", 53, &[(C, &dns_query(9, name, 16)), (S, &answer)]);

    // `HOST/DOMAIN/USER` (wireshark/wireshark: packet-fortinet-sso.c), and a device's answer with a password.
    let logon = wire.secret("logon");
    let who = format!("{logon}.example/{logon}/{logon}");
    let length = who.len() as u16 + 17;
    let logon = [
        &length.to_be_bytes()[..],
        &[0x65, 0x53, 0xf1, 0, 0xc0, 0, 2, 7, 0, who.len() as u8],
        who.as_bytes(),
        &[0, 0xc0, 0, 2, 7],
    ]
    .concat();
    wire.udp("fsso", 8002, &[(C, &logon)]);
    let [admin, command, passwd] = ["fgfmuser", "fgfmcmd", "fgfmpass"].map(|what| wire.secret(what));
    let fgfm = |text: &str| {
        [&[0x36, 0xe0, 0x11, 0][..], &(text.len() as u32 + 9).to_be_bytes(), text.as_bytes(), &[0]].concat()
    };
    wire.tcp(
        "fgfm",
        541,
        &[
            (C, &fgfm("get auth\r\nserialno=FGVMEVWG8YMT3R63\r\nplatform=FortiGate-60E\r\n\r\n")),
            (S, &fgfm(&format!("reply 200\r\nrequest=auth\r\nuser={admin}\r\npasswd={passwd}\r\n\r\n"))),
            (C, &fgfm(&format!("get connect_tcp\r\ncmd={command}\r\n\r\n"))),
        ],
    );
    let info = wire.secret("sysinfo");
    let packed = STANDARD.encode(format!("FCTVER=7.2.2.0864\nUSER={info}\nHOSTNAME=client\n"));
    wire.secrets.push(packed.clone());
    let register = format!(
        "MSG_HEADER: FCTUID=CBE8FC122B1A46D18C3541E1A8EFF7BD\nSIZE=     231\r\n\nX-FCCK-REGISTER:SYSINFO|{packed}|\r\n\nX-FCCK-REGISTER-END\r\n\r\n"
    );
    wire.tcp("fortitelemetry", 8013, &[(C, register.as_bytes())]);
    let [user, pass] = ["authduser", "authdpass"].map(|what| wire.secret(what));
    wire.tcp(
        "vmware-authd",
        902,
        &[
            (S, b"220 VMware Authentication Daemon Version 1.10: SSL Required, ServerDaemonProtocol:SOAP\r\n"),
            (C, format!("USER {user}\r\nPASS {pass}\r\n").as_bytes()),
        ],
    );
}

fn sessions(wire: &mut Wire) {
    let [user, pass] = ["socksuser", "sockspass"].map(|what| wire.secret(what));
    let login = [&[1, user.len() as u8][..], user.as_bytes(), &[pass.len() as u8], pass.as_bytes()].concat();
    wire.tcp(
        "socks",
        1080,
        &[
            (C, &[5, 1, 2]),
            (S, &[5, 2]),
            (C, &login),
            (S, &[1, 0]),
            (C, &[&[5, 1, 0, 3, 21][..], b"inner.unlisted.exampl", &[1, 187]].concat()),
            (S, &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
        ],
    );
    let id = wire.secret("socks4id");
    let four = [&[4, 1, 1, 187, 95, 216, 50, 1][..], id.as_bytes(), &[0]].concat();
    wire.tcp("socks", 1081, &[(C, &four), (S, &[0, 90, 0, 0, 0, 0, 0, 0])]);

    let user = wire.secret("mstshash");
    let cookie = format!("Cookie: mstshash={user}\r\n");
    let length = 11 + cookie.len() as u8 + 8;
    let ask = [&[3, 0, 0, length, length - 5, 0xe0, 0, 0, 0, 0, 0][..], cookie.as_bytes(), &[1, 0, 8, 0, 3, 0, 0, 0]]
        .concat();
    wire.tcp("rdp", 3389, &[(C, &ask), (S, &[3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0, 8, 0, 2, 0, 0, 0])]);

    // A hello that resumes (RFC 5077; RFC 8446, section 4.2.11), with early data behind it.
    let [ticket, id, identity, binder, early, renewed] =
        ["ticket", "sessionid", "pskidentity", "pskbinder", "earlydata", "newticket"].map(|what| wire.secret(what));
    let extension =
        |kind: u16, body: &[u8]| [&kind.to_be_bytes()[..], &(body.len() as u16).to_be_bytes(), body].concat();
    let name = b"resumed.unlisted.example";
    let sni = [&(name.len() as u16 + 3).to_be_bytes()[..], &[0], &(name.len() as u16).to_be_bytes(), name].concat();
    let identity = [&(identity.len() as u16).to_be_bytes()[..], identity.as_bytes(), &[0; 4]].concat();
    let binder = [&[binder.len() as u8][..], binder.as_bytes()].concat();
    let psk =
        [&(identity.len() as u16).to_be_bytes()[..], &identity, &(binder.len() as u16).to_be_bytes(), &binder].concat();
    let extensions = [
        extension(0, &sni),
        extension(43, &[2, 3, 4]),
        extension(35, ticket.as_bytes()),
        extension(42, &[]),
        extension(41, &psk),
    ]
    .concat();
    let body = [
        &[3, 3][..],
        &[0x11; 32],
        &[id.len() as u8],
        id.as_bytes(),
        &[0, 2, 0x13, 1, 1, 0],
        &(extensions.len() as u16).to_be_bytes(),
        &extensions,
    ]
    .concat();
    let hello = tls::record(tls::HANDSHAKE, 0x0301, &tls::handshake(1, &body));
    let given = [&[0, 0, 1, 0][..], &(renewed.len() as u16).to_be_bytes(), renewed.as_bytes()].concat();
    let given = tls::record(tls::HANDSHAKE, tls::VERSION_TLS12, &tls::handshake(4, &given));
    let early = tls::record(tls::APPLICATION_DATA, tls::VERSION_TLS12, early.as_bytes());
    wire.tcp("tls", 443, &[(C, &hello), (C, &early), (S, &tls::server_hello(Version::Tls12)), (S, &given)]);

    // Nobody reads these.
    let [login, password] = ["telnetuser", "telnetpass"].map(|what| wire.secret(what));
    wire.tcp(
        "",
        2323,
        &[
            (S, b"login: "),
            (C, format!("{login}\r\n").as_bytes()),
            (S, b"Password: "),
            (C, format!("{password}\r\n").as_bytes()),
        ],
    );
}

fn wire() -> Wire {
    let mut wire = Wire::default();
    http(&mut wire);
    mail_and_files(&mut wire);
    directories_and_data(&mut wire);
    management(&mut wire);
    sessions(&mut wire);
    wire.packets.extend(demo::packets());
    wire.packets.sort_by_key(|packet| packet.time);
    wire
}

fn leaks(written: &Written, secrets: &[String]) -> Vec<String> {
    let hex = |secret: &str| secret.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let forms = secrets.iter().flat_map(|secret| [secret.clone(), hex(secret), STANDARD.encode(secret)]);
    forms.flat_map(|form| find(written, form.trim_end_matches('=').as_bytes(), false)).collect()
}

#[test]
fn no_secret_stands_in_any_output() {
    let wire = wire();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.pcapng");
    fs::write(&path, capture::pcapng("", "span0", &wire.packets)).unwrap();
    let input = path.to_str().unwrap();

    // All of it was read: every protocol was recognised, and the flows are in findings.
    let report: serde_json::Value =
        serde_json::from_slice(&everything::run(&["scan", "--json", "-", input])[0]).unwrap();
    let [flows, _] = everything::run(&["scan", "--flows", "-", input]);
    let flows: Vec<serde_json::Value> =
        String::from_utf8(flows).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let recognised: BTreeSet<&str> = flows.iter().filter_map(|flow| flow["network"]["protocol"].as_str()).collect();
    let missing: Vec<_> =
        wire.protocols.iter().filter(|name| !name.is_empty() && !recognised.contains(**name)).collect();
    assert!(missing.is_empty(), "not recognised: {missing:?} of {recognised:?}");
    let found = report["findings"].to_string();
    assert!(found.contains("95.216.40.1\"") && found.contains("portal.unlisted.example"));

    let mut written = everything::of(&path, &[], &[]);
    written.extend(everything::of_sensor(&path, Scan::builtin().unwrap().judging));
    let leaks = leaks(&written, &wire.secrets);
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n").chars().take(6000).collect::<String>());
}

/// Files of a bundle, packets and manifest.
fn bundle(capture: &Path, payload: &str) -> Written {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("bundle");
    let args = ["scan", "--evidence", dir.to_str().unwrap(), "--evidence-payload", payload, capture.to_str().unwrap()];
    everything::run(&args);
    let mut written = Written::new();
    let mut folders = vec![dir];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => written.push((path.to_str().unwrap().to_owned(), fs::read(&path).unwrap())),
            }
        }
    }
    written
}

/// What is kept to prove a finding has no secret in it, unless all of the payload is asked for.
#[test]
fn evidence_keeps_no_secret() {
    let wire = wire();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.pcapng");
    fs::write(&path, capture::pcapng("", "span0", &wire.packets)).unwrap();
    let proof = bundle(&path, "proof");
    let leaks = leaks(&proof, &wire.secrets);
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n").chars().take(6000).collect::<String>());
    assert!(!find(&proof, b"portal.unlisted.example", true).is_empty(), "the name that proves a finding");
    // The search finds them where they are.
    let full = bundle(&path, "full");
    let found = wire.secrets.iter().filter(|secret| !find(&full, secret.as_bytes(), false).is_empty()).count();
    // Not all: of a flow its first messages are kept, whatever is asked for.
    assert!(found * 2 > wire.secrets.len(), "{found} of {}", wire.secrets.len());
}
