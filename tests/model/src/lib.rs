//! Nothing but a place for the models in `tests/`.
