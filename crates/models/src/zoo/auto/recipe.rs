//! How a network is made for a set.

use crate::zoo::{Kind, sasrec};

/// Drawn videos against which a softmax is sampled.
const NEGATIVES: usize = 3_000;

/// The form of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Filtered,
    Prefixes,
    Long,
    Graph,
    LongGated,
}

/// Chosen models are written down with places in this list: it only grows at its end.
pub(super) const FORMS: [Form; 5] =
    [Form::Filtered, Form::Prefixes, Form::Long, Form::Graph, Form::LongGated];

/// How a network is made: all that is needed to make it again on a set that has grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recipe {
    pub(super) form: Form,
    pub(super) length: usize,
    pub(super) content: bool,
    /// Compared with videos that are drawn, not with all; a graph always is with all.
    pub(super) is_sampled: bool,
}

impl Recipe {
    pub(super) fn kind(self) -> Kind {
        match self.form {
            Form::Filtered => Kind::Bsarec,
            Form::Prefixes | Form::Long => Kind::Sasrec,
            Form::Graph => Kind::LightGcn,
            Form::LongGated => Kind::Esasrec,
        }
    }

    /// Its settings: those of the reader where they are not the defaults.
    pub(super) fn settings(self, given: &crate::Settings) -> crate::Settings {
        let (mut settings, usual) = (given.clone(), crate::Settings::default());
        let of_set = match self.form {
            Form::Filtered => sasrec::Settings::for_short(true),
            Form::Prefixes => sasrec::Settings::for_short(false),
            Form::Long => sasrec::Settings::for_long(),
            Form::LongGated => sasrec::Settings::for_long_gated(),
            Form::Graph => return settings,
        };
        let (asked, usual) = match self.kind() {
            Kind::Bsarec => (&mut settings.bsarec, &usual.bsarec),
            Kind::Esasrec => (&mut settings.esasrec, &usual.esasrec),
            _ => (&mut settings.sasrec, &usual.sasrec),
        };
        if asked == usual {
            let Self { length, content, is_sampled, .. } = self;
            let negatives = if is_sampled { NEGATIVES } else { 0 };
            *asked = sasrec::Settings { length, content, negatives, ..of_set };
        }
        settings
    }

    pub(super) fn name(self) -> String {
        match self.form {
            Form::Graph => self.kind().to_string(),
            _ => format!(
                "{} reading {}{}{}",
                self.kind(),
                self.length,
                if self.content { " with content" } else { "" },
                if self.is_sampled { " sampled" } else { "" }
            ),
        }
    }

    pub(super) fn to_numbers(self) -> [f32; 4] {
        let form = FORMS.iter().position(|form| *form == self.form).unwrap_or(0);
        let flag = |is: bool| f32::from(u8::from(is));
        [form as f32, self.length as f32, flag(self.content), flag(self.is_sampled)]
    }

    pub(super) fn of_numbers([form, length, content, is_sampled]: [f32; 4]) -> Self {
        let form = FORMS[form as usize % FORMS.len()];
        Self { form, length: length as usize, content: content > 0.0, is_sampled: is_sampled > 0.0 }
    }
}
