//! Remembers which calls were refused lately, so that an agent that repeats itself is told so (F3).

use crate::limits;
use aws_lc_rs::digest::{Context, SHA256};
use identity::Actor;
use model::{Code, Digest, Timestamp};
use quick_cache::sync::Cache;

/// Refusals of the last minutes, by the call that was refused. Bounded; lost with the process.
pub(crate) struct Repeats(Cache<Digest, (u32, Timestamp)>);

impl Default for Repeats {
    fn default() -> Repeats {
        Repeats(Cache::new(limits::LOOP_CALLS))
    }
}

impl Repeats {
    /// Notes one more refusal; gives how many there were if it is not the first.
    pub(crate) fn note(&self, call: Digest, now: Timestamp) -> Option<u32> {
        let known = self.0.get(&call).filter(|(_, since)| since.after(limits::LOOP_SPAN) > now);
        let (times, since) = match known {
            Some((times, since)) => (times.saturating_add(1), since),
            None => (1, now),
        };
        self.0.insert(call, (times, since));
        (times > 1).then_some(times)
    }
}

/// Who called what with which bytes.
pub(crate) fn same_call(actor: &Actor, action: &str, arguments: &[u8]) -> Digest {
    let mut context = Context::new(&SHA256);
    let user = actor.user().map(model::UserName::as_str).unwrap_or_default();
    let task = actor.task().map(|task| task.to_string()).unwrap_or_default();
    for part in [actor.agent().as_str(), user, &task, action] {
        context.update(part.as_bytes());
        context.update(&[0]);
    }
    context.update(arguments);
    Digest(<[u8; 32]>::try_from(context.finish().as_ref()).unwrap_or_default())
}

/// Whether a refusal says something about the call that another try would not change.
pub(crate) const fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::NotInCatalog
            | Code::ArgumentsInvalid
            | Code::DefinitionChanged
            | Code::NotGranted
            | Code::Forbidden
            | Code::OutsideIntent
            | Code::UserNotServed
            | Code::AnsweredNo
            | Code::Revoked
            | Code::Frozen
            | Code::HookRefused
            | Code::RequirementMissing
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_call_is_counted_for_a_while() {
        let repeats = Repeats::default();
        let (one, other) = (Digest([1; 32]), Digest([2; 32]));
        let at = |seconds: i64| Timestamp::from_seconds(1_000 + seconds);
        assert_eq!(repeats.note(one, at(0)), None);
        assert_eq!(repeats.note(one, at(1)), Some(2));
        assert_eq!(repeats.note(other, at(1)), None);
        assert_eq!(repeats.note(one, at(599)), Some(3));
        assert_eq!(repeats.note(one, at(601)), None, "the span is over");
    }
}
