//! Settings of the models that have some, by the names of the models.

use serde::{Deserialize, Serialize};

use crate::FitError;
use crate::zoo::{
    auto, bpr, feature_tower, fusion, ials, lightgcn, profile, ranker, sasrec, two_tower, watch,
};

/// One section a model; a file of these says only what differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Of `auto`.
    pub auto: auto::Settings,
    /// Of `sasrec`.
    pub sasrec: sasrec::Settings,
    /// Of `bsarec`.
    pub bsarec: sasrec::Settings,
    /// Of `esasrec`.
    pub esasrec: sasrec::Settings,
    /// Of `hstu`.
    pub hstu: sasrec::Settings,
    /// Of `wmf`.
    pub wmf: ials::Settings,
    /// Of `bpr`.
    pub bpr: bpr::Settings,
    /// Of `lightgcn`.
    pub lightgcn: lightgcn::Settings,
    /// Of `fusion`.
    pub fusion: fusion::Settings,
    /// Of `profile`.
    pub profile: profile::Settings,
    /// Of `two-tower`.
    pub two_tower: two_tower::Settings,
    /// Of `feature-tower`.
    pub feature_tower: feature_tower::Settings,
    /// Of `watch-towers`.
    pub watch_towers: watch::Settings,
    /// Of `watch-ids`.
    pub watch_ids: watch::Settings,
    /// Of `watch-d2q`.
    pub watch_d2q: watch::Settings,
    /// Of `watch-logistic`.
    pub watch_logistic: watch::Settings,
    /// Of `watch-tasks`.
    pub watch_tasks: watch::Settings,
    /// Of `ranker`.
    pub ranker: ranker::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auto: auto::Settings::default(),
            sasrec: sasrec::Settings::default(),
            bsarec: sasrec::Settings::filtered(),
            esasrec: sasrec::Settings::gated(),
            hstu: sasrec::Settings::pointwise(),
            wmf: ials::Settings::default(),
            bpr: bpr::Settings::default(),
            lightgcn: lightgcn::Settings::default(),
            fusion: fusion::Settings::default(),
            profile: profile::Settings::default(),
            two_tower: two_tower::Settings::default(),
            feature_tower: feature_tower::Settings::default(),
            watch_towers: watch::Settings::towers(),
            watch_ids: watch::Settings::default(),
            watch_d2q: watch::Settings::d2q(),
            watch_logistic: watch::Settings::weighted_logistic(),
            watch_tasks: watch::Settings::tasks(),
            ranker: ranker::Settings::default(),
        }
    }
}

impl Settings {
    /// Checks every section.
    ///
    /// # Errors
    /// Names the first setting that cannot be meant, and what was expected.
    pub fn check(&self) -> Result<(), FitError> {
        self.auto.check()?;
        self.sasrec.check("sasrec")?;
        self.bsarec.check("bsarec")?;
        self.esasrec.check("esasrec")?;
        self.hstu.check("hstu")?;
        self.wmf.check()?;
        self.bpr.check()?;
        self.lightgcn.check()?;
        self.fusion.check()?;
        self.profile.check()?;
        self.two_tower.check()?;
        self.feature_tower.check()?;
        self.watch_towers.check("watch-towers")?;
        self.watch_ids.check("watch-ids")?;
        self.watch_d2q.check("watch-d2q")?;
        self.watch_logistic.check("watch-logistic")?;
        self.watch_tasks.check("watch-tasks")?;
        self.ranker.check()
    }
}
