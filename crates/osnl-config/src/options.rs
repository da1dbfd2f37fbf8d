//! A section is a struct, and an option is one field of it: [`options!`](macro@crate::options).
//!
//! ```
//! use std::time::Duration;
//!
//! use osnl_config::{Options as _, options};
//!
//! options! {
//!     #[derive(Debug, PartialEq)]
//!     pub struct Lamp {
//!         on_for: Duration = "5m", within("1s", "1h") => "Time after which the light goes out.";
//!         key: Option<String>, secret => "Key of the switch.";
//!     }
//! }
//!
//! assert_eq!(Lamp::defaults(), Ok(Lamp { on_for: Duration::from_secs(300), key: None }));
//! assert_eq!(Lamp::OPTIONS[0].form(), "duration, 1s to 1h");
//! ```
//!
//! The sentence at the end is the meaning in the reference. The type, an [`OptionValue`], reads the text, and
//! `Option` makes a field that may be unset. `name: String as broker_name` reads by that function instead. Behind the
//! default are further properties of the [`OptionDef`], each a call of its method of that name. An enum gets its
//! words by [`words!`](macro@crate::words). A value that depends on other options or sections is read by its section,
//! and its field is a [`ReadBySection`].

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use osnl_model::Secret;

use crate::option::{Kind, OptionDef};
use crate::rate::{self, Rate, RateError};
use crate::sections::SectionReader;
use crate::typed::{self, ValueRefusal};
use crate::{Level, Value, duration, shown, size};

/// A struct with a field for each option of a section, made by the macro `options!`.
pub trait Options: Sized {
    const OPTIONS: &'static [OptionDef];

    /// Reads on after an error, so that all errors are reported.
    fn read(reader: &mut SectionReader<'_>) -> Option<Self>;

    /// # Errors
    /// An option has no default that reads.
    fn defaults() -> Result<Self, ValueRefusal>;

    /// Sets an option from a source that is no section, such as a URL's query; `None` if there is no such option.
    fn set(&mut self, name: &str, text: &str) -> Option<Result<(), ValueRefusal>>;
}

/// A type that an option can have: reads and checks the option's text.
pub trait OptionValue: Sized {
    const KIND: Kind;

    /// # Errors
    /// The text is no such value, or beyond the option's bounds.
    fn parse(text: &str, option: &OptionDef) -> Result<Self, ValueRefusal>;

