//! CRC16 key slots, CRC64 of RDB and DUMP, and the keyed hash of the tables.
