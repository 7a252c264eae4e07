//! Whether this client gets a token for this door, and what it says. Memory only.

use crate::{
    authenticate::{Client, Way},
    delegate::{Parent, check_parent, kept_task, reach, subjects_of},
    directory::{Directory, RegisteredAgent},
    error::IssueError,
    limits::BEARER_LIFE,
};
use identity::limits::MAX_TOKEN_LIFE;
use ledger::subject_digest;
use model::{
    ActionId, AgentName, Ancestor, Digest, PartyName, TaskId, Timestamp, UpstreamName, UserName,
    declared::Proof, network,
};
use std::{collections::BTreeSet, sync::Arc};

/// What a client wishes for.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) resource: String,
    pub(crate) task: Option<String>,
    /// The version that it says it is; one that says nothing is the newest.
    pub(crate) version: Option<String>,
    pub(crate) binding: Binding,
    /// The only actions that the token is to reach.
    pub(crate) actions: Option<BTreeSet<ActionId>>,
    /// The token that is exchanged.
    pub(crate) parent: Option<Parent>,
}

/// What the token is to be bound to.
#[derive(Clone, Debug)]
pub(crate) enum Binding {
    /// Nothing.
    None,
    /// The key of this proof, which was checked.
    Proof { jkt: String, single_use: (Digest, Timestamp) },
    /// The certificate of the connection, which the handshake checked.
    Certificate {
        /// Its SHA-256, in base64url.
        thumbprint: String,
        /// The thumbprint of its key, if that is of a kind that is taken.
        key: Option<String>,
    },
    /// A key of the agent's own, named by who may (`control.sock`).
    Key(String),
}

/// What the token will say.
#[derive(Clone, Debug)]
pub(crate) struct Decided {
    pub(crate) version: Digest,
    pub(crate) instance: Option<String>,
    /// None for the door of all.
    pub(crate) upstream: Option<UpstreamName>,
    pub(crate) user: Option<UserName>,
    pub(crate) task: Option<TaskId>,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) bound: bool,
    /// The agents from whose tokens it comes.
    pub(crate) chain: Vec<Ancestor>,
    /// The only actions that it reaches.
    pub(crate) actions: Option<BTreeSet<ActionId>>,
    /// The agents that may exchange it.
    pub(crate) may_act: Vec<AgentName>,
    /// The certificate that it is bound to, if it is one.
    pub(crate) certificate: Option<String>,
    /// Everyone whose revocation takes the decision back.
    pub(crate) subjects: Vec<Digest>,
}

/// Decides as of now.
pub(crate) fn decide(
    directory: &dyn Directory,
    client: &Client,
    wish: &Wish,
) -> Result<Decided, IssueError> {
    let now = directory.now();
    let agent = directory.agent(&client.agent).ok_or(IssueError::Revoked)?;
    if !is_inside(client, &agent) {
        return Err(IssueError::Network);
    }
    let version = check_version(directory, client, wish, agent.version)?;
    let (instance, bound) = check_binding(&agent, client, wish)?;
    let mut subjects = check_instance(directory, client, instance.as_deref())?;
    let certificate = match &wish.binding {
        Binding::Certificate { thumbprint, .. } => Some(thumbprint.clone()),
        Binding::None | Binding::Proof { .. } | Binding::Key(_) => None,
    };
    let chain = match &wish.parent {
        None => Vec::new(),
        Some(parent) => check_parent(directory, client, parent)?,
    };
    let Purpose { task, user, within, ends: task_ends } = match &wish.parent {
        None => own_task(directory, client, wish, now)?,
        Some(parent) => kept_task(directory, parent, &chain, wish, now)?,
    };
    let names = Names {
        agent: &client.agent,
        version,
        owner: &agent.owner,
        instance: instance.as_deref(),
        task,
        user: user.as_ref(),
    };
    subjects.extend(names.subjects());
    subjects.extend(within.iter().map(|task| subject_digest("task", &task.to_string())));
    subjects.extend(client.scoped_key().map(|(id, _)| subject_digest("key", id)));
    if let Some(code) = directory.refused(&client.agent, &version) {
        return Err(IssueError::Standing(code));
    }
    if subjects.iter().any(|subject| directory.is_revoked(subject)) {
        return Err(IssueError::Revoked);
    }
    subjects.extend(chain.iter().flat_map(subjects_of));
    // A frozen upstream answers as one that the agent does not see.
    let upstream = agent.doors.get(&wish.resource).ok_or(IssueError::Target)?.clone();
    if let Some(upstream) = &upstream {
        let upstream_subject = subject_digest("upstream", upstream.as_str());
        if directory.is_revoked(&upstream_subject) {
            return Err(IssueError::Target);
        }
        subjects.push(upstream_subject);
    }
    let actions = reach(directory, client, wish, upstream.as_ref())?;
    let ends = wish.parent.as_ref().map(|parent| parent.expires);
    let key_ends = client.scoped_key().map(|(_, key)| key.until);
    let ends = task_ends.into_iter().chain(ends).chain(key_ends).min();
    let (issued, expires) = lifetime(&agent, ends, bound, now)?;
    let may_act = agent.may_act.clone();
    Ok(Decided {
        version,
        instance,
        upstream,
        user,
        task,
        issued,
        expires,
        bound,
        chain,
        actions,
        may_act,
        certificate,
        subjects,
    })
}

