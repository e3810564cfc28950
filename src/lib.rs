//! bordertap: which foreign security products are here, what they send, to which country.
//!
//! Modules stand in the order in which a packet goes through them; imports point only backwards.
//!
//! [`time`] is packet time in nanoseconds; nothing below [`run`] asks a clock.
//!
//! [`slab`] keeps many equal things without moving them.
//!
//! [`memo`] remembers results that come again.
//!
//! [`bytes`] is the cursor through which everything from the wire is read; it cannot overrun.
//!
//! [`fact`] has the words: fields, values, sides, flags, and the set of facts of a flow.
//!
//! [`capture`] reads pcap and pcapng, plain or compressed, and hands over blocks of packets that
//! point into bytes nobody copied; [`capture::live`] does so for interfaces, through the kernel's
//! ring or libpcap, and says what the kernel lost.
//!
//! [`flow`] has the key of a flow, the table that finds it again for every packet, and the rules
//! for its end.
//!
//! [`decode`] turns a packet into a segment, or says by name why it cannot.
//!
//! [`stream`] puts the first bytes of each side in order, whatever order they arrived in.
//!
//! [`fingerprint`] computes JA3, JA3S and JA4 from what a hello offers.
//!
//! [`parse`] recognises protocols by content and reads facts from them; a protocol is one file and
//! one line of the registry.
//!
//! [`ledger`] accounts for every packet; [`merge`] has the laws by which parts of an answer
//! combine; [`record`] is what is left when packets are gone.
//!
//! [`watch`] is told which stage is at work, for those who measure.
//!
//! [`worker`] is one shard: segments in, flows out, once when they were read and once when they ended. [`run`] deals packets to workers and is
//! the only module that starts threads.
//!
//! [`place`] knows countries, special addresses and anycast; [`signature`] knows products and
//! their channels; [`policy`] says what is home, what is inside, and how grave a finding is.
//!
//! [`anonymise`] replaces, where that is asked, addresses and names of our own hosts before anything is gathered of them.
//!
//! [`collect`] says what each flow comes to and adds flows up, worker by worker; [`join`] settles what only the whole can
//! tell: names from other flows, who a host is, which channel a flow was, where it went.
//!
//! [`report`] prints: text, JSON, a page, and the formats of other programs, a file each, fed by flows through a `Sink`;
//! [`diff`] says what is otherwise in a newer report. [`scan`] is one scan from inputs, files or interfaces, to a report;
//! [`evidence`] keeps the packets behind its findings and holds them against what they prove; [`again`] judges once more
//! what was read before.
//!
//! [`preflight`] says beforehand whether interfaces show what there is to see; [`output`] is where records of a sensor go,
//! [`view`] what it shows of itself, [`sensor`] leads a run that goes on, [`service`] is what surrounds it; [`metrics`] shows
//! a sensor to Prometheus, [`tui`] on a terminal; [`notify`] is what its supervisor hears, [`sandbox`] what it gives up
//! before it begins.
//!
//! [`bench`](mod@bench) makes traffic and measures scans of it; [`cli`] is what can be typed, and `src/command` of the
//! program does it.
//!
//! # Glossary
//!
//! | word | means |
//! |---|---|
//! | packet | bytes from a source, with a time |
//! | block | up to 1,024 packets of one input |
//! | segment | one transport payload with its key and direction |
//! | flow | both directions between two endpoints |
//! | side | source (opened the flow) or destination (was asked) |
//! | prefix | the ordered first bytes of one side of a flow |
//! | fact | a value seen at a place: field, side, bytes, first sight |
//! | signature | an identity (this host is a …) or a channel (this flow is for …) |
//! | verdict | a signature with its evidence |
//! | asset | an inside host that was identified |
//! | channel | a documented kind of traffic of a product |
//! | gist | what a flow comes to, whoever it was between: name, port, conditions that hold |
//! | rollup | flows of one gist between one inside host and one place, added up |
//! | finding | a rollup that policy cares about |
//! | ledger | what became of every packet |

pub mod again;
pub mod anonymise;
pub mod bench;
pub mod bytes;
pub mod capture;
pub mod cli;
pub mod collect;
pub mod decode;
pub mod diff;
pub mod evidence;
pub mod fact;
pub mod fingerprint;
pub mod flow;
pub mod join;
pub mod ledger;
pub mod memo;
pub mod merge;
pub mod metrics;
pub mod notify;
pub mod output;
pub mod parse;
pub mod place;
pub mod policy;
pub mod preflight;
pub mod record;
pub mod report;
pub mod run;
pub mod sandbox;
pub mod scan;
pub mod sensor;
pub mod service;
pub mod signature;
pub mod slab;
pub mod stream;
pub mod time;
pub mod tui;
pub mod view;
pub mod watch;
pub mod worker;
