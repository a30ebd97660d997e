//! The PUBLISH and SUBSCRIBE families.
