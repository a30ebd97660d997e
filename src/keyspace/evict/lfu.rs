//! Least frequently used: the logarithmic counter with decay.