    fn read(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Self> {
        let text = match option.is_needed {
            true => reader.required(option.name, option.otherwise.unwrap_or_default())?,
            false => reader.text(option.name)?,
        };
        Self::parse(&text, option).map_or_else(|refusal| reader.refused(option.name, refusal), Some)
    }

    fn valid(reader: &SectionReader<'_>, option: &str) -> Option<Self> {
        let text = reader.layers.resolve(reader.section, option).ok()??;
        Self::parse(&text, &reader.section.option(option)?.row).ok()
    }

    fn default_of(option: Option<&OptionDef>) -> Result<Self, ValueRefusal> {
        let default = option.and_then(|option| Some((option.default?, option)));
        let (text, option) = default.ok_or_else(|| ValueRefusal::new("is not set", "it has no default"))?;
        Self::parse(text, option)
    }
}

#[macro_export]
macro_rules! options {
    (@def [$type:ty] $name:expr, $meaning:expr) => { $crate::OptionDef::typed($name, <$type as $crate::OptionValue>::KIND, $meaning) };
    (@def [$type:ty as $reader:path] $name:expr, $meaning:expr) => {
        $crate::OptionDef::new($name, "text", $meaning)
    };
    (@read [$type:ty] $section:expr, $option:expr) => {
        <$type as $crate::OptionValue>::read($section, $option)
    };
    (@read [$type:ty as $reader:path] $section:expr, $option:expr) => { $reader($section, $option) };
    (@default [$type:ty] $option:expr) => { <$type as $crate::OptionValue>::default_of($option) };
    (@parse [$type:ty] $text:expr, $option:expr) => { <$type as $crate::OptionValue>::parse($text, $option) };
    (@default [$type:ty as $reader:path] $option:expr) => { $crate::options!(@parse [$type as $reader] (), ()) };
    (@parse [$type:ty as $reader:path] $text:expr, $option:expr) => {
        Err($crate::typed::ValueRefusal::new("is not set", "its section reads it"))
    };
    ($(#[$attribute:meta])* $vis:vis struct $name:ident { $(
        $option:ident: $type:ty $(as $reader:path)? $(= $default:expr)? $(, $property:ident $(($($value:expr),*))?)*
            => $meaning:literal;
    )* }) => {
        #[allow(dead_code, reason = "the reader of a section reads some options itself")]
        $(#[$attribute])*
        $vis struct $name { $(#[doc = $meaning] pub $option: $type),* }

        impl $crate::Options for $name {
            const OPTIONS: &'static [$crate::OptionDef] = &[$(
                $crate::options!(@def [$type $(as $reader)?] stringify!($option), $meaning)
                    $(.or($default))? $(.$property($($($value),*)?))*
            ),*];

            fn read(reader: &mut $crate::sections::SectionReader<'_>) -> Option<Self> {
                let mut options = Self::OPTIONS.iter();
                $(let $option =
                    options.next().and_then(|option| $crate::options!(@read [$type $(as $reader)?] reader, option));)*
                Some(Self { $($option: $option?),* })
            }

            fn defaults() -> Result<Self, $crate::typed::ValueRefusal> {
                let mut options = Self::OPTIONS.iter();
                Ok(Self { $($option: $crate::options!(@default [$type $(as $reader)?] options.next())?),* })
            }

            fn set(&mut self, name: &str, text: &str) -> Option<Result<(), $crate::typed::ValueRefusal>> {
                let option = Self::OPTIONS.iter().find(|option| option.name == name)?;
                let value = match name {
                    $(stringify!($option) => $crate::options!(@parse [$type $(as $reader)?] text, option)
                        .map(|value| self.$option = value),)*
                    _ => return None,
                };
                Some(value)
            }
        }
    };
}

#[must_use]
pub const fn without_defaults<const N: usize>(table: &[OptionDef]) -> [OptionDef; N] {
    let mut options = [OptionDef::new("", "", ""); N];
    let mut n = 0;
    while n < N {
        options[n] = OptionDef { default: None, ..table[n] };
        n += 1;
    }
    options
}

/// Gives the values of a type their words in files: `words!(Color: "red" => Color::Red)`; `Color, in_any_case` has
/// them in any case.
#[macro_export]
macro_rules! words {
    (@read) => { $crate::typed::word };
    (@read in_any_case) => { $crate::typed::word_in_any_case };
    ($type:ty $(, $case:ident)?: $($word:literal => $value:expr),+ $(,)?) => {
        impl $crate::OptionValue for $type {
            const KIND: $crate::Kind = $crate::Kind::Choice(&[$($word),+]);

            fn parse(text: &str, _: &$crate::OptionDef) -> Result<Self, $crate::typed::ValueRefusal> {
                $crate::words!(@read $($case)?)(text, [$(($word, $value)),+])
            }
        }
    };
}

/// The field of an option whose value the section reads, because other options or sections bound the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBySection;

impl OptionValue for ReadBySection {
    const KIND: Kind = Kind::Form("text");

    fn parse(_: &str, _: &OptionDef) -> Result<Self, ValueRefusal> {
        Ok(Self)
    }

    fn read(_: &mut SectionReader<'_>, _: &'static OptionDef) -> Option<Self> {
        Some(Self)
    }
}

impl<T: OptionValue> OptionValue for Option<T> {
    const KIND: Kind = T::KIND;

    fn parse(text: &str, option: &OptionDef) -> Result<Self, ValueRefusal> {
        T::parse(text, option).map(Some)
    }

    fn read(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Self> {
        match reader.is_set(option.name) {
            true => T::read(reader, option).map(Some),
            false => Some(None),
        }
    }

    fn default_of(_: Option<&OptionDef>) -> Result<Self, ValueRefusal> {
        Ok(None)
    }
}

impl OptionValue for bool {
    const KIND: Kind = Kind::Bool;

