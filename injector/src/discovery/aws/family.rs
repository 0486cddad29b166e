//! Which default an interface has for idle connections, by the type of its
//! instance.
//!
//! 350 s on Nitro v6, except for P6e-GB200, and 432,000 s on all others
//! (`ConnectionTrackingConfiguration` in the EC2 API reference). No call returns
//! the Nitro version, so it stands here for the families that are known to have
//! one. What is not known is left to the caller: the wrong long value costs
//! connections, the wrong short one a probe.

use std::{
    fmt::{self, Display, Formatter},
    time::Duration,
};

/// Generation of the Nitro System, as far as it decides on the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NitroGeneration {
    /// Nitro v6.
    V6,
    /// Nitro v6 with the default of the earlier ones.
    P6eGb200,
    /// Nitro v5.
    V5,
    /// Before Nitro v5, or Xen.
    Earlier,
}

/// Default since Nitro v6.
const SHORT: Duration = Duration::from_secs(350);
/// Default before Nitro v6: five days.
const LONG: Duration = Duration::from_secs(432_000);

/// Nitro v6: the eighth generation, where it is no plain Graviton4.
const V6: [&str; 14] =
    ["m8a", "m8azn", "m8gb", "m8gn", "m8i", "c8a", "c8gb", "c8gn", "c8i", "r8a", "r8gb", "r8gn", "r8i", "i8ge"];
/// Nitro v6, of other series.
const V6_HPC: &str = "hpc8a";
/// Nitro v5.
const V5: [&str; 5] = ["m8g", "c8g", "r8g", "i8g", "i7ie"];
/// Series of which everything up to a generation existed before June 2025, when
/// Nitro v6 came.
const EARLIER: [(&str, u32); 21] = [
    ("a", 1),
    ("c", 7),
    ("d", 3),
    ("dl", 2),
    ("f", 2),
    ("g", 5),
    ("h", 1),
    ("hpc", 7),
    ("i", 7),
    ("im", 4),
    ("inf", 2),
    ("is", 4),
    ("m", 7),
    ("mac", 2),
    ("p", 5),
    ("r", 7),
    ("t", 4),
    ("trn", 1),
    ("vt", 1),
    ("x", 2),
    ("z", 1),
];
/// High memory: the names go on with their size.
const EARLIER_HIGH_MEMORY: [&str; 2] = ["u-", "u7i"];

/// What comes before the dot of an instance type: `m8g` of `m8g.16xlarge`.
pub(crate) fn family(instance_type: &str) -> &str {
    instance_type.split_once('.').map_or(instance_type, |(family, _)| family)
}

/// Generation of an instance type; `None` where it is not known.
pub fn generation(instance_type: &str) -> Option<NitroGeneration> {
    let family = family(instance_type);
    // Sizes and builds of the same hardware: m8i-flex.
    let hardware = family.strip_suffix("-flex").unwrap_or(family);
    // Variants with disks have the platform of those without: m8gd.
    let plain = hardware.strip_suffix('d').unwrap_or(hardware);
    if family == "p6e-gb200" {
        return Some(NitroGeneration::P6eGb200);
    }
    if V6.contains(&plain) || hardware == V6_HPC {
        return Some(NitroGeneration::V6);
    }
    if V5.contains(&plain) {
        return Some(NitroGeneration::V5);
    }
    is_earlier(hardware).then_some(NitroGeneration::Earlier)
}

fn is_earlier(family: &str) -> bool {
    if EARLIER_HIGH_MEMORY.iter().any(|start| family.starts_with(start)) {
        return true;
    }
    let digits = family.find(|c: char| c.is_ascii_digit()).unwrap_or(family.len());
    let (series, rest) = family.split_at(digits);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let number: Option<u32> = rest[..end].parse().ok();
    number.is_some_and(|number| EARLIER.iter().any(|(earlier, last)| *earlier == series && number <= *last))
}

impl NitroGeneration {
    /// Timeout of an interface where none is set.
    pub const fn default_timeout(self) -> Duration {
        match self {
            Self::V6 => SHORT,
            Self::P6eGb200 | Self::V5 | Self::Earlier => LONG,
        }
    }
}

impl Display for NitroGeneration {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::V6 | Self::P6eGb200 => "Nitro v6",
            Self::V5 => "Nitro v5",
            Self::Earlier => "before Nitro v5",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn families_and_their_defaults() {
        use NitroGeneration::{Earlier, P6eGb200, V5, V6};
        let table = [
            ("m8a.large", Some((V6, 350))),
            ("m8azn.xlarge", Some((V6, 350))),
            ("m8i-flex.large", Some((V6, 350))),
            ("c8id.metal-48xl", Some((V6, 350))),
            ("r8gn.16xlarge", Some((V6, 350))),
            ("i8ge.large", Some((V6, 350))),
            ("hpc8a.96xlarge", Some((V6, 350))),
            ("p6e-gb200.36xlarge", Some((P6eGb200, 432_000))),
            ("m8g.large", Some((V5, 432_000))),
            ("r8gd.large", Some((V5, 432_000))),
            ("i7ie.large", Some((V5, 432_000))),
            ("m7i.large", Some((Earlier, 432_000))),
            ("m7i-flex.large", Some((Earlier, 432_000))),
            ("c6gn.large", Some((Earlier, 432_000))),
            ("t3.micro", Some((Earlier, 432_000))),
            ("x2idn.metal", Some((Earlier, 432_000))),
            ("u-6tb1.112xlarge", Some((Earlier, 432_000))),
            ("u7in-16tb.224xlarge", Some((Earlier, 432_000))),
            ("hpc7a.12xlarge", Some((Earlier, 432_000))),
            ("p5en.48xlarge", Some((Earlier, 432_000))),
            ("m9g.large", None),
            ("m8x.large", None),
            ("x8i.large", None),
            ("g6f.large", None),
            ("p6-b200.48xlarge", None),
            ("t10g.large", None),
            ("quantum1.large", None),
            ("m.large", None),
            ("", None),
        ];
        for (instance_type, expected) in table {
            let found = generation(instance_type);
            let found = found.map(|generation| (generation, generation.default_timeout().as_secs()));
            assert_eq!(found, expected, "{instance_type}");
        }
    }

    proptest! {
        #[test]
        fn sizes_do_not_matter(size in "[a-z0-9-]{0,12}") {
            prop_assert_eq!(generation(&format!("m8g.{size}")), Some(NitroGeneration::V5));
            prop_assert_eq!(generation(&format!("m8i.{size}")), Some(NitroGeneration::V6));
        }

        #[test]
        fn nothing_newer_is_taken_for_something_old(series in "[a-z]{1,5}", number in 8_u32..100_000, rest in "[a-z]{0,4}") {
            let found = generation(&format!("{series}{number}{rest}.large"));
            prop_assert!(found.is_none() || number == 8, "{:?}", found);
        }
    }
}