/// Whether a client may ask for anything now, and whose revocation takes that back.
pub(crate) fn check_client(
    directory: &dyn Directory,
    client: &Client,
) -> Result<Vec<Digest>, IssueError> {
    let agent = directory.agent(&client.agent).ok_or(IssueError::Revoked)?;
    if !is_inside(client, &agent) {
        return Err(IssueError::Network);
    }
    if let Some(code) = directory.refused(&client.agent, &agent.version) {
        return Err(IssueError::Standing(code));
    }
    let subjects = vec![
        subject_digest("agent", client.agent.as_str()),
        subject_digest("owner", &agent.owner.to_string()),
        subject_digest("all", "*"),
    ];
    if subjects.iter().any(|subject| directory.is_revoked(subject)) {
        return Err(IssueError::Revoked);
    }
    Ok(subjects)
}

/// Whether a client asks from where its agent may. Over `control.sock` there is no network.
pub(crate) fn is_inside(client: &Client, agent: &RegisteredAgent) -> bool {
    match client.way {
        Way::Control => true,
        Way::Assertion { .. }
        | Way::Certificate { .. }
        | Way::Federated { .. }
        | Way::ScopedKey { .. } => {
            let own = client.scoped_key().map_or(&[][..], |(_, key)| &key.networks);
            network::admits(&agent.networks, client.peer) && network::admits(own, client.peer)
        }
    }
}

/// The instance's key, and whether the token is bound to it.
fn check_binding(
    agent: &Arc<RegisteredAgent>,
    client: &Client,
    wish: &Wish,
) -> Result<(Option<String>, bool), IssueError> {
    let own = client.key().map(str::to_owned);
    if let Way::Assertion { key, .. } = &client.way
        && !agent.keys.contains(key)
    {
        return Err(IssueError::Revoked);
    }
    // What it buys is bound, whatever its agent's other tokens are.
    if client.scoped_key().is_some() && matches!(wish.binding, Binding::None) {
        return Err(IssueError::ScopedKeyProof);
    }
    let proven = match &wish.binding {
        Binding::Proof { jkt, .. } | Binding::Key(jkt) => Some(jkt),
        Binding::Certificate { key, .. } => key.as_ref(),
        Binding::None => None,
    };
    if own.iter().chain(proven).any(|key| agent.aged.contains(key)) {
        return Err(IssueError::KeyAged);
    }
    match (&wish.binding, agent.proof) {
        (Binding::None, Proof::None) if client.pinned().is_some() => Err(IssueError::ProofMissing),
        (Binding::Certificate { key, .. }, Proof::Mtls | Proof::None) => {
            key.clone().map(|key| (Some(key), true)).ok_or(IssueError::CertificateKey)
        }
        (_, Proof::Mtls) => Err(IssueError::CertificateMissing),
        (Binding::Proof { jkt, .. }, _) => Ok((Some(jkt.clone()), true)),
        (Binding::Key(key), _) if agent.keys.contains(key) => Ok((Some(key.clone()), true)),
        (Binding::Key(_), _) => Err(IssueError::ForeignKey),
        (Binding::None | Binding::Certificate { .. }, Proof::Dpop) => Err(IssueError::ProofMissing),
        (Binding::None, Proof::None) => Ok((own, false)),
    }
}

