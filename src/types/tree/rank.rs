//! An order-statistics B+ tree.
