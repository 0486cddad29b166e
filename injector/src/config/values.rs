//! Values of the file. Each reports what it expects where something else is found.

use std::{
    fmt::{self, Formatter},
    time::Duration,
};

use clap::ValueEnum as _;
use ipnet::IpNet;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use toml::Spanned;

use super::raw::{RawKeepalive, RawMode};
use crate::{
    hop::{self, Direction},
    rules::values::{Discover, OnConflict, Track, Warn},
    units,
};

/// Some text.
#[derive(Debug)]
pub(super) struct Text(pub String);

/// A list of texts.
#[derive(Debug)]
pub(super) struct Texts(pub Vec<Spanned<Text>>);

/// A duration, as on the command line or as a number of seconds.
#[derive(Debug)]
pub(super) struct Time(pub Duration);

/// A number that fits into 32 bits.
#[derive(Debug)]
pub(super) struct Number(pub u32);

/// A port, not 0.
#[derive(Debug)]
pub(super) struct Port(pub u16);

/// One prefix or a list of them.
#[derive(Debug)]
pub(super) struct Prefixes(pub Vec<IpNet>);

/// The kind of a hop.
pub(super) fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Spanned<hop::Kind>, D::Error> {
    Spanned::<Kind>::deserialize(deserializer).map(|kind| Spanned::new(kind.span(), kind.into_inner().0))
}

/// The direction of a hop's flows.
pub(super) fn direction<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Spanned<Direction>>, D::Error> {
    Spanned::<Way>::deserialize(deserializer).map(|way| Some(Spanned::new(way.span(), way.into_inner().0)))
}

/// From when on to warn.
pub(super) fn warn<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Spanned<Warn>>, D::Error> {
    Spanned::<Mark>::deserialize(deserializer).map(|mark| Some(Spanned::new(mark.span(), mark.into_inner().0)))
}

/// How to treat an application's own keepalive settings.
pub(super) fn conflict<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Spanned<OnConflict>>, D::Error> {
    Spanned::<Rule>::deserialize(deserializer).map(|rule| Some(Spanned::new(rule.span(), rule.into_inner().0)))
}

/// The source of idle times.
pub(super) fn track<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Spanned<Track>>, D::Error> {
    Spanned::<Source>::deserialize(deserializer).map(|track| Some(Spanned::new(track.span(), track.into_inner().0)))
}

/// The cloud to discover hops from.
pub(super) fn discover<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Spanned<Discover>>, D::Error> {
    Spanned::<Cloud>::deserialize(deserializer).map(|cloud| Some(Spanned::new(cloud.span(), cloud.into_inner().0)))
}

#[derive(Debug)]
struct Kind(hop::Kind);
#[derive(Debug)]
struct Way(Direction);
#[derive(Debug)]
struct Mark(Warn);
#[derive(Debug)]
struct Rule(OnConflict);
#[derive(Debug)]
struct Source(Track);
#[derive(Debug)]
struct Cloud(Discover);
struct Prefix(IpNet);

/// Reads a scalar: text by one function, a number by another.
struct Scalar<T> {
    expected: &'static str,
    text: Option<FromText<T>>,
    number: Option<FromNumber<T>>,
}

type FromText<T> = fn(&str) -> Result<T, String>;
type FromNumber<T> = fn(i64) -> Result<T, String>;

impl<T> Visitor<'_> for Scalar<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let parse = self.text.ok_or_else(|| E::invalid_type(serde::de::Unexpected::Str(text), &self))?;
        parse(text).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        let parse = self.number.ok_or_else(|| E::invalid_type(serde::de::Unexpected::Signed(number), &self))?;
        parse(number).map_err(E::custom)
    }
}

/// `Deserialize` for a type around one scalar.
macro_rules! scalar {
    ($name:ident, $expected:literal, text: $text:expr, number: $number:expr) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Scalar { expected: $expected, text: $text, number: $number }).map(Self)
            }
        }
    };
}

scalar!(Text, "text in quotes", text: Some(|text| Ok(text.to_owned())), number: None);
scalar!(Time, "a duration: \"240s\", \"4m\", \"1h30m\", \"500ms\", or a number of seconds",
    text: Some(units::parse), number: Some(seconds));
