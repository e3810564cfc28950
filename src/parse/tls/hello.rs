//! ClientHello and ServerHello.
//!
//! In: the body of a handshake message, without its four-byte header. Out: the lists it holds,
//! or which part of it contradicts itself. Nothing is judged here, and a hello that contradicts
//! itself gives no lists at all, so that no fingerprint comes from half of it.
//! Sources: RFC 8446 section 4.1, RFC 5246 section 7.4.1, RFC 6066 section 3 (server name),
//! RFC 7301 (ALPN), RFC 9849 (encrypted client hello), RFC 6101 (SSL 3.0, appendix E for the
//! hello of version 2), RFC 6347 section 4.2.1 (the cookie of DTLS).

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fingerprint::{self, is_grease, ja3, ja4};

const RANDOM_BYTES: usize = 32;
const SESSION_ID_BYTES_MAX: usize = 32;
/// Room for the extension types and their lists, so that the usual hello allocates once.
const WORDS_OF_EXTENSIONS: usize = 96;

/// Extension types (IANA, "TLS ExtensionType Values").
mod kind {
    pub(super) const SERVER_NAME: u16 = 0;
    pub(super) const SUPPORTED_GROUPS: u16 = 10;
    pub(super) const EC_POINT_FORMATS: u16 = 11;
    pub(super) const SIGNATURE_ALGORITHMS: u16 = 13;
    pub(super) const ALPN: u16 = 16;
    pub(super) const SUPPORTED_VERSIONS: u16 = 43;
    pub(super) const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
}

/// `ECHClientHelloType.outer`, RFC 9849 section 5.
const ECH_OUTER: u8 = 0;
/// `NameType.host_name`, RFC 6066 section 3.
const HOST_NAME: u8 = 0;
/// A ServerHello with this random is a HelloRetryRequest, RFC 8446 section 4.1.3.
const RETRY_RANDOM: [u8; RANDOM_BYTES] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];
/// High byte of the version numbers of the drafts of TLS 1.3.
const DRAFT_HIGH_BYTE: u8 = 0x7f;
/// Up to this draft a ServerHello had neither the id of a resumed handshake nor a compression method.
const SHORT_SERVER_HELLO_DRAFT_MAX: u16 = 0x7f15;

/// The part of a hello whose lengths do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hello is malformed at its {0}")]
pub struct Malformed(pub &'static str);

/// The outer form of an encrypted client hello, RFC 9849 section 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ech {
    /// Names the key of the server; a placeholder has a random one.
    pub config_id: u8,
    /// HPKE key derivation function.
    pub kdf: u16,
    /// HPKE cipher.
    pub aead: u16,
}

impl Ech {
    /// Key derivation function and cipher as they stand on the wire, four bytes.
    pub fn suite(&self) -> [u8; 4] {
        (u32::from(self.kdf) << 16 | u32::from(self.aead)).to_be_bytes()
    }
}

/// What a client offers.
#[derive(Clone, Debug)]
pub struct ClientHello<'a> {
    /// `client_version`, 0x0303 also for TLS 1.3.
    pub version: u16,
    /// 32 bytes.
    pub random: &'a [u8],
    /// Up to 32 bytes.
    pub resumption_id: &'a [u8],
    /// `ec_point_formats`.
    pub point_formats: &'a [u8],
    /// An encrypted client hello is there.
    pub ech: bool,
    /// Its outer form, when it could be read.
    pub ech_outer: Option<Ech>,
    /// Well-formed, but no client that keeps to the RFCs says it: an extension twice, an empty
    /// name, a name that is no host name.
    pub odd: bool,
    extensions: &'a [u8],
    alpn: &'a [u8],
    /// Cipher suites, extension types, groups, signature algorithms, versions; one after another.
    words: Vec<u16>,
    ends: [usize; 4],
}

