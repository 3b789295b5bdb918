//! Benchmarks by turns: candidates take turns within every round, so that a busy neighbour hits all
//! of them alike, and the median of the rounds counts. CPU time of this thread, not the clock on
//! the wall.

/// A name and what is run.
pub type Candidate<'a> = (&'a str, Box<dyn FnMut() + 'a>);

/// CPU time of this thread in nanoseconds.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Median microseconds of one call, for each candidate, over so many rounds of so many calls.
#[must_use]
pub fn medians(candidates: &mut [Candidate<'_>], rounds: usize, calls: u32) -> Vec<f64> {
    let mut times = vec![Vec::with_capacity(rounds); candidates.len()];
    for _ in 0..rounds {
        for ((_, call), times) in candidates.iter_mut().zip(&mut times) {
            let start = cpu();
            for _ in 0..calls {
                call();
            }
            times.push((cpu() - start) / f64::from(calls) / 1000.0);
        }
    }
    times
        .into_iter()
        .map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[rounds / 2]
        })
        .collect()
}

/// One ratio of a run, beside what is wanted of it.
pub struct Target<'a> {
    /// What is divided by what.
    pub name: &'a str,
    /// The ratio.
    pub ratio: f64,
    /// The bound.
    pub bound: f64,
    /// Whether the ratio must reach the bound instead of staying below.
    pub at_least: bool,
}

impl Target<'_> {
    /// Prints the line; says whether the target is met.
    #[must_use]
    pub fn tell(&self) -> bool {
        let met = if self.at_least {
            self.ratio >= self.bound
        } else {
            self.ratio <= self.bound
        };
        let word = if self.at_least { "at least" } else { "at most" };
        let end = if met { "" } else { "  MISSED" };
        let (name, ratio, bound) = (self.name, self.ratio, self.bound);
        println!("{name:<48} {ratio:>9.3}   target: {word} {bound}{end}");
        met
    }
}
