//! A record of a MaxMind-format database, whatever its maker calls the fields.
//!
//! In: a map. Out: country and autonomous system. Understood are `country.iso_code` and
//! `registered_country.iso_code` (MaxMind, DB-IP), flat `country` or `country_code` (IPinfo),
//! `autonomous_system_number` and `_organization` at the top or below `traits` (MaxMind, DB-IP),
//! `asn` as `"AS123"` or a number with `as_name` (IPinfo). Other fields are passed over.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::countries::Country;
use super::database::Answer;

/// Characters of an organization's name that are kept.
const ORGANIZATION_CHARS_MAX: usize = 200;

/// The fields of interest, still in the words of the maker.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    country: Loose<'a>,
    #[serde(borrow)]
    country_code: Loose<'a>,
    #[serde(borrow)]
    registered_country: Loose<'a>,
    #[serde(borrow)]
    asn: Loose<'a>,
    #[serde(borrow)]
    as_name: Loose<'a>,
    #[serde(borrow)]
    autonomous_system_number: Loose<'a>,
    #[serde(borrow)]
    autonomous_system_organization: Loose<'a>,
    #[serde(borrow)]
    traits: Loose<'a>,
}

impl Record<'_> {
    /// What the record says.
    pub fn answer(&self) -> Answer {
        let codes = [self.country_code.code(), self.country.code()];
        let located = codes.iter().flatten().find_map(|c| Country::from_database(c));
        let registered = self.registered_country.code().and_then(Country::from_database);
        let country = located.or(registered);
        let odd = codes.into_iter().flatten().find(|c| c.len() == 2).filter(|_| country.is_none());
        Answer {
            country,
            registered_only: located.is_none() && registered.is_some(),
            odd_code: odd.map(|c| c.escape_default().to_string()),
            asn: self.number().map(|number| (number, self.organization())),
        }
    }

    fn number(&self) -> Option<u32> {
        let number = [&self.autonomous_system_number, &self.asn].into_iter().find_map(Loose::number);
        number.or(self.traits.map().number).filter(|n| *n != 0)
    }

    fn organization(&self) -> String {
        let names = [&self.autonomous_system_organization, &self.as_name];
        let name = names.into_iter().find_map(Loose::text).or(self.traits.map().organization);
        name.unwrap_or_default().chars().filter(|c| !c.is_control()).take(ORGANIZATION_CHARS_MAX).collect()
    }
}

/// A value of which neither kind nor presence is sure.
#[derive(Debug, Default)]
enum Loose<'a> {
    #[default]
    Nothing,
    Text(&'a str),
    Number(u64),
    Map(Inner<'a>),
}

/// What is of interest one level down.
#[derive(Clone, Copy, Debug, Default)]
struct Inner<'a> {
    iso_code: Option<&'a str>,
    number: Option<u32>,
    organization: Option<&'a str>,
}

impl<'a> Loose<'a> {
    fn text(&self) -> Option<&'a str> {
        match self {
            Loose::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    fn map(&self) -> Inner<'a> {
        match self {
            Loose::Map(inner) => *inner,
            _ => Inner::default(),
        }
    }

    fn code(&self) -> Option<&'a str> {
        self.text().or(self.map().iso_code)
    }

    /// A number, or the number in `AS123`.
    fn number(&self) -> Option<u32> {
        match self {
            Loose::Number(number) => u32::try_from(*number).ok(),
            Loose::Text(text) => {
                let digits = text.strip_prefix("AS").or(text.strip_prefix("as")).unwrap_or(text);
                digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
            }
            _ => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Loose<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Loose::Text(text))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Loose::Number(number))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut inner = Inner::default();
        while let Some(key) = map.next_key::<&str>()? {
            match key {
                "iso_code" => inner.iso_code = map.next_value::<Flat<'de>>()?.0.text(),
                "autonomous_system_number" => inner.number = map.next_value::<Flat<'de>>()?.0.number(),
                "autonomous_system_organization" => inner.organization = map.next_value::<Flat<'de>>()?.0.text(),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Loose::Map(inner))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Loose::Nothing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Loose::Nothing)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Loose::Nothing)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Self::Value, E> {
        Ok(Loose::Nothing)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Loose::Nothing)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self::Value, E> {
        Ok(Loose::Nothing)
    }
}

/// A value without anything below it that matters, so that nothing nests further.
struct Flat<'a>(Loose<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Flat<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(FlatValue).map(Flat)
    }
}

struct FlatValue;

impl<'de> Visitor<'de> for FlatValue {
    type Value = Loose<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or a number")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Loose::Text(text))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Loose::Number(number))
    }
}
