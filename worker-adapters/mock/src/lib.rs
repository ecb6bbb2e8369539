//! To be filled by the change this belongs to.
