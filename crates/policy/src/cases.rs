//! Questions without a request: `check`, and the `tests:` that gate every apply.

use crate::compiled::Compiled;
use crate::explain::{Explanation, why};
use crate::facts::{Facts, Subject};
use crate::task::{TaskFacts, Trigger};
use canonical::{Limits, Value};
use model::declared::{Case, Proof};
use model::{
    ActionId, AgentName, Code, Decision, Duration, EntryId, Name, OpenedBy, TaskId, Timestamp,
    TraceId, UserName,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is asked: would this be allowed?
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Who acts.
    pub agent: AgentName,
    /// For whom.
    pub user: Option<UserName>,
    /// What.
    pub action: ActionId,
    /// With which arguments.
    pub arguments: Value,
    /// Under a task of which intent, with which parameters (an object).
    pub intent: Option<(Name, Value)>,
}

/// How one case of `tests:` came out.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseResult {
    /// Its line in the declared file.
    pub line: u32,
    /// What was asked.
    pub question: Question,
    /// What was expected.
    pub expected: Decision,
    /// The policy that was expected among the reasons.
    pub reason: Option<String>,
    /// What came of it.
    pub explanation: Explanation,
    /// Whether both agree.
    pub passed: bool,
}

impl Compiled {
    /// What would come of a question, with the groups of declared people.
    #[must_use]
    pub fn check(&self, question: &Question, now: Timestamp) -> Explanation {
        if let Some(explanation) = self.missing(&question.agent, &question.action) {
            return explanation;
        }
        let slice = self.agent(&question.agent).and_then(|agent| {
            // What is declared is what it can be sure to show.
            let bound = agent.declared.credentials.proof != Proof::None;
            Some((agent.version, bound, self.slice(&agent.version, &question.action)?))
        });
        let Some((version, bound, slice)) = slice else {
            return refused(Code::NotInCatalog, "the action does not exist for this agent");
        };
        let call = match slice.look_up(question.arguments.clone()) {
            Ok(call) => call,
            Err(error) => return refused(Code::ArgumentsInvalid, &error.to_string()),
        };
        let user = question.user.clone();
        let task = question.intent.as_ref().map(|intent| task(question, intent, now));
        let subject = Subject {
            task: task.as_ref().map(|task| task.id),
            bound,
            ..Subject::assumed(question.agent.clone(), version, user.clone())
        };
        let people = &self.declared().people;
        let facts = Facts {
            entry: EntryId(0),
            trace: TraceId(1),
            now,
            control_revision: 0,
            development: false,
            user_groups: user.and_then(|user| people.get(&user).cloned()).unwrap_or_default(),
            task: task.map(Arc::new),
            within: Vec::new(),
            approval: None,
            edge: match slice.entry().kind {
                model::declared::UpstreamKind::Mcp => "mcp",
                model::declared::UpstreamKind::Http => "http",
            },
            uncapped: false,
        };
        why(self, &subject, &call, &facts)
    }

    /// Runs `tests:`, in their order.
    #[must_use]
    pub fn run_tests(&self, now: Timestamp) -> Vec<CaseResult> {
        self.declared().tests.iter().map(|case| self.run(case, now)).collect()
    }

    fn run(&self, case: &Case, now: Timestamp) -> CaseResult {
        let object = || Value::Object(canonical::Object::new());
        let read = |bytes: &[u8]| canonical::parse(bytes, &Limits::ARGUMENTS);
        let (arguments, readable) = match read(&case.args) {
            Ok(arguments) => (arguments, true),
            Err(_) => (object(), false),
        };
        let intent = case
            .intent
            .as_ref()
            .map(|(name, params)| (name.clone(), read(params).unwrap_or_else(|_| object())));
        let question = Question {
            agent: case.agent.clone(),
            user: case.user.clone(),
            action: case.action.clone(),
            arguments,
            intent,
        };
        let explanation = if readable {
            self.check(&question, now)
        } else {
            refused(Code::BodyInvalid, "the case's arguments are not I-JSON")
        };
        let named = |id: &String| {
            let missing = id == "grant" && explanation.code == Some(Code::NotGranted);
            missing || explanation.findings.iter().any(|finding| finding.reason.id == *id)
        };
        let passed = explanation.decision == case.expect && case.reason.as_ref().is_none_or(named);
        CaseResult {
            line: case.line,
            question,
            expected: case.expect,
            reason: case.reason.clone(),
            explanation,
            passed,
        }
    }
}

fn task(question: &Question, (intent, params): &(Name, Value), now: Timestamp) -> TaskFacts {
    TaskFacts {
        id: TaskId(0),
        agent: question.agent.clone(),
        user: question.user.clone(),
        intent: Some(intent.clone()),
        params: params.clone(),
        expires: now.after(Duration::seconds(60)),
        trigger: Trigger::named("test"),
        instance: None,
        opened_by: OpenedBy::Operator,
        client: None,
        parent: None,
    }
}

fn refused(code: Code, sentence: &str) -> Explanation {
    Explanation {
        decision: Decision::Deny,
        code: Some(code),
        rules: BTreeSet::new(),
        sentence: sentence.to_owned(),
        findings: Vec::new(),
    }
}
