//! Everybody and everything whose stop refuses a call.

use crate::agent::AgentEntry;
use crate::call::Call;
use crate::digest::subject_digest;
use crate::facts::{Facts, Subject};
use model::{Ancestor, Code, Digest, TaskId, UpstreamName, UserName};
use std::sync::Arc;

/// The subjects that a freeze or a revocation of this call would name.
#[derive(Clone, Debug)]
pub struct Subjects {
    /// Identities first, then what is acted on.
    all: Arc<[Digest]>,
    identities: usize,
}

impl Subjects {
    pub(crate) fn of(subject: &Subject, facts: &Facts, call: &Call) -> Subjects {
        let agent = &call.slice().agent.subjects;
        let entry = call.entry();
        let mut all = Vec::with_capacity(12);
        all.extend_from_slice(agent);
        let mut add = |kind: &str, name: Option<String>| {
            all.extend(name.map(|name| subject_digest(kind, &name)));
        };
        add("instance", subject.instance.clone());
        add("key", subject.key.clone());
        add("task", subject.task.map(|task| task.to_string()));
        for task in &facts.within {
            add("task", Some(task.id.to_string()));
        }
        add("token", subject.token.map(|token| token.to_string()));
        add("user", subject.user.as_ref().map(UserName::to_string));
        all.extend(subject.chain.iter().flat_map(subjects_of));
        let identities = all.len();
        all.extend_from_slice(&entry.subjects);
        all.extend(call.tenant().map(|tenant| subject_digest("tenant", &tenant)));
        Subjects { all: all.into(), identities }
    }

    /// Those of somebody who listens and does not call: by its token, at the door of this upstream or of all.
    #[must_use]
    pub fn of_listener(
        subject: &Subject,
        agent: &AgentEntry,
        tasks: &[TaskId],
        upstream: Option<&UpstreamName>,
    ) -> Subjects {
        let mut all = agent.subjects().to_vec();
        let mut add = |kind: &str, name: String| all.push(subject_digest(kind, &name));
        add("version", subject.version.to_string());
        subject.instance.iter().for_each(|instance| add("instance", instance.clone()));
        subject.key.iter().for_each(|key| add("key", key.clone()));
        tasks.iter().for_each(|task| add("task", task.to_string()));
        subject.token.iter().for_each(|token| add("token", token.to_string()));
        subject.user.iter().for_each(|user| add("user", user.to_string()));
        all.extend(subject.chain.iter().flat_map(subjects_of));
        let identities = all.len();
        all.extend(upstream.map(|upstream| subject_digest("upstream", upstream.as_str())));
        all.push(everything());
        Subjects { all: all.into(), identities }
    }

    /// All of them, for the condition that an entry is opened under.
    #[must_use]
    pub fn all(&self) -> &[Digest] {
        &self.all
    }

    /// Why the call is stopped, if one of its subjects is.
    pub fn stopped(&self, is_revoked: impl Fn(&Digest) -> bool) -> Option<Code> {
        let at = self.all.iter().position(is_revoked)?;
        Some(if at < self.identities { Code::Revoked } else { Code::Frozen })
    }
}

/// What a stop of an ancestor would name; it ends what came of its token.
pub fn subjects_of(ancestor: &Ancestor) -> impl Iterator<Item = Digest> {
    ancestor.subjects().map(|(kind, name)| subject_digest(kind, &name))
}

/// The subject that a freeze of everything names.
#[must_use]
pub fn everything() -> Digest {
    subject_digest("all", "*")
}
