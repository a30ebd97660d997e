//! MULTI and EXEC.
