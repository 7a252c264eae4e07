//! `upstreams`: systems behind the gateway, with their catalogs.

use crate::{
    boundaries::data_classes,
    fields::{Fields, is_word, items, members, name, not_enforced, refused, text, word},
    hooks, local,
    node::{Entry, Node, Span, Value},
    problems::{Problems, shown},
    read::Reading,
    references::Mention,
    routes,
    schema::shapes,
    secrets,
};
use model::{
    ActionId, Effect, Name, RiskTier, Sink,
    declared::{Action, CredentialSource, LocalServer, Resource, Upstream, UpstreamKind},
};
use std::collections::BTreeMap;

pub(crate) fn read(upstream: &Name, entry: &Entry, reading: &mut Reading<'_>) -> Option<Upstream> {
    let line = reading.line(entry);
    let problems = &mut reading.problems;
    let fields = Fields::open(&entry.value, entry.key.span, &shapes::UPSTREAM, problems)?;
    let address = address(&fields, entry, problems);
    let credential =
        fields.get("credential", problems).and_then(|entry| secrets::credential(entry, problems));
    if let Some((_, span)) = &credential {
        reading.credentials.push((upstream.clone(), *span));
    }
    if let (Some((CredentialSource::SecretOfUser(_), span)), Some(address)) =
        (&credential, &address)
        && address.local.as_ref().is_some_and(|local| local.shared)
    {
        let message = "one process for all has no human's own credential";
        problems.add(*span, message, "remove `shared: true`, or `as: user`");
    }
    let kind = address.as_ref().map(|address| address.kind);
    let environment = fields
        .get("environment", &mut reading.problems)
        .and_then(|entry| name(&entry.value, "`environment`", &mut reading.problems));
    let mut out = Upstream {
        kind: kind.unwrap_or(UpstreamKind::Mcp),
        url: address.as_ref().map(|address| address.url.clone()).unwrap_or_default(),
        local: address.as_ref().and_then(|address| address.local.clone()),
        credential: credential.map(|(source, _)| source),
        environment,
        actions: BTreeMap::new(),
        default_action: None,
        line,
    };
    if let Some(actions) = fields.any("actions") {
        catalog(upstream, actions, kind, &mut out, reading);
    }
    address.map(|_| out)
}

/// Where an upstream is.
struct Address {
    kind: UpstreamKind,
    url: String,
    local: Option<LocalServer>,
}

fn address(fields: &Fields<'_>, entry: &Entry, problems: &mut Problems) -> Option<Address> {
    const KINDS: [&str; 3] = ["mcp", "http", "stdio"];
    let mut stated = KINDS.into_iter().filter_map(|key| Some((key, fields.get(key, problems)?)));
    let (Some((key, place)), other) = (stated.next(), stated.next()) else {
        drop(stated);
        if !has_later_kind(entry) && KINDS.iter().all(|key| fields.any(key).is_none()) {
            let message = "an upstream needs `mcp`, `http` or `stdio`";
            let fix = "add `mcp: URL`, `http: URL` or `stdio: [program, argument]`";
            problems.add(entry.key.span, message, fix);
        }
        return None;
    };
    drop(stated);
    if let Some((another, second)) = other {
        let message = format!("an upstream is spoken to by `{key}` or by `{another}`, not both");
        problems.add(second.key.span, message, "keep one, or declare two upstreams");
        return None;
    }
    let credential = fields.any("credential");
    if key == "stdio" {
        let local = local::read(place, fields, credential, problems)?;
        return Some(Address { kind: UpstreamKind::Mcp, url: local.address(), local: Some(local) });
    }
    local::refuse(fields, credential, problems);
    let text = text(&place.value, "the URL", problems)?;
    if let Err(why) = url(text) {
        problems.add(place.value.span, why, "write it as `https://tickets.example/mcp`");
        return None;
    }
    let kind = if key == "mcp" { UpstreamKind::Mcp } else { UpstreamKind::Http };
    Some(Address { kind, url: text.to_owned(), local: None })
}

/// A kind that is refused already needs no second message.
fn has_later_kind(entry: &Entry) -> bool {
    let Value::Map(members) = &entry.value.value else { return false };
    members.iter().any(|member| ["llm", "a2a"].iter().any(|kind| member.key_is(kind)))
}

