//! What can be wrong with what the evaluation is given.

/// Something that cannot be evaluated.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum EvalError {
    /// A metric's name cannot be read.
    #[error("metric `{text}` is not known: {problem}; expected one of {known}, as in `ndcg@10`")]
    Metric {
        /// What was written.
        text: String,
        /// What is wrong with it.
        problem: String,
        /// The names there are.
        known: String,
    },
    /// Two columns that should describe the same users do not.
    #[error("`{column}` has {found} values for {expected} users; measure it on the same cases")]
    Length {
        /// The column.
        column: String,
        /// Values it has.
        found: usize,
        /// Values it should have.
        expected: usize,
    },
    /// A value is not a number.
    #[error("`{column}` is {value} for user number {row} of the cases; every value must be finite")]
    NotFinite {
        /// The column.
        column: String,
        /// The position among the cases.
        row: usize,
        /// NaN or an infinity, in words.
        value: String,
    },
    /// Two models were asked different questions.
    #[error(
        "`{model}` was not asked for the same users in the same order as `{first}`; a paired comparison needs one set of cases"
    )]
    Users {
        /// The model that differs.
        model: String,
        /// The model it is compared with.
        first: String,
    },
    /// The headline metric was not measured.
    #[error("headline metric `{headline}` is missing for `{model}`; it has {found}")]
    Headline {
        /// What was asked for.
        headline: String,
        /// Where it is missing.
        model: String,
        /// What is there.
        found: String,
    },
    /// Settings of the bootstrap that make no interval.
    #[error(
        "bootstrap of {samples} samples at level {level}: expected 1 to {samples_max} samples and a level between 0 and 1"
    )]
    Bootstrap {
        /// Samples asked for.
        samples: usize,
        /// The most there may be.
        samples_max: usize,
        /// The level asked for.
        level: f64,
    },
    /// Predictions and truths do not fit together.
    #[error("{predicted} predictions for {actual} observations; expected one for each")]
    Predictions {
        /// Predictions given.
        predicted: usize,
        /// Observations given.
        actual: usize,
    },
}
