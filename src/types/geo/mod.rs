//! Geohash cells, distances and areas.
//!
//! A position is a score of a sorted set: 26 bits of longitude and 26 of latitude, interleaved (longitude in the odd
//! bits), so that near positions mostly have near scores and a cell of the grid is one range of scores. A search covers
//! its shape by a cell and its eight neighbours ([`cover`]), reads those score ranges and keeps the members that lie
//! inside.
//!
//! ```text
//! step 1   10 | 11      two bits per step: longitude half, latitude half
//! (of 26)  ---+---
//!          00 | 01      the cell "11" at step 1 = the scores 0b11 << 50 .. 0b100 << 50
//! ```
//!
//! Latitudes end at +-85.05112878 as in Web Mercator (EPSG:900913). The earth is a sphere of the radius that Redis
//! uses, and every formula keeps the order of its floating point operations: scores, distances and the order of
//! results are compared with the original bit by bit.

pub mod cover;
pub mod shape;

/// The northernmost latitude a position can have, in degrees; the southernmost is its negative.
pub const LATITUDE_MAX: f64 = 85.05112878;
/// The easternmost longitude in degrees; the westernmost is its negative.
pub const LONGITUDE_MAX: f64 = 180.0;

/// Bits per axis of a full position.
pub(crate) const STEP_MAX: u32 = 26;

const EARTH_RADIUS_METERS: f64 = 6_372_797.560_856;
const RADIANS_PER_DEGREE: f64 = std::f64::consts::PI / 180.0;

/// A position in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// East is positive, -180 to 180.
    pub longitude: f64,
    /// North is positive, -85.05112878 to 85.05112878.
    pub latitude: f64,
}

impl Point {
    /// A position, if it lies within the limits.
    pub fn new(longitude: f64, latitude: f64) -> Option<Point> {
        let inside = longitude.abs() <= LONGITUDE_MAX && latitude.abs() <= LATITUDE_MAX;
        inside.then_some(Point { longitude, latitude })
    }

    /// The score of this position: 52 bits.
    pub fn score(self) -> u64 {
        Cell::at(self, STEP_MAX, LATITUDE_MAX).bits
    }

    /// The middle of the smallest cell that a score names. Scores that no position has are clamped to the limits.
    pub fn of_score(score: f64) -> Point {
        let bits = score as i64 as u64;
        let area = Cell { bits, step: STEP_MAX }.area();
        let middle = |min: f64, max: f64, limit: f64| ((min + max) / 2.0).clamp(-limit, limit);
        Point {
            longitude: middle(area.longitude.0, area.longitude.1, LONGITUDE_MAX),
            latitude: middle(area.latitude.0, area.latitude.1, LATITUDE_MAX),
        }
    }

    /// The standard geohash of this position, 11 characters of which the last is always `0`: it spans all latitudes up
    /// to the poles, unlike the scores.
    pub fn geohash(self) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let bits = Cell::at(self, STEP_MAX, 90.0).bits;
        let mut text = [b'0'; 11];
        for (at, letter) in text[..10].iter_mut().enumerate() {
            *letter = ALPHABET[(bits >> (52 - (at + 1) * 5)) as usize & 31];
        }
        text
    }

    /// The distance to another position in meters, by the haversine formula.
    pub fn distance(self, other: Point) -> f64 {
        let v = ((radians(other.longitude) - radians(self.longitude)) / 2.0).sin();
        if v == 0.0 {
            return self.latitude_distance(other);
        }
        let (from, to) = (radians(self.latitude), radians(other.latitude));
        let u = ((to - from) / 2.0).sin();
        let a = u * u + from.cos() * to.cos() * v * v;
        2.0 * EARTH_RADIUS_METERS * a.sqrt().asin()
    }

    /// The distance to another position along a meridian only, in meters.
    fn latitude_distance(self, other: Point) -> f64 {
        EARTH_RADIUS_METERS * (radians(other.latitude) - radians(self.latitude)).abs()
    }
}

fn radians(degrees: f64) -> f64 {
    degrees * RADIANS_PER_DEGREE
}

