//! The digits of a double: Grisu2 (Loitsch, "Printing floating-point numbers quickly and accurately with integers",
//! PLDI 2010).
//!
//! Redis prints doubles by this algorithm, which finds digits that read back as the same number, in nearly all cases the
//! fewest possible, and in about one of five hundred one digit more. Algorithms that always find the fewest (Ryū,
//! Schubfach) would therefore print some scores differently, so we go the same way, down to which power of ten scales
//! the number.

use super::longdouble::LongDouble;
use std::sync::LazyLock;

/// Digits, how many, and the power of ten of the last one.
pub struct Digits {
    bytes: [u8; 18],
    len: usize,
    /// The power of ten of the last digit.
    pub exponent: i32,
}

impl Digits {
    /// The digits of a positive finite number.
    pub fn of(value: f64) -> Digits {
        debug_assert!(value > 0.0 && value.is_finite());
        let number = Scaled::from(value);
        let (lower, upper) = boundaries(number);
        let (power, decimal) = power_for(upper.exponent);
        let lower = lower.times(power);
        let upper = upper.times(power);
        let number = number.normalized().times(power);
        // A unit inwards on both sides pays for the inexactness of the power.
        let bounds = Bounds { number: number.mantissa, lower: lower.mantissa + 1, upper: upper.mantissa - 1 };
        let mut digits = Digits { bytes: [0; 18], len: 0, exponent: -decimal };
        digits.generate(&bounds, upper.exponent.unsigned_abs());
        digits
    }

    /// The digits as text, at least one, no zero in front.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, digit: u64) {
        if digit != 0 || self.len > 0 {
            self.bytes[self.len] = b'0' + digit as u8;
            self.len += 1;
        }
    }

    /// Takes digits off the upper bound until what is left lies within the bounds. `fraction_bits` of them lie behind the
    /// binary point.
    fn generate(&mut self, bounds: &Bounds, fraction_bits: u32) {
        let one = 1u64 << fraction_bits;
        let distance = bounds.upper - bounds.number;
        let mut width = bounds.upper - bounds.lower;
        let mut whole = bounds.upper >> fraction_bits;
        let mut fraction = bounds.upper & (one - 1);
        for power in (0..10).rev() {
            let unit = 10u64.pow(power);
            self.push(whole / unit);
            whole %= unit;
            let rest = (whole << fraction_bits) + fraction;
            if rest <= width {
                self.exponent += power as i32;
                return self.round(width, rest, unit << fraction_bits, distance);
            }
        }
        let mut scale = 1u64;
        loop {
            fraction *= 10;
            width *= 10;
            scale = scale.wrapping_mul(10);
            self.exponent -= 1;
            self.push(fraction >> fraction_bits);
            fraction &= one - 1;
            if fraction < width {
                return self.round(width, fraction, one, distance.wrapping_mul(scale));
            }
        }
    }

    /// Lowers the last digit while that comes closer to the number and stays within the bounds. All in units of the
    /// digit's `unit`: `rest` is how far below the upper bound the digits are, `distance` how far the number is.
    fn round(&mut self, width: u64, mut rest: u64, unit: u64, distance: u64) {
        while rest < distance
            && width - rest >= unit
            && (rest + unit < distance || distance - rest > rest + unit - distance)
        {
            self.bytes[self.len - 1] -= 1;
            rest += unit;
        }
    }
}

/// The number and the middle between it and its neighbours, scaled alike.
struct Bounds {
    number: u64,
    lower: u64,
    upper: u64,
}

/// `mantissa * 2^exponent`.
#[derive(Clone, Copy)]
struct Scaled {
    mantissa: u64,
    exponent: i32,
}

const HIDDEN_BIT: u64 = 1 << 52;

impl From<f64> for Scaled {
    fn from(value: f64) -> Scaled {
        let bits = value.to_bits();
        let (mantissa, exponent) = (bits & (HIDDEN_BIT - 1), (bits >> 52 & 0x7ff) as i32);
        match exponent {
            0 => Scaled { mantissa, exponent: -1074 },
            _ => Scaled { mantissa: mantissa | HIDDEN_BIT, exponent: exponent - 1075 },
        }
    }
}

