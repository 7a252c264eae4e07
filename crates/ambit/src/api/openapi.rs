//! What the API takes and answers, as OpenAPI 3.1.

use axum::Json;
use serde_json::{Value, json};

/// `GET /openapi.json`.
pub(super) async fn document() -> Json<Value> {
    let text = json!({ "type": "string" });
    let problem = json!({
        "description": "Not done; RFC 9457",
        "content": { "application/problem+json": { "schema": { "type": "object", "properties": {
            "title": text, "status": { "type": "integer" }, "detail": text, "code": text, "number": text,
        } } } },
    });
    let task = json!({
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
    });
    let key = json!({ "name": "Idempotency-Key", "in": "header", "schema": { "type": "string", "maxLength": 255 } });
    let id = json!({ "name": "id", "in": "path", "required": true, "schema": text });
    Json(json!({
        "openapi": "3.1.0",
        "info": { "title": "Ambit control API", "version": env!("CARGO_PKG_VERSION") },
        "components": { "securitySchemes": { "dpop": { "type": "http", "scheme": "DPoP" } } },
        "security": [{ "dpop": [] }],
        "paths": {
            "/api/v1/tasks": { "post": {
                "summary": "Open a task of the client's agent",
                "parameters": [key],
                "requestBody": { "required": true, "content": { "application/json": { "schema": task } } },
                "responses": { "201": { "description": "Opened" }, "401": problem, "403": problem, "409": problem, "422": problem, "503": problem },
            } },
            "/api/v1/tasks/{id}": { "delete": {
                "summary": "End a task of the client's own",
                "parameters": [id],
                "responses": { "204": { "description": "Its reach has ended" }, "401": problem, "404": problem, "503": problem },
            } },
        },
    }))
}
