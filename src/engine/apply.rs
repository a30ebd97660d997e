//! Commands from elsewhere: a log read back.
