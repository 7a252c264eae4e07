//! Each malformed file differs from the one well-formed `base.yaml` in one place.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the functions that tests share are tests too"
)]

use declared::read;
use expect_test::{Expect, expect};

const BASE: &str = include_str!("base.yaml");

/// Replaces one place of the base and compares everything that is reported, one problem a line.
#[track_caller]
fn check(from: &str, to: &str, expected: &Expect) {
    assert_eq!(BASE.matches(from).count(), 1, "`{from}` is in the base once");
    let text = BASE.replace(from, to);
    let rejected = read("ambit.yaml", &text, Vec::new()).expect_err("the file is refused");
    let lines: Vec<String> = rejected
        .diagnostics
        .iter()
        .map(|d| {
            format!(
                "{}:{}+{} {} | {}
",
                d.line, d.column, d.length, d.message, d.fix
            )
        })
        .collect();
    expected.assert_eq(&lines.concat());
    let rendered = rejected.to_string();
    for secret in ["sk-live", "hunter2", "31337", "correct-horse", "tok-en-0815"] {
        assert!(!rendered.contains(secret), "{rendered}");
        assert!(!format!("{rejected:?}").contains(secret));
    }
}

#[test]
fn the_base_is_accepted() {
    read("ambit.yaml", BASE, Vec::new()).unwrap_or_else(|rejected| panic!("{rejected}"));
}

