//! Whether traffic left the country, and why we think so.
//!
//! In: a place and what was seen of the traffic. Out: one of four words and plain sentences.
//! Access from outside to an inside host counts the same as the other way round. The rules, in
//! order:
//!
//! 1. A special address: `home`. Behind a proxy that says nothing: `not-determinable`.
//! 2. A hidden name without a declared region: `not-determinable`.
//! 3. No place known, an anycast or a global name: `not-determinable`; `probable` when the vendor's
//!    word leaves it open and the address points outside.
//! 4. A home country: `home`; `probable` when another source says it is outside, and
//!    `not-determinable` when the address is anycast.
//! 5. A foreign country: `observed` when payload of the inside host went there and nothing speaks
//!    against it, else `probable`.

use std::net::IpAddr;

use crate::place::{Basis, Place, Standing};
pub use crate::record::{Crossing, Direction};

/// What was seen of the traffic between an inside host and a far end.
#[derive(Clone, Copy, Debug)]
pub struct CrossingInput<'a> {
    /// Where the far end is. Behind a proxy: decided without the proxy's address.
    pub place: &'a Place,
    /// The address of the far end, or of the proxy.
    pub address: Option<IpAddr>,
    /// The best name of the far end.
    pub name: Option<&'a str>,
    /// Who opened it.
    pub direction: Direction,
    /// Payload bytes from the inside host to the far end.
    pub payload_out: u64,
    /// Payload bytes from the far end to the inside host.
    pub payload_in: u64,
    /// All payload belongs to a handshake (TLS, QUIC, IKE, SSH).
    pub handshake_only: bool,
    /// There is no flow, only a DNS question.
    pub name_only: bool,
    /// A proxy was asked to go there (CONNECT, SOCKS).
    pub via_proxy: bool,
    /// The name is encrypted (ECH).
    pub hidden_name: bool,
    /// Names, certificate and addresses of the flow do not fit together.
    pub sources_disagree: bool,
}

impl CrossingInput<'_> {
    /// Nothing but attempts: no payload passed out, and what came in was not answered.
    pub fn attempted_only(&self) -> bool {
        let one_sided = self.direction == Direction::Outbound && self.payload_in > 0;
        self.name_only || (self.payload_out == 0 && !one_sided)
    }
}

/// Whether the traffic left the country, and the sentences that say why.
pub fn crossing(input: &CrossingInput<'_>) -> (Crossing, Vec<String>) {
    let mut why = traffic(input);
    why.extend(input.place.notes.iter().cloned());
    if input.place.basis != Basis::Declared
        && input.place.standing != Standing::Special
        && let Some(country) = input.place.looked_up
    {
        why.push(format!("The address database says {country}."));
    }
    if input.hidden_name {
        why.push("The server name is hidden (ECH).".into());
    }
    if input.sources_disagree {
        why.push("The names and addresses that were seen do not fit together.".into());
    }
    (judge(input), why)
}

fn judge(input: &CrossingInput<'_>) -> Crossing {
    let place = input.place;
    if place.standing == Standing::Special {
        return if input.via_proxy { Crossing::NotDeterminable } else { Crossing::Home };
    }
    if input.hidden_name && place.basis != Basis::Declared {
        return Crossing::NotDeterminable;
    }
    match place.standing {
        Standing::Foreign if is_weak(input) => Crossing::Probable,
        Standing::Foreign => Crossing::Observed,
        _ if place.disagree => Crossing::Probable,
        Standing::Home if !place.anycast => Crossing::Home,
        _ => Crossing::NotDeterminable,
    }
}

/// Whether evidence that points outside is not enough to say it was observed.
fn is_weak(input: &CrossingInput<'_>) -> bool {
    input.name_only
        || input.via_proxy
        || input.handshake_only
        || input.payload_out == 0
        || input.sources_disagree
        || input.place.disagree
        || input.place.anycast && input.place.basis != Basis::Declared
}

/// What was seen, in sentences.
fn traffic(input: &CrossingInput<'_>) -> Vec<String> {
    let address = input.address.map(|a| a.to_string());
    let far = match (input.via_proxy, input.name, address) {
        (true, Some(name), _) => format!("{name} through a proxy"),
        (true, None, _) => "an unnamed host through a proxy".into(),
        (false, _, Some(address)) => address,
        (false, Some(name), None) => name.into(),
        (false, None, None) => "an unknown host".into(),
    };
    if input.name_only {
        let name = input.name.unwrap_or("A name");
        return vec![format!("{name} was only asked for; no flow to it was seen.")];
    }
    let mut lines = Vec::new();
    if input.direction == Direction::Inbound {
        lines.push(format!("It was opened from {far}."));
    }
    match (input.payload_out, input.payload_in) {
        (0, 0) => lines.push(format!("There were only attempts: no payload went to or came from {far}.")),
        (0, back) => lines.push(format!("{} came from {far}; none went back.", bytes(back))),
        (out, 0) => lines.push(format!("{} went to {far}. Nothing was seen to come back.", bytes(out))),
        (out, back) => lines.push(format!("{} went to {far}. {} came back.", bytes(out), bytes(back))),
    }
    if input.handshake_only && (input.payload_out, input.payload_in) != (0, 0) {
        lines.push("It was only a handshake, without data after it.".into());
    }
    lines
}

/// `1,204 bytes`.
fn bytes(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 6);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text.push_str(if count == 1 { " byte" } else { " bytes" });
    text
}
