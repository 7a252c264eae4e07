//! The catalog: every operation that is declared, with its type, its checks and its static digests.

use crate::Definitions;
use crate::digest::{sha256, subject_digest};
use crate::facts::object;
use crate::method;
use crate::problem::Problem;
use crate::shape::Arguments;
use crate::written::{Written, inferred};
use canonical::Value;
use cedar_policy::EntityUid;
use model::declared::{Action, Declared, Route, Segment, Upstream, UpstreamKind};
use model::{ActionId, Digest, Name, RiskTier, UpstreamName};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization as _;

/// The argument in which the HTTP edge lists the names that came in the query.
pub const QUERY: &str = "@query";

/// One operation that agents may find.
pub struct CatalogEntry {
    /// Its id.
    pub id: ActionId,
    /// How its upstream is spoken to.
    pub kind: UpstreamKind,
    /// What is declared of it.
    pub action: Action,
    /// The digest of its pinned definition; `None` for HTTP, or if none is pinned.
    pub definition: Option<Digest>,
    /// The digest of the declared entry.
    pub digest: Digest,
    pub(crate) arguments: Arguments,
    pub(crate) check: Option<jsonschema::Validator>,
    pub(crate) action_uid: EntityUid,
    pub(crate) operation_uid: EntityUid,
    pub(crate) groups: Vec<EntityUid>,
    pub(crate) subjects: [Digest; 4],
    pub(crate) data: Vec<u8>,
}

impl CatalogEntry {
    /// True if an open entry must be durable before the first byte leaves.
    #[must_use]
    pub fn is_consequential(&self) -> bool {
        let Action { effect, risk, sink, complete, .. } = &self.action;
        model::action::is_consequential(*effect, *risk, *sink) || !complete
    }

    /// Whether a hook is asked before it happens.
    pub(crate) fn consults(&self) -> bool {
        self.action.before.iter().any(|before| before.hook().is_some())
    }

    /// A name that came in the query of an HTTP request and that the route does not state.
    pub(crate) fn unstated<'a>(&self, arguments: &'a canonical::Object) -> Option<&'a str> {
        let came = arguments.get(QUERY).filter(|_| self.kind == UpstreamKind::Http)?;
        let stated = self.action.route.as_ref().map(|route| &route.query);
        let mut names = came.as_array().into_iter().flatten().filter_map(Value::as_str);
        names.find(|name| !stated.is_some_and(|stated| stated.contains(*name)))
    }

    /// The approval rule that is asked if a tier or the entry itself asks.
    #[must_use]
    pub fn approval_rule(&self) -> Name {
        self.action.approval.clone().unwrap_or_else(default_rule)
    }

    /// The guard that asks a human by itself: of the tier, or of a stated `approval:`.
    pub(crate) fn asking_guard(&self) -> Option<crate::guard::Guard> {
        match (self.action.risk, &self.action.approval) {
            (RiskTier::High, _) => Some(crate::guard::Guard::High),
            (RiskTier::Low | RiskTier::Medium, Some(_)) => Some(crate::guard::Guard::Approval),
            (RiskTier::Low | RiskTier::Medium | RiskTier::Prohibited, None)
            | (RiskTier::Prohibited, Some(_)) => None,
        }
    }
}

impl fmt::Debug for CatalogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatalogEntry").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The rule that is asked where none is stated.
pub(crate) fn default_rule() -> Name {
    #[expect(clippy::expect_used, reason = "a constant that a test reads")]
    Name::new("default").expect("`default` is a name")
}

/// All operations, sorted by id.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) entries: Vec<Arc<CatalogEntry>>,
    index: HashMap<ActionId, u32>,
    routes: BTreeMap<UpstreamName, Vec<(Route, ActionId)>>,
}

impl Catalog {
    /// The place of an operation.
    pub(crate) fn find(&self, action: &ActionId) -> Option<u32> {
        self.index.get(action).copied()
    }

    /// The operation at a place.
    pub(crate) fn at(&self, index: u32) -> Option<&Arc<CatalogEntry>> {
        usize::try_from(index).ok().and_then(|index| self.entries.get(index))
    }

    /// The operation of this id.
    pub(crate) fn get(&self, action: &ActionId) -> Option<&Arc<CatalogEntry>> {
        self.find(action).and_then(|index| self.at(index))
    }

    /// The operation whose route fits, with its parameters in the route's order. Literal segments
    /// win over parameters, from the left. A parameter takes nothing that an upstream which reads
    /// paths loosely would take for the literal of another route: then none fits.
    pub(crate) fn route(
        &self,
        upstream: &UpstreamName,
        method: &str,
        path: &[&str],
    ) -> Option<(ActionId, Vec<(String, String)>)> {
        let routes = self.routes.get(upstream)?;
        let (route, action) = routes.iter().find(|(route, _)| fits(route, method, path))?;
        let taken = |other: &Route| is_taken_for(route, other, path) && !fits(other, method, path);
        if routes.iter().any(|(other, _)| taken(other)) {
            return None;
        }
        let params = route.segments.iter().zip(path).filter_map(|(segment, given)| match segment {
            Segment::Param(name) => Some((name.clone(), (*given).to_owned())),
            Segment::Literal(_) => None,
        });
        Some((action.clone(), params.collect()))
    }
}