impl<'a> ClientHello<'a> {
    /// Reads the body of the message. TLS over TCP and in QUIC have the same form.
    pub fn parse(body: &'a [u8]) -> Result<ClientHello<'a>, Malformed> {
        ClientHello::parse_as(body, ja4::Transport::Tls)
    }

    /// Reads the body of the message in the form that it has over this transport.
    pub fn parse_as(body: &'a [u8], transport: ja4::Transport) -> Result<ClientHello<'a>, Malformed> {
        let mut reader = Reader::new(body);
        let head = ClientHead::read(&mut reader, transport)?;
        if head.ciphers.len() % 2 > 0 {
            return Err(Malformed("cipher suites"));
        }
        let extensions = extension_block(&mut reader)?;

        let mut words = Vec::with_capacity((head.ciphers.len() / 2).saturating_add(WORDS_OF_EXTENSIONS));
        words.extend(pairs(head.ciphers));
        let ciphers_end = words.len();
        let mut hello = ClientHello {
            version: head.version,
            random: head.random,
            resumption_id: head.resumption_id,
            point_formats: &[],
            ech: false,
            ech_outer: None,
            odd: false,
            extensions,
            alpn: &[],
            words,
            ends: [ciphers_end; 4],
        };
        hello.read_extensions()?;
        Ok(hello)
    }

    fn read_extensions(&mut self) -> Result<(), Malformed> {
        let mut server_name = None;
        let mut alpn = None;
        let mut groups = None;
        let mut formats = None;
        let mut schemes = None;
        let mut versions = None;
        let mut again = false;
        let mut rest = Extensions(Reader::new(self.extensions));
        for (kind, data) in &mut rest {
            self.words.push(kind);
            let slot = match kind {
                kind::SERVER_NAME => &mut server_name,
                kind::ALPN => &mut alpn,
                kind::SUPPORTED_GROUPS => &mut groups,
                kind::EC_POINT_FORMATS => &mut formats,
                kind::SIGNATURE_ALGORITHMS => &mut schemes,
                kind::SUPPORTED_VERSIONS => &mut versions,
                kind::ENCRYPTED_CLIENT_HELLO => {
                    again |= self.ech;
                    self.ech = true;
                    match ech_outer(data) {
                        Some(outer) => self.ech_outer = Some(outer),
                        None => self.odd = true,
                    }
                    continue;
                }
                _ => continue,
            };
            if kind == kind::SERVER_NAME {
                self.odd |= check_server_names(data)?;
            }
            // Of an extension that comes twice the first counts; names are all reported.
            again |= slot.is_some();
            slot.get_or_insert(data);
        }
        if !rest.0.is_empty() {
            return Err(Malformed("extensions"));
        }
        self.odd |= again;
        let types_end = self.words.len();

        if let Some(data) = alpn {
            self.alpn = whole(data, Reader::vec16).ok_or(Malformed("application protocols"))?;
            self.odd |= check_alpn(self.alpn)?;
        }
        if let Some(data) = formats {
            self.point_formats = whole(data, Reader::vec8).ok_or(Malformed("point formats"))?;
        }
        self.push_list(groups, Reader::vec16, "groups")?;
        let groups_end = self.words.len();
        self.push_list(schemes, Reader::vec16, "signature algorithms")?;
        let [ciphers_end, ..] = self.ends;
        self.ends = [ciphers_end, types_end, groups_end, self.words.len()];
        self.push_list(versions, Reader::vec8, "versions")
    }

    fn push_list(&mut self, data: Option<&'a [u8]>, vec: Vector<'a>, part: &'static str) -> Result<(), Malformed> {
        let Some(data) = data else { return Ok(()) };
        let list = whole(data, vec).filter(|list| list.len() % 2 == 0).ok_or(Malformed(part))?;
        self.words.extend(pairs(list));
        Ok(())
    }

    fn words(&self, from: usize, to: usize) -> &[u16] {
        self.words.get(from..to).unwrap_or_default()
    }

    /// Cipher suites as they stood.
    pub fn ciphers(&self) -> &[u16] {
        self.words(0, self.ends[0])
    }

    /// Types of all extensions as they stood.
    pub fn extension_types(&self) -> &[u16] {
        self.words(self.ends[0], self.ends[1])
    }

    /// `supported_groups`.
    pub fn groups(&self) -> &[u16] {
        self.words(self.ends[1], self.ends[2])
    }

    /// `signature_algorithms`.
    pub fn signature_algorithms(&self) -> &[u16] {
        self.words(self.ends[2], self.ends[3])
    }

    /// `supported_versions`.
    pub fn versions(&self) -> &[u16] {
        self.words(self.ends[3], self.words.len())
    }

    /// The highest of `supported_versions`, else `client_version`.
    pub fn highest_version(&self, transport: ja4::Transport) -> u16 {
        let versions = self.versions().iter().copied().filter(|&v| !is_grease(v));
        let highest = match transport {
            // Those of DTLS count down, so that no TLS version has the same number (RFC 6347 section 4.1).
            ja4::Transport::Dtls => versions.min(),
            _ => versions.max(),
        };
        highest.unwrap_or(self.version)
    }

    /// The data of the first extension of a type.
    pub fn extension(&self, kind: u16) -> Option<&'a [u8]> {
        Extensions(Reader::new(self.extensions)).find(|&(k, _)| k == kind).map(|(_, data)| data)
    }

    /// Server names, raw, of any name type; normally one.
    pub fn server_names(&self) -> impl Iterator<Item = &'a [u8]> {
        server_names(self.extensions)
    }

