//! The cgroup to which each container's id belongs.
//!
//! The name of a cgroup names its container, and others than the runtime can make such a name: a user in the slice that
//! systemd delegates to the user, a container that has the cgroups mounted. So an id belongs to the first path that has it,
//! for as long as a cgroup with this path exists. A cgroup elsewhere that has the same id is a container of its own.

use rustc_hash::FxHashMap;

use crate::containers::runtime::Runtime;
use crate::containers::state::users::rootless_uid;

/// The ids of the containers that exist.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_id: FxHashMap<String, Claim>,
    /// The ids of the containers' own cgroups.
    by_cgroup: FxHashMap<u64, String>,
}

#[derive(Debug)]
struct Claim {
    /// The path of the container's own cgroup.
    own: String,
    /// The keys of its cgroups with this path: one in each hierarchy.
    cgroups: Vec<u64>,
}

impl Claims {
    /// Returns whether the id belongs to the container whose own cgroup is at `own`. `cgroup` is the key of a cgroup at
    /// `path`, which is `own` or below it.
    pub(super) fn is_owner(
        &mut self,
        id: &str,
        hint: Option<Runtime>,
        own: &str,
        (cgroup, path): (u64, &str),
    ) -> bool {
        // These runtimes run as root, and their ids are names that anybody can guess.
        let is_of_root = matches!(
            hint,
            Some(Runtime::Nspawn | Runtime::Garden | Runtime::Buildkit)
        );
        if is_of_root && rootless_uid(own).is_some() {
            return false;
        }
        if let Some(claim) = self.by_id.get(id)
            && claim.own != own
        {
            return false;
        }
        // Only the container's own cgroup claims its id: the removal of those below says nothing about the container.
        if path != own {
            return true;
        }
        let claim = self.by_id.entry(id.to_string()).or_insert_with(|| Claim {
            own: own.to_string(),
            cgroups: vec![],
        });
        if !claim.cgroups.contains(&cgroup) {
            claim.cgroups.push(cgroup);
            self.by_cgroup.insert(cgroup, id.to_string());
        }
        true
    }

    /// Forgets a cgroup that was removed. The id of a container without a cgroup is free.
    pub(super) fn forget(&mut self, cgroup: u64) {
        let Some(id) = self.by_cgroup.remove(&cgroup) else {
            return;
        };
        if let Some(claim) = self.by_id.get_mut(&id) {
            claim.cgroups.retain(|known| *known != cgroup);
            if claim.cgroups.is_empty() {
                self.by_id.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_belongs_to_the_first_path_that_has_it() {
        let mut claims = Claims::default();
        let mut is_owner = |cgroup, own: &str| claims.is_owner("a", None, own, (cgroup, own));
        assert!(is_owner(1, "/docker/a"));
        // The other hierarchy has the same path.
        assert!(is_owner(2, "/docker/a"));
        assert!(!is_owner(3, "/user.slice/user-1000.slice/docker-a.scope"));
        claims.forget(3);
        claims.forget(1);
        let own = "/foo/docker-a.scope";
        assert!(!claims.is_owner("a", None, own, (4, own)));
        claims.forget(2);
        assert!(claims.is_owner("a", None, own, (5, own)));
        // A cgroup below claims nothing that its removal would not give back.
        assert!(claims.is_owner("c", None, "/docker/c", (7, "/docker/c/below")));
        claims.forget(7);
        let own = "/foo/docker-c.scope";
        assert!(claims.is_owner("c", None, own, (8, own)));
        let own = "/user.slice/user-1000.slice/machine-b.scope";
        assert!(!claims.is_owner("b", Some(Runtime::Nspawn), own, (6, own)));
    }
}
