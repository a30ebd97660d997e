//! What a search looks for: a circle, a box along the meridians, or a polygon.

use super::{EARTH_RADIUS_METERS, Point, degrees, radians};

/// The outline, in units of [`Search::unit`].
#[derive(Clone, Debug)]
pub enum Shape {
    /// Everything at most this far from the centre.
    Radius(f64),
    /// Everything at most half as far to each side.
    Box {
        /// From west to east.
        width: f64,
        /// From south to north.
        height: f64,
    },
    /// Everything within the straight lines, drawn on the map of longitudes and latitudes, that join these corners in
    /// order and the last with the first. Lines never cross the 180th meridian.
    Polygon(Vec<Point>),
}

/// A shape in its place.
#[derive(Clone, Debug)]
pub struct Search {
    /// Where distances are measured from.
    pub center: Point,
    /// The outline.
    pub shape: Shape,
    /// Meters per unit of the outline's numbers.
    pub unit: f64,
}

/// The limits of a shape in degrees; they may lie outside of the map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) longitude: (f64, f64),
    pub(super) latitude: (f64, f64),
}

impl Search {
    /// A search by the corners of a polygon, of which there are at least three.
    pub fn polygon(corners: Vec<Point>, unit: f64) -> Search {
        Search { center: middle(&corners), shape: Shape::Polygon(corners), unit }
    }

    /// The distance in meters from the centre to a position within the shape; `None` for one outside.
    pub fn distance_within(&self, point: Point) -> Option<f64> {
        match &self.shape {
            Shape::Radius(radius) => {
                let distance = self.center.distance(point);
                (distance <= radius * self.unit).then_some(distance)
            }
            Shape::Box { width, height } => {
                let north = point.latitude_distance(self.center) <= height * self.unit / 2.0;
                let same_latitude = Point { longitude: self.center.longitude, latitude: point.latitude };
                let within = north && point.distance(same_latitude) <= width * self.unit / 2.0;
                within.then(|| self.center.distance(point))
            }
            Shape::Polygon(corners) => is_within(corners, point).then(|| self.center.distance(point)),
        }
    }

    /// The box around the shape, on the map. A circle or box is as wide as it gets on its side nearer to the equator's
    /// far end, which is how the original measures it.
    pub(super) fn bounds(&self) -> Bounds {
        let (width, height) = match &self.shape {
            Shape::Radius(radius) => (self.unit * radius, self.unit * radius),
            Shape::Box { width, height } => (self.unit * (width / 2.0), self.unit * (height / 2.0)),
            Shape::Polygon(corners) => return bounds_of(corners),
        };
        let Point { longitude, latitude } = self.center;
        let up = degrees(height / EARTH_RADIUS_METERS);
        let edge = if latitude < 0.0 { latitude - up } else { latitude + up };
        let side = degrees(width / EARTH_RADIUS_METERS / radians(edge).cos());
        Bounds { longitude: (longitude - side, longitude + side), latitude: (latitude - up, latitude + up) }
    }

    /// How far in meters the shape reaches from its centre.
    pub(super) fn reach(&self) -> f64 {
        match &self.shape {
            Shape::Radius(radius) => radius * self.unit,
            Shape::Box { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt() * self.unit
            }
            Shape::Polygon(corners) => corners.iter().map(|corner| self.center.distance(*corner)).fold(0.0, f64::max),
        }
    }
}

/// Where the mean of the corners, as points in space, lies on the globe.
fn middle(corners: &[Point]) -> Point {
    let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
    for corner in corners {
        let (longitude, latitude) = (radians(corner.longitude), radians(corner.latitude));
        x += latitude.cos() * longitude.cos();
        y += latitude.cos() * longitude.sin();
        z += latitude.sin();
    }
    let count = corners.len() as f64;
    (x, y, z) = (x / count, y / count, z / count);
    Point { longitude: degrees(y.atan2(x)), latitude: degrees(z.atan2((x * x + y * y).sqrt())) }
}

fn bounds_of(corners: &[Point]) -> Bounds {
    let limits = |axis: fn(&Point) -> f64| {
        let values = corners.iter().map(axis);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| (min.min(value), max.max(value)))
    };
    Bounds { longitude: limits(|corner| corner.longitude), latitude: limits(|corner| corner.latitude) }
}

/// Casts a ray eastward: inside when it crosses an odd number of edges. An edge owns its lower end only, so that a ray
/// through a corner counts once.
fn is_within(corners: &[Point], point: Point) -> bool {
    let mut inside = false;
    let mut from = corners.last().copied();
    for &to in corners {
        let Some(start) = from.replace(to) else { continue };
        if (start.latitude > point.latitude) == (to.latitude > point.latitude) {
            continue;
        }
        let along = (point.latitude - start.latitude) / (to.latitude - start.latitude);
        if point.longitude < start.longitude + along * (to.longitude - start.longitude) {
            inside = !inside;
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CATANIA, PALERMO};
    use super::*;

    fn corners(list: &[(f64, f64)]) -> Vec<Point> {
        list.iter().map(|(longitude, latitude)| Point { longitude: *longitude, latitude: *latitude }).collect()
    }

    #[test]
    fn a_circle_takes_what_is_near_enough() {
        let center = Point { longitude: 15.0, latitude: 37.0 };
        let search = |radius| Search { center, shape: Shape::Radius(radius), unit: 1000.0 };
        assert!(search(200.0).distance_within(PALERMO).is_some());
        assert!(search(100.0).distance_within(PALERMO).is_none());
        assert!(search(100.0).distance_within(CATANIA).is_some());
        assert_eq!(search(0.0).distance_within(center), Some(0.0));
    }

    #[test]
    fn a_box_is_wide_and_high() {
        let center = Point { longitude: 15.0, latitude: 37.0 };
        let search = |width, height| Search { center, shape: Shape::Box { width, height }, unit: 1000.0 };
        assert!(search(400.0, 400.0).distance_within(PALERMO).is_some());
        assert!(search(200.0, 400.0).distance_within(PALERMO).is_none());
        assert!(search(400.0, 200.0).distance_within(PALERMO).is_none());
    }

    #[test]
    fn the_middle_of_a_polygon_lies_on_the_globe_not_on_the_map() {
        let box_of = corners(&[(10.0, 30.0), (14.0, 30.0), (14.0, 40.0), (10.0, 40.0)]);
        let Point { longitude, latitude } = Search::polygon(box_of, 1.0).center;
        assert!((longitude - 12.0).abs() < 1e-9 && (latitude - 35.0164).abs() < 1e-4, "{longitude} {latitude}");
    }

    #[test]
    fn a_polygon_may_be_concave_and_wound_either_way() {
        let mut u_shape =
            corners(&[(0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (6.0, 9.0), (6.0, 3.0), (3.0, 3.0), (3.0, 9.0), (0.0, 9.0)]);
        for _ in 0..2 {
            let search = Search::polygon(u_shape.clone(), 1.0);
            let holds = |longitude, latitude| search.distance_within(Point { longitude, latitude }).is_some();
            assert!(holds(1.0, 8.0) && holds(8.0, 8.0) && holds(4.5, 1.5));
            assert!(!holds(4.5, 6.0) && !holds(-1.0, 3.0) && !holds(10.0, 3.0) && !holds(4.0, 10.0));
            u_shape.reverse();
        }
    }
}
