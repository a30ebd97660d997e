//! The 80-bit floating point of INCRBYFLOAT and HINCRBYFLOAT, in software.
//!
//! Redis adds in C's `long double`, which on its usual machines is x87's format: a 64-bit mantissa without a hidden
//! bit and a 15-bit exponent. Sums and their texts differ from those of `f64` in ordinary cases (`0.1 + 0.2` is `0.3`
//! here), so we carry the same format: read a decimal (rounded to nearest even), add, print with 17 decimals and
//! without trailing zeros. Every step is exact before its one rounding.
//!
//! A finite number is `mantissa * 2^exponent`; the mantissa's top bit is set unless the number is subnormal (exponent
//! at its minimum) or zero.

use super::spelling::{HexFloat, is_infinity, parse_exponent, round_shift, spells_zero, split_sign};

/// The exponent of the lowest bit of the smallest numbers.
const EXPONENT_MIN: i64 = -16445;
/// The exponent of the lowest bit of the largest numbers.
const EXPONENT_MAX: i64 = 16320;
/// How many digits Redis prints behind the point.
const DECIMALS: u32 = 17;
/// Texts of this length and more are refused (the size of Redis' buffer for them).
const TEXT_MAX: usize = 5 * 1024;
/// Decimals of at most this many digits fit a `u64`.
const FAST_DIGITS: usize = 19;
/// Five to this power still fits a `u64`.
const FAST_POWER: i64 = 27;

/// An x87 extended-precision number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Finite { mantissa: u64, exponent: i64 },
    Infinite,
    NotANumber,
}

impl LongDouble {
    /// Reads a number as Redis accepts one for INCRBYFLOAT: what `strtold` takes whole, without leading space; no NaN,
    /// nothing that overflows or underflows to zero, fewer than 5 KiB of text.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= TEXT_MAX {
            return None;
        }
        let (negative, body) = split_sign(text);
        if is_infinity(body) {
            return Some(LongDouble { negative, kind: Kind::Infinite });
        }
        let value = match body {
            [b'0', b'x' | b'X', hex @ ..] => from_hex(negative, hex)?,
            _ => from_decimal(negative, body)?,
        };
        let lost = value.kind == Kind::Infinite || (value.is_zero() && !spells_zero(body));
        (!lost).then_some(value)
    }

    /// The number itself: every `i64` is exact.
    pub fn from_i64(value: i64) -> Self {
        round(value < 0, u128::from(value.unsigned_abs()), 0, false)
    }

    /// The 64-bit mantissa, its top bit set, and the exponent of a power of ten within a double's range.
    pub(super) fn power_of_ten(power: i64) -> (u64, i64) {
        match scale_decimal(false, &[1], power).kind {
            Kind::Finite { mantissa, exponent } => (mantissa, exponent),
            _ => unreachable!("powers of ten up to 4932 are finite"),
        }
    }

    /// Neither infinite nor NaN.
    pub fn is_finite(self) -> bool {
        matches!(self.kind, Kind::Finite { .. })
    }

    /// The text Redis stores: 17 decimals, trailing zeros and a trailing point removed; no exponent ever.
    pub fn to_text(self) -> Vec<u8> {
        let (mantissa, exponent) = match self.kind {
            Kind::NotANumber => return if self.negative { b"-nan".to_vec() } else { b"nan".to_vec() },
            Kind::Infinite => return if self.negative { b"-inf".to_vec() } else { b"inf".to_vec() },
            Kind::Finite { mantissa, exponent } => (mantissa, exponent),
        };
        let mut text = Vec::with_capacity(40);
        if self.negative {
            text.push(b'-');
        }
        if exponent >= 0 {
            let mut big = Big::from(mantissa);
            big.shift_left(exponent as usize);
            big.push_decimal(&mut text);
        } else {
            push_fixed(&mut text, mantissa, exponent.unsigned_abs());
        }
        if text == b"-0" {
            text.remove(0);
        }
        text
    }

    /// So many seconds in milliseconds, rounded up; what is beyond an `i64` may be too small by any amount, but is beyond.
    pub fn seconds_in_ms(self) -> i128 {
        let sign = if self.negative { -1 } else { 1 };
        let product = match self.kind {
            Kind::Finite { mantissa, exponent } => round(false, u128::from(mantissa) * 1000, exponent, false).kind,
            other => other,
        };
        let Kind::Finite { mantissa, exponent } = product else { return sign * i128::from(u64::MAX) };
        let (whole, more) = align(mantissa, exponent);
        sign * (whole as i128) + i128::from(more && !self.negative)
    }

    fn is_zero(self) -> bool {
        matches!(self.kind, Kind::Finite { mantissa: 0, .. })
    }

    fn add_special(self, other: Self) -> Self {
        match (self.kind, other.kind) {
            (Kind::NotANumber, _) => self,
            (_, Kind::NotANumber) => other,
            (Kind::Infinite, Kind::Infinite) if self.negative != other.negative => {
                LongDouble { negative: true, kind: Kind::NotANumber }
            }
            (Kind::Infinite, _) => self,
            _ => other,
        }
    }
}

