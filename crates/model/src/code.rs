//! The registry of refusal and fault codes: append only, rendered to `docs/reference/codes.md`.

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $slug:literal $sentence:literal $fix:literal;)*) => {
        /// A stable code for a refusal or fault. Numbers are never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// All codes, in the order of their numbers.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// `AMB1001`.
            #[must_use]
            pub const fn number(self) -> &'static str { match self { $(Code::$variant => $number,)* } }

            /// The word used in records and metrics: `not_granted`.
            #[must_use]
            pub const fn slug(self) -> &'static str { match self { $(Code::$variant => $slug,)* } }

            /// The fixed sentence that an agent is told.
            #[must_use]
            pub const fn sentence(self) -> &'static str { match self { $(Code::$variant => $sentence,)* } }

            /// What the agent should do about it.
            #[must_use]
            pub const fn fix(self) -> &'static str { match self { $(Code::$variant => $fix,)* } }

            /// Whether a refusal with this code is an alarm: somebody uses what belongs elsewhere.
            #[must_use]
            pub const fn is_alarm(self) -> bool { matches!(self, Code::EnvironmentMismatch | Code::KeyPinned) }

            /// Reads a slug; anything else is `None`.
            #[must_use]
            pub fn parse(text: &str) -> Option<Code> {
                match text { $($slug => Some(Code::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for Code {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.slug()) }
        }
    };
}

codes! {
    /// No credential came.
    CredentialMissing = "AMB1001" "credential_missing" "no credential came with this request" "send an access token issued by Ambit";
    /// The credential is not valid.
    CredentialInvalid = "AMB1002" "credential_invalid" "the credential is not valid here" "get a new access token for this audience";
    /// The credential has expired.
    CredentialExpired = "AMB1003" "credential_expired" "the credential has expired" "get a new access token";
    /// Proof of possession is missing or wrong.
    ProofInvalid = "AMB1004" "proof_invalid" "the proof of possession is missing or not valid" "sign a fresh DPoP proof for this method and URL with the token's key";
    /// The proof was used before.
    ProofReplayed = "AMB1005" "proof_replayed" "this proof of possession was used before" "sign a fresh proof for each request";
    /// Token, agent, task, version or human was revoked or frozen.
    Revoked = "AMB1006" "revoked" "this identity was revoked or frozen" "stop; a person decides when it may act again";
    /// Too many requests without valid credential.
    TooManyFailures = "AMB1007" "too_many_failures" "too many requests without a valid credential" "wait a minute, then send a valid access token";
    /// The keys of a foreign issuer cannot be had.
    IssuerUnavailable = "AMB1008" "issuer_unavailable" "the keys of the issuer of this credential cannot be had" "try again later; the operator was told";
    /// The proof of possession lacks a current nonce.
    NonceWanted = "AMB1009" "nonce_wanted" "the proof of possession lacks a current nonce" "sign a fresh DPoP proof with the value of the DPoP-Nonce header";

    /// A foreign workload's assertions are pinned to another key.
    KeyPinned = "AMB1010" "key_pinned" "this workload's assertions are pinned to the key that it came with first" "use that key; the operator was told";

    /// A person or a rule suspended the agent.
    AgentSuspended = "AMB1020" "agent_suspended" "this agent is suspended" "stop; a person lets it go on: `ambit agent show NAME` says how";
    /// The agent's life has ended.
    AgentDecommissioned = "AMB1021" "agent_decommissioned" "this agent was decommissioned" "stop; it never acts again";
    /// Neither the agent's owner nor its sponsor is known to be alive.
    OwnerAbsent = "AMB1022" "owner_absent" "nobody who is known to be alive answers for this agent" "stop; its owner or sponsor confirms with `ambit owner confirm NAME`";
    /// The agent, or this version of it, was not reviewed.
    VersionUnreviewed = "AMB1023" "version_unreviewed" "this version of the agent was not reviewed" "stop; a person reviews it with `ambit agent review NAME`";
    /// The credential belongs to another environment than the gate or the upstream.
    EnvironmentMismatch = "AMB1024" "environment_mismatch" "this credential belongs to another environment" "use the gateway of your own environment; the operator was told";
    /// The connection comes from a process of the gate's own user.
    SameUser = "AMB1025" "same_user" "a program that runs as the gateway's own user is no agent" "run the agent as another user of the operating system";

    /// The connection comes from a network that is not listed for the agent.
    NetworkUnlisted = "AMB1026" "network_unlisted" "this credential does not work from this network" "call from a network that is listed for this agent; a person lists them in `credentials: networks`";

    /// A scoped key was shown at a door.
    KeyAtDoor = "AMB1027" "key_at_door" "a scoped key opens no door" "buy a token with it at /oauth/token, with a DPoP proof or over TLS with a certificate";

    /// The action does not exist for this agent (also said of actions that do not exist at all).
    NotInCatalog = "AMB2001" "not_in_catalog" "Unknown tool" "use only tools that are listed";
    /// The arguments do not fit the action's schema.
    ArgumentsInvalid = "AMB2002" "arguments_invalid" "the arguments do not fit the tool's input schema" "correct the arguments as the detail says, then call again";
    /// The body is not acceptable JSON.
    BodyInvalid = "AMB2003" "body_invalid" "the body is not acceptable JSON" "send I-JSON: unique names, exact numbers, valid UTF-8";
    /// The body is too large or too deep.
    BodyTooLarge = "AMB2004" "body_too_large" "the body is larger or deeper than the limit" "send less";
    /// The definition of the action changed and was not accepted.
    DefinitionChanged = "AMB2005" "definition_changed" "the tool's definition changed and waits for review" "do not retry; the operator was told";
    /// The request does not follow the protocol.
    ProtocolInvalid = "AMB2006" "protocol_invalid" "the request does not follow the protocol" "correct the request as the detail says";
    /// The credential is of an earlier version of the agent.
    VersionChanged = "AMB2007" "version_changed" "this credential is of an earlier version of the agent, so nothing was executed" "get a new access token, then call again";
    /// The action is declared, and no definition of it was ever seen at its upstream.
    DefinitionUnseen = "AMB2008" "definition_unseen" "the tool's definition was not seen at its upstream yet" "try again later; the operator was told";

    /// No grant covers the action.
    NotGranted = "AMB3001" "not_granted" "this action is not granted to this agent" "do not retry; work without it or ask the operator";
    /// A rule forbids the action.
    Forbidden = "AMB3002" "forbidden" "a rule forbids this action" "do not retry with other arguments";
    /// The task's intent does not cover the action with these arguments.
    OutsideIntent = "AMB3003" "outside_intent" "this action is outside the task's declared intent" "keep to the task; other work needs a task of its own";
    /// The agent may not serve this human, or no human is named.
    UserNotServed = "AMB3004" "user_not_served" "this agent may not act for this user" "act only for users that this agent serves";
    /// A limit is used up.
    LimitReached = "AMB3005" "limit_reached" "a limit on calls is used up" "wait, then call again";
    /// The decision could not be made.
    Undecidable = "AMB3006" "undecidable" "the decision could not be made, so nothing was executed" "try again later; the operator was told";
    /// A human is asked.
    Asked = "AMB3007" "asked" "a human was asked to approve this action" "call again with the same arguments after approval; do not change them";
    /// A human said no.
    AnsweredNo = "AMB3008" "answered_no" "a human declined this action" "do not retry";
    /// Too many open asks.
    TooManyAsks = "AMB3009" "too_many_asks" "too many questions to humans are open" "wait for the open ones to be answered";

    /// A person stopped what this action does, where it goes or everything.
    Frozen = "AMB3010" "frozen" "an operator has stopped this action" "stop; a person decides when it is possible again";
    /// A decision point or webhook said no.
    HookRefused = "AMB3011" "hook_refused" "a system that must agree to this action refused it" "do not retry; the operator was told";
    /// A decision point or webhook gave no usable answer.
    HookUnavailable = "AMB3012" "hook_unavailable" "a system that must agree to this action did not answer, so nothing was executed" "try again later; the operator was told";
    /// Something that the action requires is missing.
    RequirementMissing = "AMB3013" "requirement_missing" "something that this action requires is missing" "provide what the detail names, then call again";
    /// The upstream's dry run failed.
    DryRunFailed = "AMB3014" "dry_run_failed" "the dry run of this action failed, so nothing was executed" "correct the call as the upstream would want it, or do not retry";

    /// A draft may do low things only.
    DraftLimited = "AMB3020" "draft_limited" "a draft may use low actions only" "do not retry; a person reviews the agent first";

    /// The token is bound to nothing, and the action is high.
    BearerCapped = "AMB3021" "bearer_capped" "a token that is bound to no key reaches no high action, whatever was approved" "do not retry with this token; come in through `ambit bridge`, or ask a person for `proof: dpop` or `proof: mtls`";

    /// The entry could not be written.
    Unrecorded = "AMB4001" "unrecorded" "the action could not be recorded, so nothing was executed" "try again in a few seconds";
    /// The gate is overloaded.
    Saturated = "AMB4002" "saturated" "the gateway is busy, so nothing was executed" "try again in a few seconds";
    /// The gate stops.
    Stopping = "AMB4003" "stopping" "the gateway is stopping, so nothing was executed" "try again in a few seconds";
    /// The agent has too many calls open.
    TooManyCalls = "AMB4004" "too_many_calls" "too many calls of this agent are open, so nothing was executed" "wait until some have ended, then call again";

    /// The upstream cannot be reached.
    UpstreamUnreachable = "AMB5001" "upstream_unreachable" "the upstream cannot be reached" "try again later";
    /// The upstream answered nonsense.
    UpstreamInvalid = "AMB5002" "upstream_invalid" "the upstream's answer is not valid" "try again later; the operator was told";
    /// The upstream took too long; the outcome is unknown.
    UpstreamTimeout = "AMB5003" "upstream_timeout" "the upstream did not answer in time; the action may or may not have happened" "check whether it happened before you call again";
    /// The upstream's answer may not be returned.
    ResultWithheld = "AMB5004" "result_withheld" "the upstream's answer may not be returned" "do not retry; the operator was told";
    /// The upstream's credential is not available.
    UpstreamCredential = "AMB5005" "upstream_credential" "the upstream's credential is not available" "try again later; the operator was told";
    /// The upstream's answer is too large.
    ResultTooLarge = "AMB5006" "result_too_large" "the upstream's answer is larger than the limit" "ask for less";
}
