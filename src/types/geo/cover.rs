//! Which score ranges a search must read: the cell around its centre and those of the eight neighbours that the shape
//! reaches into.
//!
//! The cells are chosen so large that the shape never reaches past a neighbour; near the poles, where meridians close
//! up, larger still. The order of the ranges is part of the behaviour: unsorted results come out in it.

use super::shape::{Bounds, Search, Shape};
use super::{Area, Cell, LATITUDE_MAX, STEP_MAX};
use smallvec::SmallVec;
use std::ops::Range;

/// Half the earth's circumference in Web Mercator meters.
const MERCATOR_MAX: f64 = 20_037_726.37;

/// The neighbours as (east, north), in the order in which they are searched, the centre first.
const ORDER: [(i8, i8); 9] = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];

/// Half-open score ranges that together hold every position within the shape.
pub fn cover(search: &Search) -> SmallVec<[Range<u64>; 9]> {
    let bounds = search.bounds();
    let cell = fitting_cell(search, &bounds);
    let area = cell.area();
    let mut cells = SmallVec::<[Cell; 9]>::new();
    for (east, north) in ORDER {
        let neighbour = cell.neighbour(east, north);
        // On a grid of two cells the neighbours on both sides are one. The centre is not compared: at two cells or
        // more it is never its own neighbour.
        let repeated = cells.len() > 1 && cells.last() == Some(&neighbour);
        if !repeated && (cell.step < 2 || reaches(&bounds, &area, east, north)) {
            cells.push(neighbour);
        }
    }
    cells.into_iter().map(Cell::scores).collect()
}

/// Whether the shape reaches past the border of the centre's cell on that side.
fn reaches(bounds: &Bounds, area: &Area, east: i8, north: i8) -> bool {
    let past = |direction: i8, area: (f64, f64), bounds: (f64, f64)| match direction {
        0 => true,
        1 => area.1 <= bounds.1,
        _ => area.0 >= bounds.0,
    };
    past(east, area.longitude, bounds.longitude) && past(north, area.latitude, bounds.latitude)
}

/// The cell around the centre, of a size at which it and its neighbours hold the shape.
fn fitting_cell(search: &Search, bounds: &Bounds) -> Cell {
    let cell_at = |step| Cell::at(search.center, step, LATITUDE_MAX);
    let mut cell = cell_at(estimated_step(search.reach(), search.center.latitude));
    // One step is what the original goes back for circles and boxes, and the order of results shows the grid. For a
    // polygon, whose centre may lie anywhere in it, the cells grow until they suffice.
    let tries = if matches!(search.shape, Shape::Polygon(_)) { STEP_MAX } else { 1 };
    for _ in 0..tries {
        if cell.step == 1 || neighbours_hold(cell, bounds) {
            break;
        }
        cell = cell_at(cell.step - 1);
    }
    cell
}

fn neighbours_hold(cell: Cell, bounds: &Bounds) -> bool {
    let area_at = |east, north| cell.neighbour(east, north).area();
    area_at(0, 1).latitude.1 >= bounds.latitude.1
        && area_at(0, -1).latitude.0 <= bounds.latitude.0
        && area_at(1, 0).longitude.1 >= bounds.longitude.1
        && area_at(-1, 0).longitude.0 <= bounds.longitude.0
}

/// The finest grid whose neighbouring cells may hold a circle of this radius.
fn estimated_step(meters: f64, latitude: f64) -> u32 {
    if meters == 0.0 {
        return STEP_MAX;
    }
    let mut range = meters;
    let mut step = -1;
    while range < MERCATOR_MAX {
        range *= 2.0;
        step += 1;
    }
    let polar = i32::from(latitude.abs() > 66.0) + i32::from(latitude.abs() > 80.0);
    (step - polar).clamp(1, STEP_MAX as i32) as u32
}

#[cfg(test)]
mod tests {
    use super::super::Point;
    use super::*;

    #[test]
    fn every_position_within_a_shape_is_covered() {
        for seed in 1u64..150 {
            let mut random = seed;
            let mut next = |limit: f64| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 11) as f64 / (1u64 << 53) as f64 * limit
            };
            // Away from the 180th meridian and the poles, where the original itself misses members.
            let center = Point { longitude: next(240.0) - 120.0, latitude: next(120.0) - 60.0 };
            let size = 10f64.powf(next(3.0));
            let shape = match seed % 3 {
                0 => Shape::Radius(size),
                1 => Shape::Box { width: size, height: next(size) },
                _ => Shape::Polygon(
                    (0..3 + seed as usize % 5)
                        .map(|_| Point {
                            longitude: center.longitude + next(size / 100.0),
                            latitude: center.latitude + next(size / 100.0),
                        })
                        .collect(),
                ),
            };
            let search = match shape {
                Shape::Polygon(corners) => Search::polygon(corners, 1000.0),
                shape => Search { center, shape, unit: 1000.0 },
            };
            let ranges = cover(&search);
            for _ in 0..300 {
                let spread = size / 40.0;
                let longitude = search.center.longitude + next(spread) - spread / 2.0;
                let latitude = (search.center.latitude + next(spread) - spread / 2.0).clamp(-85.0, 85.0);
                let point = Point { longitude, latitude };
                if search.distance_within(point).is_some() {
                    assert!(
                        ranges.iter().any(|range| range.contains(&point.score())),
                        "seed {seed} {point:?} {search:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_search_of_the_whole_earth_reads_each_quarter_once() {
        let center = Point { longitude: 1.0, latitude: 1.0 };
        let ranges = cover(&Search { center, shape: Shape::Radius(30_000.0), unit: 1000.0 });
        let mut starts: Vec<u64> = ranges.iter().map(|range| range.start >> 50).collect();
        starts.sort_unstable();
        assert_eq!(starts, [0, 1, 2, 3]);
    }
}
