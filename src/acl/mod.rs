//! May this user run this?
