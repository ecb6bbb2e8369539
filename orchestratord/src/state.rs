//! Whether a model is in service.
//!
//! Rules: ORCH-MODEL-8, HOME-MODEL-1

/// The state of a model. It starts out as [`ModelState::Active`], and there are these two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModelState {
    /// It takes tasks.
    #[default]
    Active,
    /// It takes none and is unloaded.
    Retired,
}

impl ModelState {
    /// Both states.
    pub const ALL: [Self; 2] = [Self::Active, Self::Retired];

    /// The name on the wire and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Retired => "Retired",
        }
    }
}
