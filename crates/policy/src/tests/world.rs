//! A small declared world that the tests share and change.

use crate::{
    Approval, Call, Compiled, Definition, Definitions, Facts, Ruling, Subject, TaskFacts, compile,
    evaluate,
};
use canonical::{Limits, Value};
use model::declared::{
    Action, ActionPattern, Agent, ApprovalProof, ApprovalRule, Approvers, Boundary, CallLimit,
    Constraint, Credentials, Declared, Intent, ParamType, PolicyFile, Proof, Resource, Route,
    Segment, Upstream, UpstreamKind,
};
use model::{
    ActionId, AskId, Decision, Duration, Effect, EntryId, Name, PartyName, RiskTier, Sink, TaskId,
    Timestamp, TraceId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A Saturday, 05:20 UTC.
pub(super) const NOW: Timestamp = Timestamp(1_800_076_800_000_000);

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn action(text: &str) -> ActionId {
    ActionId::parse(text).unwrap()
}

pub(super) fn json(text: &str) -> Value {
    canonical::parse(text.as_bytes(), &Limits::FRAME).unwrap()
}

fn group(text: &str) -> PartyName {
    PartyName::Group(name(text))
}

fn pattern(text: &str) -> ActionPattern {
    match text.strip_suffix(".*") {
        Some(upstream) => ActionPattern::All(name(upstream)),
        None => ActionPattern::Exact(action(text)),
    }
}

fn agent(boundary: &str, only: Option<&[&str]>, users: Option<PartyName>, line: u32) -> Agent {
    Agent {
        purpose: "a test".into(),
        owner: group("owners"),
        boundary: name(boundary),
        only: only.map(|only| only.iter().map(|text| pattern(text)).collect()),
        users,
        credentials: Credentials { proof: Proof::None, ..Credentials::default() },
        observe_until: None,
        governance: model::declared::Governance::default(),
        may_act: Vec::new(),
        line,
    }
}

pub(super) fn entry(risk: RiskTier) -> Action {
    Action {
        effect: if risk == RiskTier::Low { Effect::Read } else { Effect::Write },
        sink: Sink::None,
        risk,
        data: BTreeSet::new(),
        resource: None,
        route: None,
        returns: Vec::new(),
        approval: None,
        show: Vec::new(),
        before: Vec::new(),
        after: Vec::new(),
        complete: true,
        line: 50,
    }
}

fn upstream(kind: UpstreamKind, actions: &[(&str, Action)]) -> Upstream {
    let actions = actions.iter().map(|(name, action)| ((*name).to_owned(), action.clone()));
    Upstream {
        kind,
        url: "http://127.0.0.1:1".into(),
        local: None,
        environment: None,
        credential: None,
        actions: actions.collect(),
        default_action: None,
        line: 40,
    }
}

fn boundary(upstreams: &[&str], deny_data: &[&str], calls: Option<CallLimit>) -> Boundary {
    Boundary {
        upstreams: upstreams.iter().map(|text| name(text)).collect(),
        deny_data: deny_data.iter().map(|text| (*text).to_owned()).collect(),
        calls,
        line: 1,
    }
}

fn rule(approvers: &str) -> ApprovalRule {
    ApprovalRule {
        approvers: Approvers::Party(group(approvers)),
        required: 1,
        exclude: BTreeSet::new(),
        proof: ApprovalProof::Passkey,
        answer_within: Duration::seconds(600),
        use_within: Duration::seconds(600),
    }
}

fn intent(params: &[(&str, ParamType)], allow: &[(&str, &[(&str, Constraint)])]) -> Intent {
    let constraints = |list: &[(&str, Constraint)]| -> BTreeMap<String, Constraint> {
        list.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    Intent {
        params: params.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(),
        allow: allow.iter().map(|(text, list)| (pattern(text), constraints(list))).collect(),
        line: 1,
    }
}

const TICKET: &str = r#"{"type":"object","required":["id"],"properties":{"id":{"type":"string"},
    "status":{"type":"string","enum":["open","closed"]},"hours":{"type":"integer"},
    "cost":{"type":"number"},"urgent":{"type":"boolean"},
    "tags":{"type":"array","items":{"type":"string"}},"filter":{"type":"object"},
    "note":{"type":["string","null"]},
    "owner":{"type":"object","required":["name"],"properties":{"name":{"type":"string"}}}}}"#;
