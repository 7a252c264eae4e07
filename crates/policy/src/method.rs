//! Input schemas of the protocol's own methods, for those that no upstream defines.

use crate::Definition;
use canonical::Limits;
use model::reserved::{
    CANCEL_TASK, COMPLETE, GET_TASK, LIST_RESOURCES, SUBSCRIBE, UPDATE_TASK, is_initiated,
};

const CURSOR: &str = r#"{"inputSchema":{"additionalProperties":false,"properties":{"cursor":{"type":"string"}},"type":"object"}}"#;
const URI: &str = r#"{"inputSchema":{"additionalProperties":false,"properties":{"uri":{"type":"string"}},"required":["uri"],"type":"object"}}"#;
const TASK: &str = r#"{"inputSchema":{"additionalProperties":false,"properties":{"taskId":{"type":"string"}},"required":["taskId"],"type":"object"}}"#;
const ARGUMENT: &str = r#"{"inputSchema":{"additionalProperties":false,"properties":{"argument":{"properties":{"name":{"type":"string"},"value":{"type":"string"}},"required":["name","value"],"type":"object"},"context":{"type":"object"},"ref":{"type":"object"}},"required":["argument","ref"],"type":"object"}}"#;
/// A question of an upstream, and later the answer to it: `phase` says which.
const INITIATED: &str = r#"{"inputSchema":{"additionalProperties":false,"properties":{"action":{"type":"string"},"content":{"type":"object"},"host":{"type":"string"},"level":{"type":"string"},"logger":{"type":"string"},"message":{"type":"string"},"mode":{"type":"string"},"params":{"type":"object"},"phase":{"type":"string"},"requestedSchema":{"type":"object"},"result":{"type":"object"},"url":{"type":"string"}},"required":["phase"],"type":"object"}}"#;

/// The definition of a method that needs no pin; `None` for tools, and for methods whose definitions come from the
/// upstream.
pub(crate) fn definition(operation: &str) -> Option<Definition> {
    let text = match operation {
        LIST_RESOURCES => CURSOR,
        SUBSCRIBE => URI,
        COMPLETE => ARGUMENT,
        GET_TASK | UPDATE_TASK | CANCEL_TASK => TASK,
        _ if is_initiated(operation) => INITIATED,
        _ => return None,
    };
    let value = canonical::parse(text.as_bytes(), &Limits::FRAME).ok()?;
    Definition::new(value.to_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::reserved::{ELICIT, GET_PROMPT, LOG, READ_RESOURCE, ROOTS, SAMPLE};

    #[test]
    fn each_method_that_no_upstream_defines_has_a_schema() {
        for method in [
            LIST_RESOURCES,
            SUBSCRIBE,
            COMPLETE,
            GET_TASK,
            UPDATE_TASK,
            CANCEL_TASK,
            ELICIT,
            SAMPLE,
            ROOTS,
            LOG,
        ] {
            let definition = definition(method).expect(method);
            assert!(definition.input_schema.get("properties").is_some(), "{method}");
        }
        for other in [READ_RESOURCE, GET_PROMPT, "read"] {
            assert_eq!(definition(other), None, "{other}");
        }
    }
}
