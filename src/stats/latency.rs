//! Latency histograms and events.
