pub(super) const CALLS: &[super::Spec] = &[];
pub(super) const CREDENTIAL: &[super::Spec] = &[];
