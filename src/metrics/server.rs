//! A small server for the page of metrics: `GET /metrics`, `GET /healthz`, one answer a connection.
//!
//! In: where to listen, and the board. Out: threads that answer until the [`Server`] is dropped. They take the picture of
//! the last turn and nothing else, so the sensor never waits for them; a client that is slow or talks much is cut off.
//! The request is read by `httparse` (RFC 9112).

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::exposition::CONTENT_TYPE;
use crate::time::{SECOND, Time};
use crate::view::Board;

/// A sensor whose last turn is older than this is not healthy.
pub const HEALTHY_SECONDS_MAX: i64 = 30;

/// Connections that are served at one time; the others wait in the system's queue.
const CLIENTS_MAX: usize = 4;
/// Longest request line and headers.
const REQUEST_BYTES_MAX: usize = 8 << 10;
/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// What a client may take for its request, and for taking the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a thread that waits for a client looks whether the server is to end.
const GLANCE: Duration = Duration::from_millis(200);
/// Bytes behind the request that are read and forgotten, so that the answer arrives (RFC 9112 section 9.6).
const REST_BYTES_MAX: usize = 64 << 10;
/// How long the server that ends waits for its own call to itself.
const WAKE: Duration = Duration::from_millis(500);

/// Answers until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Answers from the board whoever connects. The listener is made before: a sandbox that is entered meanwhile makes none.
pub fn serve(listener: TcpListener, board: Arc<Board>) -> io::Result<Server> {
    let mut server = Server { address: listener.local_addr()?, stop: Arc::default(), threads: Vec::new() };
    for _ in 0..CLIENTS_MAX {
        let (listener, board, stop) = (listener.try_clone()?, board.clone(), server.stop.clone());
        let thread = thread::Builder::new().name("metrics".to_owned());
        server.threads.push(thread.spawn(move || answer_all(&listener, &board, &stop))?);
    }
    Ok(server)
}

impl Server {
    /// Where it listens; with port 0 the system chose one.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    /// Wakes every thread that waits for a connection with one.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let mut to = self.address;
        if to.ip().is_unspecified() {
            to.set_ip(if to.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { IpAddr::V6(Ipv6Addr::LOCALHOST) });
        }
        let woken = self.threads.iter().all(|_| TcpStream::connect_timeout(&to, WAKE).is_ok());
        // A thread that cannot be woken ends with the process.
        for thread in self.threads.drain(..).filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

fn answer_all(listener: &TcpListener, board: &Board, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        match listener.accept() {
            // What a client does wrong is its own affair.
            Ok((client, _)) if !stop.load(Ordering::Acquire) => drop(answer(client, board, stop)),
            Ok(_) => return,
            // Out of file descriptors, perhaps: not again at once.
            Err(_) => thread::sleep(GLANCE),
        }
    }
}

/// One request, one answer.
fn answer(mut client: TcpStream, board: &Board, stop: &AtomicBool) -> io::Result<()> {
    client.set_read_timeout(Some(GLANCE))?;
    client.set_write_timeout(Some(GLANCE))?;
    let end = Instant::now() + PATIENCE;
    let mut request = Vec::new();
    let answer = loop {
        match reply(&request, board, now()) {
            Some(answer) => break answer,
            None if Instant::now() >= end => {
                break Answer::words("408 Request Timeout", "the request took too long").bytes();
            }
            None if stop.load(Ordering::Acquire) => return Ok(()),
            None => {}
        }
        let mut part = [0; 1024];
        match client.read(&mut part) {
            Ok(0) => return Ok(()),
            Ok(n) => request.extend(part.iter().take(n)),
            Err(error) if is_wait(&error) => {}
            Err(error) => return Err(error),
        }
    };
    write_all(&mut client, &answer, stop)?;
    client.shutdown(Shutdown::Write)?;
    let mut rest = REST_BYTES_MAX;
    let mut part = [0; 1024];
    // Ends with what the client sends, or with the first wait.
    while let Ok(n @ 1..) = client.read(&mut part) {
        rest = rest.saturating_sub(n);
        if rest == 0 || Instant::now() >= end {
            break;
        }
    }
    Ok(())
}

/// The answer to these bytes of a request; nothing as long as it is not whole.
pub fn reply(request: &[u8], board: &Board, now: Time) -> Option<Vec<u8>> {
    let answer = match read_request(request)? {
        Ok(asked) => respond(&asked, board, now),
        Err(refusal) => refusal,
    };
    Some(answer.bytes())
}

