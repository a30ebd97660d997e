//! The reply writer for RESP2 and RESP3.
