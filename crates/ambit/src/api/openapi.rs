//! What the API takes and answers, as OpenAPI 3.1.

use axum::Json;
use serde_json::{Value, json};

/// `GET /openapi.json`.
pub(super) async fn document() -> Json<Value> {
    Json(json!({
        "openapi": "3.1.0",
        "info": { "title": "Ambit control API", "version": env!("CARGO_PKG_VERSION") },
        "components": {
            "securitySchemes": { "dpop": { "type": "http", "scheme": "DPoP" } },
            "schemas": { "task": task() },
        },
        "security": [{ "dpop": [] }],
        "paths": paths(),
    }))
}

fn paths() -> Value {
    let name = || in_path("name", &json!({ "type": "string" }));
    let kind = json!({ "enum":
        ["token", "task", "key", "instance", "version", "agent", "user", "owner", "upstream"] });
    let list = json!({ "type": "array", "items": { "type": "object" } });
    let one = json!({ "type": "object" });
    json!({
        "/api/v1/tasks": { "post": {
            "summary": "Open a task of the client's agent",
            "parameters": [in_header("Idempotency-Key", &json!({ "type": "string", "maxLength": 255 }))],
            "requestBody": body(&json!({ "$ref": "#/components/schemas/task" })),
            "responses": responses(&[("201", json!({ "description": "Opened" }))], &[401, 403, 409, 422, 503]),
        } },
        "/api/v1/tasks/{id}": { "delete": {
            "summary": "End a task of the client's own",
            "parameters": [in_path("id", &json!({ "type": "string" }))],
            "responses": responses(&[("204", json!({ "description": "Its reach has ended" }))], &[401, 404, 503]),
        } },
        "/api/v1/agents": read("Registered agents, with state, owner and version", vec![], &list),
        "/api/v1/agents/{name}":
            read("One agent, with the parts of its version and its actions", vec![name()], &one),
        "/api/v1/agents/{name}/residual":
            read("What of an agent Ambit cannot take away", vec![name()], &list),
        "/api/v1/agents/{name}/suspension":
            stop("Suspend an agent; its calls have ended when it is answered",
                &[name(), in_header("If-Match", &json!({ "type": "string" }))]),
        "/api/v1/owners":
            read("Who answers, and until when each is known to be alive", vec![], &list),
        "/api/v1/revocations/{kind}/{name}":
            stop("Revoke; what it names has ended when it is answered", &[in_path("kind", &kind), name()]),
    })
}

fn read(summary: &str, mut parameters: Vec<Value>, schema: &Value) -> Value {
    parameters.push(in_header("If-None-Match", &json!({ "type": "string" })));
    let found = json!({
        "description": "Told", "headers": { "ETag": { "schema": { "type": "string" } } },
        "content": { "application/json": { "schema": schema } },
    });
    let same = json!({ "description": "What `If-None-Match` names" });
    let responses = responses(&[("200", found), ("304", same)], &[401, 403, 404, 503]);
    json!({ "get": { "summary": summary, "parameters": parameters, "responses": responses } })
}

fn stop(summary: &str, parameters: &[Value]) -> Value {
    let reason = json!({
        "type": "object", "required": ["reason"], "additionalProperties": false,
        "properties": { "reason": { "type": "string" } },
    });
    let stopped = json!({
        "description": "Stopped", "content": { "application/json": { "schema": { "type": "object" } } },
    });
    let responses = responses(&[("200", stopped)], &[401, 403, 404, 409, 412, 422, 503]);
    json!({ "put": {
        "summary": summary, "parameters": parameters, "requestBody": body(&reason),
        "responses": responses,
    } })
}

fn in_path(name: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

fn in_header(name: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "header", "schema": schema })
}

fn body(schema: &Value) -> Value {
    json!({ "required": true, "content": { "application/json": { "schema": schema } } })
}

/// What is answered when it is done, and the statuses of problems.
fn responses(done: &[(&str, Value)], problems: &[u16]) -> Value {
    let text = json!({ "type": "string" });
    let problem = json!({
        "description": "Not done; RFC 9457",
        "content": { "application/problem+json": { "schema": { "type": "object", "properties": {
            "title": text, "status": { "type": "integer" }, "detail": text, "code": text, "number": text,
        } } } },
    });
    let done = done.iter().map(|(status, told)| ((*status).to_owned(), told.clone()));
    let problems = problems.iter().map(|status| (status.to_string(), problem.clone()));
    Value::Object(done.chain(problems).collect())
}

fn task() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "required": ["intent", "trigger"],
        "additionalProperties": false,
        "properties": {
            "intent": text,
            "params": { "type": "object" },
            "for": text,
            "subject_token": text,
            "trigger": {
                "type": "object",
                "required": ["kind", "ref"],
                "additionalProperties": false,
                "properties": {
                    "kind": { "enum": ["message", "ticket", "schedule", "webhook", "agent"] },
                    "ref": text, "digest": text, "body": text,
                },
            },
            "input_trust": { "enum": ["human", "system", "untrusted"], "default": "untrusted" },
            "expires_in": { "type": "integer", "minimum": 1 },
            "instance": text,
        },
    })
}
