//! Geohash cells, distances and areas.
