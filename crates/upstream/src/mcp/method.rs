//! The requests that are forwarded to upstreams, and what their answers must hold.

use canonical::{Object, Value};

/// A request of the protocol that is an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `tools/call`: the operation is the tool.
    CallTool,
    /// `resources/read`.
    ReadResource,
    /// `resources/list`.
    ListResources,
    /// `resources/subscribe`, in a legacy session.
    Subscribe,
    /// `resources/unsubscribe`, in a legacy session.
    Unsubscribe,
    /// `prompts/get`.
    GetPrompt,
    /// `completion/complete`.
    Complete,
    /// `tasks/get` of the extension `io.modelcontextprotocol/tasks`.
    GetTask,
    /// `tasks/update`, which carries answers to what the task asks for.
    UpdateTask,
    /// `tasks/cancel`.
    CancelTask,
}

impl Method {
    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::CallTool => "tools/call",
            Method::ReadResource => "resources/read",
            Method::ListResources => "resources/list",
            Method::Subscribe => "resources/subscribe",
            Method::Unsubscribe => "resources/unsubscribe",
            Method::GetPrompt => "prompts/get",
            Method::Complete => "completion/complete",
            Method::GetTask => "tasks/get",
            Method::UpdateTask => "tasks/update",
            Method::CancelTask => "tasks/cancel",
        }
    }

    /// The operation that it is catalogued as; `None` for a tool, which has its own name.
    #[must_use]
    pub const fn operation(self) -> Option<&'static str> {
        match self {
            Method::CallTool => None,
            Method::Unsubscribe => Some(Method::Subscribe.as_str()),
            Method::ReadResource
            | Method::ListResources
            | Method::Subscribe
            | Method::GetPrompt
            | Method::Complete
            | Method::GetTask
            | Method::UpdateTask
            | Method::CancelTask => Some(self.as_str()),
        }
    }

    /// The argument that `Mcp-Name` repeats.
    pub(super) const fn named_by(self) -> Option<&'static str> {
        match self {
            Method::ReadResource => Some("uri"),
            Method::GetPrompt => Some("name"),
            Method::GetTask | Method::UpdateTask | Method::CancelTask => Some("taskId"),
            Method::CallTool
            | Method::ListResources
            | Method::Subscribe
            | Method::Unsubscribe
            | Method::Complete => None,
        }
    }

    /// Whether an upstream may answer it with questions (2026-07-28).
    #[must_use]
    pub const fn may_ask(self) -> bool {
        matches!(self, Method::CallTool | Method::ReadResource | Method::GetPrompt)
    }

    /// Whether answers to an upstream's questions may come with it (2026-07-28).
    #[must_use]
    pub const fn takes_answers(self) -> bool {
        self.may_ask() || matches!(self, Method::UpdateTask)
    }

    /// Whether it is about a task that an upstream began.
    #[must_use]
    pub const fn is_of_tasks(self) -> bool {
        matches!(self, Method::GetTask | Method::UpdateTask | Method::CancelTask)
    }

    /// Whether only a legacy session has it.
    pub(super) const fn needs_session(self) -> bool {
        matches!(self, Method::Subscribe | Method::Unsubscribe)
    }

    /// What a result lacks that this request's must have.
    pub(super) fn lacks(self, result: &Object) -> Option<&'static str> {
        let is_list = |name| matches!(result.get(name), Some(Value::Array(_)));
        let (fits, what) = match self {
            Method::CallTool => {
                (is_list("content") || result.contains("structuredContent"), "content")
            }
            Method::ReadResource => (is_list("contents"), "contents"),
            Method::ListResources => (is_list("resources"), "resources"),
            Method::GetPrompt => (is_list("messages"), "messages"),
            Method::Complete => {
                (matches!(result.get("completion"), Some(Value::Object(_))), "completion")
            }
            Method::GetTask => (matches!(result.get("status"), Some(Value::String(_))), "status"),
            Method::Subscribe | Method::Unsubscribe | Method::UpdateTask | Method::CancelTask => {
                (true, "")
            }
        };
        (!fits).then_some(what)
    }
}
