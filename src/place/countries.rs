//! Countries, groups of countries, and the region of a channel.
//!
//! In: words of files and flags, codes of databases. Out: small values. Countries are the officially
//! assigned codes of ISO 3166-1 alpha-2, and XK, which databases use for Kosovo. HK, MO and TW are
//! codes of their own there and here.

use std::fmt;

/// A country: two upper-case letters that are known to be a code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// The country of a code in upper case; `None` when it is not a country.
    pub fn from_code(code: [u8; 2]) -> Option<Country> {
        let known = CODES.as_bytes().chunks(3).any(|c| c.starts_with(&code));
        known.then_some(Country(code))
    }

    /// As [`Country::from_code`], from text: `"DE"`.
    pub fn from_word(word: &str) -> Option<Country> {
        Country::from_code(word.as_bytes().try_into().ok()?)
    }

    /// The country that a database means: any case, and `UK`, which some of them write for GB.
    pub fn from_database(word: &str) -> Option<Country> {
        let mut code: [u8; 2] = word.as_bytes().try_into().ok()?;
        code.make_ascii_uppercase();
        Country::from_code(if code == *b"UK" { *b"GB" } else { code })
    }

    /// The two letters.
    pub fn code(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or("??")
    }

    /// The two letters as bytes.
    pub fn bytes(self) -> [u8; 2] {
        self.0
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A closed group of countries.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The word in signature files.
    pub name: &'static str,
    /// Codes of its members, sorted, one space between.
    members: &'static str,
    /// What says who is a member.
    pub source: &'static str,
    /// Since when these are its members.
    pub since: &'static str,
}

impl Group {
    /// Its members, sorted.
    pub fn members(&self) -> impl Iterator<Item = Country> + '_ {
        self.members.split(' ').filter_map(Country::from_word)
    }

    /// Whether a country is a member.
    pub fn contains(&self, country: Country) -> bool {
        self.members.as_bytes().chunks(3).any(|c| c.starts_with(&country.0))
    }
}

/// Every group that a region or a home may name.
pub static GROUPS: &[Group] = &[
    Group {
        name: "EU",
        members: "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK",
        source: "Treaty on European Union, article 52; european-union.europa.eu, EU countries",
        since: "2020-02-01",
    },
    Group {
        name: "EEA",
        members: "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK",
        source: "Agreement on the European Economic Area; efta.int, EEA",
        since: "2020-02-01",
    },
    Group {
        name: "EFTA",
        members: "CH IS LI NO",
        source: "EFTA Convention; efta.int, the EFTA states",
        since: "1995-01-01",
    },
    Group {
        name: "GCC",
        members: "AE BH KW OM QA SA",
        source: "Charter of the Gulf Cooperation Council, article 5; gcc-sg.org",
        since: "1981-05-25",
    },
    Group {
        name: "ASEAN",
        members: "BN ID KH LA MM MY PH SG TH TL VN",
        source: "ASEAN Charter, article 4, and the accession of Timor-Leste in October 2025; asean.org",
        since: "2025-10-26",
    },
    Group {
        name: "USMCA",
        members: "CA MX US",
        source: "Agreement between the United States, Mexico and Canada of 2018, in force since July 2020",
        since: "2020-07-01",
    },
    Group {
        name: "EAEU",
        members: "AM BY KG KZ RU",
        source: "Treaty on the Eurasian Economic Union; eaeunion.org",
        since: "2015-08-12",
    },
];

/// The members of a group, sorted; `None` when there is no group of this name.
pub fn group_members(name: &str) -> Option<Vec<Country>> {
    let group = GROUPS.iter().find(|g| g.name == name)?;
    Some(group.members().collect())
}

/// Countries in few words: a group in place of its members where all of them are there, the largest group first.
pub fn in_few_words(countries: &[Country]) -> Vec<&str> {
    let mut groups: Vec<&Group> = GROUPS.iter().filter(|g| g.members().all(|c| countries.contains(&c))).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.members.len()));
    let mut named: Vec<&Group> = Vec::new();
    for group in groups {
        // For one more country its own code says more.
        if group.members().filter(|country| !named.iter().any(|other| other.contains(*country))).count() > 1 {
            named.push(group);
        }
    }
    let single = countries.iter().filter(|country| !named.iter().any(|group| group.contains(**country)));
    named.iter().map(|group| group.name).chain(single.map(Country::code)).collect()
}

