//! Whether a token may be exchanged by this client, and what the new one inherits: nothing that its subject, its actor or
//! the request does not have (S20). Memory only.

use crate::{
    authenticate::Client,
    decide::{Purpose, Wish, check_task},
    directory::{Directory, RegisteredAgent},
    error::IssueError,
};
use identity::{Verified, limits::CHAIN_AGENTS};
use ledger::subject_digest;
use model::{
    ActionId, AgentName, Ancestor, Digest, TaskId, Timestamp, TokenId, UpstreamName, UserName,
};
use std::{collections::BTreeSet, sync::Arc};

/// A token that is exchanged, and what it passes on.
#[derive(Clone, Debug)]
pub(crate) struct Parent {
    pub(crate) agent: AgentName,
    pub(crate) token: TokenId,
    pub(crate) expires: Timestamp,
    version: Digest,
    instance: Option<String>,
    key: Option<String>,
    user: Option<UserName>,
    task: Option<TaskId>,
    audience: String,
    actions: Option<BTreeSet<ActionId>>,
    bound: bool,
    may_act: Vec<AgentName>,
    /// Those before it.
    chain: Vec<Ancestor>,
}

impl Parent {
    pub(crate) fn new(token: &Verified) -> Parent {
        Parent {
            agent: token.agent().clone(),
            token: token.token(),
            expires: token.expires(),
            version: token.version(),
            instance: token.instance().map(str::to_owned),
            key: token.scoped_key().map(str::to_owned),
            user: token.user().cloned(),
            task: token.task(),
            audience: token.audience().to_owned(),
            actions: token.actions().cloned(),
            bound: token.bound_to().is_some(),
            may_act: token.may_act().to_vec(),
            chain: token.chain().to_vec(),
        }
    }
}

/// Everyone whose stop ends an ancestor.
pub(crate) fn subjects_of(ancestor: &Ancestor) -> impl Iterator<Item = Digest> {
    ancestor.subjects().map(|(kind, name)| subject_digest(kind, &name))
}

/// The chain that the new token continues, if every link of it holds and names this client.
pub(crate) fn check_parent(
    directory: &dyn Directory,
    client: &Client,
    parent: &Parent,
) -> Result<Vec<Ancestor>, IssueError> {
    let agent = is_standing(directory, &parent.agent, parent.version)?;
    // The claim is what the subject's own request was granted with; the declared list is what stands now.
    if !parent.may_act.contains(&client.agent) || !agent.may_act.contains(&client.agent) {
        return Err(IssueError::Unlisted);
    }
    let mut chain = parent.chain.clone();
    chain.push(Ancestor {
        agent: parent.agent.clone(),
        instance: parent.instance.clone(),
        key: parent.key.clone(),
        owner: agent.owner.clone(),
        token: parent.token,
        version: parent.version,
    });
    // The client is one of the chain, too.
    if chain.len() >= CHAIN_AGENTS {
        return Err(IssueError::ChainTooDeep);
    }
    for ancestor in &chain {
        is_standing(directory, &ancestor.agent, ancestor.version)?;
        if subjects_of(ancestor).any(|subject| directory.is_revoked(&subject)) {
            return Err(IssueError::SubjectRevoked);
        }
    }
    Ok(chain)
}

/// The agent of a link, in the version that its token names.
pub(crate) fn is_standing(
    directory: &dyn Directory,
    name: &AgentName,
    version: Digest,
) -> Result<Arc<RegisteredAgent>, IssueError> {
    let agent = directory.agent(name).ok_or(IssueError::SubjectRevoked)?;
    if let Some(code) = directory.refused(name, &version) {
        return Err(IssueError::SubjectRefused(code));
    }
    let goes_on = agent.version == version || directory.goes_on(name, &version);
    if goes_on { Ok(agent) } else { Err(IssueError::SubjectOutdated) }
}

/// Task and human of the token that is exchanged: they stay, and the task is still the one that it began with.
pub(crate) fn kept_task(
    directory: &dyn Directory,
    parent: &Parent,
    chain: &[Ancestor],
    wish: &Wish,
    now: Timestamp,
) -> Result<Purpose, IssueError> {
    let task = parent.task.map(|task| task.to_string());
    if wish.task.is_some() && wish.task != task {
        return Err(IssueError::Task);
    }
    let Some(task) = task else {
        return Ok(Purpose { user: parent.user.clone(), ..Purpose::default() });
    };
    let origin = chain.first().map_or(&parent.agent, |first| &first.agent);
    let purpose = check_task(directory, origin, &task, now)?;
    if purpose.user == parent.user { Ok(purpose) } else { Err(IssueError::Task) }
}

/// The door that the token is for must be one that the exchanged token is for: its own, or one that is seen through
/// its door of all.
fn is_within(
    directory: &dyn Directory,
    parent: &Parent,
    resource: &str,
) -> Result<Option<UpstreamName>, IssueError> {
    let agent = directory.agent(&parent.agent).ok_or(IssueError::SubjectRevoked)?;
    let door = agent.doors.get(resource).ok_or(IssueError::Target)?;
    if resource == parent.audience {
        return Ok(door.clone());
    }
    let of_all = agent.doors.get(&parent.audience).is_some_and(Option::is_none);
    let inside = resource.strip_prefix(&parent.audience).is_some_and(|rest| rest.starts_with('/'));
    if of_all && inside { Ok(door.clone()) } else { Err(IssueError::Target) }
}

/// The only actions that the token reaches; `None` if it was asked for without naming any, comes of no
/// other, and was not bought with a key of less.
pub(crate) fn reach(
    directory: &dyn Directory,
    client: &Client,
    wish: &Wish,
    upstream: Option<&UpstreamName>,
) -> Result<Option<BTreeSet<ActionId>>, IssueError> {
    let scope = client.scoped_key().map(|(_, key)| key).filter(|key| !key.is_whole());
    if wish.parent.is_none() && wish.actions.is_none() && scope.is_none() {
        return Ok(None);
    }
    let mut most = directory.actions(&client.agent, upstream);
    most.retain(|action| scope.is_none_or(|scope| scope.covers(action)));
    if let Some(parent) = &wish.parent {
        let upstream = is_within(directory, parent, &wish.resource)?;
        let of_agent = directory.actions(&parent.agent, upstream.as_ref());
        most.retain(|action| {
            of_agent.contains(action)
                && parent.actions.as_ref().is_none_or(|actions| actions.contains(action))
                && (parent.bound || !directory.is_high(action))
        });
    }
    match &wish.actions {
        None if most.is_empty() => Err(IssueError::Target),
        None => Ok(Some(most)),
        // What is asked for is given or refused, never cut: an agent must not find out at its calls.
        Some(asked) if asked.is_subset(&most) => Ok(Some(asked.clone())),
        Some(_) => Err(IssueError::DetailsWider),
    }
}