fn degrees(radians: f64) -> f64 {
    radians / RADIANS_PER_DEGREE
}

/// A unit of length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeoUnit {
    /// `m`
    Meters,
    /// `km`
    Kilometers,
    /// `ft`
    Feet,
    /// `mi`
    Miles,
}

impl GeoUnit {
    /// Reads the name of a unit in any case.
    pub fn parse(name: &[u8]) -> Option<GeoUnit> {
        let units: [(&[u8], GeoUnit); 4] =
            [(b"m", GeoUnit::Meters), (b"km", GeoUnit::Kilometers), (b"ft", GeoUnit::Feet), (b"mi", GeoUnit::Miles)];
        units.into_iter().find(|(text, _)| name.eq_ignore_ascii_case(text)).map(|(_, unit)| unit)
    }

    /// How many meters one of it is.
    pub fn meters(self) -> f64 {
        match self {
            GeoUnit::Meters => 1.0,
            GeoUnit::Kilometers => 1000.0,
            GeoUnit::Feet => 0.3048,
            GeoUnit::Miles => 1609.34,
        }
    }
}

/// A distance as replies show it: four decimals.
pub fn distance_text(distance: f64) -> String {
    let scaled = (distance * 10_000.0).round_ties_even() as u64;
    format!("{}.{:04}", scaled / 10_000, scaled % 10_000)
}

/// A cell of the grid: the leading `2 * step` bits of a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    bits: u64,
    step: u32,
}

/// The borders of a cell in degrees, lower and upper.
struct Area {
    longitude: (f64, f64),
    latitude: (f64, f64),
}

const LATITUDE_BITS: u64 = 0x5555_5555_5555_5555;
const LONGITUDE_BITS: u64 = !LATITUDE_BITS;

impl Cell {
    /// The cell that holds a position, on a grid whose latitudes span `-latitude_max..latitude_max`.
    fn at(point: Point, step: u32, latitude_max: f64) -> Cell {
        let steps = (1u64 << step) as f64;
        let part = |value: f64, limit: f64| ((value + limit) / (limit - -limit) * steps) as u64 as u32;
        let (x, y) = (part(point.longitude, LONGITUDE_MAX), part(point.latitude, latitude_max));
        Cell { bits: spread(y) | spread(x) << 1, step }
    }

    fn area(self) -> Area {
        let steps = (1u64 << self.step) as f64;
        let part = |at: u32, limit: f64| -limit + (f64::from(at) / steps) * (limit - -limit);
        let next = |at: u32, limit: f64| -limit + ((f64::from(at) + 1.0) / steps) * (limit - -limit);
        let (x, y) = (squash(self.bits >> 1), squash(self.bits));
        Area {
            longitude: (part(x, LONGITUDE_MAX), next(x, LONGITUDE_MAX)),
            latitude: (part(y, LATITUDE_MAX), next(y, LATITUDE_MAX)),
        }
    }

    /// The cell `east` to the right and `north` up, each -1, 0 or 1; the grid wraps around at its borders.
    fn neighbour(self, east: i8, north: i8) -> Cell {
        let used = u64::MAX >> (64 - self.step * 2);
        let bits = moved(moved(self.bits, LONGITUDE_BITS, used, east), LATITUDE_BITS, used, north);
        Cell { bits, step: self.step }
    }

    /// The scores of the positions within this cell.
    fn scores(self) -> std::ops::Range<u64> {
        let shift = 2 * (STEP_MAX - self.step);
        self.bits << shift..(self.bits + 1) << shift
    }
}

/// Adds `by` to the number that stands in every other bit: the bits between are filled with ones to carry an addition
/// across, and are empty to borrow for a subtraction. What lies above the used bits is cut off, but only when something
/// moves: the cell of the 180th meridian itself begins one past the grid.
fn moved(bits: u64, axis: u64, used: u64, by: i8) -> u64 {
    let (this, other) = (bits & axis, bits & !axis);
    let unit = axis & axis.wrapping_neg();
    let sum = match by {
        0 => return bits,
        1 => (this | !axis).wrapping_add(unit),
        _ => this.wrapping_sub(unit),
    };
    (sum & axis & used) | other
}

