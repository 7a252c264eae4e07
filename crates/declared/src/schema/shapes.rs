//! The shapes of `ambit.yaml`, from the file down to its leaves.

use super::{
    Form::{self, Boolean, Integer, Json, Later, List, Map, Object, OneOf, Scalar, Text, Words},
    Key, Shape,
    Status::{self, Optional, Required},
};
use crate::limits::REQUIRED_MAX;

const NAME: &str = "^[a-z0-9][a-z0-9_-]{0,62}$";
const SUB_ACTION: &str = "^(?!split$)[A-Za-z0-9_./-]{1,128}$";
const OPERATION_OR_ALL: &str = "^(\\*|[A-Za-z0-9_./-]{1,128})$";
const PATTERN: &str = "^[a-z0-9][a-z0-9_-]{0,62}\\.(\\*|[A-Za-z0-9_./-]{1,128})$";
const ACTION_ID: &str = "^[a-z0-9][a-z0-9_-]{0,62}\\.[A-Za-z0-9_./-]{1,128}$";
const HUMAN: &str = "^(user|group):[a-z0-9][a-z0-9_-]{0,62}$";
const ISSUER: &str = "^issuer:[a-z0-9][a-z0-9_-]{0,62}$";
const DURATION: &str = "^[0-9]+[smhd]$";
const WORD: &str = "^[A-Za-z_][A-Za-z0-9_-]{0,63}$";
const VARIABLE: &str = "^(?!AMBIT_|LD_|DYLD_)[A-Za-z_][A-Za-z0-9_]{0,63}$";
const DATA: &str = "^[a-z0-9_-]+(\\.[a-z0-9_-]+)*$";
const ARGUMENT: &str = "^\\$[A-Za-z_][A-Za-z0-9_-]{0,63}$";
const POINTER: &str = "^(/([^~/]|~0|~1)*)+$";
const URL: &str = "^https?://[^@?#\\s]+$";
const REFERENCE: &str =
    "^(env:AMBIT_SECRET_[A-Z0-9_]+|file:[^/].*|secret:[a-z0-9][a-z0-9_-]{0,62})$";
const REFERENCE_OF_USER: &str = "^secret:[a-z0-9][a-z0-9_-]{0,62}/\\{user\\}$";
const LATER_REFERENCE: &str = "^(vault|k8s|oauth):.+$";
const CALLS: &str = "^[1-9][0-9]*/([1-9][0-9]*)?[smhd]$";
const ROUTE: &str = "^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /\\S*$";
const BEFORE: &str = "^(dry_run(:[A-Za-z_][A-Za-z0-9_-]{0,63})?|(pdp|webhook):[a-z0-9][a-z0-9_-]{0,62}|require:[A-Za-z_][A-Za-z0-9_-]{0,63})$";
const AFTER: &str = "^(mask(:(/([^~/]|~0|~1)*)+)?|notify(:[a-z0-9][a-z0-9_-]{0,62})?|sample(:([1-9][0-9]?|100)%)?)$";
const NETWORK: &str = "^[0-9a-f.:]+/[0-9]+$";
const SPIFFE: &str = "^spiffe://[a-z0-9._-]+(/[A-Za-z0-9._-]+)+$";
const EXACT: &str = "^[^*?]+$";
const ANY: &str = "";

const NAMES: Form = Map(NAME, &Text(ANY));

const fn key(name: &'static str, status: Status, form: Form, help: &'static str) -> Key {
    Key { name, status, form, help }
}

const fn later(name: &'static str, form: Form, help: &'static str) -> Key {
    Key { name, status: Status::Later, form, help }
}

const fn needed(name: &'static str, form: Form, help: &'static str) -> Key {
    Key { name, status: Status::LaterRequired, form, help }
}