const PAYMENT: &str = r#"{"type":"object","required":["to","amount"],"additionalProperties":false,
    "properties":{"to":{"type":"string"},"amount":{"type":"number"}}}"#;

fn definition(schema: &str) -> Definition {
    let input_schema = json(schema);
    let canonical = input_schema.to_bytes();
    Definition { digest: crate::digest::sha256(&canonical), canonical, input_schema }
}

/// What tests change before they compile.
#[derive(Clone)]
pub(super) struct World {
    pub(super) declared: Declared,
    pub(super) definitions: Definitions,
}

pub(super) const POLICIES: &str = r#"@id("no-admin-resets")
@reason("Admin accounts are reset by people, never by agents")
forbid (principal, action == Action::"directory.reset_password", resource)
when { context.args.user like "adm-*" };

@id("at-night")
@approval("leads")
forbid (principal in Agent::"helpdesk", action in Action::"effect:write", resource)
when { context.hour < 5 }
unless { context.approved };

@id("costly")
@approval("default")
forbid (principal, action == Action::"tickets.update", resource)
when { context.args has cost && context.args.cost.greaterThan(decimal("100.0")) }
unless { context.approved };

@id("narrow-may-update")
permit (principal in Agent::"narrow", action == Action::"tickets.update", resource)
when { context.args has urgent && context.args.urgent };
"#;

impl World {
    pub(super) fn new() -> World {
        let low = || entry(RiskTier::Low);
        let medium = || entry(RiskTier::Medium);
        let high = || entry(RiskTier::High);
        let segments = ["users", "{user}", "password-reset"].map(|text| {
            let param = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
            param.map_or(Segment::Literal(text.into()), |name| Segment::Param(name.into()))
        });
        let reset = Action {
            approval: Some(name("leads")),
            route: Some(Route {
                method: "POST".into(),
                segments: segments.into(),
                query: BTreeSet::new(),
            }),
            effect: Effect::AuthChange,
            show: vec!["user".into(), "reason".into()],
            ..high()
        };
        let ticket = Resource { kind: "ticket".into(), id: Some("id".into()), tenant: None };
        let tickets = [
            ("read", Action { resource: Some(ticket), ..low() }),
            ("update", medium()),
            ("close", Action { approval: Some(name("leads")), ..medium() }),
            ("purge", high()),
            ("wipe", entry(RiskTier::Prohibited)),
        ];
        let salaries = Action { data: BTreeSet::from(["hr.pay".to_owned()]), ..low() };
        let mcp = UpstreamKind::Mcp;
        let upstreams = BTreeMap::from([
            (name("tickets"), upstream(mcp, &tickets)),
            (name("hr"), upstream(mcp, &[("salaries", salaries), ("names", low())])),
            (name("mail"), upstream(mcp, &[("send", medium())])),
            (name("payments"), upstream(mcp, &[("quote", low()), ("transfer", high())])),
            (name("directory"), upstream(UpstreamKind::Http, &[("reset_password", reset)])),
        ]);
        let mut definitions = Definitions::new();
        for (upstream, block) in upstreams.iter().filter(|(_, block)| block.kind == mcp) {
            for operation in block.actions.keys() {
                let schema = if upstream.as_str() == "payments" { PAYMENT } else { TICKET };
                let id = ActionId::new(upstream.clone(), operation).unwrap();
                definitions.insert(id, definition(schema));
            }
        }
        let limit = CallLimit { max: 300, window: Duration::seconds(3600) };
        let of_ticket = [("id", Constraint::Param("ticket".into()))];
        let of_payee = [("to", Constraint::Param("payee".into()))];
        let declared = Declared {
            hooks: BTreeMap::new(),
            agents: BTreeMap::from([
                (name("helpdesk"), agent("support", None, Some(group("staff")), 10)),
                (name("narrow"), agent("support", Some(&["tickets.read"]), None, 12)),
                (
                    name("cashier"),
                    agent(
                        "finance",
                        Some(&["payments.*", "payments.transfer"]),
                        Some(PartyName::User(name("ana"))),
                        14,
                    ),
                ),
                (name("clerk"), agent("finance", None, Some(group("staff")), 16)),
            ]),
            intents: BTreeMap::from([
                (
                    name("resolve"),
                    intent(
                        &[("ticket", ParamType::String)],
                        &[("tickets.read", &of_ticket), ("tickets.update", &of_ticket)],
                    ),
                ),
                (
                    name("pay"),
                    intent(
                        &[("payee", ParamType::String)],
                        &[("payments.transfer", &of_payee), ("payments.*", &[])],
                    ),
                ),
                (name("browse"), intent(&[], &[("tickets.*", &[])])),
            ]),
            upstreams,
            boundaries: BTreeMap::from([
                (
                    name("support"),
                    boundary(&["tickets", "directory", "hr"], &["hr.pay"], Some(limit)),
                ),
                (name("finance"), boundary(&["payments", "tickets"], &[], None)),
            ]),
            approvals: BTreeMap::from([
                (name("default"), rule("owners")),
                (name("leads"), rule("it-leads")),
            ]),
            people: BTreeMap::from([
                (name("ana").into(), BTreeSet::from([name("staff")])),
                (name("eve").into(), BTreeSet::new()),
            ]),
            issuers: BTreeMap::new(),
            rights: BTreeMap::new(),
            clients: BTreeMap::new(),
            tests: Vec::new(),
            policies: vec![PolicyFile { path: "policies/a.cedar".into(), text: POLICIES.into() }],
        };
        World { declared, definitions }
    }

