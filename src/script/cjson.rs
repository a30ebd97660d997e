//! The cjson library.
