//! Where an address is, how that is known, and how sure it is.
//!
//! In: the address of the far end, the region that a signature declares, the home countries. Out: a
//! [`Place`] with plain sentences. Three sources, in this order: the IANA registries (an address
//! that is special has no country), the region that the vendor declares, the address database. A
//! declared region outranks the database; when they differ, both are shown. Nothing is ever asked
//! of the network.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::time::Time;

mod countries;
mod database;
mod prefix;
mod record;
mod special;
#[cfg(test)]
mod tests;

pub use countries::{Country, GROUPS, Group, Region, group_members, in_few_words};
pub use database::{DATABASE_BYTES_MAX, Database, DatabaseError, Wanted};
pub use prefix::{Prefix, PrefixError, PrefixMap, PrefixSet, key};
pub use special::{ANYCAST, Anycast, Carrier, Reach, SPECIAL, Special, anycast_of, carried, is_no_host, special};

/// How sure a country is, 0 to 100.
pub mod confidence {
    /// The registries say so.
    pub const SPECIAL: u8 = 100;
    /// Vendor and database agree.
    pub const AGREED: u8 = 95;
    /// The vendor says so and no database knows better.
    pub const DECLARED: u8 = 80;
    /// A database says so.
    pub const ADDRESS: u8 = 70;
    /// A database says so of the IPv4 address inside an IPv6 address.
    pub const EMBEDDED: u8 = 60;
    /// Vendor and database differ.
    pub const DISPUTED: u8 = 50;
    /// Only where the block was registered is known.
    pub const REGISTERED: u8 = 40;
    /// The address is anycast, or the vendor names no place.
    pub const ANYCAST: u8 = 20;
    /// Nothing is known.
    pub const UNKNOWN: u8 = 0;
}

/// How the country is known: `country_basis` of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// The vendor declares the region.
    Declared,
    /// A database knows the address.
    Address,
    /// A database knows the IPv4 address inside an IPv6 address.
    EmbeddedAddress,
    /// The address is special and has no country.
    Special,
    /// Nobody knows.
    Unknown,
}

impl Place {
    /// What is printed as the country: what the vendor declares, else what the database says. Of a declared group of which
    /// only a part is home, the country that the address narrows it down to. A name without a fixed place has none,
    /// whichever of its addresses was seen.
    pub fn country_text(&self, homes: &[Country]) -> Option<String> {
        let looked_up = self.country.map(|country| country.to_string());
        match self.declared.filter(|region| self.basis == Basis::Declared || *region == Region::Any) {
            None => looked_up,
            Some(Region::Any) => None,
            Some(Region::Group(group)) if homes.iter().any(|home| group.contains(*home)) => {
                let all_home = group.members().all(|country| homes.contains(&country));
                looked_up.filter(|_| !all_home).or_else(|| Some(group.name.to_owned()))
            }
            Some(region) => Some(region.name().to_owned()),
        }
    }
}

impl Basis {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Basis::Declared => "declared",
            Basis::Address => "address",
            Basis::EmbeddedAddress => "embedded-address",
            Basis::Special => "special",
            Basis::Unknown => "unknown",
        }
    }
}

/// Where the far end stands, seen from home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// In a home country.
    Home,
    /// In another country.
    Foreign,
    /// A special address: never foreign.
    Special,
    /// Cannot be said.
    Unknown,
}

/// The place of a far end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The country. For a declared group: the one the address is in, if it is in the group.
    pub country: Option<Country>,
    /// The region that the vendor declares.
    pub declared: Option<Region>,
    /// What the database says, also when the vendor's word is taken.
    pub looked_up: Option<Country>,
    /// How the country is known.
    pub basis: Basis,
    /// How sure it is, 0 to 100.
    pub confidence: u8,
    /// The address is announced from many places.
    pub anycast: bool,
    /// Vendor and database differ, and at least one of them says it is not home.
    pub disagree: bool,
    /// Seen from home.
    pub standing: Standing,
    /// Plain sentences: what each source says.
    pub notes: Vec<String>,
}