    /// The same, changed.
    pub(super) fn with(mut self, change: impl FnOnce(&mut Declared)) -> World {
        change(&mut self.declared);
        self
    }

    /// The same with one more file of policies.
    pub(super) fn policy(self, text: &str) -> World {
        self.with(|declared| {
            declared
                .policies
                .push(PolicyFile { path: "policies/b.cedar".into(), text: text.into() });
        })
    }

    /// The same with another input schema.
    pub(super) fn schema(mut self, id: &str, schema: &str) -> World {
        self.definitions.insert(action(id), definition(schema));
        self
    }

    pub(super) fn compile(&self) -> Compiled {
        compile(&self.declared, &self.definitions).unwrap_or_else(|problems| {
            let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
            panic!("{}", all.join("\n"))
        })
    }
}

/// The world as it is, published once.
pub(super) fn base() -> &'static Compiled {
    static BASE: std::sync::LazyLock<Compiled> =
        std::sync::LazyLock::new(|| World::new().compile());
    &BASE
}

/// The declared entry of an action, to be changed.
pub(super) fn entry_of<'a>(declared: &'a mut Declared, id: &str) -> &'a mut Action {
    let id = action(id);
    let upstream = declared.upstreams.get_mut(&id.upstream).unwrap();
    upstream.actions.get_mut(&*id.operation).unwrap()
}

/// One thing that is tried.
#[derive(Clone)]
pub(super) struct Try {
    pub(super) agent: Name,
    pub(super) user: Option<model::UserName>,
    pub(super) action: ActionId,
    pub(super) arguments: Value,
    pub(super) intent: Option<(Name, Value)>,
    pub(super) approval: Option<Approval>,
    pub(super) now: Timestamp,
}

