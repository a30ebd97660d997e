//! One shard: its part of every database, its bytes, waiters and deadlines.
