//! The hash table: extendible hashing over cache-line buckets (D3). Nothing else knows its shape.
