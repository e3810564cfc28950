#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::parse::testing::tcp;
use proptest::prelude::*;

use super::*;
use crate::fact::Seen;

const C: Side = Side::Source;
const S: Side = Side::Destination;

/// Stands in for TLS: claims bytes that begin with `TLS`, wants ten bytes, keeps them.
static INNER_BYTES: Field = Field::new("test.inner", Kind::Text, "what the inner parser got", "this test");
static INNER_SPLIT: Field = Field::new("test.split", Kind::Number, "whether it came in pieces", "this test");
static INNER_PORT: Field = Field::new("test.port", Kind::Number, "not used", "this test");
static INNER: Protocol = Protocol {
    name: "inner",
    over: &[Transport::Tcp],
    fields: &[&INNER_BYTES, &INNER_SPLIT, &INNER_PORT],
    embedded: false,
    claim: |&Opening { bytes, .. }| match bytes {
        [b'T', b'L', b'S', ..] => Claim::Yes,
        _ if b"TLS".starts_with(bytes) => Claim::NeedBytes(3),
        _ => Claim::No,
    },
    parser: |_| Box::new(Inner),
};

struct Inner;

impl Parser for Inner {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if prefix.bytes.len() < 10 {
            return Progress::NeedBytes(10);
        }
        facts.add(&INNER_BYTES, side, prefix.seen, &prefix.bytes[..10]);
        facts.add_number(&INNER_SPLIT, side, prefix.seen, u64::from(prefix.split));
        Progress::Done
    }
}

/// Both sides of a flow and a parser that gets them as a flow would hand them over.
struct Run {
    parser: Http,
    bytes: [Vec<u8>; 2],
    need: [Option<usize>; 2],
    facts: Facts,
    calls: usize,
    outcome: Option<Progress>,
}

impl Run {
    fn new() -> Run {
        Run {
            parser: Http::new(Transport::Tcp, crate::parse::inner::Inner::only(&INNER)),
            bytes: Default::default(),
            need: [Some(0); 2],
            facts: Facts::default(),
            calls: 0,
            outcome: None,
        }
    }

    fn segment(mut self, side: Side, bytes: &[u8]) -> Run {
        self.bytes[side.index()].extend_from_slice(bytes);
        self.feed(side, false);
        self
    }

    fn feed(&mut self, side: Side, last: bool) {
        let bytes = &self.bytes[side.index()];
        let Some(need) = self.need[side.index()] else {
            return;
        };
        if bytes.is_empty() || (bytes.len() < need && !last) {
            return;
        }
        self.calls += 1;
        let prefix = Prefix { bytes, seen: Seen::default(), last, split: true };
        let progress = self.parser.feed(side, prefix, &mut self.facts);
        match progress {
            Progress::NeedBytes(need) => {
                assert!(!last && need > bytes.len(), "asks for {need} of {}", bytes.len());
                self.need[side.index()] = Some(need);
            }
            _ => self.need[side.index()] = None,
        }
        self.outcome = Some(progress);
    }

    fn end(mut self) -> Run {
        self.feed(C, true);
        self.feed(S, true);
        self
    }

    fn is_done(&self, side: Side) -> bool {
        self.need[side.index()].is_none()
    }

    fn text(&self, field: &'static Field) -> Vec<String> {
        let all = self.facts.iter().filter(|fact| fact.field == field);
        let mut all: Vec<String> = all.map(|fact| String::from_utf8_lossy(fact.value).into_owned()).collect();
        all.sort();
        all
    }

    fn numbers(&self, field: &'static Field) -> Vec<u64> {
        let all = self.facts.iter().filter(|fact| fact.field == field);
        let mut all: Vec<u64> = all.map(|fact| u64::from_be_bytes(fact.value.try_into().unwrap())).collect();
        all.sort();
        all
    }

    /// Every fact, for comparing two runs.
    fn everything(&self) -> Vec<(&'static str, Side, Vec<u8>)> {
        let mut all: Vec<_> = self.facts.iter().map(|f| (f.field.name, f.side, f.value.to_vec())).collect();
        all.sort();
        all
    }
}

fn client(bytes: &[u8]) -> Run {
    Run::new().segment(C, bytes).end()
}

fn claim(bytes: &[u8]) -> Claim {
    (PROTOCOL.claim)(&tcp((40000, 12345), C, bytes))
}

