//! A record of the BPF programs' log, as aya-log-ebpf writes it.
//!
//! Read here and not by aya-log 0.3, which takes bytes for enums and unwraps:
//! a record with a kind or a level that there is none of ends the process by
//! SIGSEGV, one that is cut short by a panic.

use aya_log_common::{ArgumentKind, DisplayHint, Level, RecordFieldKind};

/// What comes first in each record, in this order (`aya_log_common::Header`).
const HEADER: [RecordFieldKind; 6] = [
    RecordFieldKind::Target,
    RecordFieldKind::Level,
    RecordFieldKind::Module,
    RecordFieldKind::File,
    RecordFieldKind::Line,
    RecordFieldKind::NumArgs,
];
const LEVEL: usize = 1;
const ARGUMENTS: usize = 5;

/// A message of the BPF programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// How much it matters.
    pub level: tracing::Level,
    /// What it says.
    pub text: String,
}

/// Why a record is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A length says more than there is.
    #[error("it ends too early")]
    Cut,
    /// There is more in it than arguments.
    #[error("something follows its last argument")]
    Rest,
    /// The header's fields are others, or in another order.
    #[error("a field of kind {0} is not the one that comes next")]
    Field(u8),
    /// A number takes more or fewer bytes than its kind.
    #[error("a number takes {0} bytes")]
    Width(usize),
    /// There is no such level.
    #[error("there is no level {0}")]
    Level(u8),
    /// No message of our programs has such arguments.
    #[error("there are no arguments of kind {0}")]
    Argument(u8),
    /// No message of our programs has its arguments shown in such a way.
    #[error("arguments are not shown in the way {0}")]
    Hint(u8),
    /// It should be text.
    #[error("it is no UTF-8")]
    Text,
}

impl Message {
    /// Reads a record: its length, the header, and the arguments, which make up
    /// the text. What is behind its length was left there by others: the program
    /// reserves more than it needs.
    pub fn parse(record: &[u8]) -> Result<Self, Malformed> {
        let (length, _) = record.split_first_chunk().ok_or(Malformed::Cut)?;
        let length = usize::from(u16::from_le_bytes(*length));
        let mut fields = Fields(record.get(size_of::<u16>()..length).ok_or(Malformed::Cut)?);
        let mut header = [&[][..]; HEADER.len()];
        for (value, expected) in header.iter_mut().zip(HEADER) {
            let (kind, found) = fields.next()?;
            if kind != u8::from(expected) {
                return Err(Malformed::Field(kind));
            }
            *value = found;
        }
        let [level] = bytes(header[LEVEL])?;
        let mut text = String::new();
        for _ in 0..u32::from_le_bytes(bytes(header[ARGUMENTS])?) {
            let (kind, value) = fields.next()?;
            text += &argument(kind, value)?;
        }
        if fields.0.is_empty() { Ok(Self { level: named(level)?, text }) } else { Err(Malformed::Rest) }
    }
}

/// Fields, one behind the other: kind, length, value.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let ([kind, length @ ..], rest) = self.0.split_first_chunk::<3>().ok_or(Malformed::Cut)?;
        let (value, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into()).ok_or(Malformed::Cut)?;
        self.0 = rest;
        Ok((*kind, value))
    }
}

fn bytes<const N: usize>(value: &[u8]) -> Result<[u8; N], Malformed> {
    value.try_into().map_err(|_| Malformed::Width(value.len()))
}

fn named(level: u8) -> Result<tracing::Level, Malformed> {
    const LEVELS: [(Level, tracing::Level); 5] = [
        (Level::Error, tracing::Level::ERROR),
        (Level::Warn, tracing::Level::WARN),
        (Level::Info, tracing::Level::INFO),
        (Level::Debug, tracing::Level::DEBUG),
        (Level::Trace, tracing::Level::TRACE),
    ];
    let found = LEVELS.into_iter().find(|(theirs, _)| u8::from(*theirs) == level);
    found.map(|(_, ours)| ours).ok_or(Malformed::Level(level))
}

/// What an argument adds to the text. Those that our programs have: text, and
/// unsigned numbers behind a hint that nothing is special about them.
fn argument(kind: u8, value: &[u8]) -> Result<String, Malformed> {
    const TEXT: u8 = ArgumentKind::Str as u8;
    const HINT: u8 = ArgumentKind::DisplayHint as u8;
    const U8: u8 = ArgumentKind::U8 as u8;
    const U16: u8 = ArgumentKind::U16 as u8;
    const U32: u8 = ArgumentKind::U32 as u8;
    const U64: u8 = ArgumentKind::U64 as u8;
    match kind {
        TEXT => str::from_utf8(value).map(str::to_owned).map_err(|_| Malformed::Text),
        HINT => match bytes(value)? {
            [hint] if hint == u8::from(DisplayHint::Default) => Ok(String::new()),
            [hint] => Err(Malformed::Hint(hint)),
        },
        U8 => bytes(value).map(|value| u8::from_le_bytes(value).to_string()),
        U16 => bytes(value).map(|value| u16::from_le_bytes(value).to_string()),
        U32 => bytes(value).map(|value| u32::from_le_bytes(value).to_string()),
        U64 => bytes(value).map(|value| u64::from_le_bytes(value).to_string()),
        other => Err(Malformed::Argument(other)),
    }
}

