pub(super) const IPC: &[super::Spec] = &[];
pub(super) const SIGNAL: &[super::Spec] = &[];
pub(super) const TIME: &[super::Spec] = &[];
pub(super) const POLL: &[super::Spec] = &[];
