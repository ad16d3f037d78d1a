pub(super) const CALLS: &[super::Spec] = &[];
pub(super) const OTHER: &[super::Spec] = &[];