    /// Application protocols in order of preference.
    pub fn alpn(&self) -> impl Iterator<Item = &'a [u8]> {
        Names8(Reader::new(self.alpn))
    }

    /// Its JA3 and its JA4.
    pub fn fingerprints(&self, transport: ja4::Transport) -> ([u8; 16], [u8; ja4::JA4_BYTES]) {
        let (offer3, offer4) = self.offers(transport);
        fingerprint::of_client(&offer3, &offer4)
    }

    /// What JA3 and JA4 read of it.
    pub fn offers(&self, transport: ja4::Transport) -> (ja3::Offer<'_>, ja4::Offer<'_>) {
        let offer3 = ja3::Offer {
            version: self.version,
            ciphers: self.ciphers(),
            extensions: self.extension_types(),
            groups: self.groups(),
            point_formats: self.point_formats,
        };
        let offer4 = ja4::Offer {
            transport,
            version: self.highest_version(transport),
            ciphers: self.ciphers(),
            extensions: self.extension_types(),
            alpn: self.alpn().find(|name| !is_grease_name(name)),
            signature_algorithms: self.signature_algorithms(),
        };
        (offer3, offer4)
    }
}

/// The server names in the first part of a ClientHello whose rest never came. Only names that
/// stand there whole.
pub fn server_names_of_cut(body: &[u8], transport: ja4::Transport) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader::new(body);
    let extensions = match ClientHead::read(&mut reader, transport) {
        Ok(_) if reader.u16().is_some() => reader.rest(),
        _ => &[],
    };
    server_names(extensions)
}

/// What a server chose.
#[derive(Clone, Debug)]
pub struct ServerHello<'a> {
    /// `server_version`, 0x0303 also for TLS 1.3.
    pub version: u16,
    /// The version of `supported_versions`.
    pub selected_version: Option<u16>,
    /// Cipher suite.
    pub cipher: u16,
    /// The protocol of the ALPN extension.
    pub alpn: Option<&'a [u8]>,
    /// It asks for another ClientHello.
    pub retry: bool,
    extensions: &'a [u8],
}

impl<'a> ServerHello<'a> {
    /// Reads the body of the message.
    pub fn parse(body: &'a [u8]) -> Result<ServerHello<'a>, Malformed> {
        let mut reader = Reader::new(body);
        let (version, retry, cipher) = Self::head(&mut reader).ok_or(Malformed("head"))?;
        let extensions = extension_block(&mut reader)?;
        let mut hello = ServerHello { version, selected_version: None, cipher, alpn: None, retry, extensions };
        let mut rest = Extensions(Reader::new(extensions));
        for (kind, data) in &mut rest {
            match kind {
                kind::SUPPORTED_VERSIONS => {
                    let selected = Reader::new(data).u16().filter(|_| data.len() == 2);
                    hello.selected_version = Some(selected.ok_or(Malformed("version"))?);
                }
                kind::ALPN => {
                    let list = whole(data, Reader::vec16).ok_or(Malformed("application protocol"))?;
                    hello.alpn = Names8(Reader::new(list)).next();
                }
                _ => {}
            }
        }
        if !rest.0.is_empty() {
            return Err(Malformed("extensions"));
        }
        Ok(hello)
    }

    fn head(reader: &mut Reader<'a>) -> Option<(u16, bool, u16)> {
        let version = reader.u16()?;
        let retry = reader.take(RANDOM_BYTES)? == RETRY_RANDOM;
        let [high, _] = version.to_be_bytes();
        if high == DRAFT_HIGH_BYTE && version <= SHORT_SERVER_HELLO_DRAFT_MAX {
            return Some((version, retry, reader.u16()?));
        }
        if reader.vec8()?.left() > SESSION_ID_BYTES_MAX {
            return None;
        }
        let cipher = reader.u16()?;
        reader.u8()?;
        Some((version, retry, cipher))
    }

    /// The version both sides will speak.
    pub fn negotiated_version(&self) -> u16 {
        self.selected_version.unwrap_or(self.version)
    }

    /// Nothing but hellos is readable: TLS 1.3 or one of its drafts.
    pub fn seals_what_follows(&self) -> bool {
        let version = self.negotiated_version();
        let [high, _] = version.to_be_bytes();
        version >= 0x0304 && (high == 0x03 || high == DRAFT_HIGH_BYTE)
    }

    /// Its JA3S.
    pub fn ja3s(&self) -> [u8; 16] {
        let kinds = Extensions(Reader::new(self.extensions)).map(|(kind, _)| kind);
        fingerprint::of_server(self.version, self.cipher, kinds)
    }
}

/// What first bytes of a handshake message are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A hello starts here.
    Hello,
    /// Something else does.
    Other,
    /// These bytes fit, more are needed.
    Short,
}

