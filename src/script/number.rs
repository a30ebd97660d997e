//! Numbers between text and double the way C's `printf("%.14g")` and `strtod` do it, for cjson.

/// Appends `value` with at most `precision` significant digits, as `%.*g` prints it.
pub(super) fn push_general(out: &mut Vec<u8>, value: f64, precision: usize) {
    if !value.is_finite() {
        let text: &[u8] = match (value.is_nan(), value.is_sign_negative()) {
            (true, true) => b"-nan",
            (true, false) => b"nan",
            (false, true) => b"-inf",
            (false, false) => b"inf",
        };
        return out.extend_from_slice(text);
    }
    if value == value.trunc() && value.abs() < 1e14 && precision >= 14 && (value != 0.0 || value.is_sign_positive()) {
        return out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
    }
    let text = format!("{:.*e}", precision - 1, value);
    let (mantissa, exponent) = text.split_once('e').expect("scientific form has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a number");
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let digits = digits.trim_end_matches('0');
    let digits = if digits.is_empty() { "0" } else { digits };
    out.extend_from_slice(sign.as_bytes());
    if (-4..precision as i32).contains(&exponent) {
        push_fixed(out, digits.as_bytes(), exponent);
    } else {
        out.push(digits.as_bytes()[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits.as_bytes()[1..]);
        }
        let (sign, exponent) = if exponent < 0 { ('-', -exponent) } else { ('+', exponent) };
        out.extend_from_slice(format!("e{sign}{exponent:02}").as_bytes());
    }
}

/// `digits` with the point behind the one whose power of ten is 0, when the first one's is `exponent`.
fn push_fixed(out: &mut Vec<u8>, digits: &[u8], exponent: i32) {
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-exponent - 1) as usize, b'0');
        return out.extend_from_slice(digits);
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        out.extend_from_slice(digits);
        out.resize(out.len() + whole - digits.len(), b'0');
    } else {
        out.extend_from_slice(&digits[..whole]);
        out.push(b'.');
        out.extend_from_slice(&digits[whole..]);
    }
}

/// Reads the longest number at the start of `text`, as `strtod` does: decimal, hexadecimal, `inf`, `nan`. Returns it
/// with its length; a length of 0 is no number.
pub(super) fn scan(text: &[u8]) -> (f64, usize) {
    let sign_len = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let negative = text.first() == Some(&b'-');
    let (magnitude, len) = scan_unsigned(&text[sign_len..]);
    if len == 0 {
        return (0.0, 0);
    }
    (if negative { -magnitude } else { magnitude }, sign_len + len)
}

fn scan_unsigned(text: &[u8]) -> (f64, usize) {
    let starts = |word: &[u8]| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    if starts(b"infinity") {
        return (f64::INFINITY, 8);
    }
    if starts(b"inf") {
        return (f64::INFINITY, 3);
    }
    if starts(b"nan") {
        return (f64::NAN, 3 + nan_note(&text[3..]));
    }
    if starts(b"0x") {
        let (value, len) = scan_hex(&text[2..]);
        return if len == 0 { (0.0, 1) } else { (value, 2 + len) };
    }
    let whole = digits(text);
    let mut len = whole;
    if text.get(len) == Some(&b'.') {
        let fraction = digits(&text[len + 1..]);
        if whole + fraction == 0 {
            return (0.0, 0);
        }
        len += 1 + fraction;
    }
    if len == 0 {
        return (0.0, 0);
    }
    if matches!(text.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(len + 1), Some(b'-' | b'+')));
        let exponent = digits(&text[len + 1 + sign..]);
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    let value = std::str::from_utf8(&text[..len]).ok().and_then(|number| number.parse().ok());
    (value.unwrap_or(0.0), len)
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|b| b.is_ascii_digit()).count()
}

/// The length of the `(...)` that may follow `nan`.
fn nan_note(text: &[u8]) -> usize {
    if text.first() != Some(&b'(') {
        return 0;
    }
    let inner = text[1..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    if text.get(inner + 1) == Some(&b')') { inner + 2 } else { 0 }
}

/// Hexadecimal behind `0x`, with a point and a binary exponent.
fn scan_hex(text: &[u8]) -> (f64, usize) {
    let mut value = 0.0f64;
    let mut scale = 0i32;
    let (mut len, mut seen, mut point) = (0, 0, false);
    while let Some(&byte) = text.get(len) {
        match (byte as char).to_digit(16) {
            Some(digit) => {
                value = value * 16.0 + f64::from(digit);
                seen += 1;
                if point {
                    scale = scale.saturating_sub(4);
                }
            }
            None if byte == b'.' && !point => point = true,
            None => break,
        }
        len += 1;
    }
    if seen == 0 {
        return (0.0, 0);
    }
    if matches!(text.get(len), Some(b'p' | b'P')) {
        let sign = usize::from(matches!(text.get(len + 1), Some(b'-' | b'+')));
        let count = digits(&text[len + 1 + sign..]);
        if count > 0 {
            let number = std::str::from_utf8(&text[len + 1 + sign..len + 1 + sign + count]).unwrap_or("");
            let exponent = number.parse::<i32>().unwrap_or(i32::MAX / 2).min(1 << 20);
            scale = scale.saturating_add(if text[len + 1] == b'-' { -exponent } else { exponent });
            len += 1 + sign + count;
        }
    }
    (value * 2f64.powi(scale), len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_as_c_prints_them() {
        let cases: &[(f64, usize, &str)] = &[
            (0.0, 14, "0"),
            (-0.0, 14, "-0"),
            (1.0, 14, "1"),
            (-5000.0, 14, "-5000"),
            (0.1, 14, "0.1"),
            (0.0003, 14, "0.0003"),
            (0.00001, 14, "1e-05"),
            (1e14, 14, "1e+14"),
            (99_999_999_999_999.0, 14, "99999999999999"),
            (9_007_199_254_740_991.0, 14, "9.007199254741e+15"),
            (1e300, 14, "1e+300"),
            (1.0 / 3.0, 14, "0.33333333333333"),
            (std::f64::consts::PI, 3, "3.14"),
            (1234.5, 3, "1.23e+03"),
            (123.0, 14, "123"),
            (f64::INFINITY, 14, "inf"),
        ];
        for (value, precision, want) in cases {
            let mut out = Vec::new();
            push_general(&mut out, *value, *precision);
            assert_eq!(String::from_utf8_lossy(&out), *want);
        }
    }

    #[test]
    fn numbers_are_read_as_far_as_they_go() {
        let cases: &[(&str, f64, usize)] = &[
            ("1", 1.0, 1),
            ("-1.5e3,", -1500.0, 6),
            ("1.", 1.0, 2),
            ("-.5", -0.5, 3),
            ("1e", 1.0, 1),
            ("1e+", 1.0, 1),
            ("0x1F", 31.0, 4),
            ("0x", 0.0, 1),
            ("0x.8p1", 1.0, 6),
            ("inf", f64::INFINITY, 3),
            ("-Infinity", f64::NEG_INFINITY, 9),
            ("-", 0.0, 0),
            (".", 0.0, 0),
            ("x", 0.0, 0),
        ];
        for (text, value, len) in cases {
            assert_eq!(scan(text.as_bytes()), (*value, *len), "{text}");
        }
        assert!(scan(b"nan(12)").0.is_nan());
    }
}