/// The exchange of RFC 9112, section 2.1, and RFC 9110, section 3.9.
const REQUEST: &[u8] = b"GET /hello.txt HTTP/1.1\r\nUser-Agent: curl/7.64.1\r\n\
    Host: www.example.com\r\nAccept-Language: en, mi\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Mon, 27 Jul 2009 12:28:53 GMT\r\n\
    Server: Apache\r\nLast-Modified: Wed, 22 Jul 2009 19:15:56 GMT\r\n\
    ETag: \"34aa387-d-1568eb00\"\r\nAccept-Ranges: bytes\r\nContent-Length: 51\r\n\
    Vary: Accept-Encoding\r\nContent-Type: text/plain\r\n\r\n\
    Hello World! My content includes a trailing CRLF.\r\n";

#[test]
fn the_exchange_of_rfc9110() {
    let run = Run::new().segment(C, REQUEST).segment(S, RESPONSE).segment(S, RESPONSE).end();
    assert_eq!(run.text(&METHOD), ["GET"]);
    assert_eq!(run.text(&PATH), ["/hello.txt"]);
    assert_eq!(run.text(&HOST), ["www.example.com"]);
    assert_eq!(run.text(&USER_AGENT), ["curl/7.64.1"]);
    assert_eq!(run.text(&SERVER), ["Apache"]);
    assert_eq!(run.numbers(&STATUS), [200]);
    assert_eq!(run.facts.first(&HOST).unwrap().side, C);
    assert_eq!(run.facts.first(&SERVER).unwrap().side, S);
    assert_eq!(run.facts.flags.names().count(), 0);
}