/// Where a channel goes, as its signature declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Region {
    /// Anycast, global or unpinned names: no place can be said.
    Any,
    /// One country.
    Country(Country),
    /// One of [`GROUPS`].
    Group(&'static Group),
}

impl Region {
    /// The region of a word: `any`, a group, or a code in upper case.
    pub fn from_word(word: &str) -> Option<Region> {
        if word == "any" {
            return Some(Region::Any);
        }
        if let Some(group) = GROUPS.iter().find(|g| g.name == word) {
            return Some(Region::Group(group));
        }
        Country::from_word(word).map(Region::Country)
    }

    /// The word.
    pub fn name(&self) -> &str {
        match self {
            Region::Any => "any",
            Region::Country(country) => country.code(),
            Region::Group(group) => group.name,
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl serde::Serialize for Region {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

/// The 249 officially assigned codes of ISO 3166-1 alpha-2 and XK, three bytes each.
const CODES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ \
BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES \
ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO \
IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK \
ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR \
PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK \
TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_249_and_kosovo_in_order() {
        let codes: Vec<&str> = CODES.split(' ').collect();
        assert_eq!(codes.len(), 250);
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(codes.iter().all(|c| c.len() == 2));
    }

    #[test]
    fn only_countries_are_countries() {
        for word in ["CN", "HK", "MO", "TW", "US", "XK"] {
            assert_eq!(Country::from_word(word).unwrap().code(), word);
        }
        for word in ["", "C", "cn", "UK", "EU", "AP", "ZZ", "AN", "A ", " A", "CHN"] {
            assert_eq!(Country::from_word(word), None, "{word}");
        }
        assert_eq!(Country::from_database("uk").unwrap().code(), "GB");
        assert_eq!(Country::from_database("de").unwrap().code(), "DE");
        for word in ["EU", "AP", "ZZ", "CS", "Germany", "", "д"] {
            assert_eq!(Country::from_database(word), None, "{word}");
        }
    }

    #[test]
    fn groups_have_their_members() {
        let counts: Vec<_> = GROUPS.iter().map(|g| (g.name, g.members().count())).collect();
        let expected = [("EU", 27), ("EEA", 30), ("EFTA", 4), ("GCC", 6), ("ASEAN", 11), ("USMCA", 3), ("EAEU", 5)];
        assert_eq!(counts, expected);
        for group in GROUPS {
            assert_eq!(group.members.len(), group.members().count() * 3 - 1);
            assert!(group.members().zip(group.members().skip(1)).all(|(a, b)| a < b));
            assert!(!group.source.is_empty());
            assert!(group.since.parse::<jiff::civil::Date>().is_ok(), "{}", group.name);
        }
        let eu = group_members("EU").unwrap();
        let eea = group_members("EEA").unwrap();
        let more: Vec<_> = eea.iter().filter(|c| !eu.contains(c)).map(Country::code).collect();
        assert_eq!(more, ["IS", "LI", "NO"]);
        assert!(!eu.contains(&Country::from_word("GB").unwrap()));
        assert!(group_members("eu").is_none());
    }

    #[test]
    fn many_countries_are_few_words() {
        let words = |words: &[&str]| -> Vec<Country> {
            let each = words.iter().flat_map(|word| match group_members(word) {
                Some(members) => members,
                None => Country::from_word(word).into_iter().collect(),
            });
            each.collect()
        };
        for (given, expected) in [
            (&["CN"][..], &["CN"][..]),
            (&["CN", "HK"], &["CN", "HK"]),
            (&["EU"], &["EU"]),
            (&["EU", "IS", "LI", "NO"], &["EEA"]),
            (&["RE", "EEA"], &["EEA", "RE"]),
            (&["EEA", "CH"], &["EEA", "CH"]),
            (&["GCC", "EFTA"], &["GCC", "EFTA"]),
            (&["DE", "FR"], &["DE", "FR"]),
            (&[], &[]),
        ] {
            assert_eq!(in_few_words(&words(given)), expected, "{given:?}");
        }
    }

    #[test]
    fn regions_are_known_words() {
        for word in ["any", "EU", "GCC", "US", "TW"] {
            assert_eq!(Region::from_word(word).unwrap().name(), word);
        }
        for word in ["us", "UK", "Any", "", "XX", "eu"] {
            assert_eq!(Region::from_word(word), None, "{word}");
        }
    }
}
