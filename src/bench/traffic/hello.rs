//! ClientHellos in the shapes that browsers, libraries and appliances give them.
//!
//! In: a shape and a server name. Out: the handshake message. What differs from hello to hello in life differs here:
//! random, session id, key shares, GREASE (RFC 8701), the order of extensions of browsers that shuffle them, the
//! placeholder of ECH (RFC 9849, section 6.2). What does not, stays, so a shape has one JA4. The shapes are modelled
//! on kinds of client; they claim no product and no version.
//! Sources: RFC 8446, section 4.1.2 and 4.2; RFC 5246, section 7.4.1.2; IANA TLS ExtensionType Values.

use super::random::Random;

/// Handshake type client_hello.
pub const CLIENT_HELLO: u8 = 1;
/// The number of TLS 1.2, which 1.3 writes as well.
pub const VERSION_TLS12: u16 = 0x0303;
const VERSION_TLS13: u16 = 0x0304;
const PADDED_BYTES: usize = 512;

/// An extension in the order of the shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    ServerName,
    StatusRequest,
    Groups(&'static [u16]),
    PointFormats(&'static [u8]),
    SignatureSchemes(&'static [u16]),
    Protocols(&'static [&'static str]),
    Timestamps,
    Padding,
    EncryptThenMac,
    ExtendedMasterSecret,
    CompressCertificate,
    RecordSizeLimit,
    DelegatedCredentials,
    Ticket,
    Versions(&'static [u16]),
    PskModes,
    KeyShares(&'static [u16]),
    ApplicationSettings,
    EchPlaceholder,
    Renegotiation,
}

use Extension::{
    ApplicationSettings, CompressCertificate, DelegatedCredentials, EchPlaceholder, EncryptThenMac,
    ExtendedMasterSecret, Groups, KeyShares, Padding, PointFormats, Protocols, PskModes, RecordSizeLimit,
    Renegotiation, ServerName, SignatureSchemes, StatusRequest, Ticket, Timestamps, Versions,
};

/// One way to write a hello.
#[derive(Debug)]
pub struct Shape {
    /// What kind of client it is modelled on.
    pub name: &'static str,
    /// How often it is met, against the others.
    weight: usize,
    /// It offers TLS 1.3.
    pub tls13: bool,
    grease: bool,
    shuffled: bool,
    ciphers: &'static [u16],
    extensions: &'static [Extension],
}

const X25519: u16 = 29;
const P256: u16 = 23;
const P384: u16 = 24;
const P521: u16 = 25;
const X448: u16 = 30;
const FFDHE2048: u16 = 256;
const FFDHE3072: u16 = 257;
const MLKEM768_X25519: u16 = 4588;

const WEB: &[&str] = &["h2", "http/1.1"];
const HTTP1: &[&str] = &["http/1.1"];
const BOTH: &[u16] = &[VERSION_TLS13, VERSION_TLS12];
const ONLY_13: &[u16] = &[VERSION_TLS13];
const BROWSER_SCHEMES: &[u16] = &[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601];
const FOX_SCHEMES: &[u16] = &[0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201];
const LIBRARY_SCHEMES: &[u16] = &[
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0809, 0x080a, 0x080b, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601,
    0x0303, 0x0301, 0x0302, 0x0402, 0x0502, 0x0602,
];
const GO_SCHEMES: &[u16] =
    &[0x0804, 0x0403, 0x0807, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0503, 0x0603, 0x0201, 0x0203];
const OLD_SCHEMES: &[u16] = &[0x0601, 0x0603, 0x0501, 0x0503, 0x0401, 0x0403, 0x0301, 0x0303, 0x0201, 0x0203];
const BROWSER_CIPHERS: &[u16] = &[
    0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f,
    0x0035,
];
const FOX_CIPHERS: &[u16] = &[
    0x1301, 0x1303, 0x1302, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0xc02c, 0xc030, 0xc00a, 0xc009, 0xc013, 0xc014, 0x009c,
    0x009d, 0x002f, 0x0035,
];
const PHONE_CIPHERS: &[u16] = &[
    0x1301, 0x1302, 0x1303, 0xc02c, 0xc02b, 0xcca9, 0xc030, 0xc02f, 0xcca8, 0xc00a, 0xc009, 0xc014, 0xc013, 0x009d,
    0x009c, 0x0035, 0x002f, 0xc008, 0xc012, 0x000a,
];
const LIBRARY_CIPHERS: &[u16] = &[
    0x1302, 0x1303, 0x1301, 0xc02c, 0xc030, 0x009f, 0xcca9, 0xcca8, 0xccaa, 0xc02b, 0xc02f, 0x009e, 0xc024, 0xc028,
    0x006b, 0xc023, 0xc027, 0x0067, 0xc00a, 0xc014, 0x0039, 0xc009, 0xc013, 0x0033, 0x009d, 0x009c, 0x003d, 0x003c,
    0x0035, 0x002f, 0x00ff,
];
const GO_CIPHERS: &[u16] =
    &[0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc009, 0xc013, 0xc00a, 0xc014, 0x1301, 0x1302, 0x1303];
const OLD_CIPHERS: &[u16] = &[
    0xc030, 0xc02c, 0xc028, 0xc024, 0xc014, 0xc00a, 0x009f, 0x006b, 0x0039, 0x009d, 0x003d, 0x0035, 0xc02f, 0xc02b,
    0xc027, 0xc023, 0xc013, 0xc009, 0x009e, 0x0067, 0x0033, 0x009c, 0x003c, 0x002f, 0x000a, 0x00ff,
];

/// Every shape.
pub const SHAPES: &[Shape] = &[
    Shape {
        name: "browser, shuffled",
        weight: 30,
        tls13: true,
        grease: true,
        shuffled: true,
        ciphers: BROWSER_CIPHERS,
        extensions: &[
            ServerName,
            ExtendedMasterSecret,
            Renegotiation,
            Groups(&[X25519, P256, P384]),
            PointFormats(&[0]),
            Ticket,
            Protocols(WEB),
            StatusRequest,
            SignatureSchemes(BROWSER_SCHEMES),
            Timestamps,
            KeyShares(&[X25519]),
            PskModes,
            Versions(BOTH),
            CompressCertificate,
            ApplicationSettings,
            EchPlaceholder,
        ],
    },
    // Its key share makes the hello larger than a segment.
    Shape {
        name: "browser, shuffled, post-quantum",
        weight: 20,
        tls13: true,
        grease: true,
        shuffled: true,
        ciphers: BROWSER_CIPHERS,
        extensions: &[
            ServerName,
            ExtendedMasterSecret,
            Renegotiation,
            Groups(&[MLKEM768_X25519, X25519, P256, P384]),
            PointFormats(&[0]),
            Ticket,
            Protocols(WEB),
            StatusRequest,
            SignatureSchemes(BROWSER_SCHEMES),
            Timestamps,
            KeyShares(&[MLKEM768_X25519, X25519]),
            PskModes,
            Versions(BOTH),
            CompressCertificate,
            ApplicationSettings,
        ],
    },
    Shape {
        name: "browser, fixed order",
        weight: 8,
        tls13: true,
        grease: false,
        shuffled: false,
        ciphers: FOX_CIPHERS,
        extensions: &[
            ServerName,
            ExtendedMasterSecret,
            Renegotiation,
            Groups(&[X25519, P256, P384, P521, FFDHE2048, FFDHE3072]),
            PointFormats(&[0]),
            Ticket,
            Protocols(WEB),
            StatusRequest,
            DelegatedCredentials,
            KeyShares(&[X25519, P256]),
            Versions(BOTH),
            SignatureSchemes(FOX_SCHEMES),
            PskModes,
            RecordSizeLimit,
            EchPlaceholder,
        ],
    },
    Shape {
        name: "telephone browser",
        weight: 12,
        tls13: true,
        grease: true,
        shuffled: false,
        ciphers: PHONE_CIPHERS,
        extensions: &[
            ServerName,
            ExtendedMasterSecret,
            Renegotiation,
            Groups(&[X25519, P256, P384, P521]),
            PointFormats(&[0]),
            Protocols(WEB),
            StatusRequest,
            SignatureSchemes(BROWSER_SCHEMES),
            Timestamps,
            KeyShares(&[X25519]),
            PskModes,
            Versions(BOTH),
            CompressCertificate,
            Padding,
        ],
    },
    Shape {
        name: "command line library",
        weight: 8,
        tls13: true,
        grease: false,
        shuffled: false,
        ciphers: LIBRARY_CIPHERS,
        extensions: &[
            ServerName,
            PointFormats(&[0, 1, 2]),
            Groups(&[X25519, P256, X448, P521, P384, FFDHE2048, FFDHE3072]),
            Protocols(WEB),
            EncryptThenMac,
            ExtendedMasterSecret,
            SignatureSchemes(LIBRARY_SCHEMES),
            Versions(BOTH),
            PskModes,
            KeyShares(&[X25519]),
            Padding,
        ],
    },
    Shape {
        name: "script library",
        weight: 6,
        tls13: true,
        grease: false,
        shuffled: false,
        ciphers: &LIBRARY_CIPHERS_SHORT,
        extensions: &[
            ServerName,
            PointFormats(&[0, 1, 2]),
            Groups(&[X25519, P256, X448, P521, P384]),
            Ticket,
            EncryptThenMac,
            ExtendedMasterSecret,
            SignatureSchemes(LIBRARY_SCHEMES),
            Versions(BOTH),
            PskModes,
            KeyShares(&[X25519]),
        ],
    },
    Shape {
        name: "agent in Go",
        weight: 6,
        tls13: true,
        grease: false,
        shuffled: false,
        ciphers: GO_CIPHERS,
        extensions: &[
            ServerName,
            StatusRequest,
            Groups(&[X25519, P256, P384, P521]),
            PointFormats(&[0]),
            SignatureSchemes(GO_SCHEMES),
            Renegotiation,
            Protocols(WEB),
            ExtendedMasterSecret,
            Timestamps,
            Versions(BOTH),
            KeyShares(&[X25519]),
        ],
    },
    Shape {
        name: "agent in Rust",
        weight: 2,
        tls13: true,
        grease: false,
        shuffled: true,
        ciphers: &[0x1302, 0x1301, 0x1303, 0xc02c, 0xc02b, 0xcca9, 0xc030, 0xc02f, 0xcca8, 0x00ff],
        extensions: &[
            ServerName,
            PointFormats(&[0]),
            Groups(&[X25519, P256, P384]),
            StatusRequest,
            ExtendedMasterSecret,
            SignatureSchemes(GO_SCHEMES),
            Versions(BOTH),
            PskModes,
            KeyShares(&[X25519]),
            Protocols(HTTP1),
        ],
    },
    Shape {
        name: "appliance, new",
        weight: 4,
        tls13: true,
        grease: false,
        shuffled: false,
        ciphers: &[0x1302, 0x1303, 0x1301, 0xc02c, 0xc030, 0xc02b, 0xc02f, 0x00ff],
        extensions: &[
            ServerName,
            PointFormats(&[0, 1, 2]),
            Groups(&[P256, P384, P521]),
            Ticket,
            EncryptThenMac,
            ExtendedMasterSecret,
            SignatureSchemes(LIBRARY_SCHEMES),
            Versions(BOTH),
            PskModes,
            KeyShares(&[P256]),
        ],
    },
    Shape {
        name: "appliance, TLS 1.3 only",
        weight: 1,
        tls13: true,
        grease: false,
        shuffled: false,
        ciphers: &[0x1302, 0x1301],
        extensions: &[
            ServerName,
            Groups(&[P256, P384]),
            SignatureSchemes(GO_SCHEMES),
            Versions(ONLY_13),
            PskModes,
            KeyShares(&[P256]),
        ],
    },
    Shape {
        name: "appliance, old",
        weight: 6,
        tls13: false,
        grease: false,
        shuffled: false,
        ciphers: OLD_CIPHERS,
        extensions: &[
            ServerName,
            PointFormats(&[0, 1, 2]),
            Groups(&[P256, P521, P384]),
            Ticket,
            SignatureSchemes(OLD_SCHEMES),
        ],
    },
    Shape {
        name: "Java, old",
        weight: 4,
        tls13: false,
        grease: false,
        shuffled: false,
        ciphers: &[
            0xc024, 0xc028, 0x003d, 0xc00a, 0xc014, 0x0035, 0xc023, 0xc027, 0x003c, 0xc009, 0xc013, 0x002f, 0xc02c,
            0xc02b, 0xc030, 0x009d, 0xc02f, 0x009c, 0x00ff,
        ],
        extensions: &[
            ServerName,
            StatusRequest,
            Groups(&[P256, P384, P521]),
            PointFormats(&[0]),
            SignatureSchemes(OLD_SCHEMES),
            ExtendedMasterSecret,
        ],
    },
    Shape {
        name: "desktop service, TLS 1.2",
        weight: 6,
        tls13: false,
        grease: false,
        shuffled: false,
        ciphers: &[
            0xc02c, 0xc02b, 0xc030, 0xc02f, 0xc024, 0xc023, 0xc028, 0xc027, 0xc00a, 0xc009, 0xc014, 0xc013, 0x009d,
            0x009c, 0x003d, 0x003c, 0x0035, 0x002f, 0x000a,
        ],
        extensions: &[
            ServerName,
            StatusRequest,
            Groups(&[X25519, P256, P384]),
            PointFormats(&[0]),
            SignatureSchemes(BROWSER_SCHEMES),
            Ticket,
            Protocols(WEB),
            ExtendedMasterSecret,
            Renegotiation,
        ],
    },
];

const LIBRARY_CIPHERS_SHORT: [u16; 17] = [
    0x1302, 0x1303, 0x1301, 0xc02c, 0xc030, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0x009f, 0x009e, 0xccaa, 0xc024, 0xc028,
    0xc023, 0xc027, 0x00ff,
];

impl Shape {
    /// One of the shapes that `fits`, as often as they are met.
    pub fn pick(random: &mut Random, fits: impl Fn(&Shape) -> bool) -> &'static Shape {
        let all = || SHAPES.iter().filter(|shape| fits(shape));
        let mut at = random.below(all().map(|shape| shape.weight).sum());
        for shape in all() {
            match at.checked_sub(shape.weight) {
                Some(rest) => at = rest,
                None => return shape,
            }
        }
        &SHAPES[0]
    }

    /// Its hello fits in one segment.
    pub fn is_small(&self) -> bool {
        !self.extensions.iter().any(|e| matches!(e, KeyShares(groups) if groups.contains(&MLKEM768_X25519)))
    }

    /// It is written by an appliance.
    pub fn is_appliance(&self) -> bool {
        self.name.starts_with("appliance")
    }

    /// Appends the handshake message of a hello.
    pub fn write(&self, server_name: &str, random: &mut Random, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(CLIENT_HELLO);
        behind_length(out, 3, |out| {
            out.extend_from_slice(&VERSION_TLS12.to_be_bytes());
            random.fill(out, 32);
            behind_length(out, 1, |out| random.fill(out, 32));
            behind_length(out, 2, |out| {
                self.grease(random, out);
                words(out, self.ciphers);
            });
            out.extend_from_slice(&[1, 0]); // no compression
            behind_length(out, 2, |out| self.write_extensions(server_name, random, out, start));
        });
    }

    fn write_extensions(&self, server_name: &str, random: &mut Random, out: &mut Vec<u8>, start: usize) {
        let mut order = self.extensions.to_vec();
        if self.shuffled {
            random.shuffle(&mut order);
        }
        // Two of them, never with one number.
        let first = random.below(16);
        let second = (first + random.between(1, 15)) % 16;
        if self.grease {
            extension(out, grease(first), |_| {});
        }
        for one in order.iter().filter(|e| **e != Padding) {
            self.write_extension(*one, server_name, random, out);
        }
        if self.grease {
            extension(out, grease(second), |out| out.push(0));
        }
        // The padding comes last, for it has to know how much there is (RFC 7685).
        if order.contains(&Padding) {
            let missing = PADDED_BYTES.saturating_sub(out.len() - start + 4);
            extension(out, 21, |out| out.resize(out.len() + missing, 0));
        }
    }

    fn write_extension(&self, one: Extension, server_name: &str, random: &mut Random, out: &mut Vec<u8>) {
        match one {
            ServerName => extension(out, 0, |out| {
                behind_length(out, 2, |out| {
                    out.push(0); // host_name
                    behind_length(out, 2, |out| out.extend_from_slice(server_name.as_bytes()));
                });
            }),
            StatusRequest => extension(out, 5, |out| out.extend_from_slice(&[1, 0, 0, 0, 0])),
            Groups(groups) => extension(out, 10, |out| {
                behind_length(out, 2, |out| {
                    self.grease(random, out);
                    words(out, groups);
                });
            }),
            PointFormats(formats) => {
                extension(out, 11, |out| behind_length(out, 1, |out| out.extend_from_slice(formats)));
            }
            SignatureSchemes(schemes) => extension(out, 13, |out| behind_length(out, 2, |out| words(out, schemes))),
            Protocols(protocols) => extension(out, 16, |out| {
                behind_length(out, 2, |out| {
                    for protocol in protocols {
                        behind_length(out, 1, |out| out.extend_from_slice(protocol.as_bytes()));
                    }
                });
            }),
            Timestamps => extension(out, 18, |_| {}),
            Padding => {}
            EncryptThenMac => extension(out, 22, |_| {}),
            ExtendedMasterSecret => extension(out, 23, |_| {}),
            CompressCertificate => extension(out, 27, |out| out.extend_from_slice(&[2, 0, 2])),
            RecordSizeLimit => extension(out, 28, |out| out.extend_from_slice(&[0x40, 1])),
            DelegatedCredentials => {
                extension(out, 34, |out| behind_length(out, 2, |out| words(out, &[0x0403, 0x0503, 0x0603, 0x0203])));
            }
            Ticket => extension(out, 35, |_| {}),
            Versions(versions) => extension(out, 43, |out| {
                behind_length(out, 1, |out| {
                    self.grease(random, out);
                    words(out, versions);
                });
            }),
            PskModes => extension(out, 45, |out| out.extend_from_slice(&[1, 1])),
            KeyShares(groups) => extension(out, 51, |out| {
                behind_length(out, 2, |out| {
                    if self.grease {
                        self.grease(random, out);
                        out.extend_from_slice(&[0, 1, 0]);
                    }
                    for &group in groups {
                        key_share(group, random, out);
                    }
                });
            }),
            ApplicationSettings => extension(out, 17513, |out| out.extend_from_slice(&[0, 3, 2, b'h', b'2'])),
            EchPlaceholder => extension(out, 0xfe0d, |out| {
                // Outer hello, HKDF-SHA256 and AES-128-GCM, a made-up key and payload.
                out.extend_from_slice(&[0, 0, 1, 0, 1, random.next() as u8]);
                behind_length(out, 2, |out| random.fill(out, 32));
                let payload = 144 + 32 * random.below(4);
                behind_length(out, 2, |out| random.fill(out, payload));
            }),
            Renegotiation => extension(out, 0xff01, |out| out.push(0)),
        }
    }

    fn grease(&self, random: &mut Random, out: &mut Vec<u8>) {
        if self.grease {
            words(out, &[grease(random.below(16))]);
        }
    }
}

/// Appends a key of a group behind its length and name.
pub fn key_share(group: u16, random: &mut Random, out: &mut Vec<u8>) {
    words(out, &[group]);
    behind_length(out, 2, |out| match group {
        P256 => {
            out.push(4); // uncompressed point
            random.fill(out, 64);
        }
        MLKEM768_X25519 => random.fill(out, 1216),
        _ => random.fill(out, 32),
    });
}

/// The sixteen values of RFC 8701.
fn grease(number: usize) -> u16 {
    0x0a0a + 0x1010 * number as u16
}

/// Appends an extension.
pub fn extension(out: &mut Vec<u8>, kind: u16, write: impl FnOnce(&mut Vec<u8>)) {
    words(out, &[kind]);
    behind_length(out, 2, write);
}

/// Appends what `write` appends behind its length in so many bytes.
pub fn behind_length(out: &mut Vec<u8>, width: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.resize(at + width, 0);
    write(out);
    let length = (out.len() - at - width).to_be_bytes();
    out[at..at + width].copy_from_slice(&length[size_of::<usize>() - width..]);
}

/// Appends sixteen-bit numbers.
pub fn words(out: &mut Vec<u8>, numbers: &[u16]) {
    for number in numbers {
        out.extend_from_slice(&number.to_be_bytes());
    }
}
