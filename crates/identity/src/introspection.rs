//! What a token says, for who may ask (RFC 7662 §2.2).

use crate::{
    delegation::{Delegation, write_chain, write_details},
    token::{Binding, Verified},
};
use canonical::{Writer, WriterError};

impl Verified {
    /// The claims of a token that is in force, as canonical JSON with `active`.
    pub fn introspection(&self, issuer: &str) -> Result<Vec<u8>, WriterError> {
        let mut out = Vec::with_capacity(1024);
        let mut writer = Writer::new(&mut out);
        let agent = self.agent.as_str();
        let user = self.user.as_ref();
        let delegation = Delegation {
            chain: &self.chain,
            actions: self.actions.as_ref(),
            may_act: &self.may_act,
            key: self.key.as_deref(),
        };
        writer.begin_object();
        delegation.write_act(&mut writer, agent, user.is_some());
        writer.field_bool("active", true).field_str("agent", agent);
        if let Some(instance) = &self.instance {
            writer.field_str("agent_instance", instance);
        }
        writer.field_str("agent_version", &self.version.to_string());
        writer.field_str("aud", self.audience());
        if let Some(actions) = &self.actions {
            writer.field_raw("authorization_details", &write_details(actions));
        }
        if !self.chain.is_empty() {
            writer.field_raw("chain", &write_chain(&self.chain));
        }
        writer.field_str("client_id", agent);
        let (member, kind) = match self.bound_to() {
            Some(Binding::Key(jkt)) => (Some(("jkt", jkt)), "DPoP"),
            Some(Binding::Certificate(thumbprint)) => (Some(("x5t#S256", thumbprint)), "Bearer"),
            None => (None, "Bearer"),
        };
        if let Some((name, thumbprint)) = member {
            writer.field_object("cnf").field_str(name, thumbprint).end();
        }
        writer.field_int("exp", self.expires.seconds()).field_int("iat", self.issued().seconds());
        writer.field_str("iss", issuer).field_str("jti", &self.token.to_string());
        delegation.write_may_act(&mut writer);
        delegation.write_key(&mut writer);
        delegation.write_subject(&mut writer, agent, user);
        if let Some(task) = self.task {
            writer.field_str("task", &task.to_string());
        }
        writer.field_str("token_type", kind);
        writer.end();
        writer.finish()?;
        Ok(out)
    }
}