/// What is known of an address without a vendor's word.
#[derive(Clone, Debug)]
pub struct Lookup<'a> {
    /// The address that was asked for.
    pub address: IpAddr,
    /// The IPv4 address inside it.
    pub carried: Option<(Carrier, Ipv4Addr)>,
    /// Its row in the registries; then nothing else is known of it.
    pub special: Option<&'static Special>,
    /// The documented anycast prefix it is in.
    pub anycast: Option<&'static Anycast>,
    /// The country a database gives.
    pub country: Option<Country>,
    /// The country is only where the block was registered.
    pub registered_only: bool,
    /// A code of the database that is no country.
    pub odd_code: Option<String>,
    /// The database that answered: `built-in database of 2026-06`.
    pub source: Option<&'a str>,
}

/// Everything that answers where an address is. Cheap to make and to clone.
#[derive(Clone, Debug, Default)]
pub struct Places {
    country: Option<Arc<Database>>,
    asn: Option<Arc<Database>>,
    refused: Vec<(String, String)>,
}

impl Places {
    /// With the built-in country database, which is unpacked at the first look-up.
    pub fn builtin() -> Places {
        Places::default()
    }

    /// Puts a country database of the user before the built-in one, which still answers for
    /// addresses that this one does not know.
    pub fn with_country_db(mut self, path: &Path) -> Result<Places, DatabaseError> {
        self.country = Some(Arc::new(Database::open(path, Wanted::Country)?));
        Ok(self)
    }

    /// Adds a database of autonomous systems; there is none built in.
    pub fn with_asn_db(mut self, path: &Path) -> Result<Places, DatabaseError> {
        self.asn = Some(Arc::new(Database::open(path, Wanted::Asn)?));
        Ok(self)
    }

    /// Goes without a database that cannot be used.
    pub fn without(mut self, path: &Path, error: &DatabaseError) -> Places {
        let (name, reason) = (path.display().to_string(), error.to_string());
        let reason = reason.strip_prefix(&format!("{name}: ")).unwrap_or(&reason).to_owned();
        self.refused.push((name, reason));
        self
    }

    /// The databases that were wanted and are not used, each with the reason.
    pub fn refused(&self) -> &[(String, String)] {
        &self.refused
    }

    /// The databases in use, most important first, each with the time it was made.
    pub fn databases(&self) -> Vec<(&str, Time)> {
        let all = [self.country.as_deref(), built_in(), self.asn.as_deref()];
        all.into_iter().flatten().map(|d| (d.title(), d.built())).collect()
    }

    /// Unpacks the built-in database now, if it will be needed, instead of at the first look-up.
    pub fn warm(&self) {
        self.country_title();
    }

    /// Where countries come from: the user's database before the built-in one.
    pub fn country_title(&self) -> String {
        let all = [self.country.as_deref(), built_in()];
        all.into_iter().flatten().map(Database::title).collect::<Vec<_>>().join(", then ")
    }

    /// Where AS numbers come from.
    pub fn asn_title(&self) -> Option<String> {
        self.asn.as_deref().map(|database| database.title().to_owned())
    }

    /// The country of an address, as far as a database knows; never one for a special address.
    pub fn country(&self, address: IpAddr) -> Option<Country> {
        self.look_up(address).country
    }

    /// Number and name of the autonomous system of an address. The name may be empty.
    pub fn asn(&self, address: IpAddr) -> Option<(u32, String)> {
        let address = inner(address).1;
        if special(address).is_some() {
            return None;
        }
        self.asn.as_deref()?.answer(address).asn
    }

