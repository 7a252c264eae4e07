//! What the gate itself asks of upstreams: which tools they define, so that they can be pinned.

use crate::Gate;
use model::{UpstreamName, declared::Declared};
use upstream::{BrokerError, Fault};

impl Gate {
    /// Takes over the declared upstreams: their addresses, where their credentials come from and for which addresses
    /// those were given. None of them, if one cannot be used.
    pub fn know_upstreams(
        &self,
        declared: &Declared,
        given: upstream::Given,
    ) -> Result<(), Vec<BrokerError>> {
        self.broker.publish(&declared.upstreams, given)
    }

    /// The tools that an MCP upstream defines now: names and canonical bytes.
    pub async fn definitions_of(
        &self,
        upstream: &UpstreamName,
    ) -> Result<Vec<(String, Vec<u8>)>, Fault> {
        let credential = self.broker.lend_for_definitions(upstream)?;
        let definitions = self.mcp.definitions(&self.client, credential).await?;
        Ok(definitions.into_iter().map(|tool| (tool.name, tool.canonical)).collect())
    }
}