    fn parse(text: &str, option: &OptionDef) -> Result<Self, ValueRefusal> {
        let value = Value::read(Kind::Bool, text, option.secret)?;
        Ok(value.and_then(|value| value.as_bool()).unwrap_or_default())
    }

    fn read(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Self> {
        reader.boolean(option.name)
    }
}

macro_rules! numbers {
    ($($type:ty, by $via:ty: $least:expr, $most:expr;)+) => {$(
        impl OptionValue for $type {
            const KIND: Kind = Kind::Integer;

            fn parse(text: &str, option: &OptionDef) -> Result<Self, ValueRefusal> {
                let (least, most) = bounds_of_number(option, $least.into(), $most.into());
                let number = <$via>::try_from(typed::number(text, least, most)?).ok();
                number.and_then(|number| number.try_into().ok()).ok_or_else(|| typed::out_of_range(text, least, most))
            }

            fn read(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Self> {
                let (least, most) = bounds_of_number(option, $least.into(), $most.into());
                <$via>::try_from(reader.number(option.name, least, most)?).ok()?.try_into().ok()
            }
        }
    )+};
}

numbers! {
    i32, by i64: i32::MIN, i32::MAX;
    u16, by i64: 0, 65_535;
    u32, by i64: 0, u32::MAX;
    u64, by i64: 0, u32::MAX;
    usize, by i64: 0, u32::MAX;
    NonZeroU32, by u32: 1, u32::MAX;
}

fn bounds_of_number(option: &OptionDef, least: i64, most: i64) -> (i64, i64) {
    let bounds = option.bounds(|text| text.parse().ok());
    (bounds.0.unwrap_or(least), bounds.1.unwrap_or(most))
}

impl OptionValue for Duration {
    const KIND: Kind = Kind::Form("duration");

    fn parse(text: &str, option: &OptionDef) -> Result<Self, ValueRefusal> {
        let (least, most) = option.bounds(duration::parse);
        let read = typed::duration(text, least.unwrap_or_default(), most.unwrap_or(typed::LONGEST));
        read.map_err(|refusal| refusal.advised(option.otherwise.filter(|_| duration::parse(text).is_none())))
    }
}

/// A duration as oslo.config's `FloatOpt` has it: `0.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl OptionValue for Seconds {
    const KIND: Kind = Kind::Form("seconds");

    fn parse(text: &str, option: &OptionDef) -> Result<Self, ValueRefusal> {
        let seconds = |text: &str| Duration::try_from_secs_f64(text.trim().parse().ok()?).ok();
        let (least, most) = option.bounds(seconds);
        match seconds(text) {
            Some(read) if (least..=most).contains(&Some(read)) => Ok(Self(read)),
            Some(_) | None => Err(ValueRefusal::new(
                format!("{} is out of range", shown(text)),
                format!("allowed: {}", option.form()),
            )),
        }
    }
}

/// A number of bytes, written with a unit such as `500MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl OptionValue for Bytes {
    const KIND: Kind = Kind::Form("size");

    fn parse(text: &str, option: &OptionDef) -> Result<Self, ValueRefusal> {
        let (least, most) = option.bounds(size::parse);
        match (size::parse(text), most, option.least) {
            (Some(bytes), None, Some(allowed)) if Some(bytes) < least => {
                Err(ValueRefusal::new(format!("{} is too small", shown(text)), format!("at least {allowed}")))
            }
            (bytes, _, _) => typed::size(text, least.unwrap_or_default(), most.unwrap_or(u64::MAX))
                .map(Self)
                .map_err(|refusal| refusal.advised(option.otherwise.filter(|_| bytes.is_none()))),
        }
    }
}

impl OptionValue for Rate {
    const KIND: Kind = Kind::Form("number per duration");

    fn parse(text: &str, _: &OptionDef) -> Result<Self, ValueRefusal> {
        rate::parse(text).map_err(|error| match error {
            RateError::Form => ValueRefusal::new(
                format!("{} is not a rate", shown(text)),
                "write 100 per 10m: this many within that time",
            ),
            RateError::Range => typed::out_of_range(shown(text), 1, "1000000 per 1s to 7d"),
        })
    }
}

impl OptionValue for String {
    const KIND: Kind = Kind::Form("text");

