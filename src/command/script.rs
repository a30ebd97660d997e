//! The EVAL and FUNCTION families.
