//! What keeps declared state from being published, where it lies and what to do.

use super::world::{World, action, attempt, entry, entry_of, name};
use crate::compile;
use expect_test::{Expect, expect};
use model::RiskTier;
use model::declared::{ActionPattern, Case, Constraint};

fn check(world: World, expected: Expect) {
    let problems = compile(&world.declared, &world.definitions).err().unwrap_or_default();
    let text: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    expected.assert_eq(&text);
}

#[test]
fn the_world_itself_has_none() {
    check(World::new(), expect![""]);
}

#[test]
fn dangling_names() {
    let world = World::new().with(|d| {
        d.agents.get_mut(&name("helpdesk")).unwrap().boundary = name("suport");
        d.agents.get_mut(&name("narrow")).unwrap().only = Some(vec![
            ActionPattern::Exact(action("tickets.raed")),
            ActionPattern::All(name("tikets")),
            ActionPattern::Exact(action("mail.send")),
            ActionPattern::Exact(action("tickets.wipe")),
        ]);
        d.boundaries.get_mut(&name("finance")).unwrap().upstreams.insert(name("paymnts"));
        entry_of(d, "tickets.close").approval = Some(name("lead"));
        entry_of(d, "tickets.read").show = vec!["idd".into()];
        entry_of(d, "directory.reset_password").route = None;
    });
    check(
        world,
        expect![[r#"
            ambit.yaml:1: boundary `finance`: upstream `paymnts` does not exist; correct the name, or declare it; upstreams: `directory`, `hr`, `mail`, `payments`, `tickets`
            ambit.yaml:10: agent `helpdesk`: boundary `suport` does not exist; correct the name, or declare it; boundaries: `finance`, `support`
            ambit.yaml:12: agent `narrow`: `only:` grants `mail.send`, outside boundary `support`; add `mail` to the boundary's upstreams, or remove the grant
            ambit.yaml:12: agent `narrow`: `only:` grants `tickets.wipe`, which is prohibited for everyone; remove the grant
            ambit.yaml:12: agent `narrow`: action `tickets.raed` is not in the catalog; correct the name, or declare it; actions: `close`, `purge`, `read`, `update`, `wipe`
            ambit.yaml:12: agent `narrow`: upstream `tikets` does not exist; correct the name, or declare it; upstreams: `directory`, `hr`, `mail`, `payments`, `tickets`
            ambit.yaml:50: action `directory.reset_password` of an HTTP upstream has no route; add `route: METHOD /path/{param}`
            ambit.yaml:50: action `tickets.close`: approval rule `lead` does not exist; correct the name, or declare it; approvals: `default`, `leads`
            ambit.yaml:50: action `tickets.read`: `show` names argument `idd`, which its schema does not have; correct the name, or declare it; arguments: `cost`, `filter`, `hours`, `id`, `note`, `owner`, `status`, `tags`, `urgent`
            policies/a.cedar:4:8: attribute `args.user` in context for Action::"directory.reset_password" not found; correct the condition; `ambit policy generated` prints the types
        "#]],
    );
}

#[test]
fn intents_and_tests() {
    let case = Case {
        agent: name("nobody"),
        user: None,
        action: action("tickets.raed"),
        args: b"{}".to_vec(),
        intent: Some((name("resolve"), br#"{"tickt":"1"}"#.to_vec())),
        expect: model::Decision::Deny,
        reason: Some("guard.hihg".into()),
        line: 90,
    };
    let world = World::new().with(|d| {
        let resolve = d.intents.get_mut(&name("resolve")).unwrap();
        let allow = &mut resolve.allow;
        let update = allow.get_mut(&ActionPattern::Exact(action("tickets.update"))).unwrap();
        update.insert("ident".into(), Constraint::Param("tickt".into()));
        allow.insert(ActionPattern::Exact(action("tickets.drop")), Default::default());
        d.tests.push(case);
    });
    check(
        world,
        expect![[r#"
            ambit.yaml:1: intent `resolve`: `tickets.update` has no argument `ident`; correct the name, or declare it; arguments: `cost`, `filter`, `hours`, `id`, `note`, `owner`, `status`, `tags`, `urgent`
            ambit.yaml:1: intent `resolve`: action `tickets.drop` is not in the catalog; correct the name, or declare it; actions: `close`, `purge`, `read`, `update`, `wipe`
            ambit.yaml:1: intent `resolve`: parameter `$tickt` is not declared; correct the name, or declare it; params: `ticket`
            ambit.yaml:90: test: action `tickets.raed` is not in the catalog; correct the name, or declare it; actions: `close`, `purge`, `read`, `update`, `wipe`
            ambit.yaml:90: test: agent `nobody` does not exist; correct the name, or declare it; agents: `cashier`, `clerk`, `helpdesk`, `narrow`
            ambit.yaml:90: test: no policy has the id `guard.hihg`; correct the name, or declare it; policies: `no-admin-resets`, `at-night`, `costly`, `narrow-may-update`
            ambit.yaml:90: test: parameter `ticket` of the intent is missing; give it a value
            ambit.yaml:90: test: the intent has no parameter `tickt`; correct the name, or declare it; params: `ticket`
        "#]],
    );
}

#[test]
fn who_is_asked_must_be_known() {
    let world = World::new().with(|d| drop(d.approvals.remove(&name("default"))));
    check(
        world,
        expect![[r#"
        ambit.yaml:50: action `payments.transfer` is high and asks, and `approvals.default` is missing; declare `approvals: { default: … }`, or name a rule: `approval: RULE`
        ambit.yaml:50: action `tickets.purge` is high and asks, and `approvals.default` is missing; declare `approvals: { default: … }`, or name a rule: `approval: RULE`
        policies/a.cedar:13:1: approval rule `default` does not exist; declare it: `approvals: { default: … }`
    "#]],
    );
    // Without anything high and without a rule that names it, nothing needs `default`.
    let world = World::new().with(|d| {
        d.approvals.remove(&name("default"));
        for id in ["tickets.purge", "payments.transfer"] {
            *entry_of(d, id) = entry(RiskTier::Medium);
        }
        let text = &mut d.policies[0].text;
        *text = text.replace("@approval(\"default\")", "@approval(\"leads\")");
    });
    check(world, expect![""]);
}

#[test]
fn policies_that_name_nothing() {
    let text = r#"@id("a") forbid (principal in Agent::"helpdsk", action, resource);
@id("b") forbid (principal, action == Action::"tickets.raed", resource);
@id("c") forbid (principal == Agent::"helpdesk", action, resource);
@id("d") forbid (principal, action, resource == Operation::"tickets.raed");
@id("e") forbid (principal in Agnet::"ana", action, resource);
@id("f") permit (principal in Agent::"helpdesk", action == Action::"mail.send", resource);
"#;
    check(
        World::new().policy(text),
        expect![[r#"
            policies/b.cedar:1:31: Agent::"helpdsk" names nothing that is declared; correct the name; groups are `boundary:NAME` and `owner:group:NAME`
            policies/b.cedar:2:39: unrecognized action `Action::"tickets.raed"`; did you mean `Action::"tickets.read"`?
            policies/b.cedar:3:1: policy `c` can never apply; a principal is a version of an agent: write `principal in Agent::"helpdesk"`
            policies/b.cedar:4:49: Operation::"tickets.raed" names nothing that is declared; correct the name; groups are `boundary:NAME` and `owner:group:NAME`
            policies/b.cedar:5:31: unrecognized entity type `Agnet`; did you mean `Agent`?
            policies/b.cedar:6:60: permits mail.send to agent `helpdesk`, outside its boundary `support`; add the upstream to the boundary, or remove the permit
        "#]],
    );
}

#[test]
fn policies_with_wrong_types() {
    let text = r#"@id("a")
forbid (principal, action == Action::"directory.reset_password", resource)
when { context.args.usr like "adm-*" };
@id("b") forbid (principal, action == Action::"tickets.read", resource)
when { context.args.hours > 3 };
@id("c") forbid (principal, action == Action::"tickets.read", resource)
when { context.args has cost && context.args.cost > 3 };
@id("d") forbid (principal, action == Action::"tickets.read", resource)
when { context.args has status && context.args.status == "clsoed" };
@id("e") forbid (principal, action == Action::"tickets.read", resource)
when { context.args has filter && context.args.filter.x == 3 };
@id("f") forbid (principal, action == Action::"tickets.read", resource)
when { principal.agent == "x" && false };
@id("g") forbid (principal, action == Action::"tickets.read" resource);
"#;
    check(
        World::new().policy(text),
        expect![[r#"
        policies/b.cedar:14:62: unexpected token `resource`; correct the policy's syntax
    "#]],
    );
    let typed = text.rsplit_once("@id(\"g\")").unwrap().0;
    check(
        World::new().policy(typed),
        expect![[r#"
        policies/b.cedar:3:8: attribute `args.usr` in context for Action::"directory.reset_password" not found; did you mean `user`?
        policies/b.cedar:5:8: unable to guarantee safety of access to optional attribute `args.hours` in context for Action::"tickets.read"; try testing for the attribute's presence with `context.args has hours && ..`
        policies/b.cedar:7:33: unexpected type: expected Long but saw decimal; correct the condition; `ambit policy generated` prints the types
        policies/b.cedar:9:58: argument `status` is never "clsoed"; its schema lists "closed", "open"
        policies/b.cedar:10:1: policy `e` can never apply; correct scope and conditions, or remove the policy
        policies/b.cedar:12:1: policy `f` can never apply; correct scope and conditions, or remove the policy
    "#]],
    );
}

#[test]
fn approved_stands_only_where_an_approval_can_lift() {
    let text = r#"@id("a") permit (principal, action, resource) when { context.approved };
@id("b") forbid (principal, action, resource) unless { context.approved };
@id("c") @approval("leads") forbid (principal, action, resource)
unless { context.approved && context.hour > 3 };
@id("d") @approval("leads") forbid (principal, action, resource) when { context.hour > 3 };
@id("e") @approval("nobody") forbid (principal, action, resource) unless { context.approved };
@id("f") forbid (principal, action, resource) when { context has approved };
@id("g") forbid (principal, action, resource) when { context == {} };
@id("h") @approval("leads") permit (principal, action, resource) unless { context.approved };
@id("i") @approval("leads") forbid (principal, action, resource)
when { !context.approved } unless { context.approved };
"#;
    check(
        World::new().policy(text),
        expect![[r#"
        policies/b.cedar:1:62: `approved` is read outside a plain `unless { context.approved }`; an approval may only lift a forbid: write `unless { context.approved }` as its own clause, and name other attributes one by one
        policies/b.cedar:2:56: `unless { context.approved }` without `@approval`; name who is asked: add `@approval("RULE")` with a rule of `approvals:`
        policies/b.cedar:3:10: `@approval` on a policy that no approval can lift; an approval lifts a forbid that says `unless { context.approved }`: add that clause, or remove `@approval`
        policies/b.cedar:4:18: `approved` is read outside a plain `unless { context.approved }`; an approval may only lift a forbid: write `unless { context.approved }` as its own clause, and name other attributes one by one
        policies/b.cedar:5:10: `@approval` on a policy that no approval can lift; an approval lifts a forbid that says `unless { context.approved }`: add that clause, or remove `@approval`
        policies/b.cedar:6:10: approval rule `nobody` does not exist; declare it: `approvals: { nobody: … }`
        policies/b.cedar:7:66: `approved` is read outside a plain `unless { context.approved }`; an approval may only lift a forbid: write `unless { context.approved }` as its own clause, and name other attributes one by one
        policies/b.cedar:8:54: `context` as a whole is read outside a plain `unless { context.approved }`; an approval may only lift a forbid: write `unless { context.approved }` as its own clause, and name other attributes one by one
        policies/b.cedar:9:10: `@approval` on a policy that no approval can lift; an approval lifts a forbid that says `unless { context.approved }`: add that clause, or remove `@approval`
        policies/b.cedar:11:17: `approved` is read outside a plain `unless { context.approved }`; an approval may only lift a forbid: write `unless { context.approved }` as its own clause, and name other attributes one by one
    "#]],
    );
}

#[test]
fn ids_are_unique_and_not_ours() {
    let text = r#"@id("costly") forbid (principal, action, resource);
@id("guard.high") forbid (principal, action, resource);
@id("t") forbid (principal == ?principal, action, resource);
"#;
    check(
        World::new().policy(text),
        expect![[r#"
            policies/b.cedar:1:1: policy id `costly` is used twice, first in policies/a.cedar:12; give each policy an `@id` of its own
            policies/b.cedar:2:1: policy id `guard.high` belongs to a generated policy; choose another `@id`
            policies/b.cedar:3:1: a policy template has slots that nothing fills; write a policy without `?principal` and `?resource`
        "#]],
    );
}

#[test]
fn what_policies_read_of_an_unpinned_action_types_it() {
    let mut world = World::new().policy(
        r#"@id("new") forbid (principal, action == Action::"mail.send", resource)
        when { context.args.to like "*@evil" || context.args.count > 3 || !context.args.signed ||
            context.args.cc.contains("x") || context.args.price.lessThan(decimal("1.0")) ||
            (context.args has reply && context.args.reply == 4) };"#,
    );
    world.definitions.remove(&action("mail.send"));
    world.declared.boundaries.get_mut(&name("support")).unwrap().upstreams.insert(name("mail"));
    check(world.clone(), expect![""]);
    let compiled = &world.compile();
    let arguments = r#"{"body":[1],"cc":["x"],"count":1,"price":2.5,"signed":true,"to":"bob"}"#;
    let one = attempt("helpdesk", "mail.send").args(arguments);
    assert_eq!(one.outcome(compiled), "deny forbidden: new");
    let other = one.args(&arguments.replace("\"x\"", "\"y\""));
    assert_eq!(other.outcome(compiled), "allow");
    assert!(!other.call(compiled).unwrap().is_checked());
}

#[test]
fn a_schema_that_is_none() {
    check(
        World::new().schema("tickets.read", r#"{"type":"strnig"}"#),
        expect![[r#"
            ambit.yaml:1: intent `resolve`: `tickets.read` has no argument `id`; declare it; there are no arguments yet
            ambit.yaml:50: action `tickets.read`: `resource` names argument `id`, which its schema does not have; declare it; there are no arguments yet
            ambit.yaml:50: input schema of `tickets.read` is not usable: "strnig" is not valid under any of the schemas listed in the 'anyOf' keyword; correct the tool's definition in the upstream
        "#]],
    );
}