/// Bytes that [`hello_start`] looks at.
pub const START_BYTES: usize = 6;
/// The longest hello that its own length fields allow, roughly; more is not a hello.
pub const HELLO_LENGTH_MAX: u32 = 0x1_ffff;
/// Version, random, cipher suite.
const HELLO_LENGTH_MIN: u32 = 36;

/// Judges the first bytes of a handshake message: type, length, version.
pub fn hello_start(bytes: &[u8]) -> Start {
    let mut reader = Reader::new(bytes);
    let Some(kind) = reader.u8() else { return Start::Short };
    if kind != super::CLIENT_HELLO && kind != super::SERVER_HELLO {
        return Start::Other;
    }
    match bytes.get(1) {
        Some(0 | 1) => {}
        Some(_) => return Start::Other,
        None => return Start::Short,
    }
    let Some(length) = reader.u24() else { return Start::Short };
    if !(HELLO_LENGTH_MIN..=HELLO_LENGTH_MAX).contains(&length) {
        return Start::Other;
    }
    match (reader.u8(), reader.u8()) {
        (None, _) => Start::Short,
        (Some(3), None) => Start::Short,
        (Some(3), Some(0..=4)) => Start::Hello,
        (Some(DRAFT_HIGH_BYTE), None) if kind == super::SERVER_HELLO => Start::Short,
        (Some(DRAFT_HIGH_BYTE), Some(_)) if kind == super::SERVER_HELLO => Start::Hello,
        _ => Start::Other,
    }
}

/// Judges the first bytes of a side: a hello of SSL 2 that offers 3.x, RFC 6101 appendix E.
/// Gives the bytes it has in all, its header included.
pub fn version2_hello(bytes: &[u8]) -> Result<usize, Start> {
    const HEADER_BYTES: usize = 2;
    const FIXED_BYTES: usize = 9;
    const CIPHER_BYTES: usize = 3;
    let mut reader = Reader::new(bytes);
    let read = |value: Option<u8>, fits: fn(u8) -> bool| match value {
        None => Err(Start::Short),
        Some(value) if fits(value) => Ok(value),
        Some(_) => Err(Start::Other),
    };
    let high = read(reader.u8(), |v| v & 0x80 != 0)?;
    let low = read(reader.u8(), |_| true)?;
    read(reader.u8(), |v| v == super::CLIENT_HELLO)?;
    read(reader.u8(), |v| v == 3)?;
    read(reader.u8(), |v| v <= 4)?;
    let length = usize::from(u16::from_be_bytes([high & 0x7f, low]));
    let (Some(ciphers), Some(id), Some(challenge)) = (reader.u16(), reader.u16(), reader.u16()) else {
        return Err(Start::Short);
    };
    let (ciphers, id, challenge) = (usize::from(ciphers), usize::from(id), usize::from(challenge));
    let whole = [FIXED_BYTES, ciphers, id, challenge].into_iter().fold(0, usize::saturating_add);
    let fits = whole == length
        && ciphers > 0
        && ciphers.is_multiple_of(CIPHER_BYTES)
        && id <= SESSION_ID_BYTES_MAX
        && (16..=32).contains(&challenge);
    if fits { Ok(length.saturating_add(HEADER_BYTES)) } else { Err(Start::Other) }
}

struct ClientHead<'a> {
    version: u16,
    random: &'a [u8],
    resumption_id: &'a [u8],
    ciphers: &'a [u8],
}

impl<'a> ClientHead<'a> {
    fn read(reader: &mut Reader<'a>, transport: ja4::Transport) -> Result<ClientHead<'a>, Malformed> {
        let version = reader.u16().ok_or(Malformed("version"))?;
        let random = reader.take(RANDOM_BYTES).ok_or(Malformed("random"))?;
        let resumption_id = reader.vec8().map(|id| id.rest()).filter(|id| id.len() <= SESSION_ID_BYTES_MAX);
        let resumption_id = resumption_id.ok_or(Malformed("resumption id"))?;
        if transport == ja4::Transport::Dtls {
            reader.vec8().ok_or(Malformed("cookie"))?;
        }
        let ciphers = reader.vec16().ok_or(Malformed("cipher suites"))?.rest();
        reader.vec8().ok_or(Malformed("compression methods"))?;
        Ok(ClientHead { version, random, resumption_id, ciphers })
    }
}

/// The extensions at the end of a hello; before TLS 1.2 there may be none.
fn extension_block<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    if reader.is_empty() {
        return Ok(&[]);
    }
    let block = reader.vec16().ok_or(Malformed("extensions"))?;
    if reader.is_empty() { Ok(block.rest()) } else { Err(Malformed("end")) }
}