/// An agent's try, for `ana`, with arguments that fit.
pub(super) fn attempt(agent: &str, id: &str) -> Try {
    let arguments = match id.split_once('.') {
        Some(("payments", _)) => r#"{"amount":12.5,"to":"bob"}"#,
        Some(("directory", _)) => r#"{"user":"bob"}"#,
        _ => r#"{"id":"4711"}"#,
    };
    Try {
        agent: name(agent),
        user: (agent != "narrow").then(|| name("ana").into()),
        action: action(id),
        arguments: json(arguments),
        intent: None,
        approval: None,
        now: NOW,
    }
}

impl Try {
    pub(super) fn user(mut self, user: Option<&str>) -> Try {
        self.user = user.map(|user| model::UserName::new(user).unwrap());
        self
    }

    pub(super) fn args(mut self, arguments: &str) -> Try {
        self.arguments = json(arguments);
        self
    }

    pub(super) fn intent(mut self, intent: &str, params: &str) -> Try {
        self.intent = Some((name(intent), json(params)));
        self
    }

    pub(super) fn approved(mut self, reasons: &[&str], rules: &[&str]) -> Try {
        self.approval = Some(Approval {
            ask: AskId(5),
            reasons: reasons.iter().map(|id| (*id).to_owned()).collect(),
            rules: rules.iter().map(|rule| name(rule)).collect(),
        });
        self
    }

    pub(super) fn at_night(mut self) -> Try {
        self.now = Timestamp(NOW.0 - 4 * 3_600_000_000);
        self
    }

    pub(super) fn subject(&self, compiled: &Compiled) -> Subject {
        let version = compiled.agent(&self.agent).unwrap().version;
        Subject {
            task: self.intent.as_ref().map(|_| TaskId(9)),
            ..Subject::assumed(self.agent.clone(), version, self.user.clone())
        }
    }

    pub(super) fn facts(&self, compiled: &Compiled) -> Facts {
        let people = &compiled.declared().people;
        let task = self.intent.as_ref().map(|(intent, params)| TaskFacts {
            id: TaskId(9),
            agent: self.agent.clone(),
            user: self.user.clone(),
            intent: Some(intent.clone()),
            params: params.clone(),
            expires: self.now.after(Duration::seconds(60)),
            trigger: crate::Trigger::named("ticket 4711"),
            instance: None,
            opened_by: model::OpenedBy::Orchestrator,
            client: Some(name("portal")),
            parent: None,
        });
        let groups = self.user.as_ref().and_then(|user| people.get(user).cloned());
        Facts {
            entry: EntryId(1),
            trace: TraceId(2),
            now: self.now,
            control_revision: 3,
            development: false,
            user_groups: groups.unwrap_or_default(),
            task: task.map(Arc::new),
            within: Vec::new(),
            approval: self.approval.clone(),
            edge: "mcp",
            uncapped: false,
        }
    }

    pub(super) fn call(&self, compiled: &Compiled) -> Option<Call> {
        let version = compiled.agent(&self.agent).unwrap().version;
        let slice = compiled.slice(&version, &self.action)?;
        Some(slice.look_up(self.arguments.clone()).unwrap())
    }

    pub(super) fn ruling(&self, compiled: &Compiled) -> Ruling {
        let call = self.call(compiled).expect("the action exists for the agent");
        evaluate(&self.subject(compiled), &call, &self.facts(compiled))
    }

    /// `allow`, `ask leads: guard.high`, `deny not_granted:`, or `none` if it does not exist.
    pub(super) fn outcome(&self, compiled: &Compiled) -> String {
        if self.call(compiled).is_none() {
            return "none".into();
        }
        outcome(&self.ruling(compiled))
    }
}

pub(super) fn outcome(ruling: &Ruling) -> String {
    let ids: Vec<_> = ruling.reasons.iter().map(|reason| reason.id.as_str()).collect();
    let rules: Vec<_> = ruling.rules.iter().map(Name::as_str).collect();
    match ruling.decision {
        Decision::Allow => "allow".into(),
        Decision::Ask => format!("ask {}: {}", rules.join("+"), ids.join(" ")),
        Decision::Deny => format!("deny {}: {}", ruling.code.unwrap().slug(), ids.join(" ")),
    }
}