impl std::ops::Add for LongDouble {
    type Output = Self;

    /// The sum, rounded to nearest even.
    fn add(self, other: Self) -> Self {
        let (Kind::Finite { mantissa: a, exponent: a_exp }, Kind::Finite { mantissa: b, exponent: b_exp }) =
            (self.kind, other.kind)
        else {
            return self.add_special(other);
        };
        if a == 0 && b == 0 {
            return LongDouble { negative: self.negative && other.negative, ..self };
        }
        // The one with the higher lowest bit goes to the top of 128 bits, minus one for the carry; zero goes anywhere.
        let (big, small) = if b == 0 || (a != 0 && a_exp >= b_exp) {
            ((self.negative, a, a_exp), (other.negative, b, b_exp))
        } else {
            ((other.negative, b, b_exp), (self.negative, a, a_exp))
        };
        let exponent = big.2 - 63;
        let high = u128::from(big.1) << 63;
        let (low, sticky) = align(small.1, small.2 - exponent);
        if big.0 == small.0 {
            return round(big.0, high + low, exponent, sticky);
        }
        match high.cmp(&low) {
            std::cmp::Ordering::Equal if !sticky => LongDouble { negative: false, ..from_parts(0, EXPONENT_MIN) },
            // Lost low bits make the difference a little smaller: borrow one and keep the rest as sticky.
            std::cmp::Ordering::Greater => round(big.0, high - low - u128::from(sticky), exponent, sticky),
            _ => round(small.0, low - high, exponent, sticky),
        }
    }
}

fn from_parts(mantissa: u64, exponent: i64) -> LongDouble {
    LongDouble { negative: false, kind: Kind::Finite { mantissa, exponent } }
}

/// Shifts a mantissa by `shift` bits (left if positive) into 128 bits; tells whether bits fell off.
fn align(mantissa: u64, shift: i64) -> (u128, bool) {
    let wide = u128::from(mantissa);
    if shift >= 0 {
        return (wide << shift.min(63), false);
    }
    let drop = shift.unsigned_abs();
    if drop >= 64 {
        return (0, mantissa != 0);
    }
    (wide >> drop, wide & ((1 << drop) - 1) != 0)
}

/// `mantissa * 2^exponent` (plus a little, if `sticky`) rounded to the format.
fn round(negative: bool, mantissa: u128, exponent: i64, sticky: bool) -> LongDouble {
    if mantissa == 0 {
        return LongDouble { negative, ..from_parts(0, EXPONENT_MIN) };
    }
    let top = 128 - i64::from(mantissa.leading_zeros());
    let lowest = (exponent + top - 64).max(EXPONENT_MIN);
    let drop = lowest - exponent;
    let (mut kept, mut lowest) = match drop {
        ..=0 => (mantissa << (-drop).min(127), lowest),
        1..=127 => (round_shift(mantissa, drop as u32, sticky), lowest),
        _ => (0, lowest),
    };
    if kept >> 64 != 0 {
        kept >>= 1;
        lowest += 1;
    }
    if lowest > EXPONENT_MAX {
        return LongDouble { negative, kind: Kind::Infinite };
    }
    LongDouble { negative, ..from_parts(kept as u64, lowest) }
}