type Vector<'a> = fn(&mut Reader<'a>) -> Option<Reader<'a>>;

/// A vector that fills its extension to the last byte.
fn whole<'a>(data: &'a [u8], vec: Vector<'a>) -> Option<&'a [u8]> {
    let mut reader = Reader::new(data);
    let list = vec(&mut reader)?;
    reader.is_empty().then(|| list.rest())
}

fn pairs(list: &[u8]) -> impl Iterator<Item = u16> {
    list.as_chunks::<2>().0.iter().map(|&pair| u16::from_be_bytes(pair))
}

/// Whether the list is odd; an error when its lengths do not fit.
fn check_server_names(data: &[u8]) -> Result<bool, Malformed> {
    if data.is_empty() {
        return Ok(true);
    }
    let list = whole(data, Reader::vec16).ok_or(Malformed("server names"))?;
    let mut names = ServerNames(Reader::new(list));
    let mut count = 0_usize;
    let mut odd = false;
    for (kind, name) in &mut names {
        count = count.saturating_add(1);
        odd |= kind != HOST_NAME || !is_host_name(name);
    }
    if names.0.is_empty() { Ok(odd || count != 1) } else { Err(Malformed("server names")) }
}

/// Whether a name can be one in DNS: RFC 1035 section 2.3.4 has the lengths, and no byte of it is blank or beyond ASCII.
fn is_host_name(name: &[u8]) -> bool {
    const NAME_BYTES_MAX: usize = 254;
    const LABEL_BYTES_MAX: usize = 63;
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic);
    fits && name.split(|&byte| byte == b'.').all(|label| label.len() <= LABEL_BYTES_MAX)
}

/// Whether the list is odd; an error when its lengths do not fit.
fn check_alpn(list: &[u8]) -> Result<bool, Malformed> {
    let mut names = Names8(Reader::new(list));
    let mut odd = false;
    for name in names.by_ref() {
        odd |= name.is_empty();
    }
    if names.0.is_empty() { Ok(odd) } else { Err(Malformed("application protocols")) }
}

/// RFC 8701 section 2 reserves two-byte names of the same pattern.
fn is_grease_name(name: &[u8]) -> bool {
    matches!(*name, [high, low] if is_grease(u16::from_be_bytes([high, low])))
}

fn ech_outer(data: &[u8]) -> Option<Ech> {
    let mut reader = Reader::new(data);
    if reader.u8()? != ECH_OUTER {
        return None;
    }
    let (kdf, aead) = (reader.u16()?, reader.u16()?);
    let config_id = reader.u8()?;
    reader.vec16()?;
    reader.vec16()?;
    reader.is_empty().then_some(Ech { config_id, kdf, aead })
}

fn server_names(extensions: &[u8]) -> impl Iterator<Item = &[u8]> {
    Extensions(Reader::new(extensions))
        .filter(|(kind, _)| *kind == kind::SERVER_NAME)
        .filter_map(|(_, data)| whole(data, Reader::vec16))
        .flat_map(|list| ServerNames(Reader::new(list)))
        .map(|(_, name)| name)
        .filter(|name| !name.is_empty())
}

/// Type and data of each extension; ends early, with bytes left, where a length overruns.
struct Extensions<'a>(Reader<'a>);

impl<'a> Iterator for Extensions<'a> {
    type Item = (u16, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let mut reader = self.0;
        let item = (reader.u16()?, reader.vec16()?.rest());
        self.0 = reader;
        Some(item)
    }
}

/// Type and bytes of each server name.
struct ServerNames<'a>(Reader<'a>);

impl<'a> Iterator for ServerNames<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let mut reader = self.0;
        let item = (reader.u8()?, reader.vec16()?.rest());
        self.0 = reader;
        Some(item)
    }
}

/// Names with their length in one byte before them.
struct Names8<'a>(Reader<'a>);

impl<'a> Iterator for Names8<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut reader = self.0;
        let name = reader.vec8()?.rest();
        self.0 = reader;
        Some(name)
    }
}
