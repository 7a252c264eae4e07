//! Operations of MCP upstreams that are no tools: methods of the protocol, catalogued by their names on the wire.

/// What an agent does with resources, prompts and completion.
pub const READ_RESOURCE: &str = "resources/read";
/// The list of an upstream's resources, which changes with its data and so is asked for each time.
pub const LIST_RESOURCES: &str = "resources/list";
/// Being told when a resource changes.
pub const SUBSCRIBE: &str = "resources/subscribe";
/// Filling in a prompt.
pub const GET_PROMPT: &str = "prompts/get";
/// Completing an argument.
pub const COMPLETE: &str = "completion/complete";
/// How a task that an upstream began instead of answering a call is getting on (`io.modelcontextprotocol/tasks`).
pub const GET_TASK: &str = "tasks/get";
/// Answering what such a task asks for.
pub const UPDATE_TASK: &str = "tasks/update";
/// Asking for its end.
pub const CANCEL_TASK: &str = "tasks/cancel";
/// A form that an upstream puts to the human; followed by `/HOST`, a page of that host.
pub const ELICIT: &str = "elicitation/create";
/// An upstream's use of the client's model.
pub const SAMPLE: &str = "sampling/createMessage";
/// An upstream's look at the client's roots.
pub const ROOTS: &str = "roots/list";
/// An upstream's log messages to the client.
pub const LOG: &str = "notifications/message";
/// What an upstream says of itself when a client connects; pinned, never called.
pub const INSTRUCTIONS: &str = "server/instructions";

const ALL: [&str; 13] = [
    READ_RESOURCE,
    LIST_RESOURCES,
    SUBSCRIBE,
    GET_PROMPT,
    COMPLETE,
    GET_TASK,
    UPDATE_TASK,
    CANCEL_TASK,
    ELICIT,
    SAMPLE,
    ROOTS,
    LOG,
    INSTRUCTIONS,
];

/// Whether an operation of an MCP upstream is a method of the protocol, and no tool.
#[must_use]
pub fn is_reserved(operation: &str) -> bool {
    // No tool's name that is in use holds a slash: most calls end here.
    operation.contains('/') && (ALL.contains(&operation) || host_of(operation).is_some())
}

/// Whether an operation is something that an upstream initiates.
#[must_use]
pub fn is_initiated(operation: &str) -> bool {
    [ELICIT, SAMPLE, ROOTS, LOG].contains(&operation) || host_of(operation).is_some()
}

/// The host of `elicitation/create/HOST`.
#[must_use]
pub fn host_of(operation: &str) -> Option<&str> {
    operation.strip_prefix(ELICIT)?.strip_prefix('/').filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_told_from_tools() {
        for tool in ["read", "tickets.read", "resources", "prompts/getter", "elicitation/createx"] {
            assert!(!is_reserved(tool), "{tool}");
        }
        for method in ALL {
            assert!(is_reserved(method), "{method}");
        }
        assert_eq!(host_of("elicitation/create/id.example"), Some("id.example"));
        assert!(is_reserved("elicitation/create/id.example"));
        assert!(is_initiated("elicitation/create/id.example") && is_initiated(LOG));
        assert!(!is_initiated(READ_RESOURCE) && !is_initiated("read"));
    }
}
