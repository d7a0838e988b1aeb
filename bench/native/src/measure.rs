//! How everything here is measured: the contenders of a group take turns in short slices, for many rounds.
//!
//! What disturbs the machine then disturbs all of them alike. A figure is the median of its rounds, and a ratio is the median
//! of the ratios to the scale contender's slice of the same round.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::document::{Kind, Outcome};

pub const KEY_BYTES: usize = 12;

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Effort {
    pub quick: bool,
    pub rounds: usize,
    /// How long one contender works before the next has its turn.
    pub slice: Duration,
}

impl Effort {
    pub fn new(quick: bool) -> Self {
        Self {
            quick,
            rounds: if quick { 21 } else { 81 },
            slice: Duration::from_millis(if quick { 2 } else { 4 }),
        }
    }
}

/// A cheap generator: xorshift.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Evenly from 0 up to but not `end`.
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// One operation: which key it is about. Key and number stand next to each other in the order in which they are needed, so
/// that no contender waits for its own key.
#[derive(Clone, Copy)]
pub struct Step {
    pub key: [u8; KEY_BYTES],
    pub number: u32,
}

pub fn key(family: char, number: usize) -> [u8; KEY_BYTES] {
    let text = format!("{family}key/{number:07}");
    text.as_bytes().try_into().expect("twelve bytes")
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    Uniform,
    /// With an exponent of 0.99: of 1,000 keys the most popular one gets some 13% of all.
    Zipf,
}

/// Operations in a random order, made before anything is measured. It is read in a circle.
pub fn order(family: char, keys: usize, distribution: Distribution, seed: u64) -> Vec<Step> {
    let length = (4 * keys).clamp(4096, 1 << 20);
    let mut random = Random::new(seed);
    let mut number: Box<dyn FnMut() -> usize> = match distribution {
        Distribution::Uniform => Box::new(move || random.below(keys)),
        Distribution::Zipf => {
            let mut sum = 0.0;
            let sums: Vec<f64> = (1..=keys)
                .map(|rank| {
                    sum += (rank as f64).powf(-0.99);
                    sum
                })
                .collect();
            // The popular ones are not neighbours.
            let mut shuffled: Vec<usize> = (0..keys).collect();
            for at in (1..keys).rev() {
                shuffled.swap(at, random.below(at + 1));
            }
            Box::new(move || {
                let point = random.fraction() * sum;
                shuffled[sums.partition_point(|&sum| sum <= point).min(keys - 1)]
            })
        }
    };
    (0..length)
        .map(|_| {
            let number = number();
            Step {
                key: key(family, number),
                number: number as u32,
            }
        })
        .collect()
}

/// Does a number of steps in a row.
pub type Work<'a> = Box<dyn FnMut(&[Step]) + 'a>;

pub struct Contender<'a> {
    pub name: &'static str,
    pub kind: Kind,
    /// What it is given, in a circle.
    pub order: &'a [Step],
    pub work: Work<'a>,
}

/// What was measured of one contender, a figure for each round.
pub struct Series {
    pub name: &'static str,
    pub kind: Kind,
    pub values: Vec<f64>,
    pub details: BTreeMap<&'static str, f64>,
}

impl Series {
    pub fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            values: Vec::new(),
            details: BTreeMap::new(),
        }
    }
}

/// The value below which a share of all lies; not a number if there are none.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() as f64 * share) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

/// Draws the figures of a case from its rounds.
pub fn outcomes(series: Vec<Series>, scale: &str, case: &str) -> Vec<Outcome> {
    let scale_values = series.iter().find(|of| of.name == scale).map(|of| of.values.clone());
    series
        .into_iter()
        .map(|of| {
            let value = quantile(&of.values, 0.5);
            let ratios: Option<Vec<f64>> = scale_values.as_ref().map(|scale| {
                let pairs = of.values.iter().zip(scale);
                pairs.map(|(value, scale)| value / scale).collect()
            });
            Outcome {
                contender: of.name,
                kind: of.kind,
                case: case.into(),
                value,
                ratio: ratios.map(|ratios| quantile(&ratios, 0.5)),
                spread: (quantile(&of.values, 0.75) - quantile(&of.values, 0.25)) / value,
                details: of.details,
            }
        })
        .collect()
}

/// Where a contender stands in its order.
struct Turn<'a, 'b> {
    contender: &'b mut Contender<'a>,
    at: usize,
    steps_per_slice: usize,
}

impl Turn<'_, '_> {
    fn run(&mut self, mut steps: usize, batch: usize) -> Duration {
        let order = self.contender.order;
        let order = &order[..order.len() / batch * batch];
        let start = Instant::now();
        while steps > 0 {
            let piece = steps.min(order.len() - self.at);
            (self.contender.work)(&order[self.at..self.at + piece]);
            self.at = (self.at + piece) % order.len();
            steps -= piece;
        }
        start.elapsed()
    }
}

/// Measures contenders in turn, in ns for each step.
///
/// A slice begins with a quarter of its steps that is not counted: others have used the caches meanwhile. Steps come in
/// multiples of `batch`.
pub fn interleaved(contenders: &mut [Contender<'_>], batch: usize, effort: Effort) -> Vec<Series> {
    let mut series: Vec<Series> = contenders
        .iter()
        .map(|contender| Series::new(contender.name, contender.kind))
        .collect();
    let mut turns: Vec<Turn<'_, '_>> = contenders
        .iter_mut()
        .map(|contender| Turn {
            contender,
            at: 0,
            steps_per_slice: batch,
        })
        .collect();
    for turn in &mut turns {
        while turn.run(turn.steps_per_slice, batch) < effort.slice / 2 {
            turn.steps_per_slice *= 2;
        }
    }
    for _ in 0..effort.rounds {
        for (turn, series) in turns.iter_mut().zip(&mut series) {
            let steps = turn.steps_per_slice;
            turn.run((steps / 4 / batch).max(1) * batch, batch);
            let taken = turn.run(steps, batch);
            series.values.push(taken.as_nanos() as f64 / steps as f64);
        }
    }
    series
}
