//! Numbers of the configuration: plain, octal, bytes with units, percentages.
//!
//! Limits and overflow behave as in Redis, odd corners included, because CONFIG SET's answers are compared byte for
//! byte: a size that does not fit saturates at 2^64 - 1 before its unit is applied, the product wraps, and the range is
//! checked last.

use crate::base::num;
use crate::config::row::{Kind, ULONG, Unit};

/// The value of `word`. Errors are Redis' texts.
pub fn parse(word: &[u8], kind: Kind) -> Result<i64, String> {
    let Kind::Num { min, max, unit } = kind else { return Err(NOT_A_NUMBER.into()) };
    let value = match unit {
        Unit::Plain => num::parse_i64(word).ok_or(NOT_A_NUMBER)?,
        Unit::Octal => octal(word).ok_or("argument couldn't be parsed as an octal number")?,
        Unit::Memory => memory(word).ok_or("argument must be a memory value")? as i64,
        Unit::MemoryOrPercent => match memory(word) {
            Some(bytes) => bytes as i64,
            None => percentage(word).ok_or("argument must be a memory or percent value")?,
        },
    };
    check(value, min, max, unit)?;
    Ok(value)
}

const NOT_A_NUMBER: &str = "argument couldn't be parsed into an integer";

fn check(value: i64, min: i128, max: i128, unit: Unit) -> Result<(), String> {
    let wide = if max == ULONG { i128::from(value as u64) } else { i128::from(value) };
    if unit == Unit::MemoryOrPercent && wide < 0 {
        let most = -min;
        return if wide < min { Err(format!("percentage argument must be less or equal to {most}")) } else { Ok(()) };
    }
    match (wide < min || wide > max, unit) {
        (false, _) => Ok(()),
        (true, Unit::Octal) => Err(format!("argument must be between {min:o} and {max:o} inclusive")),
        (true, _) => Err(format!("argument must be between {min} and {max} inclusive")),
    }
}

/// C's `strtoll` to base 8 over the whole word; nothing at all is 0.
fn octal(word: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(word).ok()?.trim_start();
    if text.is_empty() { Some(0) } else { i64::from_str_radix(text, 8).ok() }
}

/// Bytes with a unit: `k` 1000, `kb` 1024, and so on for `m` and `g`; `b` or none is bytes.
pub fn memory(word: &[u8]) -> Option<u64> {
    let end = word.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(word.len());
    let (digits, unit) = word.split_at(end);
    let factor: u64 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    const DIGITS_MAX: usize = 127;
    if digits.len() > DIGITS_MAX {
        return None;
    }
    let number = digits.iter().fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Some(number.wrapping_mul(factor))
}

fn percentage(word: &[u8]) -> Option<i64> {
    let percent = num::parse_i64(word.strip_suffix(b"%")?)?;
    if percent >= 0 { Some(-percent) } else { None }
}

/// The value as CONFIG GET prints it.
pub fn print(value: i64, kind: Kind) -> String {
    match kind {
        Kind::Num { unit: Unit::MemoryOrPercent, .. } if value < 0 => format!("{}%", value.unsigned_abs()),
        Kind::Num { unit: Unit::Octal, .. } => format!("{value:o}"),
        Kind::Num { max: ULONG, .. } => (value as u64).to_string(),
        _ => value.to_string(),
    }
}

/// The value as CONFIG REWRITE writes it: sizes in the largest unit that divides them.
pub fn print_short(value: i64, kind: Kind) -> String {
    match kind {
        Kind::Num { unit: Unit::Memory, .. } => print_bytes(value),
        Kind::Num { unit: Unit::MemoryOrPercent, .. } if value >= 0 => print_bytes(value),
        _ => print(value, kind),
    }
}

/// Bytes in the largest of `gb`, `mb`, `kb` that divides them.
pub fn print_bytes(bytes: i64) -> String {
    for (unit, shift) in [("gb", 30), ("mb", 20), ("kb", 10)] {
        if bytes != 0 && bytes % (1 << shift) == 0 {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    (bytes as u64).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::row::LONG;

    const MAXMEMORY: Kind = Kind::Num { min: 0, max: ULONG, unit: Unit::Memory };
    const CLIENTS: Kind = Kind::Num { min: -100, max: LONG, unit: Unit::MemoryOrPercent };
    const SAMPLES: Kind = Kind::Num { min: 1, max: 64, unit: Unit::Plain };
    const BULK: Kind = Kind::Num { min: 1 << 20, max: LONG, unit: Unit::Memory };
    const PERM: Kind = Kind::Num { min: 0, max: 0o777, unit: Unit::Octal };

    /// Asked of a real server, one by one.
    #[test]
    fn numbers_as_redis_reads_them() {
        let memory = Err("argument must be a memory value");
        let percent = Err("argument must be a memory or percent value");
        let integer = Err("argument couldn't be parsed into an integer");
        let cases: &[(Kind, &str, Result<&str, &str>)] = &[
            (MAXMEMORY, "", Ok("0")),
            (MAXMEMORY, "-1", memory),
            (MAXMEMORY, "1b", Ok("1")),
            (MAXMEMORY, "1k", Ok("1000")),
            (MAXMEMORY, "1Kb", Ok("1024")),
            (MAXMEMORY, "1M", Ok("1000000")),
            (MAXMEMORY, "100mb", Ok("104857600")),
            (MAXMEMORY, "1g", Ok("1000000000")),
            (MAXMEMORY, "1GB", Ok("1073741824")),
            (MAXMEMORY, "1tb", memory),
            (MAXMEMORY, "1.5mb", memory),
            (MAXMEMORY, " 1", memory),
            (MAXMEMORY, "+5", memory),
            (MAXMEMORY, "0x10", memory),
            (MAXMEMORY, "000001", Ok("1")),
            (MAXMEMORY, "99999999999999999999", Ok("18446744073709551615")),
            (MAXMEMORY, "9999999999999gb", Ok("1413189099967217664")),
            (CLIENTS, "100%", Ok("100%")),
            (CLIENTS, "101%", Err("percentage argument must be less or equal to 100")),
            (CLIENTS, "0%", Ok("0")),
            (CLIENTS, "-5%", percent),
            (CLIENTS, "%", percent),
            (CLIENTS, "abc", percent),
            (CLIENTS, "10mb", Ok("10485760")),
            (CLIENTS, "99999999999999999999", Ok("1%")),
            (SAMPLES, "64", Ok("64")),
            (SAMPLES, "65", Err("argument must be between 1 and 64 inclusive")),
            (SAMPLES, "-0", integer),
            (SAMPLES, "03", integer),
            (SAMPLES, " 3", integer),
            (SAMPLES, "1.5", integer),
            (SAMPLES, "", integer),
            (SAMPLES, "99999999999999999999", integer),
            (BULK, "99999999999999999999", Err("argument must be between 1048576 and 9223372036854775807 inclusive")),
            (PERM, "700", Ok("700")),
            (PERM, "999", Err("argument couldn't be parsed as an octal number")),
            (PERM, "1777", Err("argument must be between 0 and 777 inclusive")),
        ];
        for (kind, word, want) in cases {
            let got = parse(word.as_bytes(), *kind).map(|value| print(value, *kind));
            assert_eq!(got.as_deref().map_err(String::as_str), *want, "{word:?}");
        }
    }

    #[test]
    fn rewritten_sizes_are_short() {
        for (bytes, want) in [(0, "0"), (1 << 30, "1gb"), (10 << 20, "10mb"), (3 << 10, "3kb"), (1000, "1000")] {
            assert_eq!(print_bytes(bytes), want);
        }
    }
}
