//! Limit, policy and counters of one namespace (D17); today there is one.