/// Whoever authenticates with a key that is revoked gets nothing, whatever key it binds to. An enrolled instance has one
/// key: what it asks for is bound to that one, and ends with it.
fn check_instance(
    directory: &dyn Directory,
    client: &Client,
    bound_to: Option<&str>,
) -> Result<Vec<Digest>, IssueError> {
    let Some(key) = client.key() else { return Ok(Vec::new()) };
    if directory.is_instance(&client.agent, key) && bound_to != Some(key) {
        return Err(IssueError::ForeignKey);
    }
    Ok(vec![subject_digest("instance", key)])
}

/// The version that the client says it is, if it may still act, or the newest.
fn check_version(
    directory: &dyn Directory,
    client: &Client,
    wish: &Wish,
    newest: Digest,
) -> Result<Digest, IssueError> {
    let Some(stated) = &wish.version else { return Ok(newest) };
    let stated = Digest::from_hex(stated).ok_or(IssueError::Version)?;
    let goes_on = stated == newest || directory.goes_on(&client.agent, &stated);
    if goes_on { Ok(stated) } else { Err(IssueError::Version) }
}

/// The task, its human, and when it ends, as far as there are any.
#[derive(Default)]
pub(crate) struct Purpose {
    pub(crate) task: Option<TaskId>,
    pub(crate) user: Option<UserName>,
    /// The tasks that it lies within.
    pub(crate) within: Vec<TaskId>,
    pub(crate) ends: Option<Timestamp>,
}

/// The task that is named, if one is, with its human and its end.
fn own_task(
    directory: &dyn Directory,
    client: &Client,
    wish: &Wish,
    now: Timestamp,
) -> Result<Purpose, IssueError> {
    match &wish.task {
        Some(text) => check_task(directory, &client.agent, text, now),
        None => Ok(Purpose::default()),
    }
}

/// The task of this id, if it is an open one of the agent.
pub(crate) fn check_task(
    directory: &dyn Directory,
    agent: &AgentName,
    text: &str,
    now: Timestamp,
) -> Result<Purpose, IssueError> {
    let id = TaskId::parse(text).ok_or(IssueError::Task)?;
    let task = directory.task(id).ok_or(IssueError::Task)?;
    if task.agent != *agent || task.expires <= now {
        return Err(IssueError::Task);
    }
    let (user, within, ends) = (task.user, task.within, Some(task.expires));
    Ok(Purpose { task: Some(id), user, within, ends })
}

/// From now, in whole seconds, until the earliest of the declared life, the end of the task and of the token that is
/// exchanged, and the ceilings.
fn lifetime(
    agent: &RegisteredAgent,
    ends: Option<Timestamp>,
    bound: bool,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), IssueError> {
    let ceiling = if bound { MAX_TOKEN_LIFE } else { BEARER_LIFE };
    let issued = Timestamp::from_seconds(now.seconds());
    let by_life = issued.after(agent.ttl.min(ceiling));
    let expires = ends.map_or(by_life, |ends| by_life.min(ends));
    let expires = Timestamp::from_seconds(expires.seconds());
    if expires <= now {
        return Err(IssueError::Life);
    }
    Ok((issued, expires))
}

/// Everyone that a token names.
struct Names<'a> {
    agent: &'a AgentName,
    version: Digest,
    owner: &'a PartyName,
    instance: Option<&'a str>,
    task: Option<TaskId>,
    user: Option<&'a UserName>,
}

impl Names<'_> {
    fn subjects(&self) -> Vec<Digest> {
        let mut all = vec![
            subject_digest("agent", self.agent.as_str()),
            subject_digest("version", &self.version.to_string()),
            subject_digest("owner", &self.owner.to_string()),
            subject_digest("all", "*"),
        ];
        all.extend(self.instance.map(|instance| subject_digest("instance", instance)));
        all.extend(self.task.map(|task| subject_digest("task", &task.to_string())));
        all.extend(self.user.map(|user| subject_digest("user", user.as_str())));
        all
    }
}