pub(crate) fn url(text: &str) -> Result<(), String> {
    let url = url::Url::parse(text).map_err(|error| format!("this is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the URL begins with `https://` or `http://`".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL holds no user and no password: use `credential`".into());
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("the URL has no host".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("the URL has no query and no fragment".into());
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err("the URL has no spaces, control characters or backslashes".into());
    }
    Ok(())
}

fn catalog(
    upstream: &Name,
    actions: &Entry,
    kind: Option<UpstreamKind>,
    out: &mut Upstream,
    reading: &mut Reading<'_>,
) {
    for (block, operation) in members(actions, "`actions`", &mut reading.problems) {
        if operation != "*" {
            let id = |text: &str| ActionId::new(upstream.clone(), text);
            if refused(block.key.span, operation, id, &mut reading.problems).is_none() {
                continue;
            }
        }
        let read = action(block, operation, kind, reading);
        let risk = read.as_ref().map(|action| action.risk);
        reading.references.catalog(upstream, operation, risk);
        let Some(action) = read else { continue };
        if let Some(twin) = action.route.as_ref().and_then(|route| twin(route, out)) {
            let message = format!("`{}` has the same route", shown(twin));
            let fix = "give each action its own method and path";
            reading.problems.add(block.key.span, message, fix);
        }
        if operation == "*" {
            out.default_action = Some(action);
        } else {
            out.actions.insert(operation.to_owned(), action);
        }
    }
}

fn twin<'a>(route: &model::declared::Route, out: &'a Upstream) -> Option<&'a str> {
    let same = |action: &Action| action.route.as_ref().is_some_and(|r| routes::same(r, route));
    out.actions.iter().find(|(_, action)| same(action)).map(|(name, _)| name.as_str())
}

fn action(
    entry: &Entry,
    operation: &str,
    kind: Option<UpstreamKind>,
    reading: &mut Reading<'_>,
) -> Option<Action> {
    let line = reading.line(entry);
    let problems = &mut reading.problems;
    if let Some(split) = split(&entry.value) {
        not_enforced(split, "split", problems);
        return None;
    }
    let fields = Fields::open(&entry.value, entry.key.span, &shapes::ACTION, problems)?;
    let effect = fields.get("effect", problems).map(|entry| effect(&entry.value, problems));
    let sink = match fields.get("sink", problems) {
        Some(entry) => words(&entry.value, "a sink", Sink::ALL, Sink::as_str, &[], problems),
        None => Some(Sink::None),
    };
    let old = [("never", "prohibited"), ("forbidden", "prohibited"), ("critical", "high")];
    let risk = fields.get("risk", problems).and_then(|entry| {
        words(&entry.value, "a risk", RiskTier::ALL, RiskTier::as_str, &old, problems)
    });
    let data = fields.get("data", problems).map(|entry| data_classes(entry, problems));
    let resource = fields.get("resource", problems).map(|entry| resource(entry, problems));
    let route = fields.get("route", problems).map(|entry| {
        let text = text(&entry.value, "`route`", problems)?;
        routes::route(&entry.value, text, problems).map(|route| (route, entry.key.span))
    });
    let returns = fields.get("returns", problems).map(|entry| pointers(entry, problems));
    let show = fields.get("show", problems).map(|entry| arguments(entry, problems));
    let approval = fields.get("approval", problems).and_then(|entry| {
        if matches!(entry.value.value, Value::Map(_)) {
            not_enforced(entry.key.span, "approval: {…}", problems);
            return None;
        }
        let rule = name(&entry.value, "`approval`", problems)?;
        reading.references.mention(Mention::Approval, &rule, entry.value.span);
        Some(rule)
    });
    let before = fields.get("before", &mut reading.problems);
    let before = before.map(|entry| hooks::before(entry, reading)).unwrap_or_default();
    let after = fields.get("after", &mut reading.problems);
    let after = after.map(|entry| hooks::after(entry, reading)).unwrap_or_default();
    let problems = &mut reading.problems;
    let route_place = route.as_ref().map(|route| route.as_ref().map(|(_, span)| *span));
    route_fits(entry, operation, kind, route_place, problems);
    Some(Action {
        complete: effect.is_some(),
        effect: effect.unwrap_or(Some(Effect::Write))?,
        sink: sink?,
        risk: risk?,
        data: data.unwrap_or_default(),
        resource: resource.unwrap_or(Some(None))?,
        route: route.flatten().map(|(route, _)| route),
        returns: returns.unwrap_or_default(),
        approval,
        show: show.unwrap_or_default(),
        before,
        after,
        line,
    })
}

fn split(node: &Node) -> Option<Span> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|entry| entry.key_is("split")).map(|entry| entry.key.span)
}

