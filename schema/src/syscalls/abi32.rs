pub(super) const CALLS: &[super::Spec] = &[];
pub(super) const X86: &[super::Spec] = &[];
pub(super) const ARM: &[super::Spec] = &[];
