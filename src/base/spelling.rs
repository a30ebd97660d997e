//! How floats are spelled, for both widths: signs, hexadecimal mantissas, exponents, and the rounding of a cut mantissa.
//!
//! [`super::num`] reads doubles with these, [`super::longdouble`] the 80-bit numbers of INCRBYFLOAT. The grammar is that
//! of C's `strtod` without surrounding space and NaN.

/// A leading `+` or `-` taken off: is it negative, and the rest.
pub(super) fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// Is the unsigned text `inf` or `infinity` in any case?
pub(super) fn is_infinity(body: &[u8]) -> bool {
    body.eq_ignore_ascii_case(b"inf") || body.eq_ignore_ascii_case(b"infinity")
}

/// The value of `0x..` without its prefix, as mantissa times a power of two; `sticky` tells that lower bits were lost.
pub(super) struct HexFloat {
    pub(super) mantissa: u128,
    pub(super) exponent: i64,
    pub(super) sticky: bool,
}

impl HexFloat {
    /// Reads `hhh.hhhp+d`: at least one digit, the exponent optional.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let mut float = HexFloat { mantissa: 0, exponent: 0, sticky: false };
        let mut digits = 0usize;
        let mut point = false;
        let mut rest = text;
        while let [byte, tail @ ..] = rest {
            match (*byte as char).to_digit(16) {
                Some(digit) => {
                    digits += 1;
                    float.push_digit(digit, point);
                }
                None if *byte == b'.' && !point => point = true,
                None => break,
            }
            rest = tail;
        }
        if digits == 0 {
            return None;
        }
        if let [b'p' | b'P', power @ ..] = rest {
            float.exponent += parse_exponent(power)?;
        } else if !rest.is_empty() {
            return None;
        }
        Some(float)
    }

    fn push_digit(&mut self, digit: u32, behind_point: bool) {
        if self.mantissa >> 120 == 0 {
            self.mantissa = self.mantissa << 4 | u128::from(digit);
            self.exponent -= if behind_point { 4 } else { 0 };
        } else {
            self.sticky |= digit != 0;
            self.exponent += if behind_point { 0 } else { 4 };
        }
    }
}

/// The exponent behind an `e` or `p`: a sign and digits, clamped to what decides between zero and infinity anyway.
pub(super) fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = split_sign(text);
    if digits.is_empty() {
        return None;
    }
    let mut value = 0i64;
    for digit in digits {
        value = (value * 10 + i64::from(digit_of(*digit)?)).min(1_000_000_000);
    }
    Some(if negative { -value } else { value })
}

/// Does the unsigned numeral (decimal or hexadecimal) have no digit but zero before its exponent?
pub(super) fn spells_zero(body: &[u8]) -> bool {
    let (digits, exponent_mark) = match body {
        [b'0', b'x' | b'X', hex @ ..] => (hex, b'p'),
        _ => (body, b'e'),
    };
    digits.iter().take_while(|byte| byte.to_ascii_lowercase() != exponent_mark).all(|byte| matches!(byte, b'0' | b'.'))
}

/// `value >> drop` rounded to nearest, ties to even; `sticky` says that bits below were already lost. `drop` in 1..=127.
pub(super) fn round_shift(value: u128, drop: u32, sticky: bool) -> u128 {
    let kept = value >> drop;
    let lost = value & ((1 << drop) - 1);
    let half = 1 << (drop - 1);
    let up = lost > half || (lost == half && (sticky || kept & 1 == 1));
    kept + u128::from(up)
}

/// The value of a decimal digit.
pub(super) fn digit_of(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}