fn fits(route: &Route, method: &str, path: &[&str]) -> bool {
    let segment_fits = |(segment, given): (&Segment, &&str)| match segment {
        Segment::Literal(text) => text == given,
        Segment::Param(_) => !given.is_empty(),
    };
    route.method == method
        && route.segments.len() == path.len()
        && route.segments.iter().zip(path).all(segment_fits)
}

/// Whether a loose reader could take a path that fits `route` for one of `other`, which has a
/// literal where `route` has a parameter.
fn is_taken_for(route: &Route, other: &Route, path: &[&str]) -> bool {
    let alike = |(segment, given): (&Segment, &&str)| match segment {
        Segment::Literal(text) => is_lookalike(text, given),
        Segment::Param(_) => true,
    };
    let is_literal = |segment: &Segment| matches!(segment, Segment::Literal(_));
    let segments = route.segments.iter().zip(&other.segments);
    route.method == other.method
        && route.segments.len() == other.segments.len()
        && segments.into_iter().any(|(own, others)| !is_literal(own) && is_literal(others))
        && other.segments.iter().zip(path).all(alike)
}

/// Equal but for case, compatibility forms, invisible characters, percent-encoding, and dots,
/// spaces and parameters at the end: what file systems and frameworks do away with.
fn is_lookalike(literal: &str, given: &str) -> bool {
    let plain = |text: &str| -> String {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let text = decoded.split(';').next().unwrap_or_default();
        let visible = text.nfkc().filter(|c| !c.is_control() && !is_invisible(*c));
        visible.collect::<String>().trim().trim_end_matches(['.', ' ', '/', '\\']).to_owned()
    };
    canonical::collide(&plain(literal), &plain(given))
}

/// Characters without a form of their own.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}')
}

/// Builds the catalog. An MCP upstream's default action covers each pinned operation that is not
/// named.
pub(crate) fn build(
    declared: &Declared,
    definitions: &Definitions,
    written: &[Written],
    problems: &mut Vec<Problem>,
) -> Catalog {
    let mut entries = BTreeMap::new();
    for (name, upstream) in &declared.upstreams {
        for (operation, action) in named(name, upstream, definitions) {
            match ActionId::new(name.clone(), &operation) {
                Ok(id) => {
                    let (entry, problem) =
                        entry(id.clone(), upstream.kind, action, definitions, written);
                    problems.extend(problem);
                    entries.insert(id, Arc::new(entry));
                }
                Err(error) => problems.push(Problem::declared(
                    action.line,
                    format!("operation name is not usable: {error}"),
                    "use ASCII letters, digits, `_`, `-`, `.` and `/`",
                )),
            }
        }
    }
    let numbered = entries.keys().zip(0_u32..).map(|(id, at)| (id.clone(), at));
    let routes = routes(&entries);
    Catalog { index: numbered.collect(), entries: entries.into_values().collect(), routes }
}

/// Operations by name, with what is declared of them.
fn named(
    name: &UpstreamName,
    upstream: &Upstream,
    definitions: &Definitions,
) -> Vec<(String, Action)> {
    let mut all: Vec<_> =
        upstream.actions.iter().map(|(name, action)| (name.clone(), action.clone())).collect();
    if let Some(default) = upstream.default_action.as_ref() {
        let pinned = definitions.keys().filter(|id| id.upstream == *name);
        // `"*"` stands for tools: what is no tool is named, or does not exist.
        let unnamed = pinned.filter(|id| {
            let operation = &*id.operation;
            !upstream.actions.contains_key(operation) && !model::reserved::is_reserved(operation)
        });
        all.extend(unnamed.map(|id| (id.operation.to_string(), default.clone())));
    }
    all
}

fn routes(
    entries: &BTreeMap<ActionId, Arc<CatalogEntry>>,
) -> BTreeMap<UpstreamName, Vec<(Route, ActionId)>> {
    let mut routes: BTreeMap<UpstreamName, Vec<(Route, ActionId)>> = BTreeMap::new();
    for (id, entry) in entries {
        if let Some(route) = &entry.action.route {
            routes.entry(id.upstream.clone()).or_default().push((route.clone(), id.clone()));
        }
    }
    let params = |route: &Route| -> Vec<bool> {
        route.segments.iter().map(|segment| matches!(segment, Segment::Param(_))).collect()
    };
    routes.values_mut().for_each(|routes| routes.sort_by_key(|(route, _)| params(route)));
    routes
}