#[test]
fn targets_of_rfc9112_section_3_2() {
    let run = client(b"GET /where?q=now HTTP/1.1\r\nHost: www.example.org\r\n\r\n");
    assert_eq!(run.text(&PATH), ["/where"]);
    let run = client(b"GET http://www.example.org:8001/pub/WWW/TheProject.html HTTP/1.1\r\n\r\n");
    assert_eq!(run.text(&HOST), ["www.example.org"]);
    assert_eq!(run.text(&PATH), ["/pub/WWW/TheProject.html"]);
    let run = client(b"CONNECT www.example.com:80 HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    assert_eq!(run.text(&CONNECT_HOST), ["www.example.com"]);
    assert_eq!(run.text(&HOST), ["www.example.com"]);
    assert!(run.text(&PATH).is_empty());
    let run = client(b"OPTIONS * HTTP/1.1\r\nHost: www.example.org\r\n\r\n");
    assert_eq!(run.text(&PATH), ["*"]);
    let run = client(b"CONNECT [2001:db8::1]:8443 HTTP/1.1\r\n\r\n");
    assert_eq!(run.text(&CONNECT_HOST), ["2001:db8::1"]);
    let run = client(b"CONNECT / HTTP/1.1\r\n\r\n");
    assert!(run.text(&CONNECT_HOST).is_empty(), "that is no host");
    let run = client(b"GET http://example.com?x HTTP/1.1\r\n\r\n");
    assert_eq!((run.text(&HOST), run.text(&PATH)), (vec!["example.com".into()], vec!["/".into()]));
}

#[test]
fn nothing_secret_is_kept() {
    let run = client(
        b"GET http://user:hunter2@proxy.example/a;sid=hunter2?token=hunter2#hunter2 HTTP/1.1\r\n\
        Host: user:hunter2@proxy.example\r\nAuthorization: Basic hunter2\r\n\
        Proxy-Authorization: Basic hunter2\r\nCookie: sid=hunter2\r\n\
        Referer: http://proxy.example/?hunter2\r\nX-Api-Key: hunter2\r\n\r\n",
    );
    assert_eq!(run.text(&HOST), ["proxy.example"]);
    assert_eq!(run.text(&PATH), ["/a"]);
    let run = run.segment(S, b"HTTP/1.1 200 OK\r\nSet-Cookie: sid=hunter2\r\n\r\nhunter2").end();
    let other = client(b"CONNECT user:hunter2@inner.example:443 HTTP/1.1\r\n\r\n");
    assert_eq!(other.text(&CONNECT_HOST), ["inner.example"]);
    for fact in run.facts.iter().chain(other.facts.iter()) {
        assert!(!fact.value.windows(7).any(|bytes| bytes == b"hunter2"), "{}", fact.field.name);
    }
}

#[test]
fn liberal_about_headers() {
    let run = client(
        b"\r\n\r\nGET  /x  HTTP/1.0 \nhOST:  Example.COM\t\nUser-agent:folded\n \tagent\xff\x07\n\
        no colon here\nServer : \n\nGET /y HTTP/1.1\nUSER-AGENT : \x00raw\n\n",
    );
    assert_eq!(run.text(&PATH), ["/x", "/y"]);
    assert_eq!(run.text(&HOST), ["Example.COM"]);
    let agents: Vec<&[u8]> = run.facts.iter().filter(|f| *f.field == USER_AGENT).map(|f| f.value).collect();
    assert_eq!(agents, [&b"folded agent\xff\x07"[..], b"\x00raw"]);
    assert!(run.text(&SERVER).is_empty(), "an empty value is none");
}

#[test]
fn an_unfinished_line_is_no_value() {
    let run = client(b"GET / HTTP/1.1\r\nUser-Agent: curl/8.0\r\nHost: www.exam");
    assert_eq!(run.text(&USER_AGENT), ["curl/8.0"]);
    assert!(run.text(&HOST).is_empty());
}

#[test]
fn bodies_are_stepped_over() {
    // The chunked example has a trailer, and data that looks like a request.
    let bytes = b"POST /1 HTTP/1.1\r\nContent-Length: 27\r\n\r\nGET /no HTTP/1.1\r\nHost: no\r\n\
        POST /2 HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n\
        12;name=value\r\nGET /no HTTP/1.1\r\n\r\n1\r\nx\r\n0\r\nExpires: never\r\n\r\n\
        PATCH /3 HTTP/1.1\r\n\r\nPOST /4 HTTP/1.1\r\ncontent-length: 0\r\n\r\nDELETE /5 HTTP/1.1\r\n\r\n";
    let run = Run::new().segment(C, bytes);
    assert_eq!(run.text(&PATH), ["/1", "/2", "/3", "/4", "/5"]);
    assert!(run.text(&HOST).is_empty());
    assert!(!run.is_done(C));
}

#[test]
fn answers_without_a_body() {
    let head = Run::new()
        .segment(C, b"HEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
        .segment(S, b"HTTP/1.1 200 OK\r\nServer: one\r\nContent-Length: 5000\r\n\r\n")
        .segment(S, b"HTTP/1.1 103 Early Hints\r\nServer: early\r\n\r\n")
        .segment(S, b"HTTP/1.1 304 Not Modified\r\nServer: two\r\nContent-Length: 9\r\n\r\n")
        .segment(S, b"HTTP/1.1 204 No Content\r\nServer: three\r\n\r\nHTTP/1.1 500 x\r\n\r\n")
        .end();
    assert_eq!(head.text(&SERVER), ["early", "one", "three", "two"]);
    assert_eq!(head.numbers(&STATUS), [103, 200, 204, 304, 500]);
    // The answer to a HEAD whose request was not captured.
    let blind = Run::new()
        .segment(S, b"HTTP/1.1 200 OK\r\nServer: one\r\nContent-Length: 5000\r\n\r\nHT")
        .segment(S, b"TP/1.1 404 Gone\r\nServer: two\r\n\r\n")
        .end();
    assert_eq!(blind.text(&SERVER), ["one", "two"]);
}

/// Requests whose answers have no body, before the first answer: so many are kept, and of more it is said.
#[test]
fn requests_that_wait_for_their_answer() {
    let asked = |count: usize| {
        let heads = b"HEAD /a HTTP/1.1\r\n\r\n".repeat(count);
        let run = Run::new().segment(C, &heads);
        (run.parser.marks.len(), run.facts.flags.has(Flag::LimitReached))
    };
    assert_eq!(asked(MARKED_REQUESTS_MAX), (MARKED_REQUESTS_MAX, false));
    assert_eq!(asked(MARKED_REQUESTS_MAX + 1), (MARKED_REQUESTS_MAX, true));
}

#[test]
fn stops_where_the_length_of_a_body_is_not_known() {
    let over = |head: &[u8], body: &[u8]| {
        let run = Run::new().segment(S, head).segment(S, body);
        assert!(run.is_done(S), "{}", String::from_utf8_lossy(head));
        assert_eq!(run.numbers(&STATUS).len(), 1);
    };
    over(b"HTTP/1.0 200 OK\r\n\r\n", b"<html>\r\nHTTP/1.1 200 OK\r\n\r\n");
    over(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", b"");
    over(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", b"");
    over(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", b"");
    over(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"zz\r\n");
    over(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"ffffffffffffffff\r\n");
    over(b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n", b"x");
    over(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", b"\x81\x05hello");
    let far = Run::new().segment(S, b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n");
    assert!(far.is_done(S), "what follows lies behind the prefix");
}

#[test]
fn one_byte_at_a_time_gives_the_same_in_linear_time() {
    let bytes = [REQUEST, REQUEST, b"POST /p HTTP/1.1\r\nContent-Length: 300\r\n\r\n", &[b'x'; 300], REQUEST].concat();
    let whole = client(&bytes);
    let mut run = Run::new();
    for byte in &bytes {
        run = run.segment(C, &[*byte]);
    }
    let run = run.end();
    assert_eq!(run.everything(), whole.everything());
    assert!(run.calls <= bytes.len() - 298, "a body is not asked for byte by byte");
    assert!(run.parser.halves[0].scanned >= bytes.len(), "each byte was looked at once");
}

#[test]
fn limits_end_the_reading_and_are_flagged() {
    let many = [b"GET / HTTP/1.1\r\n".to_vec(), b"a: b\r\n".repeat(HEADER_LINES_MAX + 1)].concat();
    let long = [b"GET / HTTP/1.1\r\nx: ".to_vec(), vec![b'x'; HEAD_BYTES_MAX]].concat();
    let endless = [b"GET /".to_vec(), vec![b'x'; HEAD_BYTES_MAX]].concat();
    for bytes in [many, long, endless] {
        let run = Run::new().segment(C, &bytes);
        assert!(run.is_done(C));
        assert!(run.facts.flags.has(Flag::LimitReached));
    }
    let path = [b"GET /".to_vec(), vec![b'p'; 2000], b" HTTP/1.1\r\n\r\n".to_vec()].concat();
    let run = client(&path);
    assert_eq!(run.text(&PATH)[0].len(), PATH_BYTES_MAX);
    assert!(run.facts.flags.has(Flag::LimitReached));
}

#[test]
fn a_tunnel_is_handed_on_with_its_own_offsets() {
    let run = Run::new()
        .segment(C, b"CONNECT cloud.example:443 HTTP/1.1\r\nHost: cloud.example:443\r\n\r\n")
        .segment(S, b"HTTP/1.1 200 Connection established\r\nServer: squid\r\n\r\n")
        .segment(C, b"TLSclient!!")
        .segment(S, b"TLSserver!!");
    assert_eq!(run.text(&CONNECT_HOST), ["cloud.example"]);
    assert_eq!(run.text(&INNER_BYTES), ["TLSclient!", "TLSserver!"]);
    assert_eq!(run.numbers(&INNER_SPLIT), [0, 0], "each hello came in one segment");
    assert!(run.is_done(C) && run.is_done(S));
    assert_eq!(run.text(&SERVER), ["squid"]);
}

#[test]
fn a_tunnel_byte_by_byte() {
    let mut run = Run::new();
    for byte in b"CONNECT cloud.example:443 HTTP/1.1\r\n\r\nTLSclient!" {
        run = run.segment(C, &[*byte]);
    }
    assert_eq!(run.text(&INNER_BYTES), ["TLSclient!"]);
    assert_eq!(run.numbers(&INNER_SPLIT), [1]);
}

#[test]
fn a_tunnel_with_one_side_missing() {
    let server = Run::new().segment(S, b"HTTP/1.0 200 OK\r\nVia: x\r\n\r\n").segment(S, b"TLSserver!");
    assert_eq!(server.text(&INNER_BYTES), ["TLSserver!"]);
    let client = Run::new().segment(C, b"CONNECT a.example:1 HTTP/1.1\r\n\r\nTLSclient!");
    assert_eq!(client.text(&INNER_BYTES), ["TLSclient!"]);
}

#[test]
fn a_refused_tunnel_stays_http() {
    let run = Run::new()
        .segment(C, b"CONNECT a.example:443 HTTP/1.1\r\n\r\n")
        .segment(S, b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nno!")
        .segment(C, b"CONNECT a.example:443 HTTP/1.1\r\nProxy-Authorization: x\r\n\r\n")
        .segment(S, b"HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n")
        .segment(C, b"TLSclient!")
        .segment(S, b"TLSserver!");
    assert_eq!(run.numbers(&STATUS), [200, 407]);
    assert_eq!(run.text(&INNER_BYTES), ["TLSclient!", "TLSserver!"], "that length means nothing");
}

#[test]
fn http_inside_a_tunnel_and_anything_else() {
    let run =
        Run::new().segment(C, b"CONNECT a.example:80 HTTP/1.1\r\n\r\nGET /in HTTP/1.1\r\nHost: in.example\r\n\r\n");
    assert_eq!(run.text(&HOST), ["in.example"]);
    let run = Run::new().segment(C, b"CONNECT a.example:22 HTTP/1.1\r\n\r\nSSH-2.0-x\r\n");
    assert!(run.is_done(C));
}

#[test]
fn a_side_that_starts_in_the_middle_does_not_spoil_the_other() {
    let run = Run::new().segment(S, b"rest of a body\r\nHTTP/1.1 200 OK\r\n\r\n").segment(C, REQUEST).end();
    assert!(run.is_done(S));
    assert_eq!(run.text(&HOST), ["www.example.com"]);
    let neither = Run::new().segment(S, b"nothing\r\n").segment(C, b"at all\r\n");
    assert_eq!(neither.outcome, Some(Progress::NotMine));
}

#[test]
fn what_is_left_of_a_method_is_no_method() {
    for start in ["ET / HTTP/1.1\r\n", "PGET / HTTP/1.1\r\n", "T / HTTP/1.1\r\n", "NNECT a.example:443 HTTP/1.1\r\n"] {
        assert_eq!(claim(start.as_bytes()), Claim::No, "{start}");
    }
    assert_eq!(claim(b"LOCK / HTTP/1.1\r\n"), Claim::Yes, "though UNLOCK ends like that");
    assert_eq!(claim(b"BREW / HTTP/1.1\r\n"), Claim::Yes);
}

#[test]
fn ssdp_datagrams() {
    let mut parser = (PROTOCOL.parser)(Transport::Udp);
    let mut facts = Facts::default();
    let mut feed = |side, bytes: &[u8]| {
        let prefix = Prefix { bytes, seen: Seen::default(), last: false, split: false };
        assert_eq!(parser.feed(side, prefix, &mut facts), Progress::NeedBytes(0));
        facts.flags.has(Flag::ParseError)
    };
    let search = b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\n\r\n";
    assert_eq!(claim(search), Claim::Yes);
    assert!(!feed(C, search));
    assert!(!feed(S, b"HTTP/1.1 200 OK\r\nSERVER: OS/version UPnP/2.0 product/version\r\n\r\n"));
    assert!(!feed(C, b"NOTIFY * HTTP/1.1\r\nSERVER: announced\r\n\r\n"));
    assert!(feed(C, b"something else"));
    let run = Run { facts, ..Run::new() };
    assert_eq!(run.text(&HOST), ["239.255.255.250"]);
    assert_eq!(run.text(&SERVER), ["OS/version UPnP/2.0 product/version", "announced"]);
}

#[test]
fn claims() {
    let long = [b"GET /".to_vec(), vec![b'a'; 3000]].concat();
    let yes: [&[u8]; 9] = [
        REQUEST,
        RESPONSE,
        &long,
        b"HTTP/1.1 200\r",
        b"HTTP/1.0 404 Not Found\r\n",
        b"\r\nGET / HTTP/1.0\n",
        b"PROPFIND /dav HTTP/1.1\r\n",
        b"BASELINE-CONTROL /x HTTP/1.1\r\n",
        b"GET http://example.com/ HTTP/1.1\r\n",
    ];
    for bytes in yes {
        assert_eq!(claim(bytes), Claim::Yes, "{}", String::from_utf8_lossy(bytes));
    }
    let no: [&[u8]; 14] = [
        b"EV Root CA0\x1e\x17\r130GET / HTTP/1.1\r\n",
        b"OPTIONS sip:user@example.com SIP/2.0\r\n",
        b"OPTIONS rtsp://example.com/ RTSP/1.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\r\n",
        b"EHLO mail.example.com\r\n",
        b"HTTP/2 200\r\n",
        b"HTTP/1.1 2000 x\r\n",
        b"ICY 200 OK\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"SSH-2.0-OpenSSH\r\n",
        b"get / HTTP/1.1\r\n",
        b"GET /\x00\x01\x02\x03\x04\x05\x06\x07\x08",
        b"\r\n\r\n\r\n\r\n\r\n\r\n",
    ];
    for bytes in no {
        assert_eq!(claim(bytes), Claim::No, "{}", String::from_utf8_lossy(bytes));
    }
    for end in 0..REQUEST.iter().position(|byte| *byte == b'\n').unwrap() {
        assert!(matches!(claim(&REQUEST[..end]), Claim::NeedBytes(need) if need > end), "{end}");
    }
    for end in 0..=12 {
        assert!(matches!(claim(&RESPONSE[..end]), Claim::NeedBytes(need) if need > end), "{end}");
    }
}

/// Pieces of HTTP in any order: likelier to reach odd states than bytes at random.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(REQUEST.to_vec()),
        Just(RESPONSE.to_vec()),
        Just(b"CONNECT a.example:443 HTTP/1.1\r\n\r\n".to_vec()),
        Just(b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec()),
        Just(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n".to_vec()),
        Just(b"HEAD / HTTP/1.1\r\nHost: h\r\n x\r\n\r\n".to_vec()),
        Just(b"TLS".to_vec()),
        Just(b"\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// Parts of start lines, good ones and others.
fn word() -> impl Strategy<Value = &'static [u8]> {
    let words: [&[u8]; 16] = [
        b"GET ",
        b"EV ",
        b"PGET ",
        b"/",
        b"a.example:443",
        &[b'a'; 1020],
        b" ",
        b"\t",
        b"\x17",
        b"\x0c",
        b"\r",
        b"\xc3\xa9",
        b"HTTP/1.1",
        b"20",
        b"200 OK",
        b"\n",
    ];
    proptest::sample::select(words.to_vec())
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces(
        client_bytes in pieces(),
        server_bytes in pieces(),
        cuts in proptest::collection::vec(1_usize..40, 1..20),
    ) {
        claim(&client_bytes);
        let whole = Run::new().segment(C, &client_bytes).segment(S, &server_bytes).end();
        let mut run = Run::new();
        for (side, bytes) in [(C, &client_bytes), (S, &server_bytes)] {
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at(rest.len().min(*cut));
                run = run.segment(side, now);
                rest = later;
            }
        }
        let run = run.end();
        let without_split = |run: &Run| {
            let mut all = run.everything();
            all.retain(|(name, _, _)| *name != "test.split");
            all
        };
        prop_assert_eq!(without_split(&run), without_split(&whole), "C {:?} S {:?}", String::from_utf8_lossy(&client_bytes), String::from_utf8_lossy(&server_bytes));
    }

    // What is asked for one byte after the other is answered as what is there at once.
    #[test]
    fn claims_do_not_depend_on_cuts(words in proptest::collection::vec(word(), 0..9)) {
        let bytes = words.concat();
        let sooner = (0..bytes.len()).map(|end| claim(&bytes[..end])).find(|claim| !matches!(claim, Claim::NeedBytes(_)));
        let whole = claim(&bytes);
        prop_assert_eq!(sooner.unwrap_or(whole), whole, "{:?}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_ne!(claim(&bytes), Claim::Yes);
        client(&bytes);
    }
}

#[test]
fn an_upgrade_is_offered_and_taken() {
    // RFC 6455, section 1.3; RFC 9110, section 7.8.
    let run = Run::new()
        .segment(C, b"GET /chat HTTP/1.1\r\nUpgrade: websocket, IRC/6.9\r\nConnection: Upgrade\r\n\r\n")
        .segment(S, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(run.text(&UPGRADE), ["IRC/6.9", "websocket", "websocket"]);
    let mere_offer = Run::new().segment(S, b"HTTP/1.1 200 OK\r\nUpgrade: h2,h2c\r\nContent-Length: 0\r\n\r\n");
    assert!(mere_offer.text(&UPGRADE).is_empty());
}

#[test]
fn dns_in_http() {
    // RFC 8484, section 4.1.1.
    let doh = |bytes: &[u8]| client(bytes).text(&dns::TRANSPORT);
    assert_eq!(doh(b"GET /dns-query?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB HTTP/1.1\r\n\r\n"), ["doh"]);
    assert_eq!(doh(b"POST /q HTTP/1.1\r\nContent-Type: application/dns-message\r\n\r\n"), ["doh"]);
    assert_eq!(doh(b"GET /q HTTP/1.1\r\nAccept: text/html, Application/DNS-Message;q=0.5\r\n\r\n"), ["doh"]);
    assert!(doh(b"GET /dns-query/x HTTP/1.1\r\nAccept: application/dns-json\r\n\r\n").is_empty());
    let answer = Run::new().segment(S, b"HTTP/1.1 200 OK\r\nContent-Type: application/dns-message\r\n\r\n");
    assert_eq!(answer.text(&dns::TRANSPORT), ["doh"]);
}
