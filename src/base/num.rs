//! Numbers to text and back exactly as Redis prints and accepts them.
//!
//! Integers are strict: one spelling per number, so that a string that parses can be stored as an integer and printed
//! back as the same bytes. Doubles are read as C's `strtod` reads them (hexadecimal and `infinity` included) minus
//! surrounding space and NaN, and printed with few digits that read back as the same number ([`super::grisu`]), in the
//! shape Redis 7.2 and later gives them. The 80-bit arithmetic of INCRBYFLOAT lives in [`super::longdouble`].

use super::grisu::Digits;
use super::spelling::{HexFloat, digit_of, is_infinity, round_shift, spells_zero, split_sign};

/// The longest text of an `i64`, sign included.
pub const I64_TEXT_MAX: usize = 20;

/// So many digits are always exact in a double.
const DIGITS_EXACT: usize = 15;

/// Doubles up to this magnitude that are whole print as integers (Redis' bound: half of `i64::MAX`).
const WHOLE_MAX: f64 = (i64::MAX / 2) as f64;

/// Reads a signed decimal of exactly one spelling: no `+`, no spaces, no leading zeros, no `-0`.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    // 19 digits fit a u64 without overflow.
    let magnitude = fold_digits(digits)?;
    if negative {
        (magnitude <= i64::MIN.unsigned_abs()).then(|| (magnitude as i64).wrapping_neg())
    } else {
        i64::try_from(magnitude).ok()
    }
}

/// Reads an unsigned decimal of exactly one spelling (see [`parse_i64`]), up to `u64::MAX`.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    match text {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] if text.len() <= 19 => fold_digits(text),
        [b'1'..=b'9', ..] if text.len() == 20 => {
            let (head, tail) = text.split_at(19);
            fold_digits(head)?.checked_mul(10)?.checked_add(fold_digits(tail)?)
        }
        _ => None,
    }
}

/// Reads an unsigned decimal as Redis reads the halves of a stream ID: [`parse_u64`], and failing that what C's
/// `strtoull` takes whole: leading spaces, a sign (a minus wraps), leading zeros.
pub fn parse_u64_loose(text: &[u8]) -> Option<u64> {
    if let Some(value) = parse_i64(text) {
        return u64::try_from(value).ok();
    }
    let trimmed = &text[text.iter().take_while(|byte| is_space(**byte)).count()..];
    let (negative, digits) = match trimmed {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, trimmed),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for digit in digits {
        value = value.checked_mul(10)?.checked_add(u64::from(digit_of(*digit)?))?;
    }
    Some(if negative { value.wrapping_neg() } else { value })
}

/// Reads a double as Redis accepts one: decimal or hexadecimal, `inf` and `infinity` with a sign and in any case; no
/// surrounding space, no NaN, nothing that overflows to infinity or underflows to zero.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    // Scores are mostly small whole numbers.
    if let 1..=DIGITS_EXACT = text.len()
        && let Some(whole) = fold_digits(text)
    {
        return Some(whole as f64);
    }
    let (_, body) = split_sign(text);
    let value = parse_f64_clamped(text)?;
    let lost = value.is_infinite() && !is_infinity(body) || value == 0.0 && !spells_zero(body);
    (!lost).then_some(value)
}

