//! Client-side caching: who remembers which key.
