//! Numbers as JSON writes them without an exponent: their form, on which side of a bound they are, and of what they are
//! multiples. All of it digit by digit, on decimals, so that nothing is rounded.

use std::cmp::Ordering;

/// Digits before the point at most, unless a bound has more.
pub const MAX_DIGITS: usize = 15;

/// Digits behind the point at most.
pub const MAX_DECIMALS: usize = 15;

/// A number: its sign, its digits before the point, and those behind it without zeros at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    whole: Vec<u8>,
    part: Vec<u8>,
}

/// Where in a number a text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct At {
    phase: Phase,
    negative: bool,
    /// Whether it is more than zero so far.
    nonzero: bool,
    /// Digits before or behind the point, as far as they matter.
    digits: u16,
    /// How its digits compare with those of a bound.
    order: i8,
    /// What is left over of a division.
    rest: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Phase {
    #[default]
    Start,
    Sign,
    /// A zero before the point.
    Zero,
    Whole,
    Point,
    Part,
}

/// The form of a number.
#[derive(Clone, Copy, Debug)]
pub struct Digits {
    /// Whether it has no point.
    pub integer: bool,
    /// Digits before the point at most.
    pub most: usize,
}

/// A side of a bound.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The bound.
    pub value: Decimal,
    /// Which side.
    pub side: Side,
    /// Whether the bound itself is excluded.
    pub exclusive: bool,
}

/// A side of a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Not below it.
    AtLeast,
    /// Not above it.
    AtMost,
}

/// What must divide a number: `factor` times ten to the power of `zeros`, or divided by ten to that of `decimals`.
#[derive(Clone, Debug)]
pub struct Multiple {
    factor: u32,
    zeros: u16,
    decimals: u16,
}

impl Decimal {
    /// Of a number as JSON has it.
    #[must_use]
    pub fn of(number: &serde_json::Number) -> Self {
        // Without an exponent, in the fewest digits that lead back to the same number.
        let text = match number.as_f64() {
            Some(value) if number.is_f64() => format!("{value}"),
            _ => number.to_string(),
        };
        let (negative, text) = text.strip_prefix('-').map_or((false, text.as_str()), |rest| (true, rest));
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().map(|digit| digit - b'0').collect::<Vec<u8>>();
        let decimal = Self { negative, whole: digits(whole), part: digits(part.trim_end_matches('0')) };
        let negative = negative && !decimal.is_zero();
        Self { negative, ..decimal }
    }

    /// Digits before the point.
    #[must_use]
    pub fn whole_digits(&self) -> usize {
        self.whole.len()
    }

    /// Whether it is zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.whole.iter().chain(&self.part).all(|digit| *digit == 0)
    }
}

fn digit(letter: u32) -> Option<u8> {
    u8::try_from(letter).ok().filter(u8::is_ascii_digit).map(|letter| letter - b'0')
}

impl At {
    /// Behind `letter`, as far as the form goes.
    fn moved(self, letter: u32) -> Option<Self> {
        use Phase::{Part, Point, Sign, Start, Whole, Zero};
        let phase = match (self.phase, char::from_u32(letter)?) {
            (Start, '-') => return Some(Self { phase: Sign, negative: true, ..self }),
            (Start | Sign, '0') => Zero,
            (Start | Sign | Whole, '0'..='9') => Whole,
            (Zero | Whole, '.') => return Some(Self { phase: Point, digits: 0, ..self }),
            (Point | Part, '0'..='9') => Part,
            _ => return None,
        };
        let nonzero = self.nonzero || letter != u32::from('0');
        Some(Self { phase, nonzero, digits: self.digits + 1, ..self })
    }

    fn is_whole(self) -> bool {
        matches!(self.phase, Phase::Zero | Phase::Whole)
    }
}

impl Digits {
    pub(super) fn step(&self, at: At, letter: u32) -> Option<At> {
        let next = at.moved(letter)?;
        let most = match next.phase {
            Phase::Point if self.integer => return None,
            Phase::Whole => self.most,
            Phase::Part => MAX_DECIMALS,
            Phase::Start | Phase::Sign | Phase::Zero | Phase::Point => usize::MAX,
        };
        (usize::from(next.digits) <= most).then_some(next)
    }

    pub(super) fn accepts(&self, at: At) -> bool {
        // `-0` is no integer that everybody reads as one.
        matches!(at.phase, Phase::Zero | Phase::Whole | Phase::Part) && (at.nonzero || !at.negative)
    }
}