fn from_hex(negative: bool, text: &[u8]) -> Option<LongDouble> {
    let float = HexFloat::parse(text)?;
    Some(round(negative, float.mantissa, float.exponent, float.sticky))
}

/// Reads digits, a point, digits and an exponent.
fn from_decimal(negative: bool, body: &[u8]) -> Option<LongDouble> {
    let (numeral, power) = match body.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&body[..at], parse_exponent(&body[at + 1..])?),
        None => (body, 0),
    };
    let mut digits = Vec::with_capacity(numeral.len());
    let (mut point, mut power, mut seen) = (false, power, 0usize);
    for byte in numeral {
        match byte {
            b'.' if !point => point = true,
            b'0'..=b'9' => {
                seen += 1;
                power -= i64::from(point);
                if !digits.is_empty() || *byte != b'0' {
                    digits.push(*byte - b'0');
                }
            }
            _ => return None,
        }
    }
    if seen == 0 {
        return None;
    }
    while digits.last() == Some(&0) {
        digits.pop();
        power += 1;
    }
    Some(scale_decimal(negative, &digits, power))
}

/// The number `digits * 10^power`, digits without zeros at either end.
fn scale_decimal(negative: bool, digits: &[u8], power: i64) -> LongDouble {
    let leading = power + digits.len() as i64;
    if digits.is_empty() || leading < -5000 {
        return round(negative, 0, 0, false);
    }
    if leading > 5000 {
        return LongDouble { negative, kind: Kind::Infinite };
    }
    if digits.len() <= FAST_DIGITS && power.abs() <= FAST_POWER {
        let number = digits.iter().fold(0u64, |value, digit| value * 10 + u64::from(*digit));
        return scale_fast(negative, number, power);
    }
    scale_slow(negative, digits, power)
}

/// 128 bits hold every step when number and power of five fit 64 each.
fn scale_fast(negative: bool, number: u64, power: i64) -> LongDouble {
    let fives = 5u128.pow(power.unsigned_abs() as u32);
    if power >= 0 {
        return round(negative, u128::from(number) * fives, power, false);
    }
    // A numerator of 127 bits over at most 63 leaves a quotient of 64 or more; the remainder is the sticky bit.
    let shift = number.leading_zeros() as i64 + 63;
    let numerator = u128::from(number) << shift;
    round(negative, numerator / fives, power - shift, !numerator.is_multiple_of(fives))
}

/// Long numerals: the same with big integers.
fn scale_slow(negative: bool, digits: &[u8], power: i64) -> LongDouble {
    let mut number = Big::from(0);
    for chunk in digits.chunks(9) {
        let value = chunk.iter().fold(0u32, |value, digit| value * 10 + u32::from(*digit));
        number.multiply_add(10u32.pow(chunk.len() as u32), value);
    }
    let mut fives = Big::from(1);
    for _ in 0..power.unsigned_abs() {
        fives.multiply_add(5, 0);
    }
    if power >= 0 {
        for _ in 0..power {
            number.multiply_add(5, 0);
        }
        let (top, exponent, sticky) = number.top_bits();
        return round(negative, top, exponent + power, sticky);
    }
    // Shift until the quotient has more than 64 and at most 128 bits, then divide bit by bit.
    let shift = (fives.bits() + 66).saturating_sub(number.bits());
    number.shift_left(shift);
    let (quotient, sticky) = number.divide(&fives);
    let (top, exponent, lost) = quotient.top_bits();
    round(negative, top, exponent + power - shift as i64, sticky || lost)
}