/// One entry; with a schema that is none, without checks and beside the problem.
fn entry(
    id: ActionId,
    kind: UpstreamKind,
    action: Action,
    definitions: &Definitions,
    written: &[Written],
) -> (CatalogEntry, Option<Problem>) {
    let own = method::definition(&id.operation);
    let definition = definitions.get(&id).or(own.as_ref()).filter(|_| kind == UpstreamKind::Mcp);
    let schema = definition.map(|definition| serde(&definition.input_schema));
    let check = schema.as_ref().map(jsonschema::validator_for).transpose();
    let name = id.to_string();
    let problem = check.as_ref().err().map(|error| {
        let message = format!("input schema of `{name}` is not usable: {error}");
        Problem::declared(action.line, message, "correct the tool's definition in the upstream")
    });
    let groups = [
        format!("risk:{}", action.risk),
        format!("effect:{}", action.effect),
        format!("upstream:{}", id.upstream),
    ];
    let groups: Vec<EntityUid> = groups.iter().map(|group| uid("Action", group)).collect();
    let (action_uid, operation_uid) = (uid("Action", &name), uid("Operation", &name));
    let arguments = match (kind, definition) {
        (UpstreamKind::Mcp, Some(definition)) => Arguments::of_schema(&definition.input_schema),
        (UpstreamKind::Mcp, None) => {
            let covers = |written: &&Written| written.covers(&groups, &action_uid, &operation_uid);
            Arguments::of_reads(inferred(written.iter().filter(covers)))
        }
        (UpstreamKind::Http, _) => {
            let query = action.route.iter().flat_map(|route| &route.query);
            Arguments::of_route(params_of(&action), query.map(String::as_str))
        }
    };
    let entry = CatalogEntry {
        kind,
        definition: definition.map(|definition| definition.digest),
        digest: sha256(&declared_value(&action).to_bytes()),
        arguments,
        check: check.ok().flatten(),
        action_uid,
        operation_uid,
        groups,
        subjects: [
            subject_digest("upstream", id.upstream.as_str()),
            subject_digest("action", &name),
            subject_digest("effect", action.effect.as_str()),
            crate::subjects::everything(),
        ],
        data: Value::Array(action.data.iter().map(|class| class.as_str().into()).collect())
            .to_bytes(),
        action,
        id,
    };
    (entry, problem)
}

fn params_of(action: &Action) -> impl Iterator<Item = &str> {
    let segments = action.route.iter().flat_map(|route| &route.segments);
    segments.filter_map(|segment| match segment {
        Segment::Param(name) => Some(name.as_str()),
        Segment::Literal(_) => None,
    })
}

/// An entity's name, from a type of this crate and any id.
pub(crate) fn uid(kind: &str, id: &str) -> EntityUid {
    #[expect(clippy::expect_used, reason = "types are constants of this crate, tests name each")]
    let kind = kind.parse().expect("entity types of this crate are identifiers");
    EntityUid::from_type_name_and_id(kind, cedar_policy::EntityId::new(id))
}

/// The same value for a reader that wants `serde_json`.
pub(crate) fn serde(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(truth) => (*truth).into(),
        Value::Integer(number) => (*number).into(),
        Value::Number(number) => number.get().into(),
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(serde).collect(),
        Value::Object(object) => {
            object.iter().map(|(name, value)| (name.to_owned(), serde(value))).collect()
        }
    }
}

/// What is declared of an action, for its digest: every member that changes what is decided,
/// shown, asked or returned; not its line.
fn declared_value(action: &Action) -> Value {
    let texts = |list: &mut dyn Iterator<Item = &String>| {
        Value::Array(list.map(|text| Value::from(text.as_str())).collect())
    };
    let optional = |text: Option<&str>| text.map_or(Value::Null, Value::from);
    let resource = action.resource.as_ref().map_or(Value::Null, |resource| {
        object([
            ("id", optional(resource.id.as_deref())),
            ("kind", Value::from(resource.kind.as_str())),
            ("tenant", optional(resource.tenant.as_deref())),
        ])
    });
    let route = action.route.as_ref().map_or(Value::Null, |route| {
        let segment = |segment: &Segment| match segment {
            Segment::Literal(text) => object([("literal", Value::from(text.as_str()))]),
            Segment::Param(name) => object([("param", Value::from(name.as_str()))]),
        };
        let method = ("method", Value::from(route.method.as_str()));
        let segments = route.segments.iter().map(segment).collect();
        let segments = ("segments", Value::Array(segments));
        match route.query.is_empty() {
            true => object([method, segments]),
            false => object([method, ("query", texts(&mut route.query.iter())), segments]),
        }
    });
    let hooks =
        |list: &mut dyn Iterator<Item = String>| Value::Array(list.map(Value::from).collect());
    object([
        ("after", hooks(&mut action.after.iter().map(ToString::to_string))),
        ("approval", optional(action.approval.as_ref().map(Name::as_str))),
        ("before", hooks(&mut action.before.iter().map(ToString::to_string))),
        ("complete", Value::Bool(action.complete)),
        ("data", texts(&mut action.data.iter())),
        ("effect", Value::from(action.effect.as_str())),
        ("resource", resource),
        ("returns", texts(&mut action.returns.iter())),
        ("risk", Value::from(action.risk.as_str())),
        ("route", route),
        ("show", texts(&mut action.show.iter())),
        ("sink", Value::from(action.sink.as_str())),
    ])
}