pub(crate) static FILE: Shape = Shape {
    title: "the file",
    keys: &[
        key("version", Required, Integer(1, 1), "The version of this format."),
        later("channels", NAMES, "Where alarms and questions are sent."),
        key("humans", Optional, Object(&HUMANS), "The people that agents may act for."),
        key(
            "clients",
            Optional,
            Map(NAME, &Object(&CLIENT)),
            "Who may open tasks, of which agent.",
        ),
        key("agents", Optional, Map(NAME, &Object(&AGENT)), "Who may act."),
        key("intents", Optional, Map(NAME, &Object(&INTENT)), "Kinds of task."),
        key("upstreams", Optional, Map(NAME, &Object(&UPSTREAM)), "Systems behind the gateway."),
        key("boundaries", Optional, Map(NAME, &Object(&BOUNDARY)), "Playgrounds of agents."),
        key("approvals", Optional, Map(NAME, &Object(&APPROVAL)), "Who is asked, and how."),
        key(
            "hooks",
            Optional,
            Map(NAME, &Object(&HOOK)),
            "Parties outside that actions ask before, or tell after.",
        ),
        later("detections", List(&Text(ANY)), "Sets of detection rules: `builtin`, `rules/*.yml`."),
        later("rules", List(&Text(ANY)), "Files of detection rules (Sigma)."),
        later("owners", Map(ANY, &Text(HUMAN)), "Who may change which files."),
        key("tests", Optional, List(&Object(&CASE)), "Cases that every `apply` must pass."),
    ],
    renamed: &[("tools", "upstreams"), ("servers", "upstreams"), ("people", "humans")],
    rest: None,
};

pub(crate) static HUMANS: Shape = Shape {
    title: "`humans`",
    keys: &[
        key("people", Optional, Map(NAME, &Object(&PERSON)), "People known on this machine."),
        key("issuers", Optional, Map(NAME, &Object(&HUMAN_ISSUER)), "Further identity providers."),
        key(
            "groups",
            Optional,
            Map(NAME, &Object(&GROUP)),
            "What people of a group may do, where upstreams do not know them.",
        ),
    ],
    renamed: &[("users", "people")],
    rest: None,
};

pub(crate) static PERSON: Shape = Shape {
    title: "a person",
    keys: &[key("groups", Optional, List(&Text(NAME)), "The groups that she is in.")],
    renamed: &[],
    rest: None,
};

pub(crate) static GROUP: Shape = Shape {
    title: "a group",
    keys: &[
        key("actions", Required, List(&Text(PATTERN)), "What its people may do: `tickets.*`."),
        later("tenants", List(&Text(ANY)), "For which tenants."),
    ],
    renamed: &[("can", "actions"), ("allow", "actions"), ("only", "actions")],
    rest: None,
};

pub(crate) static HUMAN_ISSUER: Shape = Shape {
    title: "an identity provider",
    keys: &[
        key("url", Required, Text(URL), "Its issuer URL, exactly as its tokens state it."),
        key("subject", Optional, Text(ANY), "The claim that names the human; `sub` if absent."),
        key(
            "audience",
            Optional,
            Text(ANY),
            "The only audience of its ID tokens; the name of the client that shows one if absent.",
        ),
        key("actions", Optional, List(&Text(PATTERN)), "What its humans may do: `tickets.*`."),
        later("tenant", Text(ANY), "The claim that names the tenant."),
    ],
    renamed: &[],
    rest: None,
};

pub(crate) static CLIENT: Shape = Shape {
    title: "a client",
    keys: &[
        key("agent", Optional, Text(NAME), "The agent whose tasks it opens."),
        key("may_open", Optional, List(&Text(NAME)), "The intents it may open tasks for."),
        key(
            "may",
            Optional,
            List(&Words(&["read", "stop"])),
            "What else it may do: `read` the registry, `stop` (suspend and revoke).",
        ),
        key("keys", Optional, Text(ANY), "File with its public keys (JWKS)."),
        key(
            "humans",
            Optional,
            Words(&["proven", "stated"]),
            "How it shows for whom: by their own token, `proven` if absent; by its word for `people`, `stated`.",
        ),
    ],
    renamed: &[],
    rest: None,
};