/// Prints `mantissa / 2^drop` with [`DECIMALS`] decimals rounded to even, then strips zeros.
fn push_fixed(text: &mut Vec<u8>, mantissa: u64, drop: u64) {
    const SCALE: u64 = 10u64.pow(DECIMALS);
    let (mut whole, fraction) =
        if drop >= 64 { (0, mantissa) } else { (mantissa >> drop, mantissa & ((1 << drop) - 1)) };
    let scaled = u128::from(fraction) * u128::from(SCALE);
    let mut decimals = if drop > 127 { 0 } else { round_shift(scaled, drop as u32, false) as u64 };
    if decimals >= SCALE {
        decimals -= SCALE;
        whole += 1;
    }
    text.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    if decimals != 0 {
        let digits = format!(".{decimals:017}");
        text.extend_from_slice(digits.trim_end_matches('0').as_bytes());
    }
}

/// A natural number of any size, 32 bits a limb, lowest first, no zero limb on top.
struct Big {
    limbs: Vec<u32>,
}

impl From<u64> for Big {
    fn from(value: u64) -> Self {
        let mut big = Big { limbs: vec![value as u32, (value >> 32) as u32] };
        big.trim();
        big
    }
}

impl Big {
    fn trim(&mut self) {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }

    fn bits(&self) -> usize {
        self.limbs.last().map_or(0, |top| self.limbs.len() * 32 - top.leading_zeros() as usize)
    }

    fn multiply_add(&mut self, factor: u32, addend: u32) {
        let mut carry = u64::from(addend);
        for limb in &mut self.limbs {
            carry += u64::from(*limb) * u64::from(factor);
            *limb = carry as u32;
            carry >>= 32;
        }
        if carry != 0 {
            self.limbs.push(carry as u32);
        }
    }

    fn shift_left(&mut self, bits: usize) {
        let mut carry = 0u64;
        for limb in &mut self.limbs {
            carry |= u64::from(*limb) << (bits % 32);
            *limb = carry as u32;
            carry >>= 32;
        }
        if carry != 0 {
            self.limbs.push(carry as u32);
        }
        let words = bits / 32;
        self.limbs.splice(0..0, std::iter::repeat_n(0, words));
    }

    /// Divides in place, returning the remainder.
    fn divide_small(&mut self, divisor: u32) -> u32 {
        let mut rest = 0u64;
        for limb in self.limbs.iter_mut().rev() {
            rest = rest << 32 | u64::from(*limb);
            *limb = (rest / u64::from(divisor)) as u32;
            rest %= u64::from(divisor);
        }
        self.trim();
        rest as u32
    }

    /// Schoolbook division by shift and subtract, of a quotient of at most 68 bits; tells whether a remainder is left.
    fn divide(self, divisor: &Big) -> (Big, bool) {
        let steps = self.bits().saturating_sub(divisor.bits()) + 1;
        let mut rest = self;
        let mut quotient = 0u128;
        for step in (0..steps).rev() {
            let mut part = Big { limbs: divisor.limbs.clone() };
            part.shift_left(step);
            quotient <<= 1;
            if rest.at_least(&part) {
                rest.subtract(&part);
                quotient |= 1;
            }
        }
        let mut limbs: Vec<u32> = (0..4).map(|word| (quotient >> (32 * word)) as u32).collect();
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        (Big { limbs }, !rest.limbs.is_empty())
    }

    fn at_least(&self, other: &Big) -> bool {
        (self.limbs.len(), self.limbs.iter().rev().collect::<Vec<_>>())
            >= (other.limbs.len(), other.limbs.iter().rev().collect::<Vec<_>>())
    }

    /// Subtracts a number not larger than this one.
    fn subtract(&mut self, other: &Big) {
        let mut borrow = 0i64;
        for (at, limb) in self.limbs.iter_mut().enumerate() {
            let part = i64::from(*limb) - i64::from(other.limbs.get(at).copied().unwrap_or(0)) + borrow;
            *limb = part as u32;
            borrow = part >> 32;
        }
        self.trim();
    }

    /// The highest 128 bits, the exponent of their lowest, and whether anything lies below.
    fn top_bits(&self) -> (u128, i64, bool) {
        let skipped = self.limbs.len().saturating_sub(4);
        let top = self.limbs[skipped..].iter().rev().fold(0u128, |value, limb| value << 32 | u128::from(*limb));
        (top, 32 * skipped as i64, self.limbs[..skipped].iter().any(|limb| *limb != 0))
    }