/// Puts 32 bits into the even bits of a word.
fn spread(value: u32) -> u64 {
    [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, LATITUDE_BITS),
    ]
    .into_iter()
    .fold(u64::from(value), |word, (shift, mask)| (word | word << shift) & mask)
}

/// Takes the even bits of a word.
fn squash(word: u64) -> u32 {
    [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ]
    .into_iter()
    .fold(word & LATITUDE_BITS, |word, (shift, mask)| (word | word >> shift) & mask) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const PALERMO: Point = Point { longitude: 13.361389, latitude: 38.115556 };
    pub(super) const CATANIA: Point = Point { longitude: 15.087269, latitude: 37.502669 };

    #[test]
    fn scores_of_known_places() {
        assert_eq!(PALERMO.score(), 3_479_099_956_230_698);
        assert_eq!(CATANIA.score(), 3_479_447_370_796_909);
        let corner = Point::new(-180.0, -85.05112878).expect("the limits belong to it");
        assert_eq!(corner.score(), 0);
    }

    #[test]
    fn positions_outside_of_the_limits_are_refused() {
        for (longitude, latitude) in
            [(180.1, 0.0), (-180.1, 0.0), (0.0, 85.06), (0.0, -85.06), (f64::NAN, 0.0), (0.0, f64::NAN)]
        {
            assert_eq!(Point::new(longitude, latitude), None, "{longitude} {latitude}");
        }
    }

    #[test]
    fn geohash_strings_of_known_places() {
        assert_eq!(&PALERMO.geohash(), b"sqc8b49rny0");
        assert_eq!(&CATANIA.geohash(), b"sqdtr74hyu0");
        let wikipedia = Point { longitude: -5.6, latitude: 42.6 };
        assert_eq!(&wikipedia.geohash(), b"ezs42e44yx0");
    }

    #[test]
    fn a_position_comes_back_as_the_middle_of_its_cell() {
        let back = Point::of_score(PALERMO.score() as f64);
        assert_eq!(
            format!("{:.17} {:.17}", back.longitude, back.latitude),
            "13.36138933897018433 38.11555639549629859"
        );
    }

    #[test]
    fn distances_in_all_units() {
        let (a, b) = (Point::of_score(PALERMO.score() as f64), Point::of_score(CATANIA.score() as f64));
        let cases = [("m", "166274.1516"), ("km", "166.2742"), ("MI", "103.3182"), ("ft", "545518.8700")];
        for (unit, want) in cases {
            let unit = GeoUnit::parse(unit.as_bytes()).expect("a unit");
            assert_eq!(distance_text(a.distance(b) / unit.meters()), want);
        }
        assert_eq!(GeoUnit::parse(b"parsec"), None);
        assert_eq!(distance_text(a.distance(a)), "0.0000");
    }

    #[test]
    fn bits_are_spread_and_squashed() {
        for value in [0, 1, 2, 0x8000_0000, 0x1234_5678, u32::MAX] {
            assert_eq!(squash(spread(value)), value);
            assert_eq!(spread(value) & LONGITUDE_BITS, 0);
        }
    }

    #[test]
    fn neighbours_move_one_cell_and_wrap_around() {
        for step in [1, 2, 5, 13, 26] {
            let size = 1u32 << step;
            for (x, y) in [(0, 0), (size - 1, 0), (size / 2, size - 1), (1 % size, size / 2), (size - 1, size - 1)] {
                let cell = Cell { bits: spread(y) | spread(x) << 1, step };
                for (east, north) in [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1)] {
                    let moved = cell.neighbour(east, north);
                    let want_x = x.wrapping_add_signed(i32::from(east)) % size;
                    let want_y = y.wrapping_add_signed(i32::from(north)) % size;
                    assert_eq!(
                        (squash(moved.bits >> 1), squash(moved.bits)),
                        (want_x, want_y),
                        "{step} {x},{y} {east},{north}"
                    );
                }
            }
        }
    }
}
