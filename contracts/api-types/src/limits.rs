//! Limits and defaults of requests.
//! Generated from `contracts/openapi` by `cargo xtask regen-openapi`; changes belong there.