    fn push_decimal(mut self, text: &mut Vec<u8>) {
        let mut groups = Vec::new();
        while !self.limbs.is_empty() {
            groups.push(self.divide_small(1_000_000_000));
        }
        let first = groups.pop().unwrap_or(0);
        text.extend_from_slice(first.to_string().as_bytes());
        for group in groups.iter().rev() {
            text.extend_from_slice(format!("{group:09}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> String {
        let a = LongDouble::parse(a.as_bytes()).expect("number");
        let b = LongDouble::parse(b.as_bytes()).expect("number");
        String::from_utf8((a + b).to_text()).expect("ascii")
    }

    /// Every line is an answer of a real server.
    #[test]
    fn sums_agree_with_the_original() {
        for (a, b, want) in [
            ("0", "3.1", "3.1"),
            ("0.1", "0.2", "0.3"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("1", "-1", "0"),
            ("0", "-0", "0"),
            ("-0.1", "0.1", "0"),
            ("0", "1.23456789012345678901234567890", "1.23456789012345679"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("0", "18446744073709551617", "18446744073709551616"),
            ("0", "1e30", "1000000000000000000024696061952"),
            ("0", "0x1p70", "1180591620717411303424"),
            ("0", "1e-17", "0.00000000000000001"),
            ("0", "1e-20", "0"),
            ("1", "1e-20", "1"),
            ("0", "0.999999999999999999", "1"),
        ] {
            assert_eq!(sum(a, b), want, "{a} + {b}");
        }
    }

    #[test]
    fn seconds_are_rounded_up_to_milliseconds() {
        for (text, want) in [
            ("0", 0),
            ("-0", 0),
            ("0.001", 1),
            ("0.0011", 2),
            ("2.5", 2500),
            ("1e-4950", 1),
            ("-0.0009", 0),
            ("-0.0011", -1),
            ("9223372036854775.807", i128::from(i64::MAX)),
        ] {
            assert_eq!(LongDouble::parse(text.as_bytes()).unwrap().seconds_in_ms(), want, "{text}");
        }
        for text in ["9223372036854775.808", "1e4931", "inf", "0x1p16000"] {
            let number = LongDouble::parse(text.as_bytes()).unwrap();
            assert!(number.seconds_in_ms() > i128::from(i64::MAX), "{text}");
        }
    }

    #[test]
    fn odd_texts_are_refused() {
        for text in ["", " 1", "1 ", "nan", ".", "e1", "1e", "1e5000", "1e-5000", "0x", "1.2.3", "--1", "1\0"] {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text:?}");
        }
        assert!(LongDouble::parse(b"1e4932").is_some());
        assert!(LongDouble::parse(b"inf").is_some_and(|value| !value.is_finite()));
    }

    /// Against f64, where both are exact: small integers over a power of two.
    #[test]
    fn exact_sums_are_exact() {
        let mut rng = crate::base::rng::Rng::from_seed(7);
        for _ in 0..2000 {
            let a = (rng.next_u64() >> 30) as f64 / 1024.0 - 8e6;
            let b = (rng.next_u64() >> 30) as f64 / 1024.0 - 8e6;
            let want = format!("{:.10}", a + b);
            assert_eq!(sum(&format!("{a:.10}"), &format!("{b:.10}")), want.trim_end_matches('0').trim_end_matches('.'));
        }
    }

    /// The fast and the slow way to read a decimal agree.
    #[test]
    fn long_numerals_agree_with_short_ones() {
        let mut rng = crate::base::rng::Rng::from_seed(11);
        for _ in 0..500 {
            let digits: Vec<u8> = (rng.next_u64() >> 1).to_string().bytes().map(|byte| byte - b'0').collect();
            let power = rng.below(50) as i64 - 25;
            let number = digits.iter().fold(0u64, |value, digit| value * 10 + u64::from(*digit));
            assert_eq!(scale_fast(false, number, power), scale_slow(false, &digits, power), "{number}e{power}");
        }
    }
}
