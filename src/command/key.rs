//! DEL, RENAME, COPY and other commands on keys of any type.
