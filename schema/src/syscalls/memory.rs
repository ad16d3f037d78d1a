pub(super) const CALLS: &[super::Spec] = &[];