#[cfg(test)]
mod tests {
    use aya_log_common::{Argument, Field, Header};
    use proptest::prelude::*;

    use super::*;

    /// A record as `aya_log_ebpf::debug!` writes it, `rest` behind it.
    fn record(level: Level, arguments: &[(u8, Vec<u8>)], rest: &[u8]) -> Vec<u8> {
        let mut fields = Vec::new();
        let mut write = |bytes: &[u8]| {
            fields.extend_from_slice(bytes);
            Some(())
        };
        let count = u32::try_from(arguments.len()).unwrap();
        let header = Header::new("injector", level, "injector::keepalive", "keepalive.rs", 54, count).unwrap();
        header.with_bytes(&mut write).unwrap();
        for (kind, value) in arguments {
            Field::new(*kind, value).unwrap().with_bytes(&mut write).unwrap();
        }
        let length = u16::try_from(size_of::<u16>() + fields.len()).unwrap();
        [&length.to_ne_bytes()[..], &fields, rest].concat()
    }

    fn of(argument: &impl Argument) -> (u8, Vec<u8>) {
        let (kind, value) = argument.as_argument();
        (kind.into(), value.as_ref().to_vec())
    }

    fn told(arguments: &[(u8, Vec<u8>)]) -> Result<String, Malformed> {
        Message::parse(&record(Level::Debug, arguments, &[])).map(|message| message.text)
    }

    #[test]
    fn what_the_macros_write_is_read() {
        let default = || of(&DisplayHint::Default);
        let arguments = [of(&"port "), default(), of(&443_u32), of(&" direction "), default(), of(&1_u8), of(&" done")];
        for rest in [&[][..], &[0; 20], b"of another message"] {
            let message = Message::parse(&record(Level::Warn, &arguments, rest));
            assert_eq!(
                message,
                Ok(Message { level: tracing::Level::WARN, text: "port 443 direction 1 done".to_owned() })
            );
        }
        assert_eq!(told(&[]), Ok(String::new()));
        assert_eq!(told(&[of(&u16::MAX), of(&"/"), of(&u64::MAX)]), Ok("65535/18446744073709551615".to_owned()));
    }

    #[test]
    fn what_they_do_not_write_is_told() {
        for (argument, error) in [
            (of(&DisplayHint::LowerHex), Malformed::Hint(2)),
            ((0, vec![99]), Malformed::Hint(99)),
            ((0, vec![]), Malformed::Width(0)),
            (of(&-1_i32), Malformed::Argument(3)),
            ((200, vec![1]), Malformed::Argument(200)),
            ((8, vec![1]), Malformed::Width(1)),
            ((20, vec![0xff]), Malformed::Text),
        ] {
            assert_eq!(told(std::slice::from_ref(&argument)), Err(error), "{argument:?}");
        }
    }

    #[test]
    fn damage_is_told() {
        let whole = record(Level::Info, &[of(&"text")], &[]);
        let with = |at: usize, byte: u8| {
            let mut record = whole.clone();
            record[at] = byte;
            Message::parse(&record)
        };
        let level = 2 + 3 + "injector".len();
        for (damaged, error) in [
            (with(0, 1), Malformed::Cut),
            (with(1, 0xff), Malformed::Cut),
            (with(2, 200), Malformed::Field(200)),
            (with(4, 0xff), Malformed::Cut),
            (with(level, 0), Malformed::Field(0)),
            (with(level + 3, 0), Malformed::Level(0)),
            (with(level + 3, 6), Malformed::Level(6)),
            (with(whole.len() - 11, 0xff), Malformed::Cut),
            (with(whole.len() - 11, 0), Malformed::Rest),
        ] {
            assert_eq!(damaged, Err(error));
        }
        for end in 0..whole.len() {
            assert_eq!(Message::parse(&whole[..end]), Err(Malformed::Cut), "{end}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Message::parse(&bytes).is_err());
        }

        #[test]
        fn any_text_and_number_come_back(text in any::<String>(), number: u32, rest: Vec<u8>) {
            let record = record(Level::Trace, &[of(&text.as_str()), of(&number)], &rest);
            prop_assert_eq!(Message::parse(&record).map(|it| it.text), Ok(format!("{text}{number}")));
        }
    }
}