scalar!(Number, "a whole number", text: None, number: Some(|number| {
    u32::try_from(number).map_err(|_| format!("{number} is out of range: expected 0 to {}", u32::MAX))
}));
scalar!(Port, "a port, 1 to 65535", text: None, number: Some(|number| {
    let port = u16::try_from(number).ok().filter(|&port| port > 0);
    port.ok_or_else(|| format!("invalid port {number}: expected 1 to 65535"))
}));
scalar!(Kind, "the kind of the hop in quotes, \"eni\" or \"nlb-tcp\", say",
    text: Some(|text| text.parse().map_err(|error: hop::HopError| error.to_string())), number: None);
scalar!(Way, "\"active\" or \"passive\"", text: Some(way), number: None);
scalar!(Mark, "a share such as \"80%\", or a duration", text: Some(str::parse),
    number: Some(|number| seconds(number).map(Warn::Idle)));
scalar!(Rule, "\"respect\", \"tighten\" or \"enforce\"", text: Some(rule), number: None);
scalar!(Source, "\"sockets\" or \"packets\"", text: Some(source), number: None);
scalar!(Cloud, "\"aws\" or \"none\"", text: Some(cloud), number: None);
scalar!(Prefix, "an address or prefix in quotes, \"10.0.0.0/8\" or \"2001:db8::/32\", say",
    text: Some(hop::parse_prefix), number: None);

fn seconds(number: i64) -> Result<Duration, String> {
    let seconds = u64::try_from(number).map(Duration::from_secs);
    seconds.map_err(|_| format!("invalid duration {number}: expected \"240s\", \"4m\" or a number of seconds"))
}

fn way(text: &str) -> Result<Direction, String> {
    match text {
        "active" => Ok(Direction::Active),
        "passive" => Ok(Direction::Passive),
        _ => Err(format!("invalid direction {text:?}: expected \"active\" (we connect) or \"passive\" (we accept)")),
    }
}

fn rule(text: &str) -> Result<OnConflict, String> {
    let expected = "expected \"respect\", \"tighten\" or \"enforce\"";
    OnConflict::from_str(text, false).map_err(|_| format!("invalid rule {text:?}: {expected}"))
}

fn source(text: &str) -> Result<Track, String> {
    let expected = "expected \"sockets\" or \"packets\"";
    Track::from_str(text, false).map_err(|_| format!("invalid value {text:?}: {expected}"))
}

fn cloud(text: &str) -> Result<Discover, String> {
    let expected = "expected \"aws\" or \"none\"";
    Discover::from_str(text, false).map_err(|_| format!("invalid cloud {text:?}: {expected}"))
}

impl<'de> Deserialize<'de> for Prefixes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany)
    }
}

struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = Prefixes;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("a prefix in quotes, \"10.0.0.0/8\", or a list of them")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Prefixes, E> {
        hop::parse_prefix(text).map(|prefix| Prefixes(vec![prefix])).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Prefixes, A::Error> {
        let mut prefixes = Vec::new();
        while let Some(Prefix(prefix)) = list.next_element()? {
            if prefixes.contains(&prefix) {
                return Err(A::Error::custom(format!("{prefix} is in this list twice: keep one of them")));
            }
            prefixes.push(prefix);
        }
        if prefixes.is_empty() {
            return Err(A::Error::custom("an empty list means nowhere: write a prefix, or omit the key for anywhere"));
        }
        Ok(Prefixes(prefixes))
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List).map(Self)
    }
}

struct List;

impl<'de> Visitor<'de> for List {
    type Value = Vec<Spanned<Text>>;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of texts in quotes, [\"kubepods.slice\"]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        Ok(texts)
    }
}

impl<'de> Deserialize<'de> for RawMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrValues)
    }
}

struct WordOrValues;

impl<'de> Visitor<'de> for WordOrValues {
    type Value = RawMode;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("\"derived\", \"exempt\", or a table: { idle = \"60s\", interval = \"10s\", probes = 9 }")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<RawMode, E> {
        Ok(RawMode::Word(word.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, values: A) -> Result<RawMode, A::Error> {
        RawKeepalive::deserialize(MapAccessDeserializer::new(values)).map(RawMode::Values)
    }
}
