//! The sorted set: members by score, by name and by rank.