    /// Everything that is known of an address.
    pub fn look_up(&self, address: IpAddr) -> Lookup<'_> {
        let (carried, target) = inner(address);
        let mut found = Lookup {
            address,
            carried,
            special: special(target),
            anycast: anycast_of(target),
            country: None,
            registered_only: false,
            odd_code: None,
            source: None,
        };
        if found.special.is_some() {
            return found;
        }
        for database in [self.country.as_deref(), built_in()].into_iter().flatten() {
            let answer = database.answer(target);
            if answer.country.is_some() {
                found.country = answer.country;
                found.registered_only = answer.registered_only;
                found.odd_code = None;
                found.source = Some(database.title());
                break;
            }
            if found.odd_code.is_none() && answer.odd_code.is_some() {
                found.odd_code = answer.odd_code;
                found.source = Some(database.title());
            }
        }
        found
    }

    /// The place of a far end. `address` is `None` when only a name is known, and when the flow
    /// went to a proxy: the proxy's address says nothing about where the name is served. Without any
    /// home nothing stands at home or abroad.
    pub fn decide(&self, declared: Option<Region>, address: Option<IpAddr>, homes: &[Country]) -> Place {
        let found = address.map(|a| self.look_up(a));
        let mut place = match &found {
            Some(found) => by_address(found, homes),
            None => nowhere(),
        };
        place.declared = declared;
        let is_special = place.standing == Standing::Special || found.is_some_and(|f| f.special.is_some());
        match declared {
            None => {}
            Some(region) if is_special => place.notes.push(format!("The vendor says {}.", served(region))),
            Some(Region::Any) => {
                place.notes.push("The vendor serves this name from no fixed place.".into());
                place.confidence = place.confidence.min(confidence::ANYCAST);
                place.standing = Standing::Unknown;
            }
            Some(Region::Country(country)) => declare_country(&mut place, country, homes),
            Some(Region::Group(group)) => declare_group(&mut place, group, homes),
        }
        if homes.is_empty() && place.standing != Standing::Special {
            (place.standing, place.disagree) = (Standing::Unknown, false);
            place.notes.push("No home is set: where it is is told, whether it left is not asked.".into());
        }
        place
    }
}

/// What is known of an address, in lines for a person: `bordertap where`.
pub fn explain(places: &Places, address: IpAddr) -> Vec<String> {
    let found = places.look_up(address);
    let place = by_address(&found, &[]);
    let country = match &place.country {
        Some(country) => country.code(),
        None if found.special.is_some() => "no country",
        None => "unknown",
    };
    let mut lines = vec![format!("{address}: {country}")];
    lines.push(format!("basis: {}, confidence {}", place.basis.name(), place.confidence));
    if let Some(source) = found.source {
        lines.push(format!("source: {source}"));
    }
    if let Some((number, name)) = places.asn(address) {
        lines.push(format!("AS{number} {name}").trim_end().to_owned());
    }
    lines.extend(place.notes);
    if let Some(anycast) = found.anycast {
        lines.push(format!("anycast source: {}", anycast.source));
    }
    lines
}

/// `signatures/place/country.mmdb.zst`, unpacked by `build.rs`. Only the pages that are asked are read.
const BUILT_IN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/country.mmdb"));

/// The built-in database; `None` only if the bytes in the program are damaged.
fn built_in() -> Option<&'static Database> {
    static DATABASE: OnceLock<Option<Database>> = OnceLock::new();
    DATABASE.get_or_init(|| Database::sound(BUILT_IN.into(), "built-in database".into()).ok()).as_ref()
}

/// The address whose place counts.
fn inner(address: IpAddr) -> (Option<(Carrier, Ipv4Addr)>, IpAddr) {
    match address {
        IpAddr::V6(v6) => match carried(v6) {
            Some((carrier, v4)) => (Some((carrier, v4)), v4.into()),
            None => (None, address),
        },
        IpAddr::V4(_) => (None, address),
    }
}

fn nowhere() -> Place {
    Place {
        country: None,
        declared: None,
        looked_up: None,
        basis: Basis::Unknown,
        confidence: confidence::UNKNOWN,
        anycast: false,
        disagree: false,
        standing: Standing::Unknown,
        notes: Vec::new(),
    }
}

fn standing(country: Country, homes: &[Country]) -> Standing {
    if homes.contains(&country) { Standing::Home } else { Standing::Foreign }
}

