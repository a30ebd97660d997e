//! Expiry on touch and by the wheel.