    fn parse(text: &str, _: &OptionDef) -> Result<Self, ValueRefusal> {
        Ok(text.to_owned())
    }
}

impl OptionValue for Secret {
    const KIND: Kind = Kind::Form("text");

    fn parse(text: &str, _: &OptionDef) -> Result<Self, ValueRefusal> {
        Ok(Self::new(text))
    }
}

impl OptionValue for PathBuf {
    const KIND: Kind = Kind::Form("path");

    fn parse(text: &str, option: &OptionDef) -> Result<Self, ValueRefusal> {
        typed::path(text, option.otherwise.unwrap_or("write a path, or remove the line"))
    }
}

impl OptionValue for Vec<String> {
    const KIND: Kind = Kind::Form("list");

    fn parse(text: &str, _: &OptionDef) -> Result<Self, ValueRefusal> {
        typed::names(text)
    }
}

impl OptionValue for Level {
    const KIND: Kind = Kind::Choice(&["debug", "info", "warn", "error"]);

    fn parse(text: &str, option: &OptionDef) -> Result<Self, ValueRefusal> {
        Value::read(option.kind, text, false)?;
        Self::from_word(text).ok_or_else(|| ValueRefusal::new("is no level", option.form()))
    }
}

#[cfg(test)]
#[expect(clippy::allow_attributes, reason = "clippy sees through a macro of the same crate")]
mod tests {
    use super::*;
    use crate::Ini;
    use crate::sections::{Findings, Layers, Schema, SectionDef};

    options! {
        #[derive(Debug, PartialEq)]
        struct Lamp {
            watts: u32 = "40", within("1", "100") => "Brightness.";
            on_for: Option<Duration>, at_least("1s") => "Time after which the light goes out.";
            level: Level = "info" => "Lowest level of the log.";
            log: PathBuf, needed("write a path") => "File of the log.";
            color: String as color = "white", written("color") => "Color of the light.";
        }
    }

    fn color(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<String> {
        reader.text(option.name).map(|text| text.to_uppercase())
    }

    static SCHEMA: Schema = Schema::oslo(&[SectionDef::new("lamp", "The lamp.", Lamp::OPTIONS)], &[]);

    fn read(text: &str) -> (Option<Lamp>, String) {
        let mut layers = Layers::new(&SCHEMA);
        layers.apply(&Ini::parse("f", &format!("[lamp]\n{text}")).0);
        let (section, mut findings) = (layers.unnamed("lamp").unwrap(), Findings::default());
        let mut reader = SectionReader { file: "f", layers: &layers, section, findings: &mut findings };
        let lamp = Lamp::read(&mut reader);
        (lamp, findings.errors.iter().map(|error| format!("{error}\n")).collect())
    }

    #[test]
    fn a_path_with_a_nul_is_refused() {
        let (_, said) = read("log = /l\0g\n");
        assert_eq!(said, "f:2: [lamp] log: has a NUL character, which no path can have; write a path\n");
    }

    #[test]
    fn a_section_is_read_into_its_struct_and_all_its_errors_are_reported() {
        let (log, color) = (PathBuf::from("/l"), "WHITE".to_owned());
        let lamp = Lamp { watts: 7, on_for: None, level: Level::Info, log, color };
        assert_eq!(read("log = /l\nwatts = 7\n"), (Some(lamp), String::new()));
        let (lamp, said) = read("watts = 101\non_for = 1ms\nlevel = loud\n");
        assert_eq!(lamp, None);
        assert_eq!(
            said,
            "f:2: [lamp] watts: 101 is out of range; allowed: 1 to 100\n\
             f:3: [lamp] on_for: \"1ms\" is out of range; allowed: 1s to 2147483s\n\
             f:4: [lamp] level: unknown value \"loud\"; allowed: debug, info, warn, error\n\
             f: [lamp] log: is not set; write a path\n"
        );
        assert!(Lamp::defaults().is_err(), "an option that must be set has no default");
    }
}