impl Bound {
    pub(super) fn step(&self, at: At, letter: u32) -> At {
        let Some(mut next) = at.moved(letter) else { return at };
        let Decimal { whole, part, .. } = &self.value;
        match (next.phase, digit(letter)) {
            (Phase::Zero | Phase::Whole, Some(digit)) => {
                let index = usize::from(next.digits) - 1;
                let theirs = whole.get(index).copied().unwrap_or(0);
                if at.order == 0 {
                    next.order = digit.cmp(&theirs) as i8;
                }
                next.digits = next.digits.min(u16::try_from(whole.len()).expect("digits of a number") + 1);
            }
            (Phase::Point, _) => next.order = self.whole_order(at),
            (Phase::Part, Some(digit)) => {
                let index = usize::from(next.digits) - 1;
                if at.order == 0 {
                    next.order = digit.cmp(&part.get(index).copied().unwrap_or(0)) as i8;
                }
                next.digits = next.digits.min(u16::try_from(part.len()).expect("digits of a number") + 1);
            }
            _ => {}
        }
        next
    }

    /// How the digits before the point compare.
    fn whole_order(&self, at: At) -> i8 {
        match usize::from(at.digits).cmp(&self.value.whole.len()) {
            Ordering::Equal => at.order,
            longer => longer as i8,
        }
    }

    pub(super) fn accepts(&self, at: At) -> bool {
        let order = if at.is_whole() { self.whole_order(at) } else { at.order };
        let read = if at.phase == Phase::Part { usize::from(at.digits) } else { 0 };
        // What is left of the bound's digits does not end in a zero.
        let order = if order == 0 && read < self.value.part.len() { -1 } else { order };
        let negative = at.negative && at.nonzero;
        let order = match (negative, self.value.negative) {
            (false, false) => order,
            (true, true) => -order,
            (false, true) => 1,
            (true, false) => -1,
        };
        let order = if self.side == Side::AtLeast { order } else { -order };
        if self.exclusive { order > 0 } else { order >= 0 }
    }
}

impl Multiple {
    /// Of `value`; nothing where it is not above zero, or too large to count with.
    #[must_use]
    pub fn of(value: &Decimal) -> Option<Self> {
        const MAX_FACTOR: u32 = 1000;
        if value.negative || value.is_zero() {
            return None;
        }
        let digits: String =
            value.whole.iter().chain(&value.part).map(|digit| char::from(b'0' + digit)).collect();
        let digits = digits.trim_start_matches('0');
        let bare = if value.part.is_empty() { digits.trim_end_matches('0') } else { digits };
        let factor = bare.parse::<u32>().ok().filter(|factor| *factor <= MAX_FACTOR)?;
        let count = |digits: usize| u16::try_from(digits).ok();
        Some(Self { factor, zeros: count(digits.len() - bare.len())?, decimals: count(value.part.len())? })
    }

    pub(super) fn step(&self, at: At, letter: u32) -> Option<At> {
        let mut next = at.moved(letter)?;
        if next.phase == Phase::Point && at.nonzero && at.digits < self.zeros {
            return None;
        }
        let Some(digit) = digit(letter) else { return Some(next) };
        let shifted = |rest: u32, times: u16| (0..times).fold(rest, |rest, _| rest * 10 % self.factor);
        if next.phase == Phase::Part {
            // Behind the last decimal that counts there are zeros alone.
            if at.digits >= self.decimals {
                next.digits = self.decimals;
                return (digit == 0).then_some(next);
            }
            next.rest = (shifted(at.rest, 1) + u32::from(digit)) % self.factor;
            return Some(next);
        }
        // Before the point `digits` counts the zeros at the end, as far as they are needed.
        let zeros = if at.is_whole() { at.digits } else { 0 };
        (next.rest, next.digits) = match digit {
            0 if !next.nonzero => (0, 0),
            0 if zeros < self.zeros => (at.rest, zeros + 1),
            0 => (shifted(at.rest, 1), zeros),
            digit => ((shifted(at.rest, zeros + 1) + u32::from(digit)) % self.factor, 0),
        };
        Some(next)
    }

    pub(super) fn accepts(&self, at: At) -> bool {
        let read = if at.phase == Phase::Part { at.digits } else { 0 };
        let enough = !at.is_whole() || at.digits >= self.zeros;
        let rest = (read..self.decimals).fold(at.rest, |rest, _| rest * 10 % self.factor);
        !at.nonzero || (enough && rest == 0)
    }
}
