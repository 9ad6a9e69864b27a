//! Draws that depend on nothing but their key: SplitMix64 over (seed, topic, day, row, ...).

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What is drawn; keeps the streams of different topics apart.
#[derive(Clone, Copy, Debug)]
pub(super) enum Topic {
    Stop = 1,
    Route,
    Fare,
    Name,
    Transport,
    Detour,
    Suspension,
    Vehicle,
    Breakdown,
    User,
    City,
    Language,
    Activity,
    Extract,
    Volume,
    Drive,
    Ride,
    Ping,
}

/// A point in the space of all draws. Counter-based: no state, so any order and any thread gives the same values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key(u64);

impl Key {
    pub fn new(seed: u64, topic: Topic) -> Self {
        Self(mix(seed.wrapping_add(GOLDEN))).with(topic as u64)
    }

    /// The key of one part: a day, a route, a row.
    #[inline]
    pub fn with(self, part: u64) -> Self {
        Self(mix(self.0 ^ mix(part.wrapping_add(GOLDEN))))
    }

    /// The `n`th draw: 64 random bits.
    #[inline]
    pub fn draw(self, n: u64) -> u64 {
        mix(self.0.wrapping_add(GOLDEN.wrapping_mul(n + 1)))
    }

    /// A number in [0, 1).
    #[inline]
    pub fn unit(self, n: u64) -> f64 {
        (self.draw(n) >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// A number in [low, high).
    #[inline]
    pub fn between(self, n: u64, low: f64, high: f64) -> f64 {
        low + self.unit(n) * (high - low)
    }

    /// A whole number in [0, bound).
    #[inline]
    pub fn below(self, n: u64, bound: u64) -> u64 {
        ((u128::from(self.draw(n)) * u128::from(bound)) >> 64) as u64
    }

    /// True with this probability.
    #[inline]
    pub fn chance(self, n: u64, probability: f64) -> bool {
        self.unit(n) < probability
    }

    /// One of the choices.
    pub fn pick<T: Copy>(self, n: u64, choices: &[T]) -> T {
        choices[self.below(n, choices.len() as u64) as usize]
    }

    /// The key of the state in force on a day, of something that is drawn anew once a window of days, on a day of
    /// its own. No state is carried from day to day: the draw of this window or of the one before answers.
    pub fn in_force(self, day: i64, window_days: i64) -> Self {
        let window = day.div_euclid(window_days);
        let change = self.with(window as u64).below(0, window_days as u64) as i64;
        let drawn = if day.rem_euclid(window_days) >= change { window } else { window - 1 };
        self.with(drawn as u64).with(1)
    }
}
