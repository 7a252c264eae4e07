//! How many calls of one agent are open at once: one agent's slow streams take no other agent's room.

use crate::{ActionRequest, Gate, Refusal, World, limits, settle};
use identity::Actor;
use model::{AgentName, Code};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Open calls by agent; an agent without any is not in it.
#[derive(Default)]
pub struct Seats(Mutex<HashMap<AgentName, usize>>);

/// One open call's place, free again when dropped.
#[must_use]
pub struct Seat {
    seats: Arc<Seats>,
    agent: AgentName,
}

impl Seats {
    fn take(self: &Arc<Self>, agent: &AgentName) -> Option<Seat> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = open.entry(agent.clone()).or_default();
        if *taken >= limits::CALLS_PER_AGENT {
            return None;
        }
        *taken = taken.saturating_add(1);
        Some(Seat { seats: Arc::clone(self), agent: agent.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(taken) = open.get_mut(&self.agent) else { return };
        *taken = taken.saturating_sub(1);
        if *taken == 0 {
            open.remove(&self.agent);
        }
    }
}

/// Takes a place for a call, or refuses it.
pub async fn seat(
    gate: &Gate,
    world: &World,
    actor: &Actor,
    request: &ActionRequest,
) -> Result<Seat, Refusal> {
    match gate.seats.take(actor.agent()) {
        Some(seat) => Ok(seat),
        None => {
            let detail = format!("at most {} at once", limits::CALLS_PER_AGENT);
            Err(settle::refuse(gate, world, actor, request, Code::TooManyCalls, Some(detail)).await)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Name;

    #[test]
    fn one_agents_calls_take_no_room_of_another() {
        let seats = Arc::new(Seats::default());
        let (one, other) = (Name::new("one").unwrap(), Name::new("other").unwrap());
        let mut held: Vec<_> =
            (0..limits::CALLS_PER_AGENT).map(|_| seats.take(&one).expect("room")).collect();
        assert!(seats.take(&one).is_none());
        assert!(seats.take(&other).is_some());
        held.pop();
        assert!(seats.take(&one).is_some());
        drop(held);
        assert!(seats.0.lock().unwrap().is_empty(), "nothing is kept of agents without open calls");
    }
}