pub(crate) static AGENT: Shape = Shape {
    title: "an agent",
    keys: &[
        key("purpose", Required, Text(ANY), "What it is for, in a sentence."),
        key("owner", Required, Text(HUMAN), "Who answers for it: `user:NAME` or `group:NAME`."),
        key(
            "sponsor",
            Optional,
            Text(HUMAN),
            "Who is accountable for it: `user:NAME` or `group:NAME`.",
        ),
        key(
            "environment",
            Optional,
            Text(NAME),
            "Where it runs: `prod`, `staging`; anywhere if absent.",
        ),
        key(
            "users",
            Optional,
            OneOf(&[Text(HUMAN), Text(ISSUER)]),
            "Whom it may serve; absent: it acts for itself only.",
        ),
        key("boundary", Required, Text(NAME), "Its playground; grants low and medium inside."),
        key(
            "only",
            Optional,
            List(&Text(PATTERN)),
            "Narrows the boundary; `high` actions must be named exactly.",
        ),
        key(
            "may_act",
            Optional,
            List(&Text(NAME)),
            "Agents that may exchange its tokens and act on its account; nobody if absent.",
        ),
        key("credentials", Optional, Object(&CREDENTIALS), "How it proves who it is."),
        key(
            "mode",
            Optional,
            Words(&["observe", "enforce"]),
            "`observe` decides and records, and lets pass what it would deny or ask; `enforce` if absent.",
        ),
        key(
            "observe_until",
            Optional,
            Text("^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
            "The day (UTC) on which `observe` ends and enforcing begins; at most 30 days ahead.",
        ),
        key(
            "manifest",
            Optional,
            Text(ANY),
            "File with model, prompt digests, tools, integrations and image.",
        ),
        key(
            "review",
            Optional,
            Object(&REVIEW),
            "Who reviews which change; absent: each passes with a record.",
        ),
        later("notify", Text(NAME), "The channel of its alarms."),
    ],
    renamed: &[("acts_for", "users"), ("can", "only"), ("user", "users")],
    rest: None,
};

pub(crate) static CREDENTIALS: Shape = Shape {
    title: "`credentials`",
    keys: &[
        key(
            "proof",
            Optional,
            Words(&["dpop", "mtls", "none"]),
            "What a token is bound to; `dpop` if absent, `mtls` for the connection's certificate, `none` for a bearer token.",
        ),
        key("keys", Optional, Text(ANY), "File with the agent's public keys (JWKS)."),
        key(
            "spiffe_id",
            Optional,
            Text(SPIFFE),
            "Workload of a foreign trust domain (`--trust-bundle`) whose certificates are its own, too.",
        ),
        key(
            "federated",
            Optional,
            List(&Object(&FEDERATED)),
            "Workloads of foreign issuers (OpenID Connect) that it is; each of their assertions counts once unless stated otherwise.",
        ),
        key("ttl", Optional, Text(DURATION), "Life of its tokens: 15m if absent, at most 1h."),
        key(
            "max_age",
            Optional,
            Text(DURATION),
            "Age at which a key of the agent is refused; announced from 80 % of it on.",
        ),
        key(
            "networks",
            Optional,
            List(&Text(NETWORK)),
            "Networks (CIDR) that its requests come from, as the socket says it; any if absent.",
        ),
    ],
    renamed: &[("bound", "proof"), ("with", "proof"), ("expires", "ttl")],
    rest: None,
};

pub(crate) static MANIFEST: Shape = Shape {
    title: "a manifest",
    keys: &[
        key("version", Required, Integer(1, 1), "The format's version: `1`."),
        key("model", Optional, Text(ANY), "The model: `vendor/name@date`."),
        key("prompts", Optional, Map(ANY, &Text(ANY)), "Prompts by name, each as a digest."),
        key(
            "tools",
            Optional,
            Map(ACTION_ID, &Text(ANY)),
            "Tools, each with the digest of its definition.",
        ),
        key(
            "integrations",
            Optional,
            Map(ANY, &Text(ANY)),
            "Systems that it is wired to, with what fixes each.",
        ),
        key("image", Optional, Text(ANY), "The image that it runs from, as a digest."),
    ],
    renamed: &[],
    rest: None,
};

pub(crate) static FEDERATED: Shape = Shape {
    title: "a foreign workload",
    keys: &[
        key("issuer", Required, Text(URL), "Its issuer, exactly as `iss` has it."),
        key("subject", Required, Text(EXACT), "Its `sub`, whole."),
        key(
            "claims",
            Optional,
            Map(ANY, &Scalar),
            "Further claims with their whole values; a name that begins with `/` is a JSON pointer.",
        ),
        key("max_age", Optional, Text(DURATION), "Greatest age of an assertion: 1h if absent."),
        key(
            "single_use",
            Optional,
            Boolean,
            "Whether an assertion counts once: `true` if absent; with `false`, `pin` says whose key it is bound to.",
        ),
        key(
            "pin",
            Optional,
            Text(ANY),
            "The claim that tells one workload from the next (`/kubernetes.io/pod/uid`; `sub` if the subject does): the first key that it comes with is its only one.",
        ),
    ],
    renamed: &[("iss", "issuer"), ("sub", "subject")],
    rest: None,
};

pub(crate) static REVIEW: Shape = Shape {
    title: "`review`",
    keys: &[
        key(
            "tools",
            Optional,
            Text(ANY),
            "Who reviews changed tools: `auto`, `notify`, `owner` (if absent), a group or `user:NAME`.",
        ),
        key(
            "integrations",
            Optional,
            Text(ANY),
            "Who reviews changed integrations: `auto`, `notify`, `owner` (if absent), a group or `user:NAME`.",
        ),
        key(
            "model",
            Optional,
            Text(ANY),
            "Who reviews a changed model: `auto`, `notify`, `owner` (if absent), a group or `user:NAME`.",
        ),
        key(
            "prompt",
            Optional,
            Text(ANY),
            "Who reviews a changed prompt: `auto`, `notify`, `owner` (if absent), a group or `user:NAME`.",
        ),
        key(
            "image",
            Optional,
            Text(ANY),
            "Who reviews a changed image: `auto`, `notify`, `owner` (if absent), a group or `user:NAME`.",
        ),
        key(
            "every",
            Optional,
            Text(DURATION),
            "How often the whole agent is reviewed; overdue, it is suspended.",
        ),
    ],
    renamed: &[],
    rest: None,
};

pub(crate) static INTENT: Shape = Shape {
    title: "an intent",
    keys: &[
        key(
            "params",
            Optional,
            Map(WORD, &Words(&["string", "integer", "boolean"])),
            "Names and types of its parameters.",
        ),
        key(
            "allow",
            Required,
            Map(PATTERN, &Map(WORD, &Scalar)),
            "What it allows; `$param` binds an argument to the task's parameter.",
        ),
    ],
    renamed: &[("can", "allow"), ("only", "allow"), ("with", "params"), ("args", "params")],
    rest: None,
};

pub(crate) static UPSTREAM: Shape = Shape {
    title: "an upstream",
    keys: &[
        key("mcp", Optional, Text(URL), "URL of an MCP server (streamable HTTP)."),
        key("http", Optional, Text(URL), "URL of an HTTP API."),
        later("llm", Text(URL), "URL of a model API."),
        later("a2a", Text(URL), "URL of another agent."),
        key("stdio", Optional, List(&Text(ANY)), "Command of a local MCP server."),
        key("shared", Optional, Boolean, "One process for all agents and humans."),
        key(
            "variables",
            Optional,
            Map(VARIABLE, &Text(ANY)),
            "Environment variables of a local server; never secrets.",
        ),
        key(
            "environment",
            Optional,
            Text(NAME),
            "Which environment it belongs to: agents and gates of another do not reach it.",
        ),
        later("forward", Words(&["verbatim"]), "Forward the raw body."),
        later("inspect", Boolean, "Look into a tunnel's traffic."),
        key(
            "credential",
            Optional,
            OneOf(&[Text(REFERENCE), Later(&Text(LATER_REFERENCE)), Object(&CREDENTIAL)]),
            "Where its credential comes from; injected, never seen by the agent.",
        ),
        key(
            "actions",
            Optional,
            Map(OPERATION_OR_ALL, &OneOf(&[Object(&ACTION), Later(&Object(&SPLIT))])),
            "Its catalog; `\"*\"` stands for every operation that is not named.",
        ),
    ],
    renamed: &[
        ("url", "mcp"),
        ("command", "stdio"),
        ("tools", "actions"),
        ("credentials", "credential"),
    ],
    rest: None,
};

pub(crate) static CREDENTIAL: Shape = Shape {
    title: "`credential`",
    keys: &[
        key(
            "as",
            Optional,
            Words(&["service", "user"]),
            "Whose credential it is: `service` if absent; `user`: of each human acted for.",
        ),
        key(
            "secret",
            Required,
            OneOf(&[Text(REFERENCE), Text(REFERENCE_OF_USER), Later(&Text(LATER_REFERENCE))]),
            "Where it is kept: `env:AMBIT_SECRET_NAME`, `file:relative/path`, `secret:NAME`; with `as: user`: `secret:NAME/{user}`.",
        ),
        key("variable", Optional, Text(VARIABLE), "The variable that a local server reads."),
        later("oauth", Text(NAME), "The OAuth provider that gives it."),
        later("rotate", Text(DURATION), "Age at which it must be replaced."),
    ],
    renamed: &[],
    rest: None,
};

pub(crate) static ACTION: Shape = Shape {
    title: "an action",
    keys: &[
        key(
            "effect",
            Optional,
            Words(&["read", "write", "delete", "transfer", "auth-change", "execute", "send"]),
            "What it does; absent: treated as `write`.",
        ),
        key(
            "sink",
            Optional,
            Words(&["none", "internal", "external"]),
            "Where its arguments go; `none` if absent.",
        ),
        key(
            "risk",
            Required,
            Words(&["low", "medium", "high", "prohibited"]),
            "How much a mistake would cost.",
        ),
        key("data", Optional, List(&Text(DATA)), "Data classes that it touches."),
        key("resource", Optional, Object(&RESOURCE), "Which resource it names."),
        key(
            "route",
            Optional,
            Text(ROUTE),
            "For HTTP: `POST /users/{user}/password-reset`; names that may come in the query: `GET /users?page&sort`.",
        ),
        key("returns", Optional, List(&Text(POINTER)), "JSON pointers kept of its result."),
        later("untrusted", List(&Text(POINTER)), "Parts of its result that others wrote."),
        later("consequential", List(&Text(WORD)), "Arguments that decide what it does."),
        later("reversible", Boolean, "Whether it can be undone."),
        later("idempotency", Text(WORD), "Argument that takes an idempotency key."),
        key(
            "approval",
            Optional,
            OneOf(&[Text(NAME), Later(&Object(&SOFT_APPROVAL))]),
            "The approval rule that is asked.",
        ),
        key("show", Optional, List(&Text(WORD)), "Arguments that the approver sees first."),
        key(
            "before",
            Optional,
            List(&Text(BEFORE)),
            "What must pass first: `dry_run`, `pdp:HOOK`, `webhook:HOOK`, `require:ARGUMENT`.",
        ),
        key(
            "after",
            Optional,
            List(&Text(AFTER)),
            "What is done with its result: `mask`, `mask:/pointer`, `notify:HOOK`, `sample:5%`.",
        ),
        later("environment", Text(NAME), "Which environment it changes."),
    ],
    renamed: &[("tier", "risk"), ("approvals", "approval"), ("path", "route")],
    rest: None,
};

static SPLIT: Shape = Shape {
    title: "an action that is split",
    keys: &[needed("split", Text(ANY), "How its arguments name the action: `sql`, `graphql`.")],
    renamed: &[],
    rest: Some((SUB_ACTION, &Object(&ACTION))),
};

static SOFT_APPROVAL: Shape = Shape {
    title: "an approval without waiting",
    keys: &[
        later("object", Text(DURATION), "Executes unless someone objects within this time."),
        later("sample", Text("^[0-9]{1,3}%$"), "The share that is reviewed afterwards."),
    ],
    renamed: &[],
    rest: None,
};

pub(crate) static RESOURCE: Shape = Shape {
    title: "`resource`",
    keys: &[
        key("type", Required, Text(WORD), "Its type: `ticket`."),
        key("id", Optional, Text(ARGUMENT), "The argument that holds its id: `$id`."),
        key(
            "tenant",
            Optional,
            OneOf(&[Text(ARGUMENT), Later(&Words(&["resolve"]))]),
            "The argument that holds its tenant.",
        ),
        later("namespace", Text(ARGUMENT), "The argument that holds its namespace."),
        later("dataset", Text(ARGUMENT), "The argument that holds its dataset."),
    ],
    renamed: &[("kind", "type")],
    rest: None,
};

pub(crate) static BOUNDARY: Shape = Shape {
    title: "a boundary",
    keys: &[
        key("upstreams", Required, List(&Text(NAME)), "What lies inside."),
        later("tenants", Text(ANY), "Which tenants lie inside: `task`."),
        key("deny_data", Optional, List(&Text(DATA)), "Data classes that never leave."),
        key(
            "limits",
            Optional,
            Object(&LIMITS),
            "How much, within which time: `{ calls: 300/h }`.",
        ),
        later("hours", Text(ANY), "When it may be acted in."),
    ],
    renamed: &[("tools", "upstreams"), ("max_calls", "limits")],
    rest: None,
};

pub(crate) static LIMITS: Shape = Shape {
    title: "`limits`",
    keys: &[key("calls", Optional, Text(CALLS), "Calls per agent: `300/h`, `50/10m`.")],
    renamed: &[("max_calls", "calls")],
    rest: Some((
        "^sum\\([a-z0-9][a-z0-9_-]{0,62}\\.[A-Za-z0-9_./-]{1,128}\\)$",
        &Later(&Text("^[0-9]+/([0-9]+)?(s|m|h|d|day)$")),
    )),
};

pub(crate) static APPROVAL: Shape = Shape {
    title: "an approval rule",
    keys: &[
        key(
            "approvers",
            Required,
            OneOf(&[Words(&["requester"]), Text(HUMAN)]),
            "Who may approve: `group:NAME`, `user:NAME`, or `requester`.",
        ),
        key("required", Optional, Integer(1, REQUIRED_MAX), "How many must; 1 if absent."),
        key(
            "exclude",
            Optional,
            List(&Words(&["requester", "owner"])),
            "Who may not, whatever group they are in.",
        ),
        key("proof", Optional, Words(&["passkey", "idp_mfa"]), "What an approver must show."),
        key("answer_within", Optional, Text(DURATION), "How long it can be answered: 10m."),
        key("use_within", Optional, Text(DURATION), "How long an approval can be used: 10m."),
        later("escalate", Object(&ESCALATE), "Who is asked next."),
        later("remind", Text(DURATION), "When approvers are reminded."),
        later("on_decision", Text(ANY), "Where the decision is sent."),
    ],
    renamed: &[
        ("from", "approvers"),
        ("need", "required"),
        ("with", "proof"),
        ("not", "exclude"),
        ("expires", "answer_within"),
    ],
    rest: None,
};

pub(crate) static HOOK: Shape = Shape {
    title: "a hook",
    keys: &[
        key("url", Required, Text(URL), "Where it is asked or told, by POST."),
        key("within", Optional, Text(DURATION), "How long it may take: 2s if absent, at most 10s."),
        key("secret", Optional, Text(REFERENCE), "What the gateway proves itself with."),
    ],
    renamed: &[("timeout", "within"), ("credential", "secret")],
    rest: None,
};

static ESCALATE: Shape = Shape {
    title: "`escalate`",
    keys: &[needed("after", Text(DURATION), "When."), needed("to", Text(HUMAN), "To whom.")],
    renamed: &[],
    rest: None,
};

pub(crate) static CASE: Shape = Shape {
    title: "a test",
    keys: &[
        key("agent", Required, Text(NAME), "Who acts."),
        key("for", Optional, Text(NAME), "For whom."),
        key("do", Required, Text(ACTION_ID), "What."),
        key("args", Optional, Json, "With which arguments."),
        key("intent", Optional, Text(NAME), "Under which intent."),
        key("params", Optional, Map(WORD, &Scalar), "With which parameters of the intent."),
        key("expect", Required, Words(&["allow", "deny", "ask"]), "What must come of it."),
        key("reason", Optional, Text(ANY), "The rule that must be among the reasons."),
    ],
    renamed: &[("with", "args"), ("user", "for"), ("action", "do")],
    rest: None,
};