fn by_address(found: &Lookup<'_>, homes: &[Country]) -> Place {
    let mut place = nowhere();
    let address = found.address;
    if let Some((carrier, v4)) = found.carried {
        place.notes.push(format!(
            "{address} carries the IPv4 address {v4} ({}, {}).",
            carrier.name(),
            carrier.source()
        ));
    }
    let target = found.carried.map_or(address, |(_, v4)| v4.into());
    if let Some(row) = found.special {
        return by_registry(place, target, row);
    }
    place.country = found.country;
    place.looked_up = found.country;
    match found.country {
        Some(country) => {
            let embedded = found.carried.is_some();
            place.basis = if embedded { Basis::EmbeddedAddress } else { Basis::Address };
            place.confidence = if embedded { confidence::EMBEDDED } else { confidence::ADDRESS };
            place.standing = standing(country, homes);
            if found.registered_only {
                place.confidence = confidence::REGISTERED;
                place.notes.push(format!("Only the country of registration is known for {target}."));
            }
        }
        None => place.notes.push(match &found.odd_code {
            Some(code) => {
                format!("The address database says {code} for {target}, which is not a country.")
            }
            None => format!("No address database knows {target}."),
        }),
    }
    if let Some(anycast) = found.anycast {
        place.anycast = true;
        place.confidence = place.confidence.min(confidence::ANYCAST);
        place.standing = Standing::Unknown;
        place.notes.push(format!("{target} is anycast ({}): one address, many places.", anycast.operator));
    }
    place
}

fn by_registry(mut place: Place, target: IpAddr, row: &Special) -> Place {
    place.basis = Basis::Special;
    place.confidence = confidence::SPECIAL;
    let about = format!("{target} is a special address ({}, {})", row.name, row.source);
    match row.reach {
        Reach::Local => {
            place.standing = Standing::Special;
            place.notes.push(format!("{about} and has no country."));
        }
        Reach::Service => {
            place.anycast = true;
            place.notes.push(format!("{about}: whoever is nearest answers."));
        }
        Reach::Translated => {
            place.notes.push(format!("{about}: a translator takes it to an IPv4 address that cannot be told from it."));
        }
    }
    place
}

fn served(region: Region) -> String {
    match region {
        Region::Any => "that this name is served from no fixed place".into(),
        Region::Country(country) => format!("that this name is served from {country}"),
        Region::Group(group) => format!("that this name is served from within the {}", group.name),
    }
}

fn declare_country(place: &mut Place, country: Country, homes: &[Country]) {
    let looked_up = place.looked_up.filter(|_| !place.anycast);
    place.country = Some(country);
    place.basis = Basis::Declared;
    place.standing = standing(country, homes);
    place.notes.push(format!("The vendor says {}.", served(Region::Country(country))));
    place.confidence = match looked_up {
        Some(other) if other != country => {
            place.notes.push(format!("The address database says {other}; the vendor's page says {country}."));
            let both_home = place.standing == Standing::Home && homes.contains(&other);
            place.disagree = !both_home;
            confidence::DISPUTED
        }
        Some(_) => confidence::AGREED,
        None => confidence::DECLARED,
    };
}

fn declare_group(place: &mut Place, group: &'static Group, homes: &[Country]) {
    let looked_up = place.looked_up.filter(|_| !place.anycast);
    let home_inside = homes.iter().any(|h| group.contains(*h));
    // Wherever in the group it is, it is at home.
    let all_home = group.members().all(|c| homes.contains(&c));
    place.basis = Basis::Declared;
    place.notes.push(format!("The vendor says {}.", served(Region::Group(group))));
    let narrowed = looked_up.filter(|c| group.contains(*c));
    place.standing = match narrowed {
        _ if !home_inside => Standing::Foreign,
        _ if all_home => Standing::Home,
        Some(country) => standing(country, homes),
        None => Standing::Unknown,
    };
    place.country = narrowed;
    place.confidence = match (looked_up, narrowed) {
        // Which country of the group it is matters, and only the database says that.
        (_, Some(country)) if home_inside && !all_home => {
            place.notes.push(format!("The address database says {country}, which is in the {}.", group.name));
            place.confidence
        }
        (_, Some(_)) => confidence::AGREED,
        (Some(other), None) => {
            place.notes.push(format!("The address database says {other}; the vendor's page says {}.", group.name));
            place.disagree = !(all_home && homes.contains(&other));
            confidence::DISPUTED
        }
        (None, None) => confidence::DECLARED,
    };
}