#[test]
fn syntax_tab() {
    check(
        "    mcp: https",
        "\t mcp: https",
        &expect![[r#"
            19:3+1 this is not YAML that can be read: tabs disallowed within this context (block indentation) | correct the syntax here or just before; quote text that holds `: `, ` #`, `{` or `[`
        "#]],
    );
}

#[test]
fn syntax_bracket() {
    check(
        "{ calls: 300/h } }",
        "{ calls: 300/h }",
        &expect![[r#"
            39:1+1 this is not YAML that can be read: while parsing a flow mapping, did not find expected ',' or '}' | correct the syntax here or just before; quote text that holds `: `, ` #`, `{` or `[`
        "#]],
    );
}

#[test]
fn anchor() {
    check(
        "{ type: account, id: $user }",
        "&a { type: account, id: $user }",
        &expect![[r#"
        33:22+1 anchors and aliases are not read here | write the value out
    "#]],
    );
}

#[test]
fn alias() {
    check(
        "{ groups: [employees] }",
        "*people",
        &expect![[r#"
            4:10+1 anchors and aliases are not read here | write the value out
        "#]],
    );
}

#[test]
fn merge_key() {
    check(
        "    purpose: Resolve tickets",
        "    <<: { purpose: x }\n    purpose: Resolve tickets",
        &expect![[r#"
            7:5+2 `<<` is not a key of an agent | remove it; an agent has `purpose`, `owner`, `sponsor`, `environment`, `users`, `boundary`, `only`, `may_act`, `credentials`, `mode`, `observe_until`, `manifest`, `review`
        "#]],
    );
}

#[test]
fn custom_tag() {
    check(
        "purpose: Resolve",
        "purpose: !secret Resolve",
        &expect![[r#"
            7:22+15 unsupported tag `!secret` | remove the tag; quote what is text
        "#]],
    );
}

#[test]
fn second_document() {
    check(
        "tests:",
        "---\ntests:",
        &expect![[r#"
        41:1+3 the file has more than one document | remove `---` and what follows it
    "#]],
    );
}

#[test]
fn two_duplicates() {
    check(
        "    owner: group:it-support",
        "    owner: group:it-support\n    owner: group:b\n    purpose: again",
        &expect![[r#"
            9:5+5 `owner` is here twice | keep one of the two
            10:5+7 `purpose` is here twice | keep one of the two
        "#]],
    );
}

#[test]
fn key_is_number() {
    check(
        "    ana: {",
        "    7: {",
        &expect![[r#"
        4:5+1 a key is text, and this is a whole number | put it in quotation marks
    "#]],
    );
}

#[test]
fn boolean_is_text_in_yaml_1_2() {
    check(
        "proof: dpop",
        "proof: no",
        &expect![[r#"
            12:27+2 `no` is not a proof | use one of `dpop`, `mtls`, `none`
        "#]],
    );
}

#[test]
fn boolean_where_a_word_is_meant() {
    check(
        "proof: dpop",
        "proof: false",
        &expect![[r#"
            12:27+5 `proof` is `dpop`, `mtls` or `none` | write `none` for a bearer token
        "#]],
    );
}

#[test]
fn number_where_text_is_meant() {
    check(
        "purpose: Resolve tickets",
        "purpose: 4711",
        &expect![[r#"
        7:14+4 `purpose` is text, and this is a whole number | put it in quotation marks if it is meant
    "#]],
    );
}

#[test]
fn list_where_text_is_meant() {
    check(
        "owner: group:it-support",
        "owner: [group:it-support]",
        &expect![[r#"
        8:12+1 `owner` is text, and this is a list | write one piece of text
    "#]],
    );
}

#[test]
fn text_where_a_list_is_meant() {
    check(
        "only: [tickets.read, directory.reset]",
        "only: tickets.read",
        &expect![[r#"
        11:11+12 `only` is a list, and this is text | write it as `[a, b]`
    "#]],
    );
}

#[test]
fn text_where_a_map_is_meant() {
    check(
        "credentials: { proof: dpop, keys: keys/helpdesk.jwks, ttl: 15m }",
        "credentials: dpop",
        &expect![[r#"
            12:18+4 `credentials` is a map, and this is text | write `key: value` lines below it
        "#]],
    );
}

#[test]
fn version_missing() {
    check(
        "version: 1\n",
        "",
        &expect![[r#"
        1:1+1 the file needs `version` | add `version`: the version of this format
    "#]],
    );
}

#[test]
fn version_unknown() {
    check(
        "version: 1",
        "version: 2",
        &expect![[r#"
        1:10+1 this format has version 1 | write `version: 1`
    "#]],
    );
}

#[test]
fn top_key_unknown() {
    check(
        "boundaries:",
        "boundries:",
        &expect![[r#"
            37:1+9 `boundries` is not a key of the file | did you mean `boundaries`?
        "#]],
    );
}

#[test]
fn agent_key_near() {
    check(
        "    purpose: Resolve",
        "    purpsoe: Resolve",
        &expect![[r#"
            7:5+7 `purpsoe` is not a key of an agent | did you mean `purpose`?
        "#]],
    );
}

#[test]
fn agent_key_far() {
    check(
        "    boundary: it",
        "    boundary: it\n    colour: red",
        &expect![[r#"
            11:5+6 `colour` is not a key of an agent | remove it; an agent has `purpose`, `owner`, `sponsor`, `environment`, `users`, `boundary`, `only`, `may_act`, `credentials`, `mode`, `observe_until`, `manifest`, `review`
        "#]],
    );
}

#[test]
fn value_missing() {
    check(
        "    boundary: it",
        "    boundary:",
        &expect![[r#"
        10:5+8 `boundary` has no value | give it a value, or remove it
    "#]],
    );
}

#[test]
fn route_with_bare_braces() {
    check(
        "\"GET /users/{id}\"",
        "GET /users/{id}",
        &expect![[r#"
            36:33+1 this is not YAML that can be read: while parsing a flow mapping, did not find expected ',' or '}' | correct the syntax here or just before; quote text that holds `: `, ` #`, `{` or `[`
        "#]],
    );
}

#[test]
fn required_missing() {
    check(
        "    owner: group:it-support\n",
        "",
        &expect![[r#"
        6:3+8 an agent needs `owner` | add `owner`: who answers for it: `user:NAME` or `group:NAME`
    "#]],
    );
}

#[test]
fn later_key() {
    check(
        "    boundary: it",
        "    notify: support-oncall\n    mode: observe\n    boundary: it",
        &expect![[r#"
            10:5+6 `notify` is not enforced yet: remove it | nothing acts on it, so it would promise what is not kept
            11:5+4 `mode: observe` needs an end | add `observe_until: YYYY-MM-DD`, at most 30 days ahead
        "#]],
    );
}

#[test]
fn later_top_key() {
    check(
        "boundaries:",
        "detections: [builtin]\nboundaries:",
        &expect![[r#"
            37:1+10 `detections` is not enforced yet: remove it | nothing acts on it, so it would promise what is not kept
        "#]],
    );
}

#[test]
fn later_issuer() {
    check(
        "users: group:employees",
        "users: issuer:customers",
        &expect![[r#"
            9:12+16 there is no `customers` under `humans.issuers` | declare it under `humans.issuers`
        "#]],
    );
}

#[test]
fn federated_subject_wildcard() {
    check(
        "proof: dpop",
        "federated: [{ issuer: 'https://issuer.example', subject: 'repo:acme/*' }]",
        &expect![[r#"
            12:77+13 `subject` is compared whole, and this has a wildcard | write each workload out: a pattern would let in whoever can choose a name that fits
        "#]],
    );
}

#[test]
fn federated_claim_wildcard() {
    check(
        "proof: dpop",
        "federated: [{ issuer: 'https://issuer.example', subject: a, claims: { ref: 'refs/*' } }]",
        &expect![[r#"
            12:95+8 a claim is compared whole, and this has a wildcard | write each workload out: a pattern would let in whoever can choose a name that fits
        "#]],
    );
}

#[test]
fn federated_github_by_name() {
    check(
        "proof: dpop",
        "federated: [{ issuer: 'https://token.actions.githubusercontent.com', subject: a }]",
        &expect![[r#"
            12:42+45 a workflow of GitHub is named by `repository_id` and `environment` or `ref` | add them to `claims`: names of repositories can be given away and taken
        "#]],
    );
}

#[test]
fn federated_plain_http() {
    check(
        "proof: dpop",
        "federated: [{ issuer: 'http://issuer.example', subject: a }]",
        &expect![[r#"
            12:42+23 `issuer` is an https URL, exactly as the issuer writes it in `iss` | write `https://issuer.example`
        "#]],
    );
}

#[test]
fn federated_reuse_without_a_key() {
    check(
        "proof: dpop",
        "proof: none, federated: [{ issuer: 'https://issuer.example', subject: a, single_use: false, pin: sub }]",
        &expect![[r#"
            12:105+5 an assertion that is used again must come with a key, and `proof: none` asks for none | write `proof: dpop` or `proof: mtls`, or leave `single_use` out
        "#]],
    );
}

#[test]
fn federated_reuse_without_a_pin() {
    check(
        "proof: dpop",
        "federated: [{ issuer: 'https://issuer.example', subject: a, single_use: false }]",
        &expect![[r#"
            12:92+5 an assertion that is used again needs `pin`: whose key it is bound to | write `pin: /kubernetes.io/pod/uid`, or `pin: sub` where the subject is one workload
        "#]],
    );
}

#[test]
fn federated_pin_of_nothing() {
    check(
        "proof: dpop",
        "federated: [{ issuer: 'https://issuer.example', subject: a, single_use: false, pin: kubernetes.io/pod }]",
        &expect![[r#"
            12:104+17 `pin` is the name of a claim, or a JSON pointer to one that begins with `/` | write `sub`, or `/kubernetes.io/pod/uid`
        "#]],
    );
}

#[test]
fn federated_pin_of_what_counts_once() {
    check(
        "proof: dpop",
        "federated: [{ issuer: 'https://issuer.example', subject: a, single_use: true, pin: sub }]",
        &expect![[r#"
            12:98+3 `pin` is for assertions that are used again, and these count once | write `single_use: false` beside it, or leave it out
        "#]],
    );
}

#[test]
fn federated_single_use_maybe() {
    check(
        "proof: dpop",
        "federated: [{ issuer: 'https://issuer.example', subject: a, single_use: often }]",
        &expect![[r#"
            12:92+5 `single_use` is `true` or `false` | write `true` or `false`
        "#]],
    );
}

#[test]
fn static_secret() {
    check(
        "proof: dpop",
        "client_secret: sesame",
        &expect![[r#"
        12:20+13 an agent has no shared secret: whoever reads it once is the agent | give its public key (`keys:`), or a workload (`federated:`, `spiffe_id:`), or run it behind `ambit bridge`
    "#]],
    );
}

#[test]
fn spiffe_id_wildcard() {
    check(
        "proof: dpop",
        "spiffe_id: 'spiffe://corp.example/ns/*'",
        &expect![[r#"
        12:31+28 `spiffe://corp.example/ns/*` is not of the form `spiffe://trust-domain/path` | write `spiffe://trust-domain/path`
    "#]],
    );
}

#[test]
fn later_credential_user() {
    check(
        "as: service",
        "as: user",
        &expect![[r#"
            27:37+20 with `as: user` each human has a secret of her own | write `secret: secret:NAME/{user}`, and give each with `ambit secret set NAME --for USER`
        "#]],
    );
}

#[test]
fn later_vault() {
    check(
        "env:AMBIT_SECRET_TICKETS",
        "vault:kv/tickets",
        &expect![[r#"
            20:17+16 `vault:` is not enforced yet: remove it | nothing acts on it, so it would promise what is not kept
        "#]],
    );
}

#[test]
fn secret_in_place_of_its_name() {
    check(
        "env:AMBIT_SECRET_TICKETS",
        "secret:Hunter2!",
        &expect![[r#"
        20:17+15 a secret's name has lower-case letters, digits, `_` and `-` | write `secret:NAME`, and give the secret itself to `ambit secret set NAME`
    "#]],
    );
}

#[test]
fn later_oauth() {
    check(
        "credential: env:AMBIT_SECRET_TICKETS",
        "credential: { as: user, oauth: tickets }",
        &expect![[r#"
            20:29+5 `oauth` is not enforced yet: remove it | nothing acts on it, so it would promise what is not kept
        "#]],
    );
}

#[test]
fn later_tenant() {
    check(
        "id: $user }",
        "id: $user, tenant: resolve }",
        &expect![[r#"
            33:55+7 `tenant: resolve` is not enforced yet: remove it | nothing acts on it, so it would promise what is not kept
        "#]],
    );
}

#[test]
fn later_sum() {
    check(
        "{ calls: 300/h }",
        "{ calls: 300/h, \"sum(payments.transfer.amount)\": 5000/day }",
        &expect![[r#"
            38:87+31 `sum(payments.transfer.amount)` is not enforced yet: remove it | nothing acts on it, so it would promise what is not kept
        "#]],
    );
}

#[test]
fn later_split() {
    check(
        "update: { risk: medium, sink: external }",
        "update: { split: sql, select: { risk: low } }",
        &expect![[r#"
            23:17+5 `split` is not enforced yet: remove it | nothing acts on it, so it would promise what is not kept
        "#]],
    );
}

#[test]
fn later_soft_approval() {
    check(
        "approval: leads",
        "approval: { object: 10m }",
        &expect![[r#"
            34:9+8 `approval: {…}` is not enforced yet: remove it | nothing acts on it, so it would promise what is not kept
        "#]],
    );
}

#[test]
fn later_kind() {
    check(
        "  directory:\n    http: https",
        "  directory:\n    llm: https://models.example\n    http: https",
        &expect![[r#"
            26:5+3 `llm` is not enforced yet: remove it | nothing acts on it, so it would promise what is not kept
        "#]],
    );
}

#[test]
fn old_words_of_agents() {
    check(
        "    users: group:employees",
        "    acts_for: group:employees",
        &expect![[r#"
            9:5+8 `acts_for` is called `users` here | write `users`: whom it may serve; absent: it acts for itself only
        "#]],
    );
}

#[test]
fn old_can() {
    check(
        "    only: [",
        "    can: [",
        &expect![[r#"
            11:5+3 `can` is called `only` here | write `only`: narrows the boundary; `high` actions must be named exactly
        "#]],
    );
}

#[test]
fn old_tools() {
    check(
        "\nupstreams:",
        "\ntools:",
        &expect![[r#"
            17:1+5 `tools` is called `upstreams` here | write `upstreams`: systems behind the gateway
        "#]],
    );
}

#[test]
fn old_risk() {
    check(
        "risk: prohibited",
        "risk: never",
        &expect![[r#"
        24:38+5 `never` is called `prohibited` here | write `prohibited`
    "#]],
    );
}

#[test]
fn old_max_calls() {
    check(
        "limits: { calls: 300/h }",
        "max_calls: 300/h",
        &expect![[r#"
            38:63+9 `max_calls` is called `limits` here | write `limits`: how much, within which time: `{ calls: 300/h }`
        "#]],
    );
}

#[test]
fn old_words_of_approvals() {
    check(
        "approvers: group:leads, required: 2, exclude: [requester], proof: passkey, answer_within: 5m",
        "from: group:leads, need: 2, not: [requester], with: passkey, expires: 5m",
        &expect![[r#"
            40:12+4 `from` is called `approvers` here | write `approvers`: who may approve: `group:NAME`, `user:NAME`, or `requester`
            40:31+4 `need` is called `required` here | write `required`: how many must; 1 if absent
            40:40+3 `not` is called `exclude` here | write `exclude`: who may not, whatever group they are in
            40:58+4 `with` is called `proof` here | write `proof`: what an approver must show
            40:73+7 `expires` is called `answer_within` here | write `answer_within`: how long it can be answered: 10m
        "#]],
    );
}

#[test]
fn old_words_of_tests() {
    check(
        "args: { user: bob }, expect: ask",
        "with: { user: bob }, expect: approval",
        &expect![[r#"
            43:55+4 `with` is called `args` here | write `args`: with which arguments
            43:84+8 `approval` is called `ask` here | write `ask`
        "#]],
    );
}

#[test]
fn agent_name() {
    check(
        "  helpdesk:",
        "  Helpdesk:",
        &expect![[r#"
            6:3+8 `Helpdesk` contains `H` | use lower-case letters, digits, `-` and `_`, beginning with a letter or digit
        "#]],
    );
}

#[test]
fn owner_without_kind() {
    check(
        "owner: group:it-support",
        "owner: it-support",
        &expect![[r#"
        8:12+10 `it-support` is not of the form `user:NAME` or `group:NAME` | write `user:NAME` or `group:NAME`
    "#]],
    );
}

#[test]
fn owner_issuer() {
    check(
        "owner: group:it-support",
        "owner: issuer:customers",
        &expect![[r#"
            8:12+16 who answers for an agent is a human or a group who can be asked | write `user:NAME` or `group:NAME`
        "#]],
    );
}

#[test]
fn ttl_too_long() {
    check(
        "ttl: 15m",
        "ttl: 2h",
        &expect![[r#"
        12:64+2 `ttl` is longer than nothing and at most 1h | write `1h` or less
    "#]],
    );
}

#[test]
fn ttl_without_unit() {
    check(
        "ttl: 15m",
        "ttl: 15",
        &expect![[r#"
        12:64+2 `ttl` is a number with a unit | write it as `90s`, `15m`, `24h` or `7d`
    "#]],
    );
}

#[test]
fn keys_absolute() {
    check(
        "keys: keys/helpdesk.jwks",
        "keys: /etc/helpdesk.jwks",
        &expect![[r#"
            12:39+18 the key file is named by a relative path without `..` | write a path such as `keys/helpdesk.jwks`
        "#]],
    );
}

#[test]
fn only_without_dot() {
    check(
        "only: [tickets.read,",
        "only: [tickets,",
        &expect![[r#"
        11:12+7 `tickets` is not of the form `upstream.operation` | write `upstream.operation`
    "#]],
    );
}

#[test]
fn only_twice() {
    check(
        "only: [tickets.read, directory.reset]",
        "only: [tickets.read, tickets.read]",
        &expect![[r#"
            11:26+12 this action is here twice | keep one of the two
        "#]],
    );
}

#[test]
fn effect_near() {
    check(
        "effect: delete",
        "effect: delet",
        &expect![[r#"
            24:24+5 `delet` is not an effect | did you mean `delete`? there are `read`, `write`, `delete`, `transfer`, `auth-change`, `execute`, `send`
        "#]],
    );
}

#[test]
fn risk_missing() {
    check(
        "look: { route: \"GET /users/{id}\", effect: read, risk: low }",
        "look: { route: \"GET /users/{id}\", effect: read }",
        &expect![[r#"
            36:7+4 an action needs `risk` | add `risk`: how much a mistake would cost
        "#]],
    );
}

#[test]
fn action_empty() {
    check(
        "update: { risk: medium, sink: external }",
        "update:",
        &expect![[r#"
        23:7+6 an action needs `risk` | add `risk`: how much a mistake would cost
    "#]],
    );
}

#[test]
fn sink_unknown() {
    check(
        "sink: external",
        "sink: outside",
        &expect![[r#"
            23:37+7 `outside` is not a sink | use one of `none`, `internal`, `external`
        "#]],
    );
}

#[test]
fn data_class() {
    check(
        "data: [customer]",
        "data: [Customer Data]",
        &expect![[r#"
        22:63+13 `Customer Data` is not a data class | use lower-case words with dots: `hr.compensation`
    "#]],
    );
}

#[test]
fn pointer() {
    check(
        "returns: [/id]",
        "returns: [id]",
        &expect![[r#"
        22:50+2 `id` is not a JSON pointer (RFC 6901) | write it as `/title` or `/items/0/id`
    "#]],
    );
}

#[test]
fn returns_empty() {
    check(
        "returns: [/id]",
        "returns: []",
        &expect![[r#"
        22:40+7 `returns` is empty: it would keep everything | list what is kept, or remove `returns`
    "#]],
    );
}

#[test]
fn resource_without_dollar() {
    check(
        "id: $user }",
        "id: user }",
        &expect![[r#"
        33:40+4 `user` does not name an argument | write `$` and the argument's name: `$id`
    "#]],
    );
}

#[test]
fn show_with_dollar() {
    check(
        "show: [user]",
        "show: [$user]",
        &expect![[r#"
        35:16+5 `$user` is not a name of an argument | write the argument's name, without `$`
    "#]],
    );
}

#[test]
fn route_without_method() {
    check(
        "route: POST /users/{user}/reset",
        "route: /users/{user}/reset",
        &expect![[r#"
        30:16+19 `/users/{user}/reset` is not a route: it needs a method, a space and a path | write it as `POST /users/{user}/password-reset`
    "#]],
    );
}

#[test]
fn route_part_of_segment() {
    check(
        "GET /users/{id}\",",
        "GET /users/{id}.json\",",
        &expect![[r#"
        36:22+22 `GET /users/{id}.json` is not a route: `{name}` is a whole segment | write it as `POST /users/{user}/password-reset`
    "#]],
    );
}

#[test]
fn route_dots() {
    check(
        "GET /users/{id}\",",
        "GET /users/../{id}\",",
        &expect![[r#"
        36:22+20 `GET /users/../{id}` is not a route: a segment is not empty, `.` or `..` | write it as `POST /users/{user}/password-reset`
    "#]],
    );
}

#[test]
fn route_query_with_values() {
    check(
        "GET /users/{id}\",",
        "GET /users/{id}?page=1\",",
        &expect![[r#"
            36:22+24 `GET /users/{id}?page=1` is not a route: `page=1` is not a name of a query parameter | write it as `POST /users/{user}/password-reset`
        "#]],
    );
}

#[test]
fn route_query_that_the_path_has() {
    check(
        "GET /users/{id}\",",
        "GET /users/{id}?page&ID\",",
        &expect![[r#"
            36:22+25 `GET /users/{id}?page&ID` is not a route: `ID` is in it twice | write it as `POST /users/{user}/password-reset`
        "#]],
    );
}

#[test]
fn route_on_mcp() {
    check(
        "update: { risk: medium",
        "update: { route: GET /x, risk: medium",
        &expect![[r#"
        23:17+5 an MCP upstream has no routes: its tools have names | remove `route`, or declare the upstream with `http`
    "#]],
    );
}

#[test]
fn route_missing() {
    check(
        "look: { route: \"GET /users/{id}\", ",
        "look: { ",
        &expect![[r#"
        36:7+4 `look` needs a route: this upstream is HTTP | add `route: POST /path/{argument}`
    "#]],
    );
}

#[test]
fn route_same() {
    check(
        "GET /users/{id}\",",
        "POST /users/{id}/reset\",",
        &expect![[r#"
        36:7+4 `reset` has the same route | give each action its own method and path
    "#]],
    );
}

#[test]
fn neither_mcp_nor_http() {
    check(
        "    mcp: https://tickets.example/mcp\n",
        "",
        &expect![[r#"
            18:3+7 an upstream needs `mcp`, `http` or `stdio` | add `mcp: URL`, `http: URL` or `stdio: [program, argument]`
        "#]],
    );
}

#[test]
fn both_mcp_and_http() {
    check(
        "    mcp: https://tickets.example/mcp",
        "    mcp: https://tickets.example/mcp\n    http: https://tickets.example",
        &expect![[r#"
            20:5+4 an upstream is spoken to by `mcp` or by `http`, not both | keep one, or declare two upstreams
        "#]],
    );
}

#[test]
fn url_scheme() {
    check(
        "https://tickets.example/mcp",
        "ftp://tickets.example/mcp",
        &expect![[r#"
        19:10+25 the URL begins with `https://` or `http://` | write it as `https://tickets.example/mcp`
    "#]],
    );
}

#[test]
fn url_password() {
    check(
        "https://tickets.example/mcp",
        "https://bob:hunter2@tickets.example/mcp",
        &expect![[r#"
        19:10+39 a URL holds no user and no password: use `credential` | write it as `https://tickets.example/mcp`
    "#]],
    );
}

#[test]
fn url_query() {
    check(
        "https://tickets.example/mcp",
        "https://tickets.example/mcp?key=1",
        &expect![[r#"
        19:10+33 the URL has no query and no fragment | write it as `https://tickets.example/mcp`
    "#]],
    );
}

#[test]
fn secret_literal() {
    check(
        "credential: env:AMBIT_SECRET_TICKETS",
        "credential: sk-live-4242424242424242",
        &expect![[r#"
            20:17+24 a credential is a reference, never the secret itself | put the secret into the vault with `ambit secret set NAME` and write `secret:NAME`, into a file below the secrets directory and write `file:NAME`, or into a variable and write `env:AMBIT_SECRET_NAME`
        "#]],
    );
}

#[test]
fn secret_literal_plain() {
    check(
        "credential: env:AMBIT_SECRET_TICKETS",
        "credential: hunter2",
        &expect![[r#"
        20:17+7 a credential is a reference, never the secret itself | put the secret into the vault with `ambit secret set NAME` and write `secret:NAME`, into a file below the secrets directory and write `file:NAME`, or into a variable and write `env:AMBIT_SECRET_NAME`
    "#]],
    );
}

#[test]
fn secret_literal_number() {
    check(
        "credential: env:AMBIT_SECRET_TICKETS",
        "credential: 31337",
        &expect![[r#"
        20:17+5 a credential is a reference, never the secret itself | put the secret into the vault with `ambit secret set NAME` and write `secret:NAME`, into a file below the secrets directory and write `file:NAME`, or into a variable and write `env:AMBIT_SECRET_NAME`
    "#]],
    );
}

#[test]
fn secret_literal_in_map() {
    check(
        "secret: file:directory/token",
        "secret: correct-horse",
        &expect![[r#"
        27:40+13 a credential is a reference, never the secret itself | put the secret into the vault with `ambit secret set NAME` and write `secret:NAME`, into a file below the secrets directory and write `file:NAME`, or into a variable and write `env:AMBIT_SECRET_NAME`
    "#]],
    );
}

#[test]
fn secret_under_a_key_that_is_no_text() {
    let from = "    credential: env:AMBIT_SECRET_TICKETS";
    let text = BASE.replace(from, "  : other: sk-live-4242424242424242");
    let rejected = read("ambit.yaml", &text, Vec::new()).expect_err("the file is refused");
    assert!(!rejected.to_string().contains("sk-live"), "{rejected}");
}

#[test]
fn secret_where_a_name_belongs() {
    for (from, to) in [
        ("    boundary: it", "    boundary: sk-live-4242424242424242"),
        ("credential: env:AMBIT_SECRET_TICKETS", "credential: secret:sk-live-4242424242424242"),
    ] {
        let text = BASE.replace(from, to);
        let rejected = read("ambit.yaml", &text, Vec::new()).expect_err("the file is refused");
        assert!(!rejected.to_string().contains("sk-live"), "{rejected}");
    }
}

#[test]
fn secret_in_a_comment() {
    let from = "    credential: env:AMBIT_SECRET_TICKETS";
    for comment in ["sk-live-4242424242424242", "api-token: hunter2"] {
        let text = BASE.replace(from, &format!("    credential: # {comment}"));
        let rejected = read("ambit.yaml", &text, Vec::new()).expect_err("the file is refused");
        assert!(rejected.to_string().contains("credential: ***"), "{rejected}");
    }
}

#[test]
fn secret_in_unknown_key() {
    check(
        "    credential: env:AMBIT_SECRET_TICKETS",
        "    api_token: tok-en-0815\n    credential: env:AMBIT_SECRET_TICKETS",
        &expect![[r#"
            20:5+9 `api_token` is not a key of an upstream | remove it; an upstream has `mcp`, `http`, `stdio`, `shared`, `variables`, `environment`, `credential`, `actions`
        "#]],
    );
}

#[test]
fn secret_other_variable() {
    check(
        "env:AMBIT_SECRET_TICKETS",
        "env:HOME",
        &expect![[r#"
        20:17+8 only variables that begin with `AMBIT_SECRET_` are read | name the variable `AMBIT_SECRET_HOME` and write `env:AMBIT_SECRET_HOME`
    "#]],
    );
}

#[test]
fn secret_as_variable() {
    check(
        "env:AMBIT_SECRET_TICKETS",
        "env:sk-live-4242424242424242",
        &expect![[r#"
        20:17+28 only variables that begin with `AMBIT_SECRET_` are read | name the variable `AMBIT_SECRET_NAME` and write `env:AMBIT_SECRET_NAME`
    "#]],
    );
}

#[test]
fn secret_absolute_file() {
    check(
        "file:directory/token",
        "file:/etc/shadow",
        &expect![[r#"
            27:40+16 a secret's file is named by a relative path without `..` | write a path such as `file:tickets.token`
        "#]],
    );
}

#[test]
fn secret_climbing_file() {
    check(
        "file:directory/token",
        "file:directory/../../kek",
        &expect![[r#"
            27:40+24 a secret's file is named by a relative path without `..` | write a path such as `file:tickets.token`
        "#]],
    );
}

#[test]
fn secret_beside_a_syntax_error() {
    check(
        "credential: env:AMBIT_SECRET_TICKETS",
        "credential: [hunter2",
        &expect![[r#"
            21:12+1 this is not YAML that can be read: illegal placement of ':' indicator | correct the syntax here or just before; quote text that holds `: `, ` #`, `{` or `[`
        "#]],
    );
}

#[test]
fn boundary_dangling() {
    check(
        "    boundary: it\n",
        "    boundary: its\n",
        &expect![[r#"
        10:15+3 there is no `its` under `boundaries` | did you mean `it`?
    "#]],
    );
}

#[test]
fn upstream_dangling_in_boundary() {
    check(
        "upstreams: [tickets, directory]",
        "upstreams: [tickets, directory, ticket]",
        &expect![[r#"
            38:41+6 there is no `ticket` under `upstreams` | did you mean `tickets`?
        "#]],
    );
}

#[test]
fn approval_dangling() {
    check(
        "approval: leads",
        "approval: lead",
        &expect![[r#"
        34:19+4 there is no `lead` under `approvals` | did you mean `leads`?
    "#]],
    );
}

#[test]
fn intent_dangling() {
    check(
        "intent: answer",
        "intent: anwser",
        &expect![[r#"
        42:79+6 there is no `anwser` under `intents` | did you mean `answer`?
    "#]],
    );
}

#[test]
fn agent_dangling() {
    check(
        "agent: helpdesk, for: ana, do: directory",
        "agent: helpdeks, for: ana, do: directory",
        &expect![[r#"
            43:14+8 there is no `helpdeks` under `agents` | did you mean `helpdesk`?
        "#]],
    );
}

#[test]
fn only_action_dangling() {
    check(
        "only: [tickets.read,",
        "only: [tickets.raed,",
        &expect![[r#"
        11:12+12 `tickets.raed` is not in the catalog | did you mean `tickets.read`?
    "#]],
    );
}

#[test]
fn only_upstream_dangling() {
    check(
        "only: [tickets.read,",
        "only: [ticket.read,",
        &expect![[r#"
        11:12+11 there is no `ticket` under `upstreams` | did you mean `tickets`?
    "#]],
    );
}

#[test]
fn only_outside_boundary() {
    check(
        "upstreams: [tickets, directory]",
        "upstreams: [tickets]",
        &expect![[r#"
        11:26+15 `directory` is outside the boundary `it` | add `directory` to the boundary's `upstreams`, or remove this
    "#]],
    );
}

#[test]
fn only_prohibited() {
    check(
        "only: [tickets.read,",
        "only: [tickets.purge,",
        &expect![[r#"
        11:12+13 `tickets.purge` is prohibited: nobody can be granted it | remove it, or change its risk
    "#]],
    );
}

#[test]
fn only_wildcard_covers_nothing() {
    check(
        "look: { route: \"GET /users/{id}\", effect: read, risk: low }",
        "look: { route: \"GET /users/{id}\", effect: read, risk: high }",
        &expect![[r#"
            16:45+13 `directory.*` covers low and medium actions, and there is none | name each `high` action exactly: `upstream.operation`
        "#]],
    );
}

#[test]
fn test_action_dangling() {
    check(
        "do: directory.reset",
        "do: directory.rest",
        &expect![[r#"
        43:38+14 `directory.rest` is not in the catalog | did you mean `directory.reset`?
    "#]],
    );
}

#[test]
fn intent_param_dangling() {
    check(
        "id: $ticket",
        "id: $tickets",
        &expect![[r#"
        16:34+8 `$tickets` is not a parameter of this intent | did you mean `ticket`?
    "#]],
    );
}

#[test]
fn intent_param_type() {
    check(
        "urgent: boolean",
        "urgent: bool",
        &expect![[r#"
        15:39+4 `bool` is called `boolean` here | write `boolean`
    "#]],
    );
}

#[test]
fn intent_constraint_list() {
    check(
        "id: $ticket",
        "id: [1, 2]",
        &expect![[r#"
        16:34+1 an argument equals text, a whole number, true or false, and this is a list | write a value, or `$param`
    "#]],
    );
}

#[test]
fn test_param_missing() {
    check(
        "params: { ticket: \"1\", urgent: false }",
        "params: { ticket: \"1\" }",
        &expect![[r#"
        42:87+6 this test gives no value for the parameter `urgent` | add `params: { urgent: … }`
    "#]],
    );
}

#[test]
fn test_param_type() {
    check(
        "params: { ticket: \"1\",",
        "params: { ticket: 1,",
        &expect![[r#"
        42:87+6 the parameter `ticket` is text | write text
    "#]],
    );
}

#[test]
fn test_param_unknown() {
    check(
        "urgent: false }",
        "urgent: false, urgnet: true }",
        &expect![[r#"
        42:87+6 the intent has no parameter `urgnet` | did you mean `urgent`?
    "#]],
    );
}

#[test]
fn test_params_without_intent() {
    check(
        "intent: answer, params",
        "params",
        &expect![[r#"
        42:71+6 `params` belong to an intent, and this test names none | add `intent: NAME`, or remove `params`
    "#]],
    );
}

#[test]
fn test_number_too_large() {
    check(
        "args: { id: \"1\" }",
        "args: { id: 9007199254740993 }",
        &expect![[r#"
            42:64+16 whole number beyond 2^53 - 1, which other readers round; send it as a string | write it as text
        "#]],
    );
}

#[test]
fn test_names_differ_in_case() {
    check(
        "args: { id: \"1\" }",
        "args: { id: \"1\", ID: \"2\" }",
        &expect![[r#"
        42:69+2 `ID` is here twice, or differs only in case | keep one of the two
    "#]],
    );
}

#[test]
fn test_reason_of_allow() {
    check(
        "urgent: false }, expect: allow",
        "urgent: false }, expect: allow, reason: x",
        &expect![[r#"
            42:142+6 a test that expects `allow` has no reason: no rule stopped it | remove `reason`, or expect `deny` or `ask`
        "#]],
    );
}

#[test]
fn approval_nobody() {
    check(
        "approvers: group:leads",
        "approvers: user:eve",
        &expect![[r#"
        40:23+8 a user is one person, and 2 are required: nobody could approve | name a group, or write `required: 1`
    "#]],
    );
}

#[test]
fn approval_requester_excluded() {
    check(
        "approvers: group:leads, required: 2",
        "approvers: requester",
        &expect![[r#"
        40:23+9 the requester approves and is excluded: nobody could approve | name a group, or remove `requester` from `exclude`
    "#]],
    );
}

#[test]
fn approval_issuer() {
    check(
        "approvers: group:leads",
        "approvers: issuer:customers",
        &expect![[r#"
        40:23+16 humans of another identity provider never approve | write `group:NAME`, `user:NAME` or `requester`
    "#]],
    );
}

#[test]
fn required_zero() {
    check(
        "required: 2",
        "required: 0",
        &expect![[r#"
        40:46+1 `required` is a whole number from 1 to 16 | write how many people must approve
    "#]],
    );
}

#[test]
fn calls() {
    check(
        "calls: 300/h",
        "calls: 300 per hour",
        &expect![[r#"
        38:80+12 a limit on calls is a number of calls in a time of at most 24h | write it as `300/h` or `50/10m`
    "#]],
    );
}

#[test]
fn calls_zero() {
    check(
        "calls: 300/h",
        "calls: 0/h",
        &expect![[r#"
        38:80+3 a limit on calls is a number of calls in a time of at most 24h | write it as `300/h` or `50/10m`
    "#]],
    );
}

#[test]
fn calls_over_a_week() {
    check(
        "calls: 300/h",
        "calls: 300/7d",
        &expect![[r#"
        38:80+6 a limit on calls is a number of calls in a time of at most 24h | write it as `300/h` or `50/10m`
    "#]],
    );
}

#[test]
fn networks_that_mean_something_else() {
    let check = |networks: &str, expected: &expect_test::Expect| {
        check(
            "credentials: { proof: dpop, keys: keys/helpdesk.jwks, ttl: 15m }",
            &format!("credentials: {{ proof: none, networks: {networks} }}"),
            expected,
        );
    };
    check(
        "[10.0.0.0/8, 10.0.0.7/8]",
        &expect![[r#"
        12:56+10 `10.0.0.7/8` is not of the form `203.0.113.0/24`: nothing behind the prefix, and one address has `/32` or `/128` | write `203.0.113.0/24`: nothing behind the prefix, and one address has `/32` or `/128`
    "#]],
    );
    check(
        "[203.0.113.7]",
        &expect![[r#"
        12:44+11 `203.0.113.7` is not of the form `203.0.113.0/24` or `2001:db8::/32` | write `203.0.113.0/24` or `2001:db8::/32`
    "#]],
    );
    check(
        "['*']",
        &expect![[r#"
        12:44+3 `*` is not of the form `203.0.113.0/24` or `2001:db8::/32` | write `203.0.113.0/24` or `2001:db8::/32`
    "#]],
    );
    check(
        "['::ffff:10.0.0.0/104']",
        &expect![[r#"
        12:44+21 `::ffff:10.0.0.0/104` is not of the form `203.0.113.0/24`: IPv4 as IPv4 | write `203.0.113.0/24`: IPv4 as IPv4
    "#]],
    );
    check(
        "[]",
        &expect![[r#"
        12:43+1 `networks` lists 1 to 64 networks | remove it for any network
    "#]],
    );
    check(
        "10.0.0.0/8",
        &expect![[r#"
        12:43+10 `networks` is a list, and this is text | write it as `[a, b]`
    "#]],
    );
}

#[test]
fn client_that_may_nothing() {
    check(
        "agents:\n",
        "clients:\n  soc: { keys: soc.jwks }\nagents:\n",
        &expect![[r#"
        6:3+3 client `soc` may do nothing | write `may: [read]`, or `agent: NAME, may_open: [INTENT]`
    "#]],
    );
}

#[test]
fn client_with_half_of_its_tasks() {
    check(
        "agents:\n",
        "clients:\n  soc: { agent: helpdesk, may: [read] }\nagents:\n",
        &expect![[r#"
            6:3+3 `agent` and `may_open` are stated together | write `agent: NAME, may_open: [INTENT]`, or neither
        "#]],
    );
}

#[test]
fn client_right_that_is_none() {
    check(
        "agents:\n",
        "clients:\n  soc: { may: [read, approve] }\nagents:\n",
        &expect![[r#"
        6:22+7 `approve` is not something a client may do | use one of `read`, `stop`
    "#]],
    );
}
