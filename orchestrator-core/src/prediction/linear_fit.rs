//! A straight line through measurements, in which old ones fade.

/// Share of its weight that a measurement keeps when the next one comes.
const FADE: f64 = 0.9;

/// Spread of `x`, relative to its mean, under which a slope would be read out of noise.
const LEAST_SPREAD: f64 = 0.1;

/// What to believe while all measurements were taken at about the same `x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum FitShape {
    /// `y` is proportional to `x`.
    Proportional,
    /// `y` does not depend on `x`.
    Flat,
}

/// Least squares with exponential forgetting; neither slope nor intercept is ever negative.
#[derive(Clone, Debug)]
pub(super) struct LinearFit {
    shape: FitShape,
    weight: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
}

impl LinearFit {
    pub(super) fn new(shape: FitShape) -> Self {
        Self { shape, weight: 0.0, x: 0.0, y: 0.0, xx: 0.0, xy: 0.0 }
    }

    pub(super) fn add(&mut self, x: f64, y: f64, weight: f64) {
        for sum in [&mut self.weight, &mut self.x, &mut self.y, &mut self.xx, &mut self.xy] {
            *sum *= FADE;
        }
        self.weight += weight;
        self.x += weight * x;
        self.y += weight * y;
        self.xx += weight * x * x;
        self.xy += weight * x * y;
    }

    /// Multiplies all that was measured.
    pub(super) fn scale(&mut self, factor: f64) {
        self.y *= factor;
        self.xy *= factor;
    }

    /// The value at `x`; nothing without a measurement.
    pub(super) fn at(&self, x: f64) -> Option<f64> {
        if self.weight <= 0.0 {
            return None;
        }
        let (mean_x, mean_y) = (self.x / self.weight, self.y / self.weight);
        let variance = self.xx / self.weight - mean_x * mean_x;
        let slope = (self.xy / self.weight - mean_x * mean_y) / variance;
        let has_slope = variance.sqrt() > LEAST_SPREAD * mean_x.abs();
        let through_origin = if mean_x > 0.0 { mean_y / mean_x * x } else { mean_y };
        Some(match self.shape {
            _ if has_slope && slope >= 0.0 && mean_y >= slope * mean_x => mean_y + slope * (x - mean_x),
            _ if has_slope && slope >= 0.0 => through_origin,
            FitShape::Proportional if !has_slope => through_origin,
            FitShape::Proportional | FitShape::Flat => mean_y,
        })
    }
}