impl Scaled {
    /// The same number with the top bit of its mantissa set.
    fn normalized(self) -> Scaled {
        let shift = self.mantissa.leading_zeros();
        Scaled { mantissa: self.mantissa << shift, exponent: self.exponent - shift as i32 }
    }

    /// The product, rounded to 64 bits.
    fn times(self, other: Scaled) -> Scaled {
        let product = u128::from(self.mantissa) * u128::from(other.mantissa) + (1 << 63);
        Scaled { mantissa: (product >> 64) as u64, exponent: self.exponent + other.exponent + 64 }
    }
}

/// The middles between a number and its lower and upper neighbour, both with the exponent of the normalized upper one.
fn boundaries(number: Scaled) -> (Scaled, Scaled) {
    let upper = Scaled { mantissa: (number.mantissa << 1) + 1, exponent: number.exponent - 1 }.normalized();
    // Below a power of two the neighbours are twice as close.
    let shift = if number.mantissa == HIDDEN_BIT { 2 } else { 1 };
    let lower = (number.mantissa << shift) - 1;
    let lower = lower << (number.exponent - shift - upper.exponent);
    (Scaled { mantissa: lower, exponent: upper.exponent }, upper)
}

const POWER_FIRST: i32 = -348;
const POWER_STEP: i32 = 8;
const POWER_COUNT: usize = 87;

/// Every eighth power of ten, rounded to 64 bits.
static POWERS: LazyLock<[Scaled; POWER_COUNT]> = LazyLock::new(|| {
    std::array::from_fn(|index| {
        let power = POWER_FIRST + POWER_STEP * index as i32;
        let (mantissa, exponent) = LongDouble::power_of_ten(i64::from(power));
        Scaled { mantissa, exponent: exponent as i32 }
    })
});

/// The power of ten that brings a number of this exponent to one between -60 and -32, and its decimal exponent. Where
/// two would, the one nearer to the first guess is taken.
fn power_for(exponent: i32) -> (Scaled, i32) {
    const LOG10_2: f64 = 0.301_029_995_663_981_14;
    let guess = (-f64::from(exponent + POWER_COUNT as i32) * LOG10_2) as i32;
    let mut index = (guess - POWER_FIRST) / POWER_STEP;
    loop {
        let power = POWERS[index as usize];
        match exponent + power.exponent + 64 {
            ..-60 => index += 1,
            -60..=-32 => return (power, POWER_FIRST + POWER_STEP * index),
            _ => index -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn text(value: f64) -> (String, i32) {
        let digits = Digits::of(value);
        (String::from_utf8_lossy(digits.as_bytes()).into_owned(), digits.exponent)
    }

    /// Some have a shorter form which this algorithm, and therefore Redis, does not find.
    #[test]
    fn digits_as_redis_prints_them() {
        for (value, digits, exponent) in [
            (0.1, "1", -1),
            (3.14, "314", -2),
            (1e23, "9999999999999999", 7),
            (5e-324, "5", -324),
            (f64::MAX, "17976931348623157", 292),
            (f64::MIN_POSITIVE, "22250738585072014", -324),
            (9007199254740993.0, "9007199254740992", 0),
            (1.547182503134182e-78, "15471825031341819", -94),
            (1626983080611305.8, "16269830806113057", -1),
            (2.80827964618071e-115, "28082796461807102", -131),
            (3.9517555940413205e244, "39517555940413204", 228),
        ] {
            assert_eq!(text(value), (digits.to_string(), exponent), "{value:e}");
        }
    }

    #[test]
    fn digits_read_back_and_are_rarely_too_many() {
        let mut rng = Rng::from_seed(17);
        let (mut all, mut longer) = (0, 0);
        while all < 20_000 {
            let value = f64::from_bits(rng.next_u64() >> 1);
            if !value.is_finite() || value == 0.0 {
                continue;
            }
            let (digits, exponent) = text(value);
            assert_eq!(format!("{digits}e{exponent}").parse(), Ok(value));
            let fewest = format!("{value:e}").split('e').next().map_or(0, |m| m.replace('.', "").len());
            longer += u32::from(digits.len() > fewest);
            all += 1;
        }
        assert!(longer < all / 200, "{longer} of {all} have a digit more");
    }
}