/// Writes as long as the client takes it in time.
fn write_all(client: &mut TcpStream, mut bytes: &[u8], stop: &AtomicBool) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    while !bytes.is_empty() && Instant::now() < end && !stop.load(Ordering::Acquire) {
        match client.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(error) if is_wait(&error) => {}
            Err(error) => return Err(error),
        }
    }
    if bytes.is_empty() { Ok(()) } else { Err(ErrorKind::TimedOut.into()) }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn now() -> Time {
    Time(i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX))
}

/// What was asked.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    method: String,
    path: String,
}

/// The request, once it is whole.
fn read_request(bytes: &[u8]) -> Option<Result<Asked, Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let too_large = || Answer::words("431 Request Header Fields Too Large", "the request is too large");
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= REQUEST_BYTES_MAX => {
            let target = request.path.unwrap_or_default();
            let path = target.split('?').next().unwrap_or_default().to_owned();
            Some(Ok(Asked { method: request.method.unwrap_or_default().to_owned(), path }))
        }
        Ok(httparse::Status::Partial) if bytes.len() < REQUEST_BYTES_MAX => None,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => Some(Err(too_large())),
        Err(error) => Some(Err(Answer::words("400 Bad Request", &error.to_string()))),
    }
}

/// What is sent back.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: &'static str,
    kind: &'static str,
    allow: bool,
    body: String,
    /// HEAD wants the headers alone.
    head_only: bool,
}

impl Answer {
    fn words(status: &'static str, words: &str) -> Answer {
        let kind = "text/plain; charset=utf-8";
        Answer { status, kind, allow: false, body: format!("{words}\n"), head_only: false }
    }

    fn bytes(&self) -> Vec<u8> {
        let Answer { status, kind, body, .. } = self;
        let allow = if self.allow { "Allow: GET, HEAD\r\n" } else { "" };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
        );
        let body = if self.head_only { "" } else { body };
        [head.as_bytes(), body.as_bytes()].concat()
    }
}

fn respond(asked: &Asked, board: &Board, now: Time) -> Answer {
    let make = match asked.path.as_str() {
        "/metrics" => metrics,
        "/healthz" => health,
        _ => return Answer::words("404 Not Found", "here are /metrics and /healthz"),
    };
    match asked.method.as_str() {
        "GET" => make(board, now),
        "HEAD" => Answer { head_only: true, ..make(board, now) },
        _ => Answer { allow: true, ..Answer::words("405 Method Not Allowed", "only GET and HEAD") },
    }
}

const NO_TURN: &str = "the sensor has not taken stock yet";

fn metrics(board: &Board, _: Time) -> Answer {
    match board.get() {
        Some(view) => Answer { kind: CONTENT_TYPE, body: super::page(&view), ..Answer::words("200 OK", "") },
        None => Answer::words("503 Service Unavailable", NO_TURN),
    }
}

fn health(board: &Board, now: Time) -> Answer {
    let Some(view) = board.get() else { return Answer::words("503 Service Unavailable", NO_TURN) };
    let age = now.since(view.now) / SECOND;
    if age <= HEALTHY_SECONDS_MAX {
        Answer::words("200 OK", "ok")
    } else {
        Answer::words("503 Service Unavailable", &format!("the sensor last took stock {age} seconds ago"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(request: &str) -> Option<Result<Asked, Answer>> {
        read_request(request.as_bytes())
    }

    #[test]
    fn a_request_is_read_when_it_is_whole() {
        let whole = "GET /metrics?a=b HTTP/1.1\r\nHost: x\r\n\r\n";
        for end in 0..whole.len() {
            assert_eq!(asked(&whole[..end]), None, "{end}");
        }
        assert_eq!(asked(whole), Some(Ok(Asked { method: "GET".into(), path: "/metrics".into() })));
    }

    #[test]
    fn what_is_no_request_or_too_much_is_refused() {
        let status = |request: &str| asked(request).unwrap().unwrap_err().status;
        assert_eq!(status("\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03"), "400 Bad Request");
        assert_eq!(status("GET /metrics\r\n\r\n"), "400 Bad Request");
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(REQUEST_BYTES_MAX));
        assert_eq!(status(&long), "431 Request Header Fields Too Large");
        let many = format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(status(&many), "431 Request Header Fields Too Large");
    }

    #[test]
    fn before_the_first_turn_nothing_is_healthy() {
        for path in ["/metrics", "/healthz"] {
            let asked = Asked { method: "GET".into(), path: path.into() };
            assert_eq!(respond(&asked, &Board::default(), Time(0)).status, "503 Service Unavailable");
        }
    }
}