/// Routes belong to HTTP upstreams, and there each named action needs one. `route` is `Some(None)`
/// if one is written but cannot be read.
fn route_fits(
    entry: &Entry,
    operation: &str,
    kind: Option<UpstreamKind>,
    route: Option<Option<Span>>,
    problems: &mut Problems,
) {
    match (kind, route) {
        (Some(UpstreamKind::Mcp), Some(Some(route))) => problems.add(
            route,
            "an MCP upstream has no routes: its tools have names",
            "remove `route`, or declare the upstream with `http`",
        ),
        (Some(UpstreamKind::Http), Some(Some(route))) if operation == "*" => problems.add(
            route,
            "`\"*\"` stands for every operation that is not named and has no route",
            "remove `route`, or give the action a name",
        ),
        (Some(UpstreamKind::Http), None) if operation != "*" => problems.add(
            entry.key.span,
            format!("`{}` needs a route: this upstream is HTTP", shown(operation)),
            "add `route: POST /path/{argument}`",
        ),
        (Some(UpstreamKind::Mcp | UpstreamKind::Http) | None, _) => {}
    }
}

fn effect(node: &Node, problems: &mut Problems) -> Option<Effect> {
    let old = [
        ("create", "write"),
        ("update", "write"),
        ("destroy", "delete"),
        ("pay", "transfer"),
        ("auth_change", "auth-change"),
        ("exec", "execute"),
        ("message", "send"),
    ];
    words(node, "an effect", Effect::ALL, Effect::as_str, &old, problems)
}

fn words<T: Copy>(
    node: &Node,
    what: &str,
    all: &[T],
    as_str: impl Fn(T) -> &'static str,
    renamed: &[(&str, &str)],
    problems: &mut Problems,
) -> Option<T> {
    let known: Vec<_> = all.iter().map(|value| (as_str(*value), *value)).collect();
    word(node, what, &known, renamed, problems)
}

fn resource(entry: &Entry, problems: &mut Problems) -> Option<Option<Resource>> {
    let fields = Fields::open(&entry.value, entry.key.span, &shapes::RESOURCE, problems)?;
    let kind = fields.get("type", problems).and_then(|entry| {
        let kind = text(&entry.value, "`type`", problems)?;
        if !is_word(kind) {
            let message = format!("`{}` is not a type of resource", shown(kind));
            problems.add(entry.value.span, message, "use a word: `ticket`");
            return None;
        }
        Some(kind.to_owned())
    });
    let id = fields.get("id", problems).map(|entry| argument(&entry.value, problems));
    let tenant = fields.get("tenant", problems).map(|entry| {
        if matches!(&entry.value.value, Value::Text(text) if text == "resolve") {
            not_enforced(entry.value.span, "tenant: resolve", problems);
            return None;
        }
        argument(&entry.value, problems)
    });
    Some(Some(Resource { kind: kind?, id: id.flatten(), tenant: tenant.flatten() }))
}

/// `$id`, without the `$`.
fn argument(node: &Node, problems: &mut Problems) -> Option<String> {
    let text = text(node, "an argument", problems)?;
    match text.strip_prefix('$').filter(|name| is_word(name)) {
        Some(name) => Some(name.to_owned()),
        None => {
            let message = format!("`{}` does not name an argument", shown(text));
            problems.add(node.span, message, "write `$` and the argument's name: `$id`");
            None
        }
    }
}

fn pointers(entry: &Entry, problems: &mut Problems) -> Vec<String> {
    let mut out = Vec::new();
    for item in items(entry, "`returns`", problems) {
        let Some(pointer) = text(item, "a JSON pointer", problems) else { continue };
        if pointer.starts_with('/') && canonical::Pointer::parse(pointer).is_ok() {
            out.push(pointer.to_owned());
        } else {
            let message = format!("`{}` is not a JSON pointer (RFC 6901)", shown(pointer));
            problems.add(item.span, message, "write it as `/title` or `/items/0/id`");
        }
    }
    if out.is_empty() && matches!(&entry.value.value, Value::List(items) if items.is_empty()) {
        let message = "`returns` is empty: it would keep everything";
        problems.add(entry.key.span, message, "list what is kept, or remove `returns`");
    }
    out
}

fn arguments(entry: &Entry, problems: &mut Problems) -> Vec<String> {
    let mut out = Vec::new();
    for item in items(entry, "`show`", problems) {
        let Some(argument) = text(item, "an argument", problems) else { continue };
        if is_word(argument) {
            out.push(argument.to_owned());
        } else {
            let message = format!("`{}` is not a name of an argument", shown(argument));
            problems.add(item.span, message, "write the argument's name, without `$`");
        }
    }
    out
}