/// The same, but what is out of range is infinite or zero.
pub fn parse_f64_clamped(text: &[u8]) -> Option<f64> {
    let (negative, body) = split_sign(text);
    let magnitude = match body {
        [b'0', b'x' | b'X', hex @ ..] => parse_hex_f64(hex)?,
        [b'0'..=b'9' | b'.', ..] => std::str::from_utf8(body).ok()?.parse::<f64>().ok()?,
        _ if is_infinity(body) => f64::INFINITY,
        _ => return None,
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// The integer that a double prints as, if it does; zero is one whatever its sign.
#[inline]
pub fn whole(value: f64) -> Option<i64> {
    (value.abs() <= WHOLE_MAX && value as i64 as f64 == value).then_some(value as i64)
}

/// The text of a double as Redis replies it: `inf`, `-inf`, `nan`, whole numbers without a point, everything else with
/// few digits that read back equal (`0.1`, `1e+20`, `1.5e-7`).
#[derive(Clone, Copy)]
pub struct F64Text {
    bytes: [u8; F64_TEXT_MAX],
    len: usize,
}

/// Sign, 17 digits, point, and either six zeros after the point or an exponent, or up to 24 digits of a whole number.
const F64_TEXT_MAX: usize = 32;

impl F64Text {
    /// Formats `value`.
    pub fn new(value: f64) -> Self {
        let mut text = F64Text { bytes: [0; F64_TEXT_MAX], len: 0 };
        if value.is_nan() {
            text.push(b"nan");
        } else if value.is_infinite() {
            text.push(if value > 0.0 { b"inf" } else { b"-inf" });
        } else if value == 0.0 {
            text.push(if value.is_sign_negative() { b"-0" } else { b"0" });
        } else if let Some(int) = whole(value) {
            text.push(itoa::Buffer::new().format(int).as_bytes());
        } else {
            text.shortest(value);
        }
        text
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, part: &[u8]) {
        self.bytes[self.len..self.len + part.len()].copy_from_slice(part);
        self.len += part.len();
    }

    fn zeros(&mut self, count: usize) {
        self.bytes[self.len..self.len + count].fill(b'0');
        self.len += count;
    }

    /// Lays out the shortest digits of a finite, non-zero value: plain digits while few zeros are missing behind them,
    /// a point while few zeros are missing before them, else the scientific form.
    fn shortest(&mut self, value: f64) {
        let found = Digits::of(value.abs());
        let (digits, count, exponent) = (found.as_bytes(), found.as_bytes().len(), found.exponent);
        // The power of ten of the first digit, without its sign, as the original judges it.
        let leading = (exponent + count as i32 - 1).unsigned_abs() as usize;
        if value < 0.0 {
            self.push(b"-");
        }
        if exponent >= 0 && leading < count + 7 {
            self.push(digits);
            self.zeros(exponent as usize);
        } else if exponent < 0 && (exponent > -7 || leading < 4) {
            let behind_point = exponent.unsigned_abs() as usize;
            if behind_point >= count {
                self.push(b"0.");
                self.zeros(behind_point - count);
                self.push(digits);
            } else {
                let (whole, fraction) = digits.split_at(count - behind_point);
                self.push(whole);
                self.push(b".");
                self.push(fraction);
            }
        } else {
            self.push(&digits[..1]);
            if count > 1 {
                self.push(b".");
                self.push(&digits[1..]);
            }
            self.push(if exponent + count as i32 > 0 { b"e+" } else { b"e-" });
            self.push(itoa::Buffer::new().format(leading).as_bytes());
        }
    }
}

/// Appends the text of a double (see [`F64Text`]).
pub fn push_f64(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(F64Text::new(value).as_bytes());
}

/// The text of a double as an owned string (see [`F64Text`]).
pub fn format_f64(value: f64) -> Vec<u8> {
    F64Text::new(value).as_bytes().to_vec()
}

/// Appends the decimal of an integer.
pub fn push_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends the decimal of an unsigned integer.
pub fn push_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// How many digits (and sign) the decimal of `value` has.
#[inline]
pub fn decimal_len(value: i64) -> usize {
    let magnitude = value.unsigned_abs();
    let digits = if magnitude == 0 { 1 } else { magnitude.ilog10() as usize + 1 };
    digits + usize::from(value < 0)
}

/// An amount of memory as INFO's `_human` fields show it: `512B`, `1.00K`, `2.34G`.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [char; 5] = ['K', 'M', 'G', 'T', 'P'];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let power = (bytes.ilog2() / 10) as usize;
    match UNITS.get(power - 1) {
        Some(unit) => format!("{:.2}{unit}", bytes as f64 / (1u64 << (10 * power)) as f64),
        None => format!("{bytes}B"),
    }
}

/// What C calls a space in the locale Redis runs in.
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn parse_hex_f64(text: &[u8]) -> Option<f64> {
    let float = HexFloat::parse(text)?;
    if float.mantissa == 0 {
        return Some(0.0);
    }
    // Bring the mantissa to the bits a double keeps at this exponent, rounding to even once.
    let top = 128 - i64::from(float.mantissa.leading_zeros());
    let lowest = (float.exponent + top - 53).max(-1074);
    let drop = lowest - float.exponent;
    let kept = if drop <= 0 {
        float.mantissa << (-drop).min(75)
    } else if drop > 127 {
        0
    } else {
        round_shift(float.mantissa, drop as u32, float.sticky)
    };
    Some(scale_f64(kept as u64, lowest))
}

/// `mantissa * 2^exponent` for a mantissa of at most 54 bits whose product is exact or overflows.
fn scale_f64(mantissa: u64, exponent: i64) -> f64 {
    let mut value = mantissa as f64;
    let mut left = exponent.clamp(-2000, 2000);
    while left > 0 {
        let step = left.min(1000);
        value *= 2f64.powi(step as i32);
        left -= step;
    }
    while left < 0 {
        let step = (-left).min(1000);
        value /= 2f64.powi(step as i32);
        left += step;
    }
    value
}

/// Decimal digits to a number; the caller keeps the count at 19 or less.
fn fold_digits(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, digit| Some(value * 10 + u64::from(digit_of(*digit)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_spelling() {
        for (text, want) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("99999999999999999999", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            (" 1", None),
            ("1 ", None),
            ("1a", None),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), want, "{text:?}");
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"184467440737095516150"), None);
        assert_eq!(parse_u64(b"-1"), None);
        assert_eq!(parse_u64_loose(b" +007"), Some(7));
        assert_eq!(parse_u64_loose(b"-5"), None);
        assert_eq!(parse_u64_loose(b"-0"), Some(0));
        assert_eq!(parse_u64_loose(b"5 "), None);
        assert_eq!(parse_u64_loose(b""), None);
    }

    #[test]
    fn doubles_read_as_strtod_without_space_or_nan() {
        for (text, want) in [
            ("1", Some(1.0)),
            ("-1.5", Some(-1.5)),
            ("+.5", Some(0.5)),
            ("5.", Some(5.0)),
            ("1e3", Some(1000.0)),
            ("1E-3", Some(0.001)),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("+INF", Some(f64::INFINITY)),
            ("0x10", Some(16.0)),
            ("-0x1.8p1", Some(-3.0)),
            ("0x.8", Some(0.5)),
            ("0x1p-1074", Some(5e-324)),
            ("0x1p-1075", None),
            ("0x1.8p-1074", Some(1e-323)),
            ("0x1p1024", None),
            ("0x0p99999", Some(0.0)),
            ("0x1fffffffffffff8", Some(144115188075855872.0)),
            ("5e-324", Some(5e-324)),
            ("1e-400", None),
            ("0e-400", Some(0.0)),
            ("1e400", None),
            ("nan", None),
            ("", None),
            ("-", None),
            (".", None),
            ("e5", None),
            ("1e", None),
            ("1e+", None),
            ("0x", None),
            ("0xg", None),
            (" 1", None),
            ("1 ", None),
            ("--1", None),
            ("1_0", None),
            ("infinit", None),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), want, "{text:?}");
        }
    }

    #[test]
    fn doubles_out_of_range_are_clamped() {
        for (text, want) in [
            ("1e400", Some(f64::INFINITY)),
            ("-0x1p1024", Some(f64::NEG_INFINITY)),
            ("1e-400", Some(0.0)),
            ("0x1p-1075", Some(0.0)),
            ("2.5", Some(2.5)),
            ("-inf", Some(f64::NEG_INFINITY)),
            ("nan", None),
            (" 1", None),
            ("", None),
        ] {
            assert_eq!(parse_f64_clamped(text.as_bytes()), want, "{text:?}");
        }
    }

    #[test]
    fn doubles_print_in_redis_shape() {
        for (value, want) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-3.5, "-3.5"),
            (0.1, "0.1"),
            (3.1, "3.1"),
            (1e18, "1000000000000000000"),
            (4e18, "4000000000000000000"),
            (5e18, "5e+18"),
            (1e20, "1e+20"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-7"),
            (0.0001, "0.0001"),
            (0.000001, "0.000001"),
            (0.0000012, "1.2e-6"),
            (123456.789, "123456.789"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (12345678901234567890.0, "12345678901234567000"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(String::from_utf8(format_f64(value)).expect("ascii"), want);
        }
    }

    #[test]
    fn any_double_survives_the_round_trip() {
        let seed = 0x5eed;
        let mut rng = crate::base::rng::Rng::from_seed(seed);
        for _ in 0..20_000 {
            let value = f64::from_bits(rng.next_u64());
            if value.is_finite() {
                let text = F64Text::new(value);
                assert_eq!(parse_f64(text.as_bytes()).map(f64::to_bits), Some(value.to_bits()), "seed {seed}");
            }
        }
    }

    #[test]
    fn memory_amounts_are_shown_with_their_units() {
        for (bytes, want) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1536, "1.50K"),
            (1 << 20, "1.00M"),
            (1 << 60, "1152921504606846976B"),
        ] {
            assert_eq!(human_bytes(bytes), want);
        }
    }

    #[test]
    fn decimal_len_counts_sign_and_digits() {
        for value in [0, 9, 10, -1, i64::MAX, i64::MIN] {
            assert_eq!(decimal_len(value), value.to_string().len());
        }
    }
}
