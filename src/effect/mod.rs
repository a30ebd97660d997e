//! Effects: changes as replicas and the AOF replay them. The only way out (D8).

pub mod log;
