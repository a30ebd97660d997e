//! Cursors that survive growth and shrinking.
